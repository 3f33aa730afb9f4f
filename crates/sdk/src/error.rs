//! Every error of the SDK in one type, and what kind each is: what a caller can do about it.

use crate::chain::ChainError;
use crate::client::ConnectError;
use crate::files::FilesError;
use crate::gateway::GatewayError;
use crate::jobs::{BundleError, EditError, JobsError, LogsError, OutputsError, PrepareError, RunError};
use crate::lane::SealError;
use crate::rollup::RollupError;
use crate::rpc::RpcError;
use crate::wallet::WalletError;
use bridge_ethereum::deploy::DeployError;
use bridge_ethereum::{DeriveError, L1Error, PlanError};

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Correct a file or an argument.
    Invalid,
    /// Ask for something else: it does not exist.
    NotFound,
    /// Get more coin, or another permission.
    Refused,
    /// Try again later, or elsewhere: something was not reached or is too busy.
    Unavailable,
    /// Wait longer: it may still happen.
    TimedOut,
    /// Look at the contract's reason.
    Reverted,
    /// Do not trust the answer: a check of content, signature or proof failed.
    Untrue,
    /// Anything else.
    Other,
}

/// Any error of the SDK.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network answers.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Keys.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// Files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// An edit of a specification.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Preparing a job.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Opening or finding a job.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// Accompanying a job.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Job keys.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The encrypted lane.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Logs.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// Outputs.
    #[error(transparent)]
    Outputs(#[from] OutputsError),
    /// A namespace of the sequencer.
    #[error(transparent)]
    Rollup(#[from] RollupError),
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connect(error) => of_connect(error),
            Self::Gateway(error) => of_gateway(error),
            Self::Chain(error) => of_chain(error),
            Self::Wallet(error) => of_wallet(error),
            Self::Files(error) => of_files(error),
            Self::Edit(_) => Kind::Invalid,
            Self::Prepare(error) => of_prepare(error),
            Self::Jobs(error) => of_jobs(error),
            Self::Run(error) => of_run(error),
            Self::Bundle(error) => of_bundle(error),
            Self::Seal(error) => of_seal(error),
            Self::Logs(error) => of_logs(error),
            Self::Outputs(error) => of_outputs(error),
            Self::Rollup(error) => of_rollup(error),
        }
    }

    /// The gateway's problem document behind this error, if there is one.
    pub fn problem(&self) -> Option<&protocol::api::Problem> {
        self.gateway().and_then(|error| match error {
            GatewayError::Problem(problem) => Some(problem.as_ref()),
            _ => None,
        })
    }

    fn gateway(&self) -> Option<&GatewayError> {
        match self {
            Self::Gateway(error)
            | Self::Connect(ConnectError::Gateway(error))
            | Self::Seal(SealError::Gateway(error))
            | Self::Files(FilesError::Gateway(error))
            | Self::Prepare(PrepareError::Files(FilesError::Gateway(error)))
            | Self::Jobs(JobsError::Gateway(error))
            | Self::Logs(LogsError::Gateway(error))
            | Self::Logs(LogsError::Outputs(OutputsError::Files(FilesError::Gateway(error))))
            | Self::Outputs(OutputsError::Files(FilesError::Gateway(error)))
            | Self::Rollup(RollupError::Validator(error)) => Some(error),
            _ => None,
        }
    }
}

fn of_seal(error: &SealError) -> Kind {
    match error {
        SealError::Gateway(error) => of_gateway(error),
        SealError::Chain(error) => of_chain(error),
        SealError::Closed { .. } => Kind::Unavailable,
        SealError::Key(error) => of_rollup(error),
        SealError::NoLane(_) | SealError::Network { .. } | SealError::Seal(_) => Kind::Invalid,
        SealError::Randomness(_) => Kind::Other,
    }
}

fn of_connect(error: &ConnectError) -> Kind {
    match error {
        ConnectError::Gateway(error) => of_gateway(error),
        ConnectError::Chain(error) => of_chain(error),
        ConnectError::WrongChain { .. } => Kind::Invalid,
    }
}

