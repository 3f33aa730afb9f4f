use super::*;
use alloy_primitives::{Address, U256, keccak256};
use proptest::prelude::*;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, backends::InMemoryBackend};
use std::collections::BTreeMap;

/// Rows as a table would hold them.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn database() -> Database {
    let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    let transaction = database.begin_write().unwrap();
    create_tables(&transaction).unwrap();
    transaction.commit().unwrap();
    database
}

fn address(index: u8) -> Address {
    Address::from_slice(&keccak256([index])[12..])
}

/// Rows of one block: changed accounts, and one transaction each.
fn rows_of(number: u64, accounts: &[u8]) -> Rows {
    let mut rows = Rows::new(number);
    for (index, account) in (0..).zip(accounts) {
        rows.push(Kind::Account, &account_history_key(address(*account), number), &[&[*account], &[number as u8]]);
        let hash = keccak256([number.to_be_bytes().as_slice(), &[*account]].concat());
        rows.push(Kind::Transaction, &hash.0, &[&encode_position(number, index)]);
    }
    rows.finish(0)
}

/// Rows of a table.
fn stored(database: &Database) -> Model {
    let table = database.begin_read().unwrap().open_table(ACCOUNT_HISTORY).unwrap();
    let rows = table.iter().unwrap().map(|row| row.unwrap());
    rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect()
}

fn waiting(database: &Database) -> u64 {
    database.begin_read().unwrap().open_table(BEHIND).unwrap().len().unwrap()
}

fn append(database: &Database, behind: &mut Behind, rows: Rows, may_wait: bool) {
    let transaction = database.begin_write().unwrap();
    *behind = behind.append(&transaction, rows, may_wait).unwrap();
    transaction.commit().unwrap();
}

fn settle(database: &Database) -> Result<(), ChainError> {
    let transaction = database.begin_write().unwrap();
    Behind::settle(&transaction)?;
    transaction.commit().unwrap();
    Ok(())
}

/// The value an account had after `number`, from the table and from what waits behind it.
fn read(database: &Database, behind: &Behind, account: u8, number: u64) -> Option<Vec<u8>> {
    let (from, to) =
        (account_history_key(address(account), number + 1), account_history_key(address(account), u64::MAX));
    let table = database.begin_read().unwrap().open_table(ACCOUNT_HISTORY).unwrap();
    let first = table.range::<&[u8; 28]>(&from..=&to).unwrap().next().map(|row| row.unwrap().1.value().to_vec());
    first.or_else(|| behind.first(Kind::Account, &from, &to).map(<[u8]>::to_vec))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Random blocks, with crashes between them: no row is lost or doubled, and each is read at each height.
    #[test]
    fn rows_are_read_wherever_they_are(
        blocks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12), 0..12u8), 1..60),
    ) {
        let (database, mut behind, mut model) = (database(), Behind::default(), Model::new());
        for (number, (accounts, event)) in (1..).zip(&blocks) {
            append(&database, &mut behind, rows_of(number, accounts), *event != 0);
            if *event == 1 {
                // The process was killed: memory is gone.
                behind = Behind::default();
                settle(&database).unwrap();
                prop_assert_eq!(waiting(&database), 0);
            }
            prop_assert!(behind.blocks.len() < BUCKETS as usize && waiting(&database) == behind.blocks.len() as u64);
            for account in accounts {
                let key = account_history_key(address(*account), number).to_vec();
                model.insert(key, vec![*account, number as u8]);
            }
            for (account, height) in accounts.iter().flat_map(|account| (0..=number).map(move |height| (account, height))) {
                let from = account_history_key(address(*account), height + 1).to_vec();
                let to = account_history_key(address(*account), u64::MAX).to_vec();
                let expected = model.range(from..=to).next().map(|(_, value)| value.clone());
                prop_assert_eq!(read(&database, &behind, *account, height), expected);
            }
        }
        settle(&database).unwrap();
        prop_assert_eq!(stored(&database), model);
    }

    /// Whatever stands in the table of the file is rows or an error.
    #[test]
    fn garbage_is_an_error_and_never_a_panic(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        let database = database();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(BEHIND).unwrap().insert(7, stored.as_slice()).unwrap();
        transaction.commit().unwrap();
        let _ = settle(&database);
    }
}

