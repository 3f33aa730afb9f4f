use super::*;
use crate::testing::{files, vectors};
use alloy_primitives::B256;
use serde::Deserialize;

fn point(epoch: u64) -> Point {
    Point { epoch, root: B256::repeat_byte(epoch as u8) }
}

#[derive(Deserialize)]
struct Vector {
    epoch: u64,
    total: u128,
    prev: u128,
    cur: u128,
    bits: [bool; 4],
    pj: u64,
    cj: u64,
    fin: u64,
    exp: Expected,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Expected {
    bits: [bool; 4],
    pj: u64,
    cj: u64,
    fin: u64,
}

fn run(vector: &Vector) -> Expected {
    let won = |voted, epoch| proof::checkpoint::is_supermajority(voted, vector.total).then(|| point(epoch));
    let (previous, current, finalized) = (point(vector.pj), point(vector.cj), point(vector.fin));
    let mut justification = Justification { bits: vector.bits, previous, current, finalized };
    justification.weigh(vector.epoch, won(vector.prev, vector.epoch - 1), won(vector.cur, vector.epoch));
    let Justification { bits, previous, current, finalized } = justification;
    Expected { bits, pj: previous.epoch, cj: current.epoch, fin: finalized.epoch }
}

/// `KUMO_TESTDATA/ffg`: computed with `weigh_justification_and_finalization` of the executable specification.
#[test]
fn published_vectors_agree() {
    let Some(folder) = vectors("ffg") else { return };
    let (mut passed, mut failed) = (0, Vec::new());
    for file in files(&folder) {
        let vectors: Vec<Vector> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for (number, vector) in vectors.iter().enumerate() {
            match run(vector) {
                found if found == vector.exp => passed += 1,
                found => failed.push(format!("{} {number}: {found:?}, expected {:?}", file.display(), vector.exp)),
            }
        }
    }
    println!("ffg: {passed} passed, {} failed, 0 skipped", failed.len());
    assert!(failed.is_empty() && passed > 0, "{}", failed.join("\n"));
}

/// What the votes of epoch 10 finalise, with these bits before and sources of these epochs.
fn finalized(bits: [bool; 4], previous: u64, current: u64, votes: [bool; 2]) -> u64 {
    let mut justification =
        Justification { bits, previous: point(previous), current: point(current), finalized: point(0) };
    justification.weigh(10, votes[0].then(|| point(9)), votes[1].then(|| point(10)));
    justification.finalized.epoch
}

#[test]
fn four_cases_finalise_and_their_neighbours_do_not() {
    let all = [true; 4];
    // k = 2, recognised a period late: 7 → 9 with 8 justified.
    assert_eq!(finalized([false, true, true, false], 7, 8, [true, false]), 7);
    assert_eq!(finalized([false, false, true, false], 7, 8, [true, false]), 0);
    // k = 1, recognised a period late: 8 → 9.
    assert_eq!(finalized([false, true, false, false], 8, 8, [true, false]), 8);
    assert_eq!(finalized([false, false, false, false], 8, 8, [true, false]), 0);
    // k = 2: 8 → 10 with 9 justified.
    assert_eq!(finalized([false, true, false, false], 7, 8, [true, true]), 8);
    assert_eq!(finalized([false, true, false, false], 7, 8, [false, true]), 0);
    // k = 1: 9 → 10.
    assert_eq!(finalized([true, false, false, false], 7, 9, [false, true]), 9);
    assert_eq!(finalized([true, false, false, false], 7, 9, [false, false]), 0);
    // Spans of three never.
    assert_eq!(finalized(all, 5, 6, [true, true]), 0);
}
