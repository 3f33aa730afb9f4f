use super::journal::{HEADER_BYTES, RECORD_BYTES};
use super::*;
use crate::testing::{files, vectors};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;

const GENESIS: [u8; 32] = [7; 32];
const KEY: [u8; 96] = [1; 96];

fn attestation(source: u64, target: u64, root: u8) -> Attestation {
    Attestation { source, target, root: Some([root; 32]) }
}

fn block(slot: u64, root: u8) -> Block {
    Block { slot, root: Some([root; 32]) }
}

fn path(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("slashing-protection")
}

/// Creates the file where there is none.
fn start(path: &Path, genesis: [u8; 32]) -> Guard {
    if path.exists() { Guard::open(path, genesis).unwrap() } else { Guard::create(path, genesis).unwrap() }
}

fn open(directory: &tempfile::TempDir) -> Guard {
    start(&path(directory), GENESIS)
}

fn attest(guard: &Guard, source: u64, target: u64, root: u8) -> Result<(), Refused> {
    guard.sign_attestation(&KEY, attestation(source, target, root), || ())
}

fn violation(result: Result<(), Refused>) -> Violation {
    match result {
        Err(Refused::Slashable { violation, .. }) => violation,
        other => panic!("expected a violation, got {other:?}"),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str()
}

fn hex_bytes(text: &str) -> Vec<u8> {
    hex::decode(text.strip_prefix("0x").unwrap()).unwrap()
}

fn optional_root(value: &Value) -> Option<[u8; 32]> {
    text(value, "signing_root").map(|root| hex_bytes(root).try_into().unwrap())
}

fn epoch(value: &Value, field: &str) -> u64 {
    text(value, field).unwrap().parse().unwrap()
}

/// What the complete strategy must answer.
fn expected(value: &Value) -> bool {
    value["should_succeed_complete"].as_bool().or(value["should_succeed"].as_bool()).unwrap()
}

/// Runs one file of the suite; what did not come out as expected.
fn run_vector(test: &Value) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let genesis = hex_bytes(text(test, "genesis_validators_root").unwrap()).try_into().unwrap();
    let mut wrong = Vec::new();
    for (number, step) in test["steps"].as_array().unwrap().iter().enumerate() {
        // Every step begins with what is on the disk.
        let guard = start(&path(&directory), genesis);
        let imported = guard.import(step["interchange"].to_string().as_bytes());
        if imported.is_ok() != step["should_succeed"].as_bool().unwrap() {
            wrong.push(format!("step {number}: import {imported:?}"));
        }
        for value in step["blocks"].as_array().unwrap() {
            let asked = Block { slot: epoch(value, "slot"), root: optional_root(value) };
            let signed = guard.sign_block(&hex_bytes(text(value, "pubkey").unwrap()), asked, || ());
            if signed.is_ok() != expected(value) {
                wrong.push(format!("step {number}: {value}: {signed:?}"));
            }
        }
        for value in step["attestations"].as_array().unwrap() {
            let (source, target) = (epoch(value, "source_epoch"), epoch(value, "target_epoch"));
            let asked = Attestation { source, target, root: optional_root(value) };
            let signed = guard.sign_attestation(&hex_bytes(text(value, "pubkey").unwrap()), asked, || ());
            if signed.is_ok() != expected(value) {
                wrong.push(format!("step {number}: {value}: {signed:?}"));
            }
        }
    }
    wrong
}

/// `KUMO_TESTDATA/eip3076`: the suite of EIP-3076, with the answers of the complete strategy.
#[test]
fn published_interchange_tests_pass() {
    let Some(folder) = vectors("eip3076") else { return };
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), Vec::new());
    for file in files(&folder) {
        let test: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        if !test["steps"].is_array() {
            skipped.push(format!("{}: no steps, so not a test", file.display()));
            continue;
        }
        match run_vector(&test) {
            wrong if wrong.is_empty() => passed += 1,
            wrong => failed.push(format!("{}: {}", file.display(), wrong.join("; "))),
        }
    }
    println!("eip3076: {passed} passed, {} failed, {} skipped {skipped:?}", failed.len(), skipped.len());
    assert!(failed.is_empty() && passed > 0, "{}", failed.join("\n"));
}

