//! What can be wrong with a `genesis.json`.

/// Why a genesis is not one of a chain this program can execute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not a geth-style genesis.
    #[error("genesis cannot be read: {0}")]
    Json(String),
    /// Another consensus than proof of work and proof of stake.
    #[error("genesis asks for clique or parlia consensus; only proof of work and proof of stake are known")]
    Consensus,
    /// A fork after Osaka and its blob-parameter forks, or of another network.
    #[error("genesis schedules {0}, a fork this program does not know; use a newer kumo")]
    UnknownFork(String),
    /// A fork without the one it builds on.
    #[error("genesis schedules {fork} without {needs}")]
    ForkMissing {
        /// The later fork.
        fork: &'static str,
        /// What must be scheduled, too.
        needs: &'static str,
    },
    /// A fork before the one it builds on.
    #[error("genesis schedules {fork} at {at}, before {before} at {needs}")]
    ForkOrder {
        /// The later fork.
        fork: &'static str,
        /// Its block or time.
        at: u64,
        /// The earlier fork.
        before: &'static str,
        /// Its block or time.
        needs: u64,
    },
    /// A blob-parameter fork without parameters.
    #[error("genesis schedules {fork}Time, but blobSchedule has no entry {fork:?}")]
    BlobSchedule {
        /// Name of the fork.
        fork: &'static str,
    },
    /// Blob parameters that cannot be computed with.
    #[error(
        "blobSchedule.{fork}: target {target} must be at most max {max}, which must be at least 1, and baseFeeUpdateFraction {fraction} at least 1"
    )]
    BlobParameters {
        /// Name of the fork.
        fork: &'static str,
        /// Blobs per block that keep the price.
        target: u64,
        /// Blobs per block at most.
        max: u64,
        /// Divisor of the price exponent.
        fraction: u128,
    },
    /// A header field beyond what a chain can begin with.
    #[error("genesis field {field} is {value}, the limit is {max}")]
    Field {
        /// Name in the file.
        field: &'static str,
        /// Its value.
        value: String,
        /// Largest value accepted.
        max: String,
    },
    /// Code that the EVM does not accept.
    #[error("genesis account {address}: {reason}")]
    Code {
        /// The account.
        address: alloy_primitives::Address,
        /// What is wrong with its code.
        reason: String,
    },
}
