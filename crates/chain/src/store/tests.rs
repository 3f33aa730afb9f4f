use super::*;
use crate::{
    Chain, ChainConfig, GenesisSpec,
    test_support::{TestChain, genesis, signed, transfer},
};
use alloy_primitives::Address;

/// Of the transfers.
const RECEIVER: Address = Address::repeat_byte(0x99);

fn open(dir: &Path) -> Result<Chain, ChainError> {
    Chain::open(dir, &genesis(), ChainConfig::default())
}

/// A closed chain of a few blocks.
fn closed_chain() -> tempfile::TempDir {
    let TestChain { dir, chain } = {
        let test = TestChain::new();
        for nonce in 0..3 {
            test.advance(&[signed(1, transfer(nonce, RECEIVER, 1))]);
        }
        test
    };
    drop(chain);
    dir
}

#[test]
fn a_directory_in_use_is_refused() {
    let test = TestChain::new();
    let error = open(test.dir.path()).unwrap_err();
    assert!(matches!(&error, ChainError::Locked { dir } if dir == test.dir.path()), "{error}");
    assert!(error.to_string().starts_with("another kumo uses "), "{error}");
}

#[test]
fn another_genesis_and_another_chain_id_are_refused() {
    let dir = closed_chain();
    let later = GenesisSpec { timestamp: genesis().timestamp + 1, ..genesis() };
    let error = Chain::open(dir.path(), &later, ChainConfig::default()).unwrap_err();
    assert!(matches!(error, ChainError::OtherGenesis { stored, expected, .. } if stored != expected), "{error}");
    let renamed = GenesisSpec { chain_id: 1, ..genesis() };
    let error = Chain::open(dir.path(), &renamed, ChainConfig::default()).unwrap_err();
    assert!(matches!(error, ChainError::OtherChainId { stored: 5886, expected: 1, .. }), "{error}");
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_newer_format_is_refused() {
    let dir = closed_chain();
    let database = open_file(dir.path(), &dir.path().join(FILE), 1 << 20).unwrap();
    let transaction = begin(&database).unwrap();
    write_meta(&transaction, META_FORMAT, &(FORMAT + 1).to_be_bytes()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, ChainError::Format { found: 3, supported: 2, .. }), "{error}");

    // A layout of pages that this program cannot even read is newer, not damaged.
    let path = dir.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..16].copy_from_slice(b"kumo pages v12\n\0");
    fs::write(&path, bytes).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, ChainError::Format { found: 12, supported: 2, .. }), "{error}");
}

/// Whatever a crash or a bad disk leaves, opening ends with an error that names the file, or with a working chain.
#[test]
fn a_truncated_file_is_reported_by_name_and_never_panics() {
    let dir = closed_chain();
    let path = dir.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let cuts = [0, 1, 63, 512, 4_096, 8_192, whole.len() / 4, whole.len() / 2, whole.len() - 4_096, whole.len() - 1];
    let mut refused = 0;
    for length in cuts {
        fs::write(&path, &whole[..length]).unwrap();
        match open(dir.path()).and_then(|chain| chain.verify_supply()) {
            Ok(supply) => assert_eq!(supply.total, supply.genesis, "cut to {length}"),
            Err(ChainError::Corrupt { path: named, .. }) => {
                assert_eq!(named, path);
                refused += 1;
            }
            Err(other) => panic!("cut to {length}: {other}"),
        }
    }
    assert!(refused >= 6, "{refused} of {} cuts were noticed", cuts.len());
}

#[test]
fn a_file_that_is_no_database_is_reported_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    for garbage in [b"".to_vec(), b"not a database".to_vec(), vec![0xff; 100_000]] {
        fs::write(&path, &garbage).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(&error, ChainError::Corrupt { path: named, .. } if *named == path), "{error}");
    }
}

#[test]
fn a_database_without_a_chain_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::create(dir.path().join(FILE)).unwrap());
    assert!(matches!(open(dir.path()), Err(ChainError::Corrupt { .. })));
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(format!("{FILE}.new")), b"half").unwrap();
    assert_eq!(open(dir.path()).unwrap().head().number(), 0);
    assert!(!dir.path().join(format!("{FILE}.new")).exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(&file.join("chain")).unwrap_err();
    assert!(matches!(&error, ChainError::Io { path, .. } if *path == file.join("chain")), "{error}");
}

#[test]
fn a_shortened_history_is_pruned_a_few_blocks_at_a_time() {
    let long = TestChain::new();
    for _ in 0..40 {
        long.advance(&[]);
    }
    let TestChain { dir, chain } = long;
    drop(chain);
    let chain =
        Chain::open(dir.path(), &genesis(), ChainConfig { history_blocks: Some(2), ..Default::default() }).unwrap();
    let test = TestChain { dir, chain };
    for expected in [16, 32, 41, 42] {
        test.advance(&[]);
        assert_eq!(test.chain.oldest_state().unwrap(), expected);
    }
}