#[test]
fn refusal_names_the_record_that_conflicts() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    attest(&guard, 10, 20, 1).unwrap();
    let record = attestation(10, 20, 1);
    let asked = |source, target, root| attestation(source, target, root);
    let cases = [
        ((10, 20, 2), Violation::Double { asked: asked(10, 20, 2), record }),
        ((11, 20, 1), Violation::Double { asked: asked(11, 20, 1), record }),
        ((9, 21, 1), Violation::Surrounds { asked: asked(9, 21, 1), record }),
        ((11, 19, 1), Violation::Surrounded { asked: asked(11, 19, 1), record }),
        ((9, 19, 1), Violation::SourceBound { asked: asked(9, 19, 1), record }),
        ((10, 19, 1), Violation::TargetBound { asked: asked(10, 19, 1), record }),
        ((22, 21, 1), Violation::Backward { source_epoch: 22, target_epoch: 21 }),
    ];
    for ((source, target, root), expected) in cases {
        assert_eq!(violation(attest(&guard, source, target, root)), expected);
    }
    let error = attest(&guard, 9, 21, 1).unwrap_err().to_string();
    assert!(error.contains("9→21") && error.contains("10→20") && error.contains("0x0101"), "{error}");
    attest(&guard, 10, 20, 1).unwrap();
    attest(&guard, 10, 21, 1).unwrap();
}

#[test]
fn blocks_are_signed_once_for_each_slot_and_in_any_order_above_the_lowest() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    let sign = |slot, root| guard.sign_block(&KEY, block(slot, root), || ());
    sign(10, 1).unwrap();
    sign(14, 1).unwrap();
    sign(12, 1).unwrap();
    sign(12, 1).unwrap();
    let (asked, record) = (block(12, 2), block(12, 1));
    assert_eq!(violation(sign(12, 2)), Violation::DoubleBlock { asked, record });
    let (asked, record) = (block(9, 1), block(10, 1));
    assert_eq!(violation(sign(9, 1)), Violation::SlotBound { asked, record });
}

#[test]
fn nothing_is_signed_without_a_root_twice_nor_for_a_key_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    let asked = Attestation { source: 1, target: 2, root: None };
    guard.sign_attestation(&[2; 48], asked, || ()).unwrap();
    assert_eq!(violation(guard.sign_attestation(&[2; 48], asked, || ())), Violation::Double { asked, record: asked });
    assert!(matches!(guard.sign_block(&[], block(1, 1), || ()), Err(Refused::Key(0))));
    assert!(matches!(guard.sign_block(&[1; 97], block(1, 1), || ()), Err(Refused::Key(97))));
}

#[test]
fn keys_do_not_disturb_each_other_and_are_limited() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    let data: Vec<Value> = (0..KEYS_MAX)
        .map(|number| json!({"pubkey": format!("0x{number:064x}"), "signed_blocks": [{"slot": "1"}], "signed_attestations": []}))
        .collect();
    let file = |data: Vec<Value>| {
        let root = format!("0x{}", hex::encode(GENESIS));
        json!({"metadata": {"interchange_format_version": "5", "genesis_validators_root": root}, "data": data})
            .to_string()
    };
    let imported = guard.import(file(data).as_bytes()).unwrap();
    assert_eq!(imported, Imported { keys: KEYS_MAX, attestations: 0, blocks: KEYS_MAX });
    assert!(matches!(guard.sign_block(&KEY, block(2, 1), || ()), Err(Refused::Keys)));
    assert!(guard.sign_block(&[0; 32], block(2, 1), || ()).is_ok());
    let more = vec![json!({"pubkey": "0x01", "signed_blocks": [], "signed_attestations": []})];
    assert!(matches!(guard.import(file(more).as_bytes()), Err(ImportError::Keys(1025))));
}

#[test]
fn signing_happens_only_after_the_record_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    let length = || fs::metadata(path(&directory)).unwrap().len();
    let before = length();
    let during = guard.sign_attestation(&KEY, attestation(1, 2, 1), length).unwrap();
    assert_eq!((during - before) as usize, RECORD_BYTES);
    let refused = guard.sign_attestation(&KEY, attestation(1, 2, 2), || panic!("signed"));
    assert!(refused.is_err());
    assert_eq!(length(), during);
}

