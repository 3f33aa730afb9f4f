//! The `testing_*` namespace of ethereum/execution-apis: build a block without a consensus client.
//!
//! Served over imported chains only. The block is executed on the head and forgotten; the chain does not change.

use super::failure::Failure;
use super::node::Node;
use crate::ethereum::Ethereum;
use crate::execute::{Execution, Refusal, next_header};
use crate::import::recover;
use crate::transactions::decode_exact;
use crate::{BlockAttributes, BlockRecord, ChainError};
use alloy_consensus::{Header, Transaction, TxEnvelope, proofs, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bloom, Bytes, U64, U256};
use jsonrpsee::core::{RpcResult, async_trait};
use jsonrpsee::proc_macros::rpc;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Length of `extraData`, in bytes.
const EXTRA_BYTES_MAX: usize = 32;
/// Transactions looked at for one block.
const TRANSACTIONS_MAX: usize = 10_000;
/// Withdrawals of one block (EIP-4895 leaves it to the beacon chain, which has 16).
const WITHDRAWALS_MAX: usize = 16;

/// What a test wants of a node.
#[rpc(server, namespace = "testing")]
pub trait Testing {
    /// Builds a block on the head from these transactions, all of which must be valid; without a list, from the pool.
    #[method(name = "buildBlockV1")]
    async fn build_block(
        &self,
        parent: B256,
        attributes: PayloadAttributes,
        transactions: Option<Vec<Bytes>>,
        extra_data: Option<Bytes>,
    ) -> RpcResult<BuiltBlock>;
}

/// What a consensus client says about a block (`PayloadAttributesV3`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadAttributes {
    /// Unix seconds, after the parent's.
    pub timestamp: U64,
    /// Becomes `mixHash`.
    pub prev_randao: B256,
    /// Receives the fees.
    pub suggested_fee_recipient: Address,
    /// At most 16.
    #[serde(default)]
    pub withdrawals: Vec<Withdrawal>,
    /// Root for EIP-4788.
    #[serde(default)]
    pub parent_beacon_block_root: B256,
}

/// A block with what it pays (`ExecutionPayloadEnvelopeV5`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltBlock {
    execution_payload: Payload,
    /// Fees for the fee recipient, in wei.
    block_value: U256,
    blobs_bundle: Blobs,
    execution_requests: Vec<Bytes>,
    should_override_builder: bool,
}

/// `ExecutionPayloadV3`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    parent_hash: B256,
    fee_recipient: Address,
    state_root: B256,
    receipts_root: B256,
    logs_bloom: Bloom,
    prev_randao: B256,
    block_number: U64,
    gas_limit: U64,
    gas_used: U64,
    timestamp: U64,
    extra_data: Bytes,
    base_fee_per_gas: U256,
    block_hash: B256,
    transactions: Vec<Bytes>,
    withdrawals: Withdrawals,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_used: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excess_blob_gas: Option<U64>,
}

/// Blob transactions are not built in, so there is nothing in it.
#[derive(Clone, Debug, Default, Serialize)]
struct Blobs {
    commitments: [Bytes; 0],
    proofs: [Bytes; 0],
    blobs: [Bytes; 0],
}

/// The methods over one node.
pub(super) struct Builder(pub(super) Arc<Node>);

#[async_trait]
impl TestingServer for Builder {
    async fn build_block(
        &self,
        parent: B256,
        attributes: PayloadAttributes,
        transactions: Option<Vec<Bytes>>,
        extra_data: Option<Bytes>,
    ) -> RpcResult<BuiltBlock> {
        let extra_data = extra_data.unwrap_or_default();
        let work = move |node: &Node, _| build(node, parent, attributes, transactions, extra_data);
        Ok(self.0.heavy(work).await?)
    }
}

fn build(
    node: &Node,
    parent: B256,
    attributes: PayloadAttributes,
    transactions: Option<Vec<Bytes>>,
    extra_data: Bytes,
) -> Result<BuiltBlock, Failure> {
    check(&attributes, transactions.as_deref().unwrap_or_default(), &extra_data)?;
    let rules = node.chain.rules();
    let ethereum = rules.ethereum.as_ref().ok_or(Failure::Internal)?;
    let unknown = || Failure::Execution(format!("block {parent} is not the head"));
    let base = node.chain.base(parent).ok_or_else(unknown)?;
    let timestamp = attributes.timestamp.to::<u64>();
    if timestamp <= base.record.header.timestamp {
        return Err(ChainError::Timestamp { timestamp, parent: base.record.header.timestamp + 1 }.into());
    }
    let wanted = BlockAttributes {
        timestamp,
        randomness: attributes.prev_randao,
        parent_beacon_root: attributes.parent_beacon_block_root,
        beneficiary: attributes.suggested_fee_recipient,
        ..Default::default()
    };
    let mut header = Header { extra_data, ..next_header(rules, &base.record, wanted) };
    header.withdrawals_root =
        header.withdrawals_root.map(|_| proofs::calculate_withdrawals_root(&attributes.withdrawals));
    let mut execution =
        Execution::start(rules, &base, header.clone())?.with_body(Vec::new(), Withdrawals::new(attributes.withdrawals));
    match transactions {
        Some(transactions) => run_all(ethereum, &header, &mut execution, &transactions)?,
        None => run_pool(node, &mut execution)?,
    }
    let (record, _, requests) = execution.finish_with_requests()?;
    Ok(envelope(record, requests))
}

