//! What the header and the body of a block must say, given its parent; all but the seal and what execution gives.
//!
//! Sources: yellow paper section 4.3.4, EIP-1559, EIP-3675, EIP-4895, EIP-4844, EIP-7918, EIP-4788, EIP-7685, EIP-7934.

use super::{Ethereum, dao, difficulty};
use crate::{
    BlockAttributes, BlockRecord, InvalidBlock, block::transactions_root, ethereum::Body, transactions::BLOCK_BYTES_MAX,
};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, Transaction, proofs};
use alloy_eips::eip1559::{BaseFeeParams, INITIAL_BASE_FEE, calculate_block_gas_limit};
use alloy_primitives::{B64, B256, U256};
use revm::primitives::hardfork::SpecId;
use std::fmt::Debug;

/// Gas limit that blocks made here move towards.
pub(crate) const GAS_LIMIT_DESIRED: u64 = 60_000_000;
/// Least gas limit of a block (yellow paper equation 47).
const GAS_LIMIT_MIN: u64 = 5_000;
/// A gas limit differs from the parent's by less than this part of it.
const GAS_LIMIT_DIVISOR: u64 = 1_024;
/// Largest gas limit of a block (EIP-1985).
const GAS_LIMIT_MAX: u64 = i64::MAX as u64;
/// Length of `extraData`, in bytes.
const EXTRA_BYTES_MAX: usize = 32;
/// Elasticity of EIP-1559: the fork block may use this many times the gas limit of its parent.
const ELASTICITY: u64 = 2;

/// The error for a field that is not what it must be.
pub(crate) fn differs(field: &'static str, expected: impl Debug, got: impl Debug) -> InvalidBlock {
    InvalidBlock::Field { field, expected: format!("{expected:?}"), got: format!("{got:?}") }
}

fn must_be<T: PartialEq + Debug>(field: &'static str, expected: T, got: T) -> Result<(), InvalidBlock> {
    match expected == got {
        true => Ok(()),
        false => Err(differs(field, expected, got)),
    }
}

fn must(
    field: &'static str,
    holds: bool,
    expected: impl FnOnce() -> String,
    got: impl Debug,
) -> Result<(), InvalidBlock> {
    match holds {
        true => Ok(()),
        false => Err(InvalidBlock::Field { field, expected: expected(), got: format!("{got:?}") }),
    }
}

/// Checks the header of a block against its parent's. `total_difficulty` is the sum up to and with the parent; `None`
/// for a parent of proof of stake.
pub(crate) fn check_header(
    ethereum: &Ethereum,
    parent: &Header,
    parent_hash: B256,
    total_difficulty: Option<U256>,
    got: &Header,
) -> Result<(), InvalidBlock> {
    must_be("parent_hash", parent_hash, got.parent_hash)?;
    must_be("number", parent.number + 1, got.number)?;
    must("timestamp", got.timestamp > parent.timestamp, || format!("more than {}", parent.timestamp), got.timestamp)?;
    check_extra_data(ethereum, got)?;
    check_difficulty(ethereum, parent, total_difficulty, got)?;
    check_gas_limit(ethereum, parent, got)?;
    must_be("base_fee_per_gas", next_base_fee(ethereum, parent, got), got.base_fee_per_gas)?;
    must("gas_used", got.gas_used <= got.gas_limit, || format!("at most {}", got.gas_limit), got.gas_used)?;
    check_presence(ethereum, got)?;
    must_be("excess_blob_gas", next_excess_blob_gas(ethereum, parent, got), got.excess_blob_gas)
}

fn check_extra_data(ethereum: &Ethereum, got: &Header) -> Result<(), InvalidBlock> {
    let bytes = got.extra_data.len();
    must(
        "extra_data",
        bytes <= EXTRA_BYTES_MAX,
        || format!("at most {EXTRA_BYTES_MAX} bytes"),
        format!("{bytes} bytes"),
    )?;
    match ethereum.is_marked(got.number) {
        true => must_be("extra_data", dao::EXTRA_DATA, got.extra_data.as_ref()),
        false => Ok(()),
    }
}

/// Proof of work until the terminal total difficulty is reached, proof of stake afterwards.
fn check_difficulty(
    ethereum: &Ethereum,
    parent: &Header,
    total_difficulty: Option<U256>,
    got: &Header,
) -> Result<(), InvalidBlock> {
    if !follows_merge(ethereum, parent, total_difficulty) {
        let expected = difficulty::next(ethereum.difficulty_rules(got.number), parent, got.timestamp);
        return must_be("difficulty", expected, got.difficulty);
    }
    must_be("difficulty", U256::ZERO, got.difficulty)?;
    must_be("nonce", B64::ZERO, got.nonce)?;
    must_be("ommers_hash", EMPTY_OMMER_ROOT_HASH, got.ommers_hash)
}

/// Whether a child of `parent` is a block of proof of stake.
fn follows_merge(ethereum: &Ethereum, parent: &Header, total_difficulty: Option<U256>) -> bool {
    let terminal = ethereum.terminal_total_difficulty();
    ethereum.is_merged(parent)
        || terminal.is_some_and(|terminal| total_difficulty.is_none_or(|total| total >= terminal))
}