#[test]
fn export_then_import_is_the_same_and_importing_again_changes_nothing() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let guard = open(&first);
    for epoch in 1..9 {
        attest(&guard, epoch, epoch + 1, 1).unwrap();
        guard.sign_block(&KEY, block(epoch, 2), || ()).unwrap();
    }
    let exported = guard.export();
    let copy = open(&second);
    let imported = copy.import(exported.as_bytes()).unwrap();
    assert_eq!(imported, Imported { keys: 1, attestations: 8, blocks: 8 });
    assert_eq!(copy.export(), exported);
    assert_eq!(copy.import(exported.as_bytes()).unwrap(), Imported { keys: 1, attestations: 0, blocks: 0 });
    drop(copy);
    let again = open(&second);
    assert_eq!(again.export(), exported);
    assert_eq!(
        violation(attest(&again, 8, 9, 2)),
        Violation::Double { asked: attestation(8, 9, 2), record: attestation(8, 9, 1) }
    );
}

#[test]
fn files_that_are_not_for_us_are_refused_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    attest(&guard, 1, 2, 1).unwrap();
    let before = guard.export();
    let change = |from: &str, to: &str| guard.import(before.replace(from, to).as_bytes());
    assert!(matches!(change("\"5\"", "\"4\""), Err(ImportError::Version(version)) if version == "4"));
    assert!(matches!(change(&"07".repeat(32), &"08".repeat(32)), Err(ImportError::Genesis { .. })));
    for (from, to, name) in [
        ("\"target_epoch\": \"2\"", "\"target_epoch\": \"-2\"", "target_epoch"),
        ("\"target_epoch\": \"2\"", "\"target_epoch\": \"18446744073709551616\"", "target_epoch"),
        ("\"source_epoch\": \"1\"", "\"source_epoch\": \"+1\"", "source_epoch"),
        (&"01".repeat(32)[..], "01", "signing_root"),
        (&format!("0x{}", "01".repeat(96)), "0x", "pubkey"),
        (&format!("0x{}", "01".repeat(96)), "0x0", "pubkey"),
    ] {
        let error = change(from, to).unwrap_err();
        assert!(matches!(error, ImportError::Field { field, .. } if field == name), "{to}: {error}");
    }
    assert!(matches!(change("\"2\"", "2"), Err(ImportError::Json(_))));
    assert!(matches!(guard.import(b"{}"), Err(ImportError::Json(_))));
    assert!(matches!(guard.import(&vec![b' '; 64 * 1024 * 1024 + 1]), Err(ImportError::Size(_))));
    assert_eq!(guard.export(), before);
}

#[test]
fn pruning_only_ever_forbids_more() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    for epoch in 1..40 {
        attest(&guard, epoch, epoch + 1, 1).unwrap();
        guard.sign_block(&KEY, block(epoch, 1), || ()).unwrap();
    }
    guard.prune(Prune { target: 30, slot: 30 }).unwrap();
    let pruned = guard.export();
    let value: Value = serde_json::from_str(&pruned).unwrap();
    let kept = &value["data"][0]["signed_attestations"];
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]), (12, &json!({"source_epoch": "28", "target_epoch": "29"})));
    assert_eq!(value["data"][0]["signed_blocks"][0], json!({"slot": "29"}));
    drop(guard);
    let guard = open(&directory);
    assert_eq!(guard.export(), pruned);
    for source in 0..40 {
        for target in 0..40 {
            assert!(attest(&guard, source, target, 2).is_err(), "{source} → {target}");
        }
    }
    attest(&guard, 39, 40, 1).unwrap();
    attest(&guard, 39, 41, 2).unwrap();
    assert!(guard.sign_block(&KEY, block(29, 1), || ()).is_err());
}

#[test]
fn memory_and_file_stay_bounded_over_a_long_life() {
    let mut history = History::default();
    for epoch in 0..(2 * RECORDS_PER_KEY_MAX as u64) {
        history.insert(Record::Attestation(attestation(epoch, epoch + 1, 1)));
        history.insert(Record::Block(block(epoch, 1)));
        assert!(history.len() <= 2 * RECORDS_PER_KEY_MAX + 2);
    }
    let newest = 2 * RECORDS_PER_KEY_MAX as u64;
    assert!(history.check_attestation(&attestation(0, 1, 2)).is_err());
    assert!(history.check_attestation(&attestation(newest, newest + 1, 1)).is_ok());
    let mut again = History::default();
    history.records().for_each(|record| {
        again.insert(record);
    });
    assert_eq!(again, history);
}

