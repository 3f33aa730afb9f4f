//! The Merkle-Patricia trie of accounts and of each account's storage, updated in place.
//!
//! Nodes are stored by path, newest version only, so an update reads and writes just the nodes on the changed paths
//! and nothing needs collecting. Keys are hashes of 32 bytes, so no key is a prefix of another and branches never hold
//! values. Updates build a partly loaded tree, many at once in parallel below the root; [`Trie::commit`] hashes each changed node once, large batches in
//! parallel, and names the paths that became empty.
//! Source: Ethereum yellow paper appendix D.

mod hashed;
mod node;
mod proof;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub(crate) use hashed::HashedNodes;
pub(crate) use proof::prove;

use crate::ChainError;
use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};
use node::{Link, Node};
use rayon::prelude::*;

/// Updates from which on the children of the root are hashed in parallel.
const PARALLEL_UPDATES_MIN: usize = 64;

/// Where the nodes of one trie are kept.
pub(crate) trait NodeSource {
    /// RLP of the node at `path`, if one is stored there. Nodes shorter than 32 bytes live inside their parent.
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError>;
}

/// The source of one part of a trie.
struct Part<'a, S>(&'a S);

impl<S: NodeSource> NodeSource for Part<'_, S> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        self.0.node(path)
    }
}

/// A trie being updated.
pub(crate) struct Trie<S> {
    source: S,
    origin: B256,
    root: Link,
    loaded: Vec<Nibbles>,
    updates: usize,
}

/// What an update did to the stored nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrieChanges {
    /// New root.
    pub root: B256,
    /// New RLP per path, or `None` where no node is stored any more.
    pub nodes: Vec<(Nibbles, Option<Vec<u8>>)>,
}

impl<S: NodeSource> Trie<S> {
    /// The trie with this root, whose nodes `source` keeps.
    pub(crate) fn open(source: S, root: B256) -> Self {
        let link = if root == EMPTY_ROOT_HASH { Link::Empty } else { Link::Stored(RlpNode::word_rlp(&root)) };
        Self { source, origin: root, root: link, loaded: Vec::new(), updates: 0 }
    }

    /// Sets the value of a key.
    pub(crate) fn insert(&mut self, key: &B256, value: Vec<u8>) -> Result<(), ChainError> {
        self.updates += 1;
        let root = std::mem::take(&mut self.root);
        self.root = self.insert_at(root, Nibbles::new(), Nibbles::unpack(key), value)?;
        Ok(())
    }

    /// Removes a key; an absent one changes nothing.
    pub(crate) fn remove(&mut self, key: &B256) -> Result<(), ChainError> {
        self.updates += 1;
        let root = std::mem::take(&mut self.root);
        self.root = self.remove_at(root, Nibbles::new(), Nibbles::unpack(key))?;
        Ok(())
    }

    /// Sets keys, or removes those without a value; the parts of the trie below its root in parallel where they are many.
    pub(crate) fn update(&mut self, changes: Vec<(B256, Option<Vec<u8>>)>) -> Result<(), ChainError>
    where
        S: Sync,
    {
        if changes.len() >= PARALLEL_UPDATES_MIN
            && let Some(children) = self.take_children()?
        {
            return self.update_children(children, changes);
        }
        changes.into_iter().try_for_each(|(key, value)| match value {
            Some(value) => self.insert(&key, value),
            None => self.remove(&key),
        })
    }

    /// The children of the root, which is empty until they are back; `None` and unchanged where it is no branch.
    fn take_children(&mut self) -> Result<Option<Box<[Link; 16]>>, ChainError> {
        let node = match std::mem::take(&mut self.root) {
            Link::Empty => return Ok(None),
            Link::Live(node) => *node,
            Link::Stored(link) => self.load(&link, &Nibbles::new())?,
        };
        match node {
            Node::Branch(children) => Ok(Some(children)),
            node => {
                self.root = Link::live(node);
                Ok(None)
            }
        }
    }

