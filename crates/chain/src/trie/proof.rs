//! Merkle proofs: the nodes from the root towards a key.

use super::{NodeSource, missing, nibble};
use crate::ChainError;
use crate::trie::node::{Link, Node};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// The stored nodes on the way to `key`: they prove its value, or that it has none (EIP-1186).
pub(crate) fn prove(source: &impl NodeSource, root: B256, key: &B256) -> Result<Vec<Bytes>, ChainError> {
    let mut proof = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok(proof);
    }
    let key = Nibbles::unpack(key);
    let (mut depth, mut expected) = (0, root);
    loop {
        let path = key.slice(..depth);
        let rlp = source.node(&path)?.ok_or_else(|| missing(root, &path))?;
        let hash = keccak256(&rlp);
        if hash != expected {
            return Err(ChainError::decode("trie node", format!("it is {hash}, and {expected} to the node above it")));
        }
        let node = Node::decode(&rlp)?;
        proof.push(rlp.into());
        match descend(node, &key, depth)? {
            Some(deeper) => (depth, expected) = deeper,
            None => return Ok(proof),
        }
    }
}

/// Depth and hash of the next stored node on the way to `key`, through nodes that are embedded in this one.
fn descend(mut node: Node, key: &Nibbles, mut depth: usize) -> Result<Option<(usize, B256)>, ChainError> {
    loop {
        let child = match node {
            Node::Leaf { .. } => return Ok(None),
            Node::Extension { key: own, child } => {
                if !key.slice(depth..).starts_with(&own) {
                    return Ok(None);
                }
                depth += own.len();
                child
            }
            Node::Branch(mut children) => {
                let child = std::mem::take(&mut children[nibble(key, depth)]);
                depth += 1;
                child
            }
        };
        match child {
            Link::Stored(link) => match link.as_hash() {
                Some(hash) => return Ok(Some((depth, hash))),
                None => node = Node::decode(&link)?,
            },
            Link::Empty | Link::Live(_) => return Ok(None),
        }
    }
}
