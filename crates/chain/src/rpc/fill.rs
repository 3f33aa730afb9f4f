//! `eth_fillTransaction`: everything a transaction lacks but its signature.
//!
//! A transaction that names no price gets a tip that was enough lately and twice the next base fee, so that it stays
//! valid while five full blocks raise the base fee. One that names its type stays of it: types 0 and 1 have a single gas
//! price.

use super::execute::{self, Overrides};
use super::failure::Failure;
use super::fees;
use super::node::Node;
use alloy_consensus::{SignableTransaction, TxEnvelope, TxType, TypedTransaction};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Signature, TxKind, U256};
use alloy_rpc_types_eth::{FillTransaction, TransactionRequest};
use std::time::Instant;

/// Base fees that a filled fee cap has room for.
const BASE_FEES: u128 = 2;
/// Type of a transaction without a type (EIP-2718).
const LEGACY: u8 = 0;
/// Type of a transaction with an access list (EIP-2930).
const ACCESS_LIST: u8 = 1;

/// `eth_fillTransaction`: the filled transaction, and its encoding with an empty signature.
pub(super) fn fill(
    node: &Node,
    request: TransactionRequest,
    deadline: Instant,
) -> Result<FillTransaction<TypedTransaction>, Failure> {
    let head = node.chain.head();
    let sender = request.from.unwrap_or_default();
    if let Some(asked) = request.chain_id.filter(|asked| *asked != node.chain.chain_id()) {
        return Err(Failure::Params(format!("chainId is {asked}, expected {}", node.chain.chain_id())));
    }
    let mut request = with_access_list(with_fees(node, request)?);
    if request.nonce.is_none() {
        request.nonce = Some(node.pool.pending_nonce(&sender, node.account(&head, sender)?.nonce));
    }
    if request.gas.is_none() {
        request.gas = Some(execute::estimate_gas(node, &head, request.clone(), Overrides::default(), deadline)?);
    }
    request.chain_id = Some(node.chain.chain_id());
    request.to = request.to.or(Some(TxKind::Create));
    request.value = request.value.or(Some(U256::ZERO));
    let unique = request.input.unique_input().map(|input| input.cloned());
    request.input = unique.map_err(|error| Failure::Params(error.to_string()))?.unwrap_or_default().into();
    let asked = request.transaction_type;
    let tx = request.build_consensus_tx().map_err(|failed| Failure::Params(failed.error))?;
    check_type(asked, tx.tx_type())?;
    let raw = unsigned(tx.clone()).encoded_2718().into();
    Ok(FillTransaction { raw, tx })
}

fn with_fees(node: &Node, request: TransactionRequest) -> Result<TransactionRequest, Failure> {
    if request.gas_price.is_some() {
        if request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some() {
            let message = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
            return Err(Failure::Params(message.into()));
        }
        return Ok(request);
    }
    let has_caps = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if matches!(request.transaction_type, Some(LEGACY | ACCESS_LIST)) && !has_caps {
        return Ok(TransactionRequest { gas_price: Some(fees::gas_price(node)?), ..request });
    }
    let base_fee = u128::from(fees::next_base_fee(&node.chain.head()));
    let suggested = fees::suggested_tip(node)?;
    let tip = match (request.max_priority_fee_per_gas, request.max_fee_per_gas) {
        (Some(tip), _) => tip,
        (None, Some(cap)) => suggested.min(cap),
        (None, None) => suggested,
    };
    let cap = request.max_fee_per_gas.unwrap_or(tip.saturating_add(base_fee.saturating_mul(BASE_FEES)));
    if tip > cap {
        return Err(Failure::Params(format!("maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")));
    }
    Ok(TransactionRequest { max_fee_per_gas: Some(cap), max_priority_fee_per_gas: Some(tip), ..request })
}

/// A list of type 1 may be empty, and an empty list does not make another type of type 0.
fn with_access_list(request: TransactionRequest) -> TransactionRequest {
    let access_list = match request.transaction_type {
        Some(LEGACY) => request.access_list.filter(|list| !list.is_empty()),
        Some(ACCESS_LIST) => Some(request.access_list.unwrap_or_default()),
        _ => request.access_list,
    };
    TransactionRequest { access_list, ..request }
}

/// Refuses fields that make another type of transaction than the one that is named.
fn check_type(asked: Option<u8>, made: TxType) -> Result<(), Failure> {
    match asked {
        Some(asked) if asked != u8::from(made) => {
            Err(Failure::Params(format!("type is {asked}, but the fields are those of type {}", u8::from(made))))
        }
        _ => Ok(()),
    }
}

/// A transaction with the signature of nobody, as other clients encode what is not signed yet.
pub(super) fn unsigned(transaction: TypedTransaction) -> TxEnvelope {
    let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
    match transaction {
        TypedTransaction::Legacy(tx) => tx.into_signed(nobody).into(),
        TypedTransaction::Eip2930(tx) => tx.into_signed(nobody).into(),
        TypedTransaction::Eip1559(tx) => tx.into_signed(nobody).into(),
        TypedTransaction::Eip4844(tx) => tx.into_signed(nobody).into(),
        TypedTransaction::Eip7702(tx) => tx.into_signed(nobody).into(),
    }
}