    fn update_children(
        &mut self,
        children: Box<[Link; 16]>,
        changes: Vec<(B256, Option<Vec<u8>>)>,
    ) -> Result<(), ChainError>
    where
        S: Sync,
    {
        self.updates += changes.len();
        let mut parts: Vec<_> = children.into_iter().map(|child| (child, Vec::new())).collect();
        for (key, value) in changes {
            let key = Nibbles::unpack(key);
            parts[nibble(&key, 0)].1.push((key.slice(1..), value));
        }
        let update = |(index, (child, changes))| self.update_child(index, child, changes);
        let updated: Vec<_> = parts.into_par_iter().enumerate().map(update).collect::<Result<_, ChainError>>()?;
        let mut children = node::no_children();
        for (index, (child, loaded)) in updated.into_iter().enumerate() {
            children[index] = child;
            self.loaded.extend(loaded);
        }
        self.root = match children.iter().all(|child| matches!(child, Link::Empty)) {
            true => Link::Empty,
            false => self.collapse(children, &Nibbles::new())?,
        };
        Ok(())
    }

    /// One child of the root with its changes, and the paths that were loaded for them.
    fn update_child(
        &self,
        index: usize,
        child: Link,
        changes: Vec<(Nibbles, Option<Vec<u8>>)>,
    ) -> Result<(Link, Vec<Nibbles>), ChainError> {
        let mut part =
            Trie { source: Part(&self.source), origin: self.origin, root: Link::Empty, loaded: Vec::new(), updates: 0 };
        let path = extended(&Nibbles::new(), index);
        let child = changes.into_iter().try_fold(child, |child, (key, value)| match value {
            Some(value) => part.insert_at(child, path, key, value),
            None => part.remove_at(child, path, key),
        })?;
        Ok((child, part.loaded))
    }

    /// Hashes what changed.
    pub(crate) fn commit(self) -> TrieChanges {
        let Self { origin, root, loaded, updates, .. } = self;
        let mut written = Vec::new();
        let root = match root {
            Link::Empty => EMPTY_ROOT_HASH,
            Link::Stored(_) => origin,
            Link::Live(node) => node.seal_root(updates >= PARALLEL_UPDATES_MIN, &mut written),
        };
        written.sort_unstable_by_key(|node| node.0);
        let gone: Vec<_> =
            loaded.into_iter().filter(|path| written.binary_search_by(|w| w.0.cmp(path)).is_err()).collect();
        let nodes = written.into_iter().map(|(path, rlp)| (path, Some(rlp)));
        TrieChanges { root, nodes: nodes.chain(gone.into_iter().map(|path| (path, None))).collect() }
    }

    /// The node behind a link, which is at `path`.
    fn load(&mut self, link: &RlpNode, path: &Nibbles) -> Result<Node, ChainError> {
        if link.as_hash().is_none() {
            return Node::decode(link);
        }
        let rlp = self.source.node(path)?.ok_or_else(|| missing(self.origin, path))?;
        self.loaded.push(*path);
        Node::decode(&rlp)
    }

    fn insert_at(&mut self, link: Link, path: Nibbles, key: Nibbles, value: Vec<u8>) -> Result<Link, ChainError> {
        let node = match link {
            Link::Empty => Node::Leaf { key, value },
            Link::Live(node) => self.insert_below(*node, path, key, value)?,
            Link::Stored(link) => {
                let node = self.load(&link, &path)?;
                self.insert_below(node, path, key, value)?
            }
        };
        Ok(Link::live(node))
    }

    fn insert_below(&mut self, node: Node, path: Nibbles, key: Nibbles, value: Vec<u8>) -> Result<Node, ChainError> {
        match node {
            Node::Leaf { key: own, .. } if own == key => Ok(Node::Leaf { key, value }),
            Node::Leaf { key: own, value: held } => {
                let common = own.common_prefix_length(&key);
                let mut children = node::no_children();
                children[nibble(&own, common)] = Link::live(Node::Leaf { key: own.slice(common + 1..), value: held });
                children[nibble(&key, common)] = Link::live(Node::Leaf { key: key.slice(common + 1..), value });
                Ok(Node::Branch(children).below(key.slice(..common)))
            }
            Node::Extension { key: own, child } => {
                let common = own.common_prefix_length(&key);
                if common == own.len() {
                    let child = self.insert_at(child, path.join(&own), key.slice(common..), value)?;
                    return Ok(Node::Extension { key: own, child });
                }
                let mut children = node::no_children();
                children[nibble(&own, common)] = match own.slice(common + 1..) {
                    rest if rest.is_empty() => child,
                    rest => Link::live(Node::Extension { key: rest, child }),
                };
                children[nibble(&key, common)] = Link::live(Node::Leaf { key: key.slice(common + 1..), value });
                Ok(Node::Branch(children).below(key.slice(..common)))
            }
            Node::Branch(mut children) => {
                let index = nibble(&key, 0);
                let child = std::mem::take(&mut children[index]);
                children[index] = self.insert_at(child, extended(&path, index), key.slice(1..), value)?;
                Ok(Node::Branch(children))
            }
        }
    }

