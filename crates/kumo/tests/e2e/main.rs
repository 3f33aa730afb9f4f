//! The program as people use it: real processes on real sockets, killed, restarted, misused, and asked again.
//!
//! | module | promise |
//! |---|---|
//! | [`by_hand`] | every command of the manual works against one `kumo dev` |
//! | [`guests`] | a guest that misbehaves ends with a documented exit code, and its provider is paid |
//! | [`refusals`] | bad input gets a clear error with value and limit, and costs nothing |
//! | [`survival`] | with `--state` everything survives `kill -9` and Ctrl-C |
//! | [`processes`] | one process per role is the same network, and loses members without losing data |
//! | [`submissions`] | an acknowledged transaction is ordered, also when its validator is killed |
//! | [`sealed`] | a transaction that nobody can read before it is ordered |
//! | [`availability`] | data is sampled and fetched while it is kept; what is pruned says so |
//! | [`joins`] | nodes started by hand join a running network |
//! | [`conflicts`] | two networks never share a directory or a port; damaged files are named |
//! | [`faults`] | providers and storage nodes that fail in the middle of something |
//! | [`finality`] | stake finalises; a validator whose record of signatures is lost does not start |
//! | [`staking`] | validators stake on the chain, join, rotate and leave; one that votes twice loses its stake |
//! | [`tls`] | an L1 is asked by TLS, and only if its certificate is trusted |
//! | [`begins`] | a validator begins at a checkpoint, from what another one keeps |
//! | [`crowds`] | thousands of idle connections, oversized and malformed requests |

mod availability;
mod begins;
mod by_hand;
mod checks;
mod conflicts;
mod crowds;
mod faults;
mod finality;
mod guests;
mod http;
mod joins;
mod network;
mod person;
mod process;
mod processes;
mod programs;
mod refusals;
mod sealed;
mod staking;
mod submissions;
mod survival;
mod tls;
