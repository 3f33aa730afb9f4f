//! RLPTests of ethereum/tests through the codec that all blocks and transactions go through.

use crate::fixtures::folder;
use alloy_primitives::{U256, hex};
use alloy_rlp::{Encodable, Header};
use serde_json::Value;
use std::path::Path;

/// Lists within one another; deeper ones are refused.
const DEPTH_MAX: usize = 1_024;

/// What RLP can say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Bytes(Vec<u8>),
    List(Vec<Item>),
}

impl Item {
    fn from_json(value: &Value) -> Self {
        let number = |number: U256| Self::Bytes(number.to_be_bytes_trimmed_vec());
        match value {
            Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Value::Number(value) => number(U256::from(value.as_u64().unwrap())),
            value => match value.as_str().unwrap().strip_prefix('#') {
                // Larger than 2^256 in one case, so by hand.
                Some(decimal) => Self::Bytes(decimal_bytes(decimal)),
                None => Self::Bytes(value.as_str().unwrap().as_bytes().to_vec()),
            },
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Bytes(bytes) => bytes.as_slice().encode(&mut out),
            Self::List(items) => {
                let payload: Vec<u8> = items.iter().flat_map(Self::encode).collect();
                Header { list: true, payload_length: payload.len() }.encode(&mut out);
                out.extend(payload);
            }
        }
        out
    }

    fn decode_exact(mut rlp: &[u8]) -> alloy_rlp::Result<Self> {
        let item = Self::decode(&mut rlp, 0)?;
        match rlp.is_empty() {
            true => Ok(item),
            false => Err(alloy_rlp::Error::UnexpectedLength),
        }
    }

    fn decode(rlp: &mut &[u8], depth: usize) -> alloy_rlp::Result<Self> {
        if depth == DEPTH_MAX {
            return Err(alloy_rlp::Error::Custom("too deep"));
        }
        let Header { list, payload_length } = Header::decode(rlp)?;
        let mut payload = rlp.split_off(..payload_length).ok_or(alloy_rlp::Error::InputTooShort)?;
        if !list {
            return Ok(Self::Bytes(payload.to_vec()));
        }
        let mut items = Vec::new();
        while !payload.is_empty() {
            items.push(Self::decode(&mut payload, depth + 1)?);
        }
        Ok(Self::List(items))
    }
}

fn decimal_bytes(digits: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let value = u32::from(*byte) * 10 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            bytes.insert(0, carry as u8);
        }
    }
    bytes
}

#[test]
fn published_rlp_vectors_are_encoded_and_decoded_as_they_say() {
    let Some(folder) = folder("ethereum/RLPTests") else { return };
    let mut passed = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => passed += run(&path),
            }
        }
    }
    println!("{passed} passed");
    assert!(passed > 0);
}

fn run(file: &Path) -> usize {
    let cases: serde_json::Map<String, Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for (name, case) in &cases {
        let name = format!("{} {name}", file.display());
        let encoded = hex::decode(case["out"].as_str().unwrap()).unwrap();
        let decoded = Item::decode_exact(&encoded);
        match case["in"].as_str() {
            Some("INVALID") => assert!(decoded.is_err(), "{name}: {decoded:?}"),
            Some("VALID") => assert_eq!(decoded.expect(&name).encode(), encoded, "{name}"),
            _ => {
                let item = Item::from_json(&case["in"]);
                assert_eq!(item.encode(), encoded, "{name}");
                assert_eq!(decoded.expect(&name), item, "{name}");
            }
        }
    }
    cases.len()
}