/// Makes the file of `dir` one of format 1: a bare database without what format 2 added.
fn to_format_1(dir: &Path) {
    let path = dir.join(FILE);
    let from = open_file(dir, &path, 1 << 20).unwrap();
    let bare = dir.join("bare");
    let to = Database::create(&bare).unwrap();
    let (read, write) = (from.begin_read().unwrap(), to.begin_write().unwrap());
    macro_rules! copy {
        ($($table:expr),*) => { $({
            let mut to = write.open_table($table).unwrap();
            for row in read.open_table($table).unwrap().iter().unwrap() {
                let (key, value) = row.unwrap();
                to.insert(key.value(), value.value()).unwrap();
            }
        })* };
    }
    copy!(META, ACCOUNTS, STORAGE, CODES, ACCOUNT_NODES, STORAGE_NODES, HEADERS, BODIES, RECEIPTS, NUMBERS);
    copy!(TRANSACTIONS, ACCOUNT_HISTORY, STORAGE_HISTORY, CHANGED);
    let mut meta = write.open_table(META).unwrap();
    for key in [META_PROOFS_FROM, META_BLOCKS_FROM, META_HISTORY] {
        meta.remove(key).unwrap();
    }
    meta.insert(META_FORMAT, 1u32.to_be_bytes().as_slice()).unwrap();
    drop(meta);
    write.commit().unwrap();
    drop((read, from, to));
    fs::rename(bare, path).unwrap();
}

#[test]
fn a_chain_of_format_1_is_migrated_and_the_old_file_kept() {
    let dir = closed_chain();
    let before = open(dir.path()).unwrap().head();
    to_format_1(dir.path());
    let old = fs::read(dir.path().join(FILE)).unwrap();
    // As an interruption behind the copy would leave it.
    fs::write(dir.path().join(format!("{FILE}.new")), b"half").unwrap();
    fs::hard_link(dir.path().join(FILE), dir.path().join("chain.redb.format-1")).unwrap();
    let chain = open(dir.path()).unwrap();
    assert_eq!(chain.head(), before);
    assert_eq!(fs::read(dir.path().join("chain.redb.format-1")).unwrap().len(), old.len());
    assert!(!dir.path().join(format!("{FILE}.new")).exists());

    assert_eq!(chain.state(1).unwrap().balance(RECEIVER).unwrap(), alloy_primitives::U256::from(1));
    assert!(chain.proof(3, RECEIVER, &[]).is_ok());
    assert!(matches!(chain.proof(2, RECEIVER, &[]), Err(ChainError::ProofTooOld { number: 2, oldest: 3 })));
    let test = TestChain { dir, chain };
    test.advance(&[signed(1, transfer(3, RECEIVER, 1))]);
    assert!(test.chain.proof(3, RECEIVER, &[]).is_ok(), "from the migration on every block can be proven");
    let TestChain { dir, chain } = test;
    drop(chain);
    assert_eq!(crate::verify_directory(dir.path(), 1 << 20).unwrap().head, 4);
}

#[test]
fn a_kept_copy_of_another_chain_is_not_replaced() {
    let dir = closed_chain();
    to_format_1(dir.path());
    fs::write(dir.path().join("chain.redb.format-1"), b"precious").unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, ChainError::Io { path, .. } if path.ends_with("chain.redb.format-1")), "{error}");
    assert_eq!(fs::read(dir.path().join("chain.redb.format-1")).unwrap(), b"precious");
}

fn keeping(dir: &Path, history_blocks: Option<u64>) -> Result<Chain, ChainError> {
    Chain::open(dir, &genesis(), ChainConfig { history_blocks, ..Default::default() })
}

#[test]
fn a_directory_remembers_how_much_history_it_keeps() {
    let TestChain { dir, chain } = TestChain::with(ChainConfig { history_blocks: Some(3), ..Default::default() });
    drop(chain);
    let test = TestChain { chain: keeping(dir.path(), None).unwrap(), dir };
    for _ in 0..5 {
        test.advance(&[]);
    }
    assert_eq!(test.chain.oldest_state().unwrap(), 2);
    let TestChain { dir, chain } = test;
    drop(chain);
    let error = keeping(dir.path(), Some(ChainConfig::ARCHIVE)).unwrap_err();
    assert!(matches!(error, ChainError::NoArchive { oldest: 2, .. }), "{error}");
    assert!(keeping(dir.path(), Some(10)).is_ok());
}

#[test]
fn an_archive_keeps_every_state_and_proof() {
    let test = TestChain::with(ChainConfig { history_blocks: Some(ChainConfig::ARCHIVE), ..Default::default() });
    for nonce in 0..40 {
        test.advance(&[signed(1, transfer(nonce, RECEIVER, 1))]);
    }
    let TestChain { dir, chain } = test;
    drop(chain);
    let chain = keeping(dir.path(), None).unwrap();
    assert_eq!((chain.oldest_state().unwrap(), chain.oldest_proof().unwrap()), (0, 0));
    for number in [0, 1, 20, 39, 40] {
        let proof = chain.proof(number, RECEIVER, &[]).unwrap();
        assert_eq!(proof.balance, alloy_primitives::U256::from(number));
    }
}

#[test]
fn nodes_of_pruned_blocks_are_removed() {
    let test = TestChain::with(ChainConfig { history_blocks: Some(2), ..Default::default() });
    let full = |test: &TestChain| {
        // As if every table were full at once.
        let store = test.chain.store();
        let transaction = begin(store.database()).unwrap();
        let mut epochs = transaction.open_table(nodes::NODE_EPOCHS).unwrap();
        let newest = epochs.last().unwrap().unwrap().0.value();
        epochs.insert(newest, u64::MAX).unwrap();
        drop(epochs);
        transaction.commit().unwrap();
    };
    for _ in 0..10 {
        test.advance(&[]);
        full(&test);
    }
    let tables = test.chain.store().database().begin_read().unwrap().open_table(nodes::NODE_EPOCHS).unwrap();
    let kept: Vec<u64> = tables.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
    assert_eq!(kept, [9, 10]);
    for number in 8..=10 {
        test.chain.proof(number, Address::ZERO, &[]).unwrap();
    }
}