fn check_gas_limit(ethereum: &Ethereum, parent: &Header, got: &Header) -> Result<(), InvalidBlock> {
    let parent_limit = match begins_london(ethereum, parent, got) {
        true => parent.gas_limit.saturating_mul(ELASTICITY),
        false => parent.gas_limit,
    };
    let room = parent_limit / GAS_LIMIT_DIVISOR;
    let (low, high) = (
        parent_limit.saturating_sub(room).saturating_add(1).max(GAS_LIMIT_MIN),
        parent_limit.saturating_add(room).saturating_sub(1).min(GAS_LIMIT_MAX),
    );
    must("gas_limit", (low..=high).contains(&got.gas_limit), || format!("{low} to {high}"), got.gas_limit)
}

fn begins_london(ethereum: &Ethereum, parent: &Header, header: &Header) -> bool {
    ethereum.is_active(SpecId::LONDON, header) && !ethereum.is_active(SpecId::LONDON, parent)
}

fn next_base_fee(ethereum: &Ethereum, parent: &Header, header: &Header) -> Option<u64> {
    if !ethereum.is_active(SpecId::LONDON, header) {
        return None;
    }
    match begins_london(ethereum, parent, header) {
        true => Some(INITIAL_BASE_FEE),
        false => parent.next_block_base_fee(BaseFeeParams::ethereum()).or(Some(INITIAL_BASE_FEE)),
    }
}

fn next_excess_blob_gas(ethereum: &Ethereum, parent: &Header, header: &Header) -> Option<u64> {
    if !ethereum.is_active(SpecId::CANCUN, header) {
        return None;
    }
    // The parameters are those of the child; a parent from before the blob market used nothing.
    let params = ethereum.blob_params(header.timestamp)?;
    Some(parent.next_block_excess_blob_gas(params).unwrap_or_default())
}

/// Fields that a fork brought are there from it on, and not before.
fn check_presence(ethereum: &Ethereum, got: &Header) -> Result<(), InvalidBlock> {
    let spec = ethereum.spec(got);
    let fields = [
        ("withdrawals_root", got.withdrawals_root.is_some(), SpecId::SHANGHAI),
        ("blob_gas_used", got.blob_gas_used.is_some(), SpecId::CANCUN),
        ("parent_beacon_block_root", got.parent_beacon_block_root.is_some(), SpecId::CANCUN),
        ("requests_hash", got.requests_hash.is_some(), SpecId::PRAGUE),
    ];
    for (field, present, since) in fields {
        let (wanted, name) = (spec.is_enabled_in(since), |there| if there { "a value" } else { "no such field" });
        must(field, present == wanted, || name(wanted).to_owned(), format_args!("{}", name(present)))?;
    }
    let later =
        [("block_access_list_hash", got.block_access_list_hash.is_some()), ("slot_number", got.slot_number.is_some())];
    later.into_iter().try_for_each(|(field, present)| must(field, !present, || "no such field".into(), "a value"))
}

/// Checks the body of a block against its header. `bytes` is the length of the RLP of the block.
pub(crate) fn check_body(ethereum: &Ethereum, header: &Header, body: &Body, bytes: usize) -> Result<(), InvalidBlock> {
    if ethereum.is_active(SpecId::OSAKA, header) && bytes > BLOCK_BYTES_MAX {
        return Err(InvalidBlock::Size { bytes, max: BLOCK_BYTES_MAX });
    }
    must_be("ommers_hash", proofs::calculate_ommers_root(&body.ommers), header.ommers_hash)?;
    must_be("transactions_root", transactions_root(&body.transactions), header.transactions_root)?;
    let withdrawals = body.withdrawals.as_ref().map(|list| proofs::calculate_withdrawals_root(list));
    must_be("withdrawals_root", withdrawals, header.withdrawals_root)?;
    let Some(stated) = header.blob_gas_used else { return Ok(()) };
    let used: u64 = body.transactions.iter().filter_map(|transaction| transaction.blob_gas_used()).sum();
    must_be("blob_gas_used", used, stated)?;
    let max = ethereum.blob_params(header.timestamp).map_or(0, |params| params.max_blob_gas_per_block());
    must("blob_gas_used", used <= max, || format!("at most {max}"), used)
}

/// Header of a child before execution: roots, bloom and gas used are still empty.
pub(crate) fn child(ethereum: &Ethereum, parent: &BlockRecord, attributes: BlockAttributes) -> Header {
    let (record, parent) = (parent, &parent.header);
    let mut header = Header {
        parent_hash: record.hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: attributes.beneficiary,
        number: parent.number + 1,
        timestamp: attributes.timestamp,
        mix_hash: attributes.randomness,
        ..Default::default()
    };
    if !follows_merge(ethereum, parent, record.total_difficulty) {
        header.difficulty = difficulty::next(ethereum.difficulty_rules(header.number), parent, header.timestamp);
    }
    let parent_limit = match begins_london(ethereum, parent, &header) {
        true => parent.gas_limit.saturating_mul(ELASTICITY),
        false => parent.gas_limit,
    };
    header.gas_limit = calculate_block_gas_limit(parent_limit, GAS_LIMIT_DESIRED);
    header.base_fee_per_gas = next_base_fee(ethereum, parent, &header);
    header.excess_blob_gas = next_excess_blob_gas(ethereum, parent, &header);
    header.blob_gas_used = header.excess_blob_gas.map(|_| 0);
    header.parent_beacon_block_root = header.excess_blob_gas.map(|_| attributes.parent_beacon_root);
    header.withdrawals_root =
        ethereum.is_active(SpecId::SHANGHAI, &header).then_some(alloy_consensus::constants::EMPTY_WITHDRAWALS);
    header.requests_hash =
        ethereum.is_active(SpecId::PRAGUE, &header).then_some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH);
    header
}
