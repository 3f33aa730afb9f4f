use super::super::testing::{Branch, committee};
use super::*;

/// A chain with a finalised checkpoint, and what a node needs to start from it.
fn started() -> (Branch, Checkpoint, Vec<u8>) {
    let (secrets, set) = committee(0..4, 1);
    let (_, candidate) = committee(1..6, 1);
    let mut branch = Branch::new(set);
    (0..5).for_each(|_| {
        branch.epoch(&secrets, Some(&candidate));
    });
    let opened = branch.open(None).opened.unwrap();
    (branch, opened.checkpoint, opened.state)
}

#[test]
fn new_node_goes_on_like_one_that_saw_everything() {
    let (secrets, _) = committee(0..6, 1);
    let (mut old, checkpoint, bytes) = started();
    let state = State::trust(checkpoint.point(), checkpoint, &bytes, checkpoint.seconds + 8_000).unwrap();
    let mut new = Branch { state, ..old.clone() };
    for _ in 0..6 {
        assert_eq!(new.state.commitment(), old.state.commitment());
        let votes = [old.duty(&secrets)];
        assert_eq!(new.block(&votes, None), old.block(&votes, None));
        assert_eq!(new.open(None), old.open(None));
    }
    assert!(new.finalized() > checkpoint.epoch);
}

#[test]
fn old_and_future_checkpoints_are_refused_at_the_second() {
    let (_, checkpoint, bytes) = started();
    let trust = |now: u64| State::trust(checkpoint.point(), checkpoint, &bytes, now).map(|_| ());
    assert_eq!(trust(checkpoint.seconds + 8_000), Ok(()));
    assert_eq!(trust(checkpoint.seconds + 8_001), Err(TrustError::Old { age: 8_001, period: 8_000 }));
    assert_eq!(trust(checkpoint.seconds - 60), Ok(()));
    assert_eq!(trust(checkpoint.seconds - 61), Err(TrustError::Ahead { ahead: 61 }));
}

#[test]
fn anything_but_the_trusted_checkpoint_and_its_state_is_refused() {
    let (_, checkpoint, bytes) = started();
    let now = checkpoint.seconds;
    let other = Checkpoint { height: 1, ..checkpoint };
    let error = State::trust(checkpoint.point(), other, &bytes, now).unwrap_err();
    assert!(matches!(error, TrustError::Untrusted { .. }));
    for changed in [0, 60, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[changed] ^= 1;
        let error = State::trust(checkpoint.point(), checkpoint, &bytes, now).unwrap_err();
        assert!(matches!(error, TrustError::State { .. }), "{error}");
    }
    // Whoever is trusted may still be wrong.
    let junk = Checkpoint { state: keccak256(b"junk"), ..checkpoint };
    assert!(matches!(State::trust(junk.point(), junk, b"junk", now), Err(TrustError::Encoding(_))));
    let moved = Checkpoint { height: checkpoint.height + 4, ..checkpoint };
    assert!(matches!(State::trust(moved.point(), moved, &bytes, now), Err(TrustError::Position { .. })));
    let usurped = Checkpoint { electorate: B256::ZERO, ..checkpoint };
    assert!(matches!(State::trust(usurped.point(), usurped, &bytes, now), Err(TrustError::Electorate { .. })));
}