#[test]
fn every_block_moves_one_bucket_and_nothing_waits_longer_than_all_of_them() {
    let (database, mut behind) = (database(), Behind::default());
    let accounts: Vec<u8> = (0..=255).collect();
    for number in 1..=3 * BUCKETS {
        append(&database, &mut behind, rows_of(number, &accounts), true);
        let moved = stored(&database);
        let waits =
            |block: u64| accounts.iter().any(|it| !moved.contains_key(&account_history_key(address(*it), block)[..]));
        assert!((1..=number.saturating_sub(BUCKETS - 1)).all(|block| !waits(block)), "after block {number}");
        assert!(waits(number), "block {number} has rows in all buckets");
    }
    assert_eq!(behind.blocks.len() as u64, BUCKETS - 1);
    append(&database, &mut behind, rows_of(3 * BUCKETS + 1, &[]), false);
    assert_eq!((behind.blocks.len(), waiting(&database)), (0, 0));
    assert_eq!(stored(&database).len() as u64, 256 * 3 * BUCKETS);
}

#[test]
fn a_transaction_is_found_behind_and_in_the_table() {
    let (database, mut behind) = (database(), Behind::default());
    let hash = |number: u64| keccak256([number.to_be_bytes().as_slice(), &[9]].concat());
    for number in 1..=40u64 {
        append(&database, &mut behind, rows_of(number, &[8, 9]), true);
        for known in 1..=number {
            let key = hash(known).0;
            let table = database.begin_read().unwrap().open_table(TRANSACTIONS).unwrap();
            let place = behind.first(Kind::Transaction, &key, &key).map(|value| decode_position(value).unwrap());
            let place = place.or_else(|| table.get(&key).unwrap().map(|place| place.value()));
            assert_eq!(place, Some((known, 1)));
        }
    }
}

#[test]
fn slots_are_found_in_every_bucket() {
    let mut rows = Rows::new(5);
    let (owner, other) = (address(1), address(2));
    let slots: Vec<U256> = (0..200u8).map(|slot| U256::from_be_bytes(keccak256([slot]).0)).collect();
    for slot in &slots {
        rows.push(Kind::Slot, &slot_history_key(owner, *slot, 5), &[&[1]]);
        rows.push(Kind::Slot, &slot_history_key(other, *slot, 5), &[&[2]]);
    }
    let rows = rows.finish(0);
    let buckets = (0..BUCKETS as u8).filter(|bucket| rows.bucket(*bucket).next().is_some()).count();
    assert_eq!(buckets as u64, BUCKETS, "the slots of one contract are spread");
    let behind = Behind { blocks: [Arc::new(rows)].into() };
    let (from, to) = (slot_history_key(owner, U256::ZERO, 0), slot_history_key(owner, U256::MAX, u64::MAX));
    let mut found: Vec<U256> =
        behind.keys(Kind::Slot, &from, &to).map(|key| U256::from_be_slice(&key[20..52])).collect();
    found.sort();
    let mut expected = slots;
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn too_much_is_moved_at_once() {
    let (database, mut behind) = (database(), Behind::default());
    let value = vec![0; 1 << 20];
    for number in 1..10u64 {
        let mut rows = Rows::new(number);
        for index in 0..10u8 {
            rows.push(Kind::Account, &account_history_key(address(index), number), &[&value]);
        }
        append(&database, &mut behind, rows.finish(0), true);
        let bytes: usize = behind.blocks.iter().map(|rows| rows.bytes.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes wait after block {number}");
    }
    assert_eq!(waiting(&database), behind.blocks.len() as u64);
    settle(&database).unwrap();
    assert_eq!(stored(&database).len(), 90);
}

#[test]
fn rows_that_were_cut_off_are_damaged() {
    let rows = rows_of(3, &[1, 2]);
    let mut refused = 0;
    for length in 0..rows.bytes.len() {
        refused += usize::from(Rows::decode(3, &rows.bytes[..length]).is_err());
    }
    // It may end behind its head and behind each of the first three rows.
    assert_eq!(refused, rows.bytes.len() - 4);
    let again = Rows::decode(3, &rows.bytes).unwrap();
    let keys = |rows: &Rows| rows.index.iter().map(|place| place.row(&rows.bytes).key.to_vec()).collect::<Vec<_>>();
    assert_eq!(keys(&again), keys(&rows));
}
