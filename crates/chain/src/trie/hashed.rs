//! A trie whose nodes are known by hash, as a witness carries them.

use super::{missing, nibble};
use crate::ChainError;
use crate::trie::node::{Link, Node};
use alloy_primitives::{B256, Bytes, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// Nodes of any number of tries, by hash.
#[derive(Clone, Debug, Default)]
pub(crate) struct HashedNodes(pub B256Map<Bytes>);

/// What lies behind a node on the way along a path.
enum Step {
    /// A node with its own hash, this deep.
    Hashed(B256, usize),
    /// The value, where the path is a whole key.
    Value(Vec<u8>),
    /// Nothing.
    Absent,
}

impl HashedNodes {
    /// RLP of the node at `path` below `root`; `None` if the trie has no node of its own there.
    pub(crate) fn node(&self, root: B256, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        let mut at = Step::Hashed(root, 0);
        while let Step::Hashed(hash, depth) = at {
            if hash == EMPTY_ROOT_HASH {
                return Ok(None);
            }
            let rlp = self.load(root, hash, &path.slice(..depth))?;
            if depth == path.len() {
                return Ok(Some(rlp.to_vec()));
            }
            at = step(rlp, path, depth)?;
        }
        Ok(None)
    }

    /// The value of `key` below `root`, if it has one.
    pub(crate) fn value(&self, root: B256, key: &B256) -> Result<Option<Vec<u8>>, ChainError> {
        let key = Nibbles::unpack(key);
        let mut at = Step::Hashed(root, 0);
        while let Step::Hashed(hash, depth) = at {
            if hash == EMPTY_ROOT_HASH {
                return Ok(None);
            }
            at = step(self.load(root, hash, &key.slice(..depth))?, &key, depth)?;
        }
        match at {
            Step::Value(value) => Ok(Some(value)),
            Step::Absent | Step::Hashed(..) => Ok(None),
        }
    }

    fn load(&self, root: B256, hash: B256, path: &Nibbles) -> Result<&Bytes, ChainError> {
        self.0.get(&hash).ok_or_else(|| missing(root, path))
    }
}

/// Follows `path` through a node and the ones embedded in it.
fn step(rlp: &[u8], path: &Nibbles, mut depth: usize) -> Result<Step, ChainError> {
    let mut node = Node::decode(rlp)?;
    loop {
        let child = match node {
            Node::Leaf { key, value } => {
                return Ok(if path.slice(depth..) == key { Step::Value(value) } else { Step::Absent });
            }
            Node::Extension { key, child } => {
                if !path.slice(depth..).starts_with(&key) {
                    return Ok(Step::Absent);
                }
                depth += key.len();
                child
            }
            Node::Branch(mut children) => {
                if depth == path.len() {
                    return Ok(Step::Absent);
                }
                let child = std::mem::take(&mut children[nibble(path, depth)]);
                depth += 1;
                child
            }
        };
        match child {
            Link::Stored(link) => match link.as_hash() {
                Some(hash) => return Ok(Step::Hashed(hash, depth)),
                None => node = Node::decode(&link)?,
            },
            Link::Empty | Link::Live(_) => return Ok(Step::Absent),
        }
    }
}
