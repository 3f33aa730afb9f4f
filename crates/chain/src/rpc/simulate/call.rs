//! One call of a simulation: from a request with gaps to a transaction that can be run, and what refuses it.

use super::run::Settings;
use crate::ChainError;
use crate::rpc::failure::Failure;
use crate::rpc::fill;
use alloy_consensus::{TxEnvelope, TypedTransaction};
use alloy_primitives::TxKind;
use alloy_rpc_types_eth::TransactionRequest;
use revm::context::result::{EVMError, InvalidTransaction};
use std::cmp::Ordering;

/// A nonce below the account's.
const NONCE_LOW_CODE: i32 = -38010;
/// A nonce above the account's.
const NONCE_HIGH_CODE: i32 = -38011;
/// A fee below the base fee.
const FEE_LOW_CODE: i32 = -38012;
/// Less gas than the transaction costs before it runs.
const INTRINSIC_GAS_CODE: i32 = -38013;
/// A sender that cannot pay.
const FUNDS_CODE: i32 = -38014;
/// More gas than the block has left.
const BLOCK_GAS_CODE: i32 = -38015;
/// A sender that is a contract.
const SENDER_CODE: i32 = -38024;
/// Creation code that is too long.
const INIT_CODE_CODE: i32 = -38025;
/// Whatever else makes a transaction invalid.
const OTHER_CODE: i32 = -32603;

/// What a call needs from the block it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub chain_id: u64,
    pub base_fee: u64,
    /// Nonce of the sender.
    pub nonce: u64,
    /// Gas the block has left.
    pub block_gas_left: u64,
    /// Gas the simulation has left.
    pub gas_left: u64,
}

/// The transaction of a call, with every field, and the signature of nobody.
pub(super) fn transaction(
    request: TransactionRequest,
    place: Place,
    settings: &Settings,
) -> Result<TxEnvelope, Failure> {
    let gas = request.gas.unwrap_or(place.block_gas_left);
    if gas > place.block_gas_left {
        let message = format!("block gas limit reached: {gas} asked, {} left in the block", place.block_gas_left);
        return Err(Failure::Coded { code: BLOCK_GAS_CODE, message });
    }
    if request.gas_price.is_some() && (request.max_fee_per_gas.or(request.max_priority_fee_per_gas)).is_some() {
        let message = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
        return Err(Failure::Params(message.into()));
    }
    if let Some(chain_id) = request.chain_id.filter(|id| *id != place.chain_id) {
        return Err(Failure::Params(format!("chainId does not match: expected {}, got {chain_id}", place.chain_id)));
    }
    check_nonce(&request, place, settings)?;
    check_fee(&request, place, settings)?;
    let unique = request.input.unique_input().map(|input| input.cloned());
    let input = unique.map_err(|error| Failure::Params(error.to_string()))?.unwrap_or_default();
    let filled = TransactionRequest {
        gas: Some(gas.min(place.gas_left)),
        nonce: request.nonce.or(Some(place.nonce)),
        chain_id: Some(place.chain_id),
        to: request.to.or(Some(TxKind::Create)),
        input: input.into(),
        ..with_fees(request)
    };
    let kind = filled.preferred_type();
    let transaction: TypedTransaction = filled
        .build_consensus_tx()
        .map_err(|failed| Failure::Params(format!("transaction of type {kind} cannot be built: {}", failed.error)))?;
    Ok(fill::unsigned(transaction))
}

/// Fees that are not named are zero; which ones are named decides the type.
fn with_fees(request: TransactionRequest) -> TransactionRequest {
    if request.gas_price.is_some() {
        return request;
    }
    let blob_fee = request.blob_versioned_hashes.as_ref().map(|_| request.max_fee_per_blob_gas.unwrap_or_default());
    TransactionRequest {
        max_fee_per_gas: Some(request.max_fee_per_gas.unwrap_or_default()),
        max_priority_fee_per_gas: Some(request.max_priority_fee_per_gas.unwrap_or_default()),
        // A blob fee without blobs means nothing.
        max_fee_per_blob_gas: blob_fee,
        ..request
    }
}

/// With validation the nonce must be the account's; it is looked at before the fee.
fn check_nonce(request: &TransactionRequest, place: Place, settings: &Settings) -> Result<(), Failure> {
    let (sender, nonce) = (request.from.unwrap_or_default(), request.nonce.unwrap_or(place.nonce));
    if !settings.validate {
        return Ok(());
    }
    let refused = |code, what: &str| {
        let message = format!("{what}: address {sender}, tx: {nonce}, state: {}", place.nonce);
        Err(Failure::Coded { code, message })
    };
    match nonce.cmp(&place.nonce) {
        Ordering::Less => refused(NONCE_LOW_CODE, "nonce too low"),
        Ordering::Greater => refused(NONCE_HIGH_CODE, "nonce too high"),
        Ordering::Equal if nonce == u64::MAX => refused(OTHER_CODE, "nonce has max value"),
        Ordering::Equal => Ok(()),
    }
}

/// Without validation a call that names no fee pays none; one that names a fee must still reach the base fee.
fn check_fee(request: &TransactionRequest, place: Place, settings: &Settings) -> Result<(), Failure> {
    let fee = request.gas_price.or(request.max_fee_per_gas).unwrap_or_default();
    let tip = request.max_priority_fee_per_gas.unwrap_or_default();
    let free = !settings.validate && fee == 0 && tip == 0;
    if free || fee >= u128::from(place.base_fee) {
        return Ok(());
    }
    let (sender, base_fee) = (request.from.unwrap_or_default(), place.base_fee);
    let message =
        format!("max fee per gas less than block base fee: address {sender}, maxFeePerGas: {fee}, baseFee: {base_fee}");
    Err(Failure::Coded { code: FEE_LOW_CODE, message })
}

/// Why the EVM does not take a transaction, as callers of a simulation see it.
pub(super) fn refused<E: std::fmt::Display>(error: EVMError<E>) -> Failure {
    let invalid = match error {
        EVMError::Transaction(invalid) => invalid,
        other => return Failure::Chain(ChainError::Execution(other.to_string())),
    };
    let code = match &invalid {
        InvalidTransaction::NonceTooLow { .. } => NONCE_LOW_CODE,
        InvalidTransaction::NonceTooHigh { .. } => NONCE_HIGH_CODE,
        InvalidTransaction::GasPriceLessThanBasefee => FEE_LOW_CODE,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
        | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => INTRINSIC_GAS_CODE,
        InvalidTransaction::LackOfFundForMaxFee { .. } => FUNDS_CODE,
        InvalidTransaction::CallerGasLimitMoreThanBlock => BLOCK_GAS_CODE,
        InvalidTransaction::RejectCallerWithCode => SENDER_CODE,
        InvalidTransaction::CreateInitCodeSizeLimit => INIT_CODE_CODE,
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => return Failure::Params(invalid.to_string()),
        _ => OTHER_CODE,
    };
    Failure::Coded { code, message: invalid.to_string() }
}
