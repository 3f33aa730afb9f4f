//! Errors as callers see them: the code that libraries match on, and a message with values.
//!
//! Codes: −32602 invalid parameters, −32000 execution and pool, 3 revert with data, −32005 a limit (EIP-1474), 4 time
//! is up and 5 a nonce is missing in `eth_sendRawTransactionSync` (EIP-7966), 4444 history that was pruned, −380xx in
//! `eth_simulateV1`, −32603 a fault of this node.

use super::dispatch::LIMIT_CODE;
use crate::ChainError;
use crate::execute::database_error;
use crate::pool::PoolError;
use alloy_primitives::{B256, Bytes};
use alloy_sol_types::{Panic, Revert, SolError};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{
    CALL_EXECUTION_FAILED_CODE, INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE, SERVER_IS_BUSY_CODE,
};
use revm::context::result::HaltReason;
use revm::database_interface::bal::EvmDatabaseError;
use std::time::Duration;

const REVERT_CODE: i32 = 3;
const SEND_SYNC_TIMEOUT_CODE: i32 = 4;
const SEND_SYNC_NOT_READY_CODE: i32 = 5;
/// History that this node no longer has (ethereum/execution-apis; EIP-4444).
const PRUNED_CODE: i32 = 4444;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The pool refused a transaction.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No validator took the transaction.
    #[error("transaction {hash} was not sent: no validator took it ({reason}); try again")]
    Broadcast { hash: B256, reason: String },
    /// No such block.
    #[error("header not found: block {asked}, head is {head}")]
    BlockNotFound { asked: String, head: u64 },
    /// No such transaction in a block.
    #[error("transaction not found")]
    TransactionNotFound,
    /// The call reverted.
    #[error("execution reverted{}", reason_of(.0))]
    Reverted(Bytes),
    /// The call cannot run, or halted.
    #[error("{0}")]
    Execution(String),
    /// No gas limit makes the call succeed.
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    /// The parameters make no sense.
    #[error("{0}")]
    Params(String),
    /// The request is beyond a limit.
    #[error("{0}")]
    Limit(String),
    /// A method that has codes of its own says why.
    #[error("{message}")]
    Coded { code: i32, message: String },
    /// No free slot for heavy work within the time for it.
    #[error("no execution slot became free within {0:?}, try again")]
    Busy(Duration),
    /// The work took too long.
    #[error("execution timeout: it took longer than {0:?}, the limit")]
    Timeout(Duration),
    /// The transaction was not mined in the time the caller gave.
    #[error("The transaction was added to the transaction pool but was not mined within {millis} ms")]
    NotMined { hash: B256, millis: u64 },
    /// The transaction waits for another one, which nobody may ever send.
    #[error("The transaction was added to the transaction pool but waits for nonce {next} of its sender")]
    NotReady { hash: B256, next: u64 },
    /// The chain of this node failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A bug.
    #[error("internal error")]
    Internal,
}

impl Failure {
    fn code(&self) -> i32 {
        match self {
            Self::Pool(_) | Self::Broadcast { .. } | Self::BlockNotFound { .. } => CALL_EXECUTION_FAILED_CODE,
            Self::TransactionNotFound | Self::Execution(_) | Self::GasAllowance(_) | Self::Timeout(_) => {
                CALL_EXECUTION_FAILED_CODE
            }
            Self::Reverted(_) => REVERT_CODE,
            Self::Params(_) => INVALID_PARAMS_CODE,
            Self::Limit(_) => LIMIT_CODE,
            Self::Coded { code, .. } => *code,
            Self::Busy(_) => SERVER_IS_BUSY_CODE,
            Self::NotMined { .. } => SEND_SYNC_TIMEOUT_CODE,
            Self::NotReady { .. } => SEND_SYNC_NOT_READY_CODE,
            Self::Chain(error) => chain_code(error),
            Self::Internal => INTERNAL_ERROR_CODE,
        }
    }

