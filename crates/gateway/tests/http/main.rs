//! The routers, the server and the clients together, over real sockets and with backends in memory.

mod api;
mod clients;
mod description;
mod files;
mod grpc;
mod ipfs;
mod jobs;
mod memory;
mod nodes;
mod pages;
mod sequencer;
mod server;
mod site;
