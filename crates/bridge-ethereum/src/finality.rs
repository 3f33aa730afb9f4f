//! What the bridge asks of a node: links that two thirds of the stake voted for.

use alloy_primitives::B256;
use proof::checkpoint::{Certificate, Checkpoint, Domain, Electorate};
use std::future::Future;

/// Links that a source of finality returns at a time.
pub const LINKS_MAX: usize = 4096;

/// A link, what it leads to, and who voted.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The link and its votes; two thirds of every set of the electorate.
    pub certificate: Certificate,
    /// Its target.
    pub target: Checkpoint,
    /// Electorate of the target.
    pub electorate: Electorate,
}

/// A node cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node does not say what is final: {0}")]
pub struct FinalityError(pub String);

/// Where finality comes from. It must keep links as long as the L1 may need them, at least as long as stake stays bonded.
pub trait Finality: Send + Sync {
    /// The network.
    fn domain(&self) -> Domain;

    /// Links whose targets are later than `epoch`, ascending by target; the first [`LINKS_MAX`] of them.
    fn links(&self, epoch: u64) -> impl Future<Output = Result<Vec<Certified>, FinalityError>> + Send;

    /// The justified checkpoint of an epoch, if there is one.
    fn checkpoint(&self, epoch: u64) -> impl Future<Output = Result<Option<Checkpoint>, FinalityError>> + Send;

    /// An electorate by its root.
    fn electorate(&self, root: B256) -> impl Future<Output = Result<Option<Electorate>, FinalityError>> + Send;
}
