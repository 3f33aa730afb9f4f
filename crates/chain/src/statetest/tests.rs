//! Files of every kind, well formed and not.

use super::*;
use crate::test_support::testdata;

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn every_published_state_test_passes() {
    let folder = testdata().join("ethereum/GeneralStateTests");
    if !folder.is_dir() {
        println!("skipped: {} is absent; name the folder of the vectors in KUMO_TESTDATA", folder.display());
        return;
    }
    let report = run_state_tests(&[folder]);
    println!("{} passed, {} failed, {} skipped", report.passed, report.failed, report.skipped);
    for failure in &report.failures {
        println!("FAILED {failure:?}");
    }
    assert!(report.passed > 0 && report.failed == 0);
}

#[test]
fn a_file_that_is_no_test_fails_with_its_name_and_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["", "[]", "{", "{\"a\":1}", "{\"a\":{\"env\":{},\"pre\":{},\"post\":{}}}"];
    for (index, text) in files.iter().enumerate() {
        write(dir.path(), &format!("{index}.json"), text);
    }
    write(dir.path(), "notes.txt", "not looked at");
    let absent = dir.path().join("absent.json");
    let report = run_state_tests(&[dir.path().into(), absent.clone()]);
    assert_eq!((report.passed, report.failed, report.skipped), (0, files.len() + 1, 0));
    assert_eq!(report.failures[0].file, absent);
    assert!(report.failures.iter().all(|failure| !failure.reason.is_empty()));
}

/// A transfer of one wei, with an expectation to change.
fn transfer(fork: &str, hash: &str, exception: &str) -> String {
    format!(
        r#"{{"moves": {{
        "env": {{"currentCoinbase": "0x2adc25665018aa1fe0e6bc666dac8fc2697ff9ba", "currentGasLimit": "0x05f5e100",
                 "currentNumber": "0x01", "currentTimestamp": "0x03e8", "currentBaseFee": "0x0a",
                 "currentRandom": "0x00", "currentDifficulty": "0x020000", "currentExcessBlobGas": "0x00"}},
        "pre": {{}},
        "post": {{"{fork}": [{{"hash": "{hash}", "txbytes": "0xc0"{exception},
                 "logs": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"}}]}}}}}}"#
    )
}

#[test]
fn a_refused_transaction_must_be_expected_and_leave_the_state_alone() {
    let dir = tempfile::tempdir().unwrap();
    let empty = EMPTY_ROOT_HASH.to_string();
    let expected = r#", "expectException": "TR_RLP_WRONGVALUE""#;
    let run = |text: String| run_state_tests(&[write(dir.path(), "one.json", &text)]);
    assert_eq!(run(transfer("Cancun", &empty, expected)).passed, 1);
    let unexpected = run(transfer("Cancun", &empty, ""));
    assert!(unexpected.failures[0].reason.contains("must be accepted"), "{unexpected:?}");
    let other_root = run(transfer("Cancun", &B256::ZERO.to_string(), expected));
    assert!(other_root.failures[0].reason.starts_with("state root"), "{other_root:?}");
    assert_eq!(run(transfer("Utopia", &empty, expected)).skipped, 1);
}
