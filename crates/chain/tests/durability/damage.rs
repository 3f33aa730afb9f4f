//! Flipped bits anywhere in the file: an error that names it, or the right answer.

use crate::load::{Random, WRITER, advance, open, receiver, signer};
use alloy_primitives::{B256, U256};
use chain::{Chain, ChainError};
use std::{fs, path::Path};

/// Blocks of the chain.
const BLOCKS: u64 = 24;
/// Damaged files that are tried.
const ROUNDS: u64 = 60;

/// Everything that is asked, in one hash.
fn answers(chain: &Chain) -> Result<B256, ChainError> {
    let mut all = Vec::new();
    for number in (0..=BLOCKS).step_by(6) {
        let state = chain.state(number)?;
        for account in (0..512).map(receiver).chain((0..4).map(|number| signer(number).address())) {
            all.extend(state.balance(account)?.to_be_bytes::<32>());
            all.extend(state.nonce(account)?.to_be_bytes());
        }
        for slot in 0..500 {
            all.extend(state.storage(WRITER, U256::from(slot))?.to_be_bytes::<32>());
        }
        all.extend(state.code(WRITER)?.original_bytes());
        let proof = chain.proof(number, WRITER, &[B256::ZERO, B256::with_last_byte(7)])?;
        all.extend(format!("{proof:?}").into_bytes());
        let block = chain.block_by_number(number)?;
        all.extend(format!("{block:?}").into_bytes());
    }
    Ok(alloy_primitives::keccak256(all))
}

fn opened_and_asked(dir: &Path) -> Result<(u64, B256), ChainError> {
    let chain = open(dir)?;
    Ok((chain.head().number(), answers(&chain)?))
}

#[test]
fn a_damaged_file_gives_an_error_that_names_it_or_the_right_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(5);
    {
        let chain = open(dir.path()).unwrap();
        (0..BLOCKS).for_each(|_| drop(advance(&chain, &mut random).unwrap()));
    }
    let path = dir.path().join("chain.redb");
    let expected = opened_and_asked(dir.path()).unwrap();
    let whole = fs::read(&path).unwrap();
    let written: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut refused = 0;
    for round in 0..ROUNDS {
        let mut damaged = whole.clone();
        for _ in 0..=random.below(3) {
            // Half of the flips hit what was written, the others anything.
            let at = match random.below(2) {
                0 => written[random.below(written.len() as u64) as usize],
                _ => random.below(whole.len() as u64) as usize,
            };
            damaged[at] ^= 1 << random.below(8);
        }
        fs::write(&path, &damaged).unwrap();
        match opened_and_asked(dir.path()) {
            Ok(found) => assert_eq!(found, expected, "round {round}"),
            Err(error) => {
                assert!(error.to_string().contains("chain.redb"), "round {round}: {error}");
                refused += 1;
            }
        }
    }
    println!("{refused} of {ROUNDS} damaged files were refused, the others did not matter");
    assert!(refused > ROUNDS / 4, "{refused}");

    fs::write(&path, &whole).unwrap();
    assert_eq!(opened_and_asked(dir.path()).unwrap(), expected, "the undamaged file still works");
}

#[test]
fn one_flipped_bit_in_any_page_that_is_in_use_is_found_by_verifying() {
    let dir = tempfile::tempdir().unwrap();
    {
        let chain = open(dir.path()).unwrap();
        let mut random = Random(6);
        (0..4).for_each(|_| drop(advance(&chain, &mut random).unwrap()));
    }
    let right = chain::verify_directory(dir.path(), 4 << 20).unwrap();
    let path = dir.path().join("chain.redb");
    let whole = fs::read(&path).unwrap();
    let (mut used, mut unused) = (0, 0);
    // Behind the superblock, the sums and the header of the database, which has its own checks.
    for page in 3..whole.len() / 4_096 {
        let Some(at) = (page * 4_096..(page + 1) * 4_096).find(|at| whole[*at] != 0) else { continue };
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        match chain::verify_directory(dir.path(), 4 << 20) {
            // A page that a later block has replaced.
            Ok(found) => {
                assert_eq!(found, right);
                unused += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("chain.redb"), "{error}");
                used += 1;
            }
        }
    }
    println!("{used} flipped bits were found, {unused} were in pages that are not in use");
    assert!(used > 20, "{used}");
}