#[test]
fn file_cut_at_any_byte_keeps_every_whole_record_or_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    for epoch in 1..5 {
        attest(&guard, epoch, epoch + 1, 1).unwrap();
    }
    drop(guard);
    let whole = fs::read(path(&directory)).unwrap();
    assert_eq!(whole.len(), HEADER_BYTES + 4 * RECORD_BYTES);
    for length in 0..=whole.len() {
        fs::write(path(&directory), &whole[..length]).unwrap();
        let opened = Guard::open(&path(&directory), GENESIS);
        let Some(bytes) = length.checked_sub(HEADER_BYTES) else {
            assert!(matches!(opened, Err(JournalError::Damaged { offset: 0, .. })), "cut at {length}");
            continue;
        };
        let guard = opened.unwrap();
        let records = bytes / RECORD_BYTES;
        let known = guard.inner.lock().histories.get(&KEY[..]).map_or(0, History::len);
        assert_eq!(known, records, "cut at {length}");
        for epoch in 1..=records as u64 {
            assert!(attest(&guard, epoch, epoch + 1, 2).is_err());
        }
        // It goes on, and what follows is read again.
        attest(&guard, 8, 9, 1).unwrap();
        drop(guard);
        assert!(attest(&open(&directory), 8, 9, 2).is_err(), "cut at {length}");
    }
}

#[test]
fn file_whose_last_record_is_zeros_from_any_byte_on_loses_that_record_only() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    attest(&guard, 1, 2, 1).unwrap();
    attest(&guard, 2, 3, 1).unwrap();
    drop(guard);
    let whole = fs::read(path(&directory)).unwrap();
    for kept in 0..=RECORD_BYTES - 8 {
        let mut bytes = whole.clone();
        bytes[HEADER_BYTES + RECORD_BYTES + kept..].fill(0);
        fs::write(path(&directory), &bytes).unwrap();
        let guard = open(&directory);
        assert!(attest(&guard, 1, 2, 2).is_err());
        assert_eq!(guard.inner.lock().histories[&KEY[..]].len(), 1);
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    for epoch in 1..4 {
        attest(&guard, epoch, epoch + 1, 1).unwrap();
    }
    drop(guard);
    let whole = fs::read(path(&directory)).unwrap();
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x40;
        fs::write(path(&directory), &bytes).unwrap();
        let error = Guard::open(&path(&directory), GENESIS).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "byte {position}: {error}");
    }
    // A record taken out of the middle, or moved.
    let record = |number: usize| &whole[HEADER_BYTES + number * RECORD_BYTES..][..RECORD_BYTES];
    for order in [&[0, 2][..], &[1, 0, 2], &[0, 0, 1]] {
        let records: Vec<u8> = order.iter().flat_map(|number| record(*number)).copied().collect();
        fs::write(path(&directory), [&whole[..HEADER_BYTES], &records].concat()).unwrap();
        assert!(matches!(Guard::open(&path(&directory), GENESIS), Err(JournalError::Damaged { .. })));
    }
}

#[test]
fn lost_file_is_no_empty_one_and_an_existing_one_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Guard::open(&path(&directory), GENESIS).unwrap_err();
    assert!(matches!(missing, JournalError::Missing { .. }));
    let guard = Guard::create(&path(&directory), GENESIS).unwrap();
    attest(&guard, 1, 2, 1).unwrap();
    drop(guard);
    assert!(matches!(Guard::create(&path(&directory), GENESIS), Err(JournalError::Exists { .. })));
    assert!(attest(&open(&directory), 1, 2, 2).is_err());
    fs::remove_file(path(&directory)).unwrap();
    assert!(matches!(Guard::open(&path(&directory), GENESIS), Err(JournalError::Missing { .. })));
}

#[test]
fn second_process_and_other_network_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    assert!(matches!(Guard::open(&path(&directory), GENESIS), Err(JournalError::Locked { .. })));
    drop(guard);
    let error = Guard::open(&path(&directory), [8; 32]).unwrap_err();
    assert!(error.to_string().contains(&"07".repeat(32)), "{error}");
}

#[test]
fn after_a_failed_write_nothing_is_signed_until_the_file_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    attest(&guard, 1, 2, 1).unwrap();
    // Rewriting needs the folder; without it the write fails.
    let moved = directory.path().with_extension("moved");
    fs::rename(directory.path(), &moved).unwrap();
    assert!(matches!(guard.prune(Prune { target: 1, slot: 1 }), Err(JournalError::Io { .. })));
    fs::rename(&moved, directory.path()).unwrap();
    for target in [2, 3] {
        assert!(matches!(attest(&guard, 1, target, 1), Err(Refused::Journal(JournalError::Unknown { .. }))));
    }
    drop(guard);
    attest(&open(&directory), 1, 2, 1).unwrap();
}

