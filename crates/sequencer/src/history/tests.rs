use super::*;
use crate::committee::VerifyError;
use crate::testing::{child, committee, entry, finalization, genesis};
use commonware_codec::Encode as _;
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

fn open(directory: &TempDir) -> History {
    History::open(&directory.path().join("history.redb")).unwrap()
}

fn chain(length: u64) -> Vec<Block> {
    let mut chain = vec![genesis()];
    for view in 1..=length {
        let next = child(chain.last().unwrap(), view, vec![entry(view, &["t"])]);
        chain.push(next);
    }
    chain
}

fn put(history: &History, block: &Block, with_certificate: bool) {
    history.put_block(block.height, block.digest(), block.encode());
    if with_certificate {
        history.put_certificate(block.height, finalization(block).encode());
    }
}

/// A history of genesis and three blocks, certificates for heights 1 and 3 only.
fn filled(directory: &TempDir) -> (History, Vec<Block>) {
    let (history, chain) = (open(directory), chain(3));
    chain.iter().for_each(|block| put(&history, block, block.height % 2 == 1));
    (history, chain)
}

#[test]
fn what_is_put_can_be_read_before_and_after_it_is_durable() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory);
    let check = |history: &History| {
        for block in &chain {
            assert_eq!(history.block(block.height).unwrap().as_ref(), Some(block));
            assert_eq!(history.height(&block.digest()).unwrap(), Some(block.height));
        }
        assert_eq!(history.finalization(3).unwrap(), Some(finalization(&chain[3])));
        assert_eq!(history.finalization(2).unwrap(), None);
        assert_eq!((history.block(4).unwrap(), history.height(&[9; 32]).unwrap()), (None, None));
        assert_eq!(history.tip(), Some(3));
    };
    check(&history);
    history.commit().unwrap();
    check(&history);
    drop(history);
    check(&open(&directory));
}

#[test]
fn what_was_not_committed_is_gone_after_a_crash() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory);
    history.commit().unwrap();
    put(&history, &child(&chain[3], 9, vec![]), true);
    assert_eq!(history.tip(), Some(4));
    drop(history);
    let history = open(&directory);
    assert_eq!((history.tip(), history.block(4).unwrap()), (Some(3), None));
}

#[test]
fn a_height_is_written_once() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory);
    let other = child(&chain[2], 8, vec![]);
    put(&history, &other, false);
    history.commit().unwrap();
    put(&history, &other, false);
    history.commit().unwrap();
    assert_eq!(history.block(3).unwrap().unwrap(), chain[3]);
    assert_eq!(history.height(&other.digest()).unwrap(), None);
}

#[test]
fn tip_ends_before_the_first_gap() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = (open(&directory), chain(4));
    assert_eq!(history.tip(), None);
    [0, 1, 3, 4].into_iter().for_each(|height| put(&history, &chain[height], false));
    history.commit().unwrap();
    assert_eq!(history.tip(), Some(1));
    drop(history);
    let history = open(&directory);
    assert_eq!(history.tip(), Some(1));
    put(&history, &chain[2], false);
    history.commit().unwrap();
    drop(history);
    assert_eq!(open(&directory).tip(), Some(4));
}

#[test]
fn a_block_without_its_own_certificate_is_proven_by_a_descendant() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory);
    history.commit().unwrap();
    let page = history.certified(1, 3, 10).unwrap();
    assert_eq!(page.len(), 3);
    for (certified, block) in page.iter().zip(&chain[1..]) {
        assert_eq!(committee().verify(certified).unwrap(), *block);
    }
    let swapped = CertifiedBlock { certificate: page[0].certificate.clone(), ..page[1].clone() };
    assert!(matches!(committee().verify(&swapped), Err(VerifyError::Unrelated { .. })));
}