    fn remove_at(&mut self, link: Link, path: Nibbles, key: Nibbles) -> Result<Link, ChainError> {
        let node = match link {
            Link::Empty => return Ok(Link::Empty),
            Link::Live(node) => *node,
            Link::Stored(link) => self.load(&link, &path)?,
        };
        match node {
            Node::Leaf { key: own, .. } if own == key => Ok(Link::Empty),
            Node::Extension { key: own, child } if key.starts_with(&own) => {
                let child = self.remove_at(child, path.join(&own), key.slice(own.len()..))?;
                Ok(match child {
                    Link::Live(node) => Link::live(node.below(own)),
                    child => Link::live(Node::Extension { key: own, child }),
                })
            }
            Node::Branch(mut children) => {
                let index = nibble(&key, 0);
                let child = std::mem::take(&mut children[index]);
                children[index] = self.remove_at(child, extended(&path, index), key.slice(1..))?;
                self.collapse(children, &path)
            }
            node => Ok(Link::live(node)),
        }
    }

    /// A branch with one child left becomes an extension of that child, or merges with it.
    fn collapse(&mut self, mut children: Box<[Link; 16]>, path: &Nibbles) -> Result<Link, ChainError> {
        let mut present = children.iter().enumerate().filter(|(_, child)| !matches!(child, Link::Empty));
        let (Some((index, _)), None) = (present.next(), present.next()) else {
            return Ok(Link::live(Node::Branch(children)));
        };
        let node = match std::mem::take(&mut children[index]) {
            Link::Live(node) => *node,
            Link::Stored(link) => self.load(&link, &extended(path, index))?,
            Link::Empty => unreachable!("the child at {index} was just seen"),
        };
        Ok(Link::live(node.below(Nibbles::from_nibbles([index as u8]))))
    }
}

impl Node {
    /// Hashes a root and everything changed below it.
    fn seal_root(self, parallel: bool, written: &mut Vec<(Nibbles, Vec<u8>)>) -> B256 {
        let node = match self {
            Self::Branch(children) if parallel => {
                let children: Vec<Link> = children.into_iter().collect();
                let sealed: Vec<_> =
                    children.into_par_iter().enumerate().map(|(index, child)| seal_child(child, index)).collect();
                let mut children = node::no_children();
                for (index, (child, nodes)) in sealed.into_iter().enumerate() {
                    children[index] = child;
                    written.extend(nodes);
                }
                Self::Branch(children)
            }
            node => node,
        };
        let rlp = node.seal(&Nibbles::new(), written);
        let hash = alloy_primitives::keccak256(&rlp);
        written.push((Nibbles::new(), rlp));
        hash
    }
}

/// Hashes one child of the root.
fn seal_child(child: Link, index: usize) -> (Link, Vec<(Nibbles, Vec<u8>)>) {
    let mut written = Vec::new();
    let path = Nibbles::from_nibbles([index as u8]);
    (child.seal(&path, &mut written).map_or(Link::Empty, Link::Stored), written)
}

/// The nibble of `key` at `index`, as an index of children.
fn nibble(key: &Nibbles, index: usize) -> usize {
    usize::from(key.get(index).expect("keys have equal length, so none is a prefix of another"))
}

/// `path` and one more nibble.
fn extended(path: &Nibbles, index: usize) -> Nibbles {
    let mut path = *path;
    path.push(index as u8);
    path
}

/// The error for a node that should be stored.
fn missing(root: B256, path: &Nibbles) -> ChainError {
    ChainError::MissingNode { root, path: path.iter().map(|nibble| format!("{nibble:x}")).collect() }
}
