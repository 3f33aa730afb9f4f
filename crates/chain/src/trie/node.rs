//! Nodes of a trie in memory: loaded as far as an update needs them.

use crate::ChainError;
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};

/// A reference to a node.
#[derive(Debug, Default)]
pub(super) enum Link {
    /// No node.
    #[default]
    Empty,
    /// A node that is not loaded: its hash, or the whole node where it is shorter than 32 bytes.
    Stored(RlpNode),
    /// A node that is loaded and may have changed.
    Live(Box<Node>),
}

/// A loaded node.
#[derive(Debug)]
pub(super) enum Node {
    /// The rest of a key and its value.
    Leaf { key: Nibbles, value: Vec<u8> },
    /// A run of nibbles that all keys below share; the child is a branch.
    Extension { key: Nibbles, child: Link },
    /// One child per nibble, at least two.
    Branch(Box<[Link; 16]>),
}

/// Sixteen empty links.
pub(super) fn no_children() -> Box<[Link; 16]> {
    Box::default()
}

impl Link {
    /// A link to a loaded node.
    pub(super) fn live(node: Node) -> Self {
        Self::Live(Box::new(node))
    }

    /// Hashes what is loaded below; `None` for an empty link.
    pub(super) fn seal(self, path: &Nibbles, written: &mut Vec<(Nibbles, Vec<u8>)>) -> Option<RlpNode> {
        match self {
            Self::Empty => None,
            Self::Stored(link) => Some(link),
            Self::Live(node) => {
                let rlp = node.seal(path, written);
                let link = RlpNode::from_rlp(&rlp);
                if link.as_hash().is_some() {
                    written.push((*path, rlp));
                }
                Some(link)
            }
        }
    }
}

impl Node {
    /// Decodes the RLP of one node.
    pub(super) fn decode(mut rlp: &[u8]) -> Result<Self, ChainError> {
        let node = TrieNode::decode(&mut rlp).map_err(|error| ChainError::decode("trie node", error))?;
        match node {
            TrieNode::Leaf(leaf) => Ok(Self::Leaf { key: leaf.key, value: leaf.value }),
            TrieNode::Extension(extension) => {
                Ok(Self::Extension { key: extension.key, child: Link::Stored(extension.child) })
            }
            TrieNode::Branch(branch) => {
                let mut children = no_children();
                for (index, child) in branch.as_ref().children() {
                    children[usize::from(index)] = child.map_or(Link::Empty, |child| Link::Stored(child.clone()));
                }
                Ok(Self::Branch(children))
            }
            TrieNode::EmptyRoot => Err(ChainError::decode("trie node", "an empty node is never stored")),
        }
    }

    /// This node, reached through `prefix` more nibbles.
    pub(super) fn below(self, prefix: Nibbles) -> Self {
        match self {
            node if prefix.is_empty() => node,
            Self::Leaf { key, value } => Self::Leaf { key: prefix.join(&key), value },
            Self::Extension { key, child } => Self::Extension { key: prefix.join(&key), child },
            branch => Self::Extension { key: prefix, child: Link::live(branch) },
        }
    }

    /// Hashes what is loaded below and returns the RLP of this node.
    pub(super) fn seal(self, path: &Nibbles, written: &mut Vec<(Nibbles, Vec<u8>)>) -> Vec<u8> {
        match self {
            Self::Leaf { key, value } => encoded(&LeafNodeRef::new(&key, &value)),
            Self::Extension { key, child } => {
                let child = child.seal(&path.join(&key), written).expect("an extension has a child");
                encoded(&ExtensionNodeRef::new(&key, &child))
            }
            Self::Branch(children) => {
                let mut stack = Vec::with_capacity(16);
                let mut mask = TrieMask::default();
                let mut path = *path;
                for (index, child) in (0u8..).zip(*children) {
                    path.push(index);
                    if let Some(child) = child.seal(&path, written) {
                        stack.push(child);
                        mask.set_bit(index);
                    }
                    path.pop();
                }
                encoded(&BranchNodeRef::new(&stack, mask))
            }
        }
    }
}

/// RLP in a vector of its exact length.
fn encoded(node: &impl Encodable) -> Vec<u8> {
    let mut rlp = Vec::with_capacity(node.length());
    node.encode(&mut rlp);
    rlp
}