#[test]
fn consensus_steps_are_slots_that_exclude_what_simplex_punishes() {
    let directory = tempfile::tempdir().unwrap();
    let guard = open(&directory);
    let vote = |view, step, root| guard.sign_block(&KEY, block(slot(view, step).unwrap(), root), || ());
    vote(1, Step::Notarize, 1).unwrap();
    vote(1, Step::Finalize, 1).unwrap();
    assert!(vote(1, Step::Notarize, 2).is_err(), "two proposals notarised");
    assert!(vote(1, Step::Finalize, 2).is_err(), "finalised, then another or the view skipped");
    vote(2, Step::Notarize, 1).unwrap();
    vote(2, Step::Finalize, 9).unwrap();
    assert_eq!((slot(u64::MAX / 2, Step::Finalize), slot(u64::MAX / 2 + 1, Step::Notarize)), (Some(u64::MAX), None));
}

/// What happens to a guard.
#[derive(Clone, Debug)]
enum Event {
    Attest {
        source: u64,
        span: u64,
        root: u8,
    },
    Block {
        slot: u64,
        root: u8,
    },
    /// The process dies while it writes a record: some bytes of it are there.
    Crash {
        written: usize,
    },
    Prune {
        target: u64,
        slot: u64,
    },
    /// Imports what the guard had exported at the last such event.
    Import,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0u64..12, 0u64..5, 1u8..3).prop_map(|(source, span, root)| Event::Attest { source, span, root }),
        3 => (0u64..12, 1u8..3).prop_map(|(slot, root)| Event::Block { slot, root }),
        2 => (0..RECORD_BYTES).prop_map(|written| Event::Crash { written }),
        1 => (0u64..10, 0u64..10).prop_map(|(target, slot)| Event::Prune { target, slot }),
        1 => Just(Event::Import),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Of everything that was ever signed, no two messages can be slashed.
    #[test]
    fn no_slashable_pair_is_signed_whatever_happens(events in proptest::collection::vec(event(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let mut guard = open(&directory);
        let (mut votes, mut blocks): (Vec<Attestation>, Vec<Block>) = (Vec::new(), Vec::new());
        let mut exported = guard.export();
        for event in events {
            match event {
                Event::Attest { source, span, root } => {
                    let asked = attestation(source, source + span, root);
                    if guard.sign_attestation(&KEY, asked, || ()).is_ok() {
                        votes.push(asked);
                    }
                }
                Event::Block { slot, root } => {
                    if guard.sign_block(&KEY, block(slot, root), || ()).is_ok() {
                        blocks.push(block(slot, root));
                    }
                }
                Event::Crash { written } => {
                    drop(guard);
                    let mut file = fs::OpenOptions::new().append(true).open(path(&directory)).unwrap();
                    file.write_all(&[0x5a; RECORD_BYTES][..written]).unwrap();
                    drop(file);
                    guard = open(&directory);
                }
                Event::Prune { target, slot } => guard.prune(Prune { target, slot }).unwrap(),
                Event::Import => {
                    guard.import(exported.as_bytes()).unwrap();
                    exported = guard.export();
                }
            }
        }
        for (position, a) in votes.iter().enumerate() {
            for b in &votes[position + 1..] {
                prop_assert!(a == b || a.target != b.target, "double vote {} {}", a, b);
                let surrounds = |a: &Attestation, b: &Attestation| a.source < b.source && b.target < a.target;
                prop_assert!(!surrounds(a, b) && !surrounds(b, a), "surround vote {} {}", a, b);
            }
        }
        for (position, a) in blocks.iter().enumerate() {
            prop_assert!(blocks[position + 1..].iter().all(|b| a == b || a.slot != b.slot), "double block {}", a);
        }
    }

    #[test]
    fn garbage_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700), json in ".{0,200}") {
        let directory = tempfile::tempdir().unwrap();
        let guard = open(&directory);
        prop_assert!(guard.import(json.as_bytes()).is_err());
        drop(guard);
        fs::write(path(&directory), bytes).unwrap();
        prop_assert!(Guard::open(&path(&directory), GENESIS).is_err());
    }
}
