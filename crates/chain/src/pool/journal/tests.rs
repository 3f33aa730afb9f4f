use super::*;
use alloy_primitives::{Address, U256};

const CHAIN: u64 = 5886;

fn tx(length: usize, byte: u8) -> Arc<PooledTransaction> {
    let raw = Bytes::from(vec![byte; length]);
    Arc::new(PooledTransaction {
        hash: alloy_primitives::keccak256(&raw),
        sender: Address::ZERO,
        raw,
        cost: U256::ZERO,
        nonce: 0,
        gas_limit: 0,
        fee_cap: 0,
        tip_cap: 0,
        authorities: Box::default(),
    })
}

fn open(dir: &Path) -> Journal {
    Journal::open(&dir.join("journal"), CHAIN).unwrap()
}

fn read(journal: &Journal) -> Vec<Record> {
    journal.records().unwrap().collect()
}

#[test]
fn records_are_read_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (first, second) = (tx(1, 1), tx(TRANSACTION_BYTES_MAX, 2));
    journal.append(&[first.clone(), second.clone()], 7).unwrap();
    journal.strike(&first.hash).unwrap();
    journal.sync().unwrap();
    let expected =
        [Record::Added(first.raw.clone(), 7), Record::Added(second.raw.clone(), 7), Record::Struck(first.hash)];
    assert_eq!(read(&journal), expected);
    drop(journal);
    assert_eq!(read(&open(dir.path())), expected);
}

#[test]
fn reading_ends_at_the_first_damaged_record_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    journal.append(&[tx(50, 1), tx(60, 2)], 7).unwrap();
    let whole = fs::read(journal.path()).unwrap();
    let first_end = HEADER_BYTES + RECORD_BYTES + 50;
    for length in HEADER_BYTES..whole.len() {
        fs::write(journal.path(), &whole[..length]).unwrap();
        assert_eq!(read(&journal).len(), usize::from(length >= first_end), "cut to {length} bytes");
    }
    for position in first_end..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x40;
        fs::write(journal.path(), damaged).unwrap();
        assert_eq!(read(&journal).len(), 1, "byte {position} changed");
    }
}

#[test]
fn a_rewrite_keeps_what_waits_and_what_arrives_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (stale, live, late) = (tx(50, 1), tx(50, 2), tx(50, 3));
    journal.append(&[stale, live.clone()], 7).unwrap();
    let during = || {
        journal.append(std::slice::from_ref(&late), 9).unwrap();
        assert!(journal.rewrite(Vec::new).is_err(), "one rewrite at a time");
        vec![(live.clone(), 7)]
    };
    journal.rewrite(during).unwrap();
    let expected = [Record::Added(live.raw.clone(), 7), Record::Added(late.raw.clone(), 9)];
    assert_eq!(read(&journal), expected);
    journal.strike(&live.hash).unwrap();
    assert_eq!(read(&journal).len(), 3);
}

#[test]
fn a_journal_is_stale_when_most_of_it_is_not_waiting_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let big = tx(TRANSACTION_BYTES_MAX, 1);
    let count = SLACK_BYTES as usize / TRANSACTION_BYTES_MAX + 1;
    journal.append(&vec![big; count], 7).unwrap();
    assert!(journal.is_stale(0, 0));
    assert!(!journal.is_stale(count, count * TRANSACTION_BYTES_MAX));
    journal.rewrite(Vec::new).unwrap();
    assert!(!journal.is_stale(0, 0));
}

#[test]
fn nothing_is_appended_where_it_could_not_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    // A file that can only be read takes no record and cannot be cut either.
    journal.state.lock().file = Arc::new(File::open(journal.path()).unwrap());
    assert!(journal.append(&[tx(50, 1)], 7).is_err());
    assert!(journal.is_stale(1, 50), "a rewrite is due");
    assert!(journal.append(&[tx(50, 1)], 7).unwrap_err().to_string().contains("could not be completed"));
    journal.rewrite(Vec::new).unwrap();
    journal.append(&[tx(50, 1)], 7).unwrap();
    assert_eq!(read(&journal).len(), 1);
}
