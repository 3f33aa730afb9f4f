//! Every block of a chain with all forks runs on its witness alone; making one proves it.

use crate::fixtures::{blocks, folder, import, open};

#[test]
fn every_imported_block_runs_on_its_witness() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let chain = open(&folder, dir.path());
    import(&chain, &blocks(&folder)).unwrap();
    let head = chain.head().number();
    assert!(head > 0);
    let mut failed = Vec::new();
    for number in 1..=head {
        let block = chain.block_by_number(number).unwrap().unwrap();
        if let Err(error) = chain.witness(block) {
            failed.push(format!("{number}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{} of {head} failed:\n{}", failed.len(), failed.join("\n"));
}
