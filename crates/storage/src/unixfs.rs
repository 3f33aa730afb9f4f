//! Files as DAGs of blocks, in the UnixFS format of IPFS.
//!
//! [`Importer`] cuts a stream of bytes into leaves and builds a balanced tree over them, by a [`Profile`] of IPIP-499,
//! so that the same file has the same CID here and in every other IPFS implementation. [`read`] goes the other way for
//! any file that follows the specification, whoever built it, asking only for the blocks of the range wanted.
//! Directories, symbolic links and sharded directories are recognised and refused by name.

mod importer;
mod node;
mod reader;
pub(crate) mod wire;

pub use importer::{Imported, Importer, Profile};
pub use node::{DagLink, DagNode, Kind, NodeError, UnixFs};
pub use reader::{ByteStream, DEPTH_MAX, File, ReadError, read};

#[cfg(test)]
mod tests;
