//! What the gateway role answers: files from the storage cluster, jobs from the contracts, order from the sequencer.

pub mod backend;
pub mod events;
pub mod index;
pub mod jobs;
pub mod logs;
pub mod nodes;
pub mod quote;
pub mod sync;