fn of_rollup(error: &RollupError) -> Kind {
    match error {
        RollupError::Committee(_) => Kind::Invalid,
        RollupError::Validator(error) => of_gateway(error),
        RollupError::Chain(error) => of_chain(error),
        RollupError::Untrue { .. } => Kind::Untrue,
        RollupError::NotCommitted(_) => Kind::NotFound,
        RollupError::NoAnchor { .. } => Kind::TimedOut,
        RollupError::L1(error) => of_l1(error),
        RollupError::Deploy(DeployError::L1(error)) => of_l1(error),
        RollupError::Deploy(_) => Kind::Reverted,
        RollupError::Plan(PlanError::L1(error)) => of_l1(error),
        RollupError::Derive(DeriveError::L1(error)) => of_l1(error),
        RollupError::Derive(DeriveError::Blobs { .. }) => Kind::Unavailable,
        RollupError::Derive(_) => Kind::Untrue,
        RollupError::Mail(_) | RollupError::Plan(_) => Kind::Invalid,
    }
}

fn of_l1(error: &L1Error) -> Kind {
    match error {
        L1Error::Unreachable { .. } => Kind::Unavailable,
        L1Error::Reverted(_) => Kind::Reverted,
        L1Error::Known | L1Error::Underpriced | L1Error::NonceUsed | L1Error::Refused(_) => Kind::Refused,
    }
}

fn of_gateway(error: &GatewayError) -> Kind {
    match error {
        GatewayError::Unreachable { .. } | GatewayError::Body { .. } => Kind::Unavailable,
        GatewayError::Problem(problem) => of_status(problem.status),
        GatewayError::Malformed { status, .. } => match of_status(*status) {
            Kind::Unavailable => Kind::Unavailable,
            _ => Kind::Other,
        },
        GatewayError::Source { .. } => Kind::Invalid,
    }
}

fn of_status(status: u16) -> Kind {
    match status {
        404 | 410 => Kind::NotFound,
        401..=403 | 507 => Kind::Refused,
        400 | 405..=407 | 409 | 411..=417 | 422 => Kind::Invalid,
        408 | 425 | 429 | 502..=504 => Kind::Unavailable,
        _ => Kind::Other,
    }
}

fn of_chain(error: &ChainError) -> Kind {
    match error {
        ChainError::Rpc(RpcError::Unreachable { .. } | RpcError::Body { .. }) => Kind::Unavailable,
        ChainError::Rpc(RpcError::Malformed { status: 502..=504 | 429, .. }) => Kind::Unavailable,
        ChainError::Rpc(_) | ChainError::Undecodable { .. } => Kind::Other,
        ChainError::WrongChain { .. } => Kind::Invalid,
        ChainError::Reverted { revert, .. } => of_revert(revert),
        ChainError::TooPoor { .. } => Kind::Refused,
        ChainError::TooMuchGas { .. } => Kind::Refused,
        ChainError::NonceRace { .. } => Kind::Unavailable,
        ChainError::Unconfirmed { .. } => Kind::TimedOut,
        ChainError::NoBlock(_) => Kind::Unavailable,
        ChainError::Header(_) | ChainError::State(_) => Kind::Untrue,
    }
}

fn of_revert(revert: &crate::revert::Revert) -> Kind {
    use protocol::abi::{IJobMarket, IProviderRegistry};
    if revert.is::<IJobMarket::UnknownJob>() || revert.is::<IProviderRegistry::NotRegistered>() {
        return Kind::NotFound;
    }
    Kind::Reverted
}

fn of_wallet(error: &WalletError) -> Kind {
    match error {
        WalletError::NotDev { .. } => Kind::Refused,
        WalletError::NoSuchIndex { .. } | WalletError::NoSuchAccount(_) => Kind::NotFound,
        _ => Kind::Invalid,
    }
}

fn of_files(error: &FilesError) -> Kind {
    use storage::crypt::CryptError;
    match error {
        FilesError::Gateway(error) => of_gateway(error),
        FilesError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::NotFound,
        FilesError::Io { .. } => Kind::Invalid,
        FilesError::Output(_) => Kind::Other,
        FilesError::Crypt { source: CryptError::NotARecipient { .. }, .. } => Kind::Refused,
        FilesError::Encrypt(_) | FilesError::TooLong { .. } | FilesError::TooManyBlocks { .. } => Kind::Invalid,
        FilesError::Block(storage::block::BlockError::Hash { .. } | storage::block::BlockError::Codec { .. }) => {
            Kind::Invalid
        }
        FilesError::NotAFile { source, .. } => of_read(source),
        _ => Kind::Untrue,
    }
}