    fn data(&self) -> Option<String> {
        match self {
            Self::Reverted(data) => Some(data.to_string()),
            Self::NotMined { hash, .. } | Self::NotReady { hash, .. } => Some(hash.to_string()),
            _ => None,
        }
    }
}

impl From<EvmDatabaseError<ChainError>> for Failure {
    fn from(error: EvmDatabaseError<ChainError>) -> Self {
        Self::Chain(database_error(error))
    }
}

impl From<Failure> for ErrorObjectOwned {
    fn from(failure: Failure) -> Self {
        if failure.code() == INTERNAL_ERROR_CODE {
            tracing::error!(%failure, "request failed");
        }
        ErrorObjectOwned::owned(failure.code(), failure.to_string(), failure.data())
    }
}

fn chain_code(error: &ChainError) -> i32 {
    match error {
        ChainError::UnknownBlock { .. } | ChainError::GenesisReplay => CALL_EXECUTION_FAILED_CODE,
        ChainError::SupplyUnknown => CALL_EXECUTION_FAILED_CODE,
        ChainError::Pruned { .. } | ChainError::BlockPruned { .. } | ChainError::ProofTooOld { .. } => PRUNED_CODE,
        ChainError::LogRange { .. } | ChainError::LogResults { .. } => LIMIT_CODE,
        ChainError::ProofSlots { .. } => LIMIT_CODE,
        _ => INTERNAL_ERROR_CODE,
    }
}

/// Why the EVM gave up, in the words that clients look for.
pub(super) fn halt_reason(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        other => other.to_string(),
    }
}

/// `: reason` of a Solidity revert, or nothing if the data is of another kind (it travels as data anyway).
fn reason_of(data: &Bytes) -> String {
    if let Ok(revert) = Revert::abi_decode(data) {
        return format!(": {}", revert.reason);
    }
    match Panic::abi_decode(data).ok() {
        Some(panic) => match panic.kind() {
            Some(kind) => format!(": panic: {} (0x{:02x})", kind.as_str(), panic.code),
            None => format!(": panic: code 0x{:02x}", panic.code),
        },
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    #[test]
    fn a_revert_carries_its_reason_and_its_data() {
        let data = Bytes::from(Revert::from("too poor").abi_encode());
        let error = ErrorObjectOwned::from(Failure::Reverted(data.clone()));
        assert_eq!((error.code(), error.message()), (3, "execution reverted: too poor"));
        assert_eq!(error.data().unwrap().get(), format!("\"{data}\""));
    }

    #[test]
    fn a_panic_is_named_and_a_custom_error_is_left_to_its_data() {
        let panic = Bytes::from(Panic { code: U256::from(0x11) }.abi_encode());
        assert!(Failure::Reverted(panic).to_string().ends_with("(0x11)"));
        assert_eq!(Failure::Reverted(Bytes::from_static(&[1, 2, 3, 4])).to_string(), "execution reverted");
        assert_eq!(Failure::Reverted(Bytes::new()).to_string(), "execution reverted");
    }

    #[test]
    fn a_fault_of_the_node_is_no_fault_of_the_caller() {
        let code = |failure: Failure| ErrorObjectOwned::from(failure).code();
        assert_eq!(code(Failure::Chain(ChainError::Execution("disk".into()))), -32603);
        assert_eq!(code(Failure::Chain(ChainError::UnknownBlock { number: 2, head: 1 })), -32000);
        assert_eq!(code(Failure::Chain(ChainError::SupplyUnknown)), -32000);
        assert_eq!(code(Failure::Chain(ChainError::Pruned { number: 1, oldest: 2 })), 4444);
        assert_eq!(code(Failure::Chain(ChainError::ProofTooOld { number: 1, oldest: 2 })), 4444);
        assert_eq!(code(Failure::Pool(PoolError::Empty)), -32000);
        assert_eq!(code(Failure::Params("x".into())), -32602);
    }
}
