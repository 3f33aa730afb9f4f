//! Where the published vectors lie, and the chain made from them.

use chain::{BlockStream, Chain, ChainConfig, EthereumGenesis, ImportError, Imported};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Folder of the vectors of one project, or a word on why the test is skipped.
pub fn folder(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata");
    let root = std::env::var_os("KUMO_TESTDATA").map_or_else(|| default.into(), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is absent; name the folder of the vectors in KUMO_TESTDATA", folder.display());
    None
}

/// The genesis of the published chain.
pub fn genesis(folder: &Path) -> EthereumGenesis {
    EthereumGenesis::from_json(&std::fs::read(folder.join("genesis.json")).unwrap()).unwrap()
}

/// RLP of each block of the published chain.
pub fn blocks(folder: &Path) -> Vec<Vec<u8>> {
    let mut stream = BlockStream::new(BufReader::new(File::open(folder.join("chain.rlp")).unwrap()));
    let mut blocks = Vec::new();
    while let Some(block) = stream.next_block().unwrap() {
        blocks.push(block);
    }
    blocks
}

/// An empty chain of this genesis.
pub fn open(folder: &Path, dir: &Path) -> Chain {
    Chain::open_ethereum(dir, &genesis(folder), ChainConfig::default()).unwrap()
}

/// Imports blocks; how many were added.
pub fn import(chain: &Chain, blocks: &[Vec<u8>]) -> Result<usize, ImportError> {
    let mut added = 0;
    for block in blocks {
        added += usize::from(matches!(chain.import(block)?, Imported::Added(_)));
    }
    Ok(added)
}
