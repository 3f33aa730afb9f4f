//! Networks of real validators over loopback TCP, each with its own directory.

mod cluster;
mod committees;
mod durability;
mod faults;
mod figures;
mod finality;
mod ordering;
mod retention;
mod sealed;
mod startup;
mod submissions;
mod transfer;
