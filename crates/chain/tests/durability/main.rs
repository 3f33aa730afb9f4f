//! What a crash, a full disk or a damaged file may do to a chain: stop it, and nothing else.

mod damage;
mod disk;
mod kill;
mod load;