#[test]
fn a_page_ends_at_its_bounds_and_before_what_is_not_proven() {
    let directory = TempDir::new().unwrap();
    let (history, chain) = filled(&directory);
    put(&history, &child(&chain[3], 9, vec![]), false);
    history.commit().unwrap();
    let heights = |from, to, max| -> Vec<u64> {
        history.certified(from, to, max).unwrap().into_iter().map(|certified| certified.height).collect()
    };
    assert_eq!(heights(0, 4, 10), [1, 2, 3], "height 4 has no certificate yet");
    assert_eq!(heights(2, 2, 10), [2]);
    assert_eq!(heights(1, 3, 2), [1, 2]);
    assert_eq!(heights(5, 9, 2), [0; 0]);
}

#[test]
fn truncated_or_foreign_file_is_an_error_that_names_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("history.redb");
    fs::write(&path, "not a database").unwrap();
    let error = History::open(&path).err().unwrap();
    assert!(error.to_string().contains("history.redb"), "{error}");
}

#[test]
fn a_damaged_record_is_an_error_that_names_the_height() {
    let directory = TempDir::new().unwrap();
    let history = open(&directory);
    history.put_block(0, [0; 32], Bytes::from_static(b"damaged"));
    history.put_certificate(0, Bytes::from_static(b"damaged"));
    assert!(matches!(history.block(0), Err(HistoryError::Damaged { height: 0, .. })));
    assert!(matches!(history.finalization(0), Err(HistoryError::Damaged { height: 0, .. })));
}

#[test]
fn a_history_is_open_once() {
    let directory = TempDir::new().unwrap();
    let _open = open(&directory);
    let second = History::open(&directory.path().join("history.redb"));
    assert!(matches!(second, Err(HistoryError::Open { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn stored_ranges_are_those_in_memory(batches in proptest::collection::vec(proptest::collection::vec(0u64..40, 1..6), 1..6)) {
        let directory = TempDir::new().unwrap();
        let history = open(&directory);
        for batch in batches {
            for height in batch {
                history.put_block(height, [height as u8; 32], Bytes::from_static(b"b"));
            }
            history.commit().unwrap();
        }
        let before: Vec<_> = history.with_blocks(|ranges| ranges.from(0).collect());
        drop(history);
        let after: Vec<_> = open(&directory).with_blocks(|ranges| ranges.from(0).collect());
        prop_assert_eq!(after, before);
    }
}

#[test]
fn a_file_of_another_format_is_refused_with_its_number() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("history.redb");
    drop(History::open(&path).unwrap());
    drop(History::open(&path).unwrap());
    let change = |format: Option<u64>| {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        match format {
            Some(format) => drop(meta.insert("format", format).unwrap()),
            None => drop(meta.remove("format").unwrap()),
        }
        drop(meta);
        transaction.open_table(BLOCKS).unwrap();
        transaction.commit().unwrap();
    };
    for (written, found) in [(Some(FORMAT + 1), FORMAT + 1), (None, 1)] {
        change(written);
        let error = History::open(&path).err().unwrap();
        assert!(matches!(error, HistoryError::Format { found: named, .. } if named == found), "{error}");
    }
}

#[test]
fn the_newest_blocks_are_kept_in_memory_within_limits() {
    let chain = chain(RECENT_BLOCKS_MAX as u64 + 10);
    let mut recent = Recent::default();
    chain.iter().for_each(|block| recent.insert(Arc::new(block.clone())));
    recent.insert(Arc::new(chain[chain.len() - 1].clone()));
    assert_eq!(recent.blocks.len(), RECENT_BLOCKS_MAX);
    assert_eq!(recent.blocks.last_key_value().unwrap().0, &(chain.len() as u64 - 1));
    assert_eq!(recent.bytes, recent.blocks.values().map(|block| block.payload.encoded().len()).sum::<usize>());
}

#[test]
fn large_blocks_in_memory_are_fewer_and_one_is_kept_whatever_it_has() {
    let mut recent = Recent::default();
    let long: &'static str = "t".repeat(1 << 20).leak();
    let mut parent = genesis();
    for view in 1..=8 {
        let block = child(&parent, view, vec![entry(view, &[long; 5])]);
        recent.insert(Arc::new(block.clone()));
        parent = block;
        assert!((1..=3).contains(&recent.blocks.len()), "three of five MiB fit");
        assert_eq!(recent.blocks.last_key_value().unwrap().0, &view);
    }
}