fn of_read(error: &storage::unixfs::ReadError) -> Kind {
    use storage::block::BlockError;
    use storage::unixfs::ReadError;
    match error {
        ReadError::Block(BlockError::Unknown { .. }) => Kind::NotFound,
        ReadError::Block(BlockError::Unavailable { .. }) => Kind::Unavailable,
        ReadError::Block(BlockError::Mismatch { .. }) => Kind::Untrue,
        _ => Kind::Invalid,
    }
}

fn of_prepare(error: &PrepareError) -> Kind {
    match error {
        PrepareError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::NotFound,
        PrepareError::Files(error) => of_files(error),
        _ => Kind::Invalid,
    }
}

fn of_jobs(error: &JobsError) -> Kind {
    match error {
        JobsError::Gateway(error) => of_gateway(error),
        JobsError::Chain(error) => of_chain(error),
        JobsError::TooPoor { .. } => Kind::Refused,
        JobsError::NotOpened(_) => Kind::Other,
    }
}

pub(crate) fn of_run(error: &RunError) -> Kind {
    match error {
        RunError::Chain(error) => of_chain(error),
        RunError::Bundle(error) => of_bundle(error),
    }
}

fn of_bundle(error: &BundleError) -> Kind {
    match error {
        BundleError::Chain(error) => of_chain(error),
        BundleError::TooLong { .. } | BundleError::Seal { .. } => Kind::Invalid,
    }
}

fn of_logs(error: &LogsError) -> Kind {
    match error {
        LogsError::Gateway(error) => of_gateway(error),
        LogsError::Chain(error) => of_chain(error),
        LogsError::Outputs(error) => of_outputs(error),
        LogsError::Forged { .. } | LogsError::Stranger { .. } | LogsError::Sealed { .. } => Kind::Untrue,
    }
}

fn of_outputs(error: &OutputsError) -> Kind {
    match error {
        OutputsError::Chain(error) => of_chain(error),
        OutputsError::Files(error) => of_files(error),
        OutputsError::NoKey { .. } => Kind::Refused,
        OutputsError::NoReceipt { .. } => Kind::NotFound,
        OutputsError::Write { .. } => Kind::Invalid,
        OutputsError::Receipt { .. }
        | OutputsError::OtherReceipt { .. }
        | OutputsError::NotAManifest { .. }
        | OutputsError::Output { .. } => Kind::Untrue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::Problem;

    fn problem(status: u16) -> GatewayError {
        let problem = Problem { kind: "urn:kumo:x".into(), title: "x".into(), status, detail: "y".into(), next: None };
        GatewayError::Problem(Box::new(problem))
    }

    #[test]
    fn gateway_problems_keep_their_meaning_however_deep_they_are() {
        let kinds = [(404, Kind::NotFound), (400, Kind::Invalid), (503, Kind::Unavailable), (500, Kind::Other)];
        for (status, kind) in kinds {
            let wrapped = Error::from(PrepareError::from(FilesError::from(problem(status))));
            assert_eq!(wrapped.kind(), kind, "{status}");
            assert_eq!(wrapped.problem().unwrap().status, status);
        }
    }

    #[test]
    fn an_unknown_job_is_not_found_and_other_reverts_are_reverts() {
        use alloy_sol_types::SolError;
        use protocol::abi::IJobMarket;
        let reverted = |data: Vec<u8>| {
            let revert = crate::revert::Revert::new(data.into());
            Error::from(ChainError::Reverted { function: "f()", revert, transaction: None }).kind()
        };
        let id = alloy_primitives::U256::from(7);
        assert_eq!(reverted(IJobMarket::UnknownJob { jobId: id }.abi_encode()), Kind::NotFound);
        assert_eq!(reverted(IJobMarket::NothingToDo { jobId: id }.abi_encode()), Kind::Reverted);
        assert_eq!(reverted(vec![]), Kind::Reverted);
    }

    #[test]
    fn missing_files_are_not_found_and_unreadable_ones_invalid() {
        let read = |kind: std::io::ErrorKind| {
            Error::from(PrepareError::Read { path: "job.yaml".into(), source: kind.into() }).kind()
        };
        assert_eq!(read(std::io::ErrorKind::NotFound), Kind::NotFound);
        assert_eq!(read(std::io::ErrorKind::PermissionDenied), Kind::Invalid);
    }
}
