//! The published chain: every fork from Homestead to Osaka with two blob-parameter forks, in 54 blocks.

use crate::fixtures::{blocks, folder, import, open};
use chain::{Chain, ChainConfig};
use serde_json::Value;

#[test]
fn the_published_chain_is_imported_to_its_head_and_goes_on_after_a_stop() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks(&folder);
    let half = blocks.len() / 2;
    let chain = open(&folder, dir.path());
    assert_eq!(import(&chain, &blocks[..half]).unwrap(), half);
    drop(chain);

    // The genesis is needed only once: rules and state lie in the directory.
    let chain = Chain::open_imported(dir.path(), ChainConfig::default()).unwrap().unwrap();
    assert_eq!(import(&chain, &blocks).unwrap(), blocks.len() - half);
    assert_eq!(import(&chain, &blocks).unwrap(), 0);

    let named: Value = serde_json::from_slice(&std::fs::read(folder.join("headfcu.json")).unwrap()).unwrap();
    let head = chain.head();
    assert_eq!(named["params"][0]["headBlockHash"], head.hash.to_string());
    assert_eq!(head.number() as usize, blocks.len());
    let stored = chain.block_by_number(head.number()).unwrap().unwrap();
    assert_eq!(stored, head);
}

#[test]
fn an_imported_chain_keeps_as_much_history_as_it_is_told_and_remembers_it() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    import(&open(&folder, dir.path()), &blocks(&folder)[..10]).unwrap();
    let reopened = |history_blocks| {
        let config = ChainConfig { history_blocks, ..Default::default() };
        Chain::open_imported(dir.path(), config).unwrap().unwrap().history_blocks()
    };
    assert_eq!(reopened(None), Some(10_000));
    assert_eq!(reopened(Some(ChainConfig::ARCHIVE)), None);
    assert_eq!(reopened(None), None);
    assert_eq!(reopened(Some(7)), Some(7));
}