fn check(attributes: &PayloadAttributes, transactions: &[Bytes], extra_data: &Bytes) -> Result<(), Failure> {
    let sizes = [
        ("bytes of extraData", extra_data.len(), EXTRA_BYTES_MAX),
        ("transactions", transactions.len(), TRANSACTIONS_MAX),
        ("withdrawals", attributes.withdrawals.len(), WITHDRAWALS_MAX),
    ];
    match sizes.into_iter().find(|(_, count, max)| count > max) {
        Some((what, count, max)) => Err(Failure::Params(format!("{count} {what}, the limit is {max}"))),
        None => Ok(()),
    }
}

/// Runs named transactions: each one must be valid at its place.
fn run_all(
    ethereum: &Ethereum,
    header: &Header,
    execution: &mut Execution,
    transactions: &[Bytes],
) -> Result<(), Failure> {
    for (index, encoded) in transactions.iter().enumerate() {
        let refused = |reason: String| Failure::Execution(format!("transaction {index}: {reason}"));
        let transaction = decode_exact(encoded).map_err(|error| refused(error.to_string()))?;
        if transaction.is_eip4844() {
            return Err(refused("blob transactions are not built into blocks here".into()));
        }
        let recovered = recover(ethereum, header, &[transaction]).map_err(|error| refused(error.to_string()))?;
        for transaction in &recovered {
            match execution.run(transaction) {
                Ok(()) => {}
                Err(Refusal::Failed(error)) => return Err(error.into()),
                Err(Refusal::Invalid(reason)) => return Err(refused(reason.to_string())),
                Err(Refusal::NoRoom { gas_limit, left }) => {
                    return Err(refused(format!("it asks for {gas_limit} gas, the block has {left} left")));
                }
            }
        }
    }
    Ok(())
}

/// Runs what waits in the pool, by sender and nonce; what is not valid now stays there.
fn run_pool(node: &Node, execution: &mut Execution) -> Result<(), Failure> {
    let waiting = node.pool.content(None).into_iter().flat_map(|content| content.pending);
    for pooled in waiting.take(TRANSACTIONS_MAX) {
        let transaction = Recovered::new_unchecked(pooled.decoded(), pooled.sender);
        if let Err(Refusal::Failed(error)) = execution.run(&transaction) {
            return Err(error.into());
        }
    }
    Ok(())
}

fn envelope(record: BlockRecord, requests: Requests) -> BuiltBlock {
    let BlockRecord { header, transactions, gas_used, withdrawals, hash, .. } = record;
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let fee = |(transaction, gas): (&TxEnvelope, &u64)| {
        U256::from(transaction.effective_tip_per_gas(base_fee).unwrap_or_default()) * U256::from(*gas)
    };
    BuiltBlock {
        block_value: transactions.iter().zip(&gas_used).map(fee).sum(),
        blobs_bundle: Blobs::default(),
        execution_requests: requests.take(),
        should_override_builder: false,
        execution_payload: Payload {
            parent_hash: header.parent_hash,
            fee_recipient: header.beneficiary,
            state_root: header.state_root,
            receipts_root: header.receipts_root,
            logs_bloom: header.logs_bloom,
            prev_randao: header.mix_hash,
            block_number: U64::from(header.number),
            gas_limit: U64::from(header.gas_limit),
            gas_used: U64::from(header.gas_used),
            timestamp: U64::from(header.timestamp),
            extra_data: header.extra_data,
            base_fee_per_gas: U256::from(base_fee),
            block_hash: hash,
            transactions: transactions.iter().map(|transaction| transaction.encoded_2718().into()).collect(),
            withdrawals: withdrawals.unwrap_or_default(),
            blob_gas_used: header.blob_gas_used.map(U64::from),
            excess_blob_gas: header.excess_blob_gas.map(U64::from),
        },
    }
}
