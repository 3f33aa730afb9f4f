//! Names the parameter that does not fit, and says what was expected.
//!
//! Methods decode their parameters one after the other and tell no more than that one failed. When that happens the
//! parameters are decoded once more here, by a table of names and types, to find which one it was.

use super::api::{Payload, Slot};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U128};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, Filter, Index, TransactionRequest};
use jsonrpsee::MethodResponse;
use jsonrpsee::types::error::INVALID_PARAMS_CODE;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What the library says of every parameter that it cannot decode.
const UNNAMED: &str = "Invalid params";

/// Whether a value fits, or why not.
type Check = fn(&str) -> Result<(), String>;

/// A parameter of a method.
struct Param {
    name: &'static str,
    optional: bool,
    check: Check,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Error<'a>,
}

#[derive(Deserialize)]
struct Error<'a> {
    #[serde(borrow)]
    message: std::borrow::Cow<'a, str>,
    data: Option<String>,
}

/// A better message for an answer that only says that parameters are invalid; `None` for every other answer.
pub(super) fn explain(method: &str, params: Option<&RawValue>, answer: &MethodResponse) -> Option<String> {
    if answer.as_error_code() != Some(INVALID_PARAMS_CODE) {
        return None;
    }
    let error = serde_json::from_str::<Answer<'_>>(answer.as_json().get()).ok()?.error;
    if error.message != UNNAMED {
        return None;
    }
    let reason = error.data.map_or_else(|| "invalid params".to_owned(), |data| format!("invalid params: {data}"));
    Some(named(method, params).unwrap_or(reason))
}

fn named(method: &str, params: Option<&RawValue>) -> Option<String> {
    let wanted = table(method)?;
    // By name, the library's own words are all there is.
    let given: Vec<&RawValue> = params.map_or(Ok(Vec::new()), |params| serde_json::from_str(params.get())).ok()?;
    for (index, param) in wanted.iter().enumerate() {
        match given.get(index) {
            None if param.optional => {}
            None => return Some(format!("missing value for required argument {index} ({})", param.name)),
            Some(value) => {
                if let Err(reason) = (param.check)(value.get()) {
                    return Some(format!("invalid argument {index} ({}): {reason}", param.name));
                }
            }
        }
    }
    None
}

fn check<'a, T: Deserialize<'a>>(value: &'a str) -> Result<(), String> {
    let unplaced = |error: serde_json::Error| {
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or(&text).to_owned()
    };
    serde_json::from_str::<T>(value).map(drop).map_err(unplaced)
}

macro_rules! need {
    ($name:literal, $kind:ty) => {
        Param { name: $name, optional: false, check: |value| check::<$kind>(value) }
    };
}

macro_rules! may {
    ($name:literal, $kind:ty) => {
        Param { name: $name, optional: true, check: |value| check::<Option<$kind>>(value) }
    };
}

/// The parameters of a method, `None` for one that is not listed.
fn table(method: &str) -> Option<&'static [Param]> {
    Some(match method {
        "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" => {
            &[need!("address", Address), may!("block", BlockId)]
        }
        "eth_getStorageAt" => &[need!("address", Address), need!("slot", Slot), may!("block", BlockId)],
        "eth_getStorageValues" => &[need!("slots", BTreeMap<Address, Vec<Slot>>), may!("block", BlockId)],
        "eth_getProof" => &[need!("address", Address), need!("slots", Vec<Slot>), may!("block", BlockId)],
        "eth_call" | "eth_estimateGas" => &[
            need!("transaction", TransactionRequest),
            may!("block", BlockId),
            may!("stateOverrides", StateOverride),
            may!("blockOverrides", BlockOverrides),
        ],
        "eth_createAccessList" => {
            &[need!("transaction", TransactionRequest), may!("block", BlockId), may!("stateOverrides", StateOverride)]
        }
        "eth_fillTransaction" => &[need!("transaction", TransactionRequest)],
        "eth_simulateV1" => &[need!("payload", Payload), may!("block", BlockId)],
        "eth_feeHistory" => {
            &[need!("blockCount", U64), need!("newestBlock", BlockNumberOrTag), may!("rewardPercentiles", Vec<f64>)]
        }
        "eth_getBlockByNumber" => &[need!("block", BlockNumberOrTag), may!("full", bool)],
        "eth_getBlockByHash" => &[need!("hash", B256), may!("full", bool)],
        "eth_getBlockReceipts" => &[need!("block", BlockId)],
        "eth_getHeaderByNumber" | "eth_getBlockTransactionCountByNumber" | "eth_getUncleCountByBlockNumber" => {
            &[need!("block", BlockNumberOrTag)]
        }
        "eth_getHeaderByHash"
        | "eth_getBlockTransactionCountByHash"
        | "eth_getUncleCountByBlockHash"
        | "eth_getTransactionByHash"
        | "eth_getTransactionReceipt"
        | "eth_getRawTransactionByHash" => &[need!("hash", B256)],
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getUncleByBlockNumberAndIndex" => {
            &[need!("block", BlockNumberOrTag), need!("index", Index)]
        }
        "eth_getTransactionByBlockHashAndIndex" | "eth_getUncleByBlockHashAndIndex" => {
            &[need!("hash", B256), need!("index", Index)]
        }
        "eth_sendRawTransaction" => &[need!("transaction", Bytes)],
        "eth_sendRawTransactionSync" => &[need!("transaction", Bytes), may!("timeoutMillis", U64)],
        "eth_getLogs" | "eth_newFilter" => &[need!("filter", Filter)],
        "eth_getFilterChanges" | "eth_getFilterLogs" | "eth_uninstallFilter" => &[need!("id", U128)],
        "web3_sha3" => &[need!("data", Bytes)],
        "txpool_contentFrom" => &[need!("sender", Address)],
        "kumo_getCheckpoint" => &[may!("block", BlockId)],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(method: &str, params: &str) -> Option<String> {
        named(method, Some(serde_json::from_str(params).unwrap()))
    }

    #[test]
    fn the_first_parameter_that_does_not_fit_is_named() {
        let missing = explained("eth_getBalance", "[]").unwrap();
        assert_eq!(missing, "missing value for required argument 0 (address)");
        let wrong =
            explained("eth_getBalance", "[\"0x0000000000000000000000000000000000000001\", \"newest\"]").unwrap();
        assert!(wrong.starts_with("invalid argument 1 (block): "), "{wrong}");
        let kind = explained("eth_call", "[5]").unwrap();
        assert!(kind.starts_with("invalid argument 0 (transaction): invalid type: integer `5`, expected"), "{kind}");
        let slot = explained("eth_getStorageAt", "[\"0x0000000000000000000000000000000000000001\", \"0xasdf\"]");
        assert_eq!(slot.unwrap(), "invalid argument 1 (slot): invalid hex in storage key: \"0xasdf\"");
    }

    #[test]
    fn parameters_by_name_and_unknown_methods_are_left_to_the_library() {
        assert_eq!(explained("eth_getBalance", "{\"address\": 5}"), None);
        assert_eq!(explained("other_method", "[5]"), None);
    }
}
