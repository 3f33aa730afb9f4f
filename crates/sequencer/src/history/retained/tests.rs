use super::*;
use crate::content::Entry;
use crate::testing::{child, committee, entry, finalization, genesis};
use commonware_codec::Encode as _;
use std::path::PathBuf;
use tempfile::TempDir;

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("history.redb")
}

fn open(directory: &TempDir) -> History {
    History::open(&file(directory)).unwrap()
}

fn put(history: &History, block: &Block, with_certificate: bool) {
    history.put_block(block.height, block.digest(), block.encode());
    if with_certificate {
        history.put_certificate(block.height, finalization(block).encode());
    }
    history.commit().unwrap();
}

/// Genesis and `length` blocks; block 2 has no certificate of its own, block 4 announces a committee.
fn filled(directory: &TempDir, length: u64) -> (History, Vec<Block>) {
    let (history, mut chain) = (open(directory), vec![genesis()]);
    for view in 1..=length {
        let next = child(chain.last().unwrap(), view, vec![entry(view, &["t"])]);
        chain.push(next);
    }
    history.put_announcement(4);
    chain.iter().for_each(|block| put(&history, block, ![0, 2].contains(&block.height)));
    (history, chain)
}

/// Prunes until there is no more to prune.
fn prune(history: &History, below: u64, until_millis: u64) -> u64 {
    let mut heights = 0;
    loop {
        match history.prune(below, until_millis).unwrap().heights {
            0 => return heights,
            more => heights += more,
        }
    }
}

#[test]
fn of_pruned_blocks_header_certificate_and_height_stay_and_announcements_are_whole() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory, 8);
    assert_eq!(history.oldest(), 1);
    assert_eq!(prune(&history, 6, u64::MAX), 5);
    let check = |history: &History| {
        assert_eq!((history.oldest(), history.tip()), (6, Some(8)));
        for block in &chain {
            let height = block.height;
            let kept = [0, 4].contains(&height) || height >= 6;
            assert_eq!(history.block(height).unwrap().is_some(), kept, "block {height}");
            assert_eq!(history.is_pruned(height).unwrap(), !kept);
            let places: Vec<_> = finals::places(&block.payload).filter(|_| height < 6).collect();
            assert_eq!(history.places(height).unwrap(), places, "what stood in block {height}");
            assert_eq!(history.header(height).unwrap(), Some(block.header()));
            assert_eq!(history.height(&block.digest()).unwrap(), Some(height));
        }
        assert_eq!(history.header(9).unwrap(), None);
        assert!(!history.is_pruned(9).unwrap(), "what is not there yet was not pruned");
        // The header alone is proven as the block was, also through one that is pruned itself.
        assert_eq!(history.certificate(2).unwrap().unwrap().descendants, [chain[3].header()]);
        // Only what is whole is served.
        assert!(history.certified(5, 8, 9).unwrap().is_empty());
        assert_eq!(history.certified(4, 8, 9).unwrap().len(), 1);
        let page = history.certified(6, 8, 9).unwrap();
        assert_eq!(page.len(), 3);
        assert_eq!(committee().verify(&page[0]).unwrap(), chain[6]);
    };
    check(&history);
    drop(history);
    check(&open(&directory));
}

#[test]
fn a_block_goes_only_below_the_limit_and_before_the_time() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory, 8);
    let time = |height: usize| chain[height].timestamp_millis;
    assert!(time(2) < time(3), "blocks of this test have times of their own");
    assert_eq!(history.prune(9, time(3)).unwrap(), Step { heights: 2, young_millis: Some(time(3)) });
    assert_eq!(history.prune(9, time(3)).unwrap(), Step { heights: 0, young_millis: Some(time(3)) });
    assert_eq!(history.prune(4, u64::MAX).unwrap(), Step { heights: 1, young_millis: None });
    assert_eq!(history.prune(4, u64::MAX).unwrap(), Step::default());
    assert_eq!(history.oldest(), 4);
}

#[test]
fn a_step_is_bounded_and_the_next_one_goes_on_after_a_crash() {
    let directory = TempDir::new().unwrap();
    let (history, _) = filled(&directory, STEP_BLOCKS_MAX as u64 + 10);
    assert_eq!(history.prune(u64::MAX, u64::MAX).unwrap().heights, STEP_BLOCKS_MAX as u64);
    assert_eq!(history.oldest(), STEP_BLOCKS_MAX as u64 + 1);
    drop(history);
    let history = open(&directory);
    assert_eq!(history.oldest(), STEP_BLOCKS_MAX as u64 + 1);
    assert_eq!(prune(&history, STEP_BLOCKS_MAX as u64 + 6, u64::MAX), 5);
}

#[test]
fn a_block_that_should_be_there_and_is_not_is_damage() {
    let directory = TempDir::new().unwrap();
    let (history, _) = filled(&directory, 3);
    let error = history.prune(9, u64::MAX).unwrap_err();
    assert!(matches!(error, HistoryError::Damaged { height: 4, .. }), "{error}");
    assert_eq!(history.oldest(), 1);
}

#[test]
fn the_file_stays_bounded_while_the_chain_grows() {
    const BYTES: usize = 128 << 10;
    let directory = TempDir::new().unwrap();
    let history = open(&directory);
    let mut newest = genesis();
    put(&history, &newest, false);
    let grow = |newest: &mut Block, kept: u64| {
        let payload = Bytes::from(vec![newest.height as u8; BYTES]);
        *newest = child(newest, newest.height + 1, vec![Entry::new(7, [payload])]);
        put(&history, newest, true);
        prune(&history, newest.height.saturating_sub(kept), u64::MAX);
    };
    (0..24).for_each(|_| grow(&mut newest, 16));
    let size = || std::fs::metadata(file(&directory)).unwrap().len();
    let steady = size();
    assert!(steady >= 16 * BYTES as u64, "sixteen blocks are there");
    (0..72).for_each(|_| grow(&mut newest, 16));
    assert!(size() <= steady + steady / 2, "{} after {steady}", size());
    prune(&history, newest.height, u64::MAX);
    (0..24).for_each(|_| grow(&mut newest, 1));
    // What is free is used again, also after the window got shorter.
    assert!(size() <= steady, "{} after {steady}", size());
}
