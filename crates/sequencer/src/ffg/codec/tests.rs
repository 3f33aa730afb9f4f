use super::super::testing::{Branch, committee};
use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Made once, as every vote in it costs a signature.
static STATE: LazyLock<Vec<u8>> = LazyLock::new(|| state(5).encode());

fn state(epochs: usize) -> State {
    let (secrets, set) = committee(0..4, 7);
    let mut branch = Branch { l1_seconds: Some(77), ..Branch::new(set) };
    for epoch in 0..epochs as u64 {
        branch.epoch(&secrets, Some(&committee(0..4, u128::from(epoch) + 1).1));
    }
    branch.state
}

#[test]
fn state_survives_its_encoding_at_every_age() {
    for epochs in 0..9 {
        let state = state(epochs);
        let bytes = state.encode();
        let again = State::decode(&bytes).unwrap();
        assert_eq!(again, state, "after {epochs} epochs");
        assert_eq!((again.encode(), again.commitment()), (bytes, state.commitment()));
    }
}

#[test]
fn every_cut_and_every_tail_is_refused() {
    let bytes = state(6).encode();
    for length in 0..bytes.len() {
        assert!(State::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert!(State::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(State::decode(&vec![1; STATE_BYTES_MAX + 1]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn changed_bytes_never_panic_and_whatever_decodes_encodes_to_itself(
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = STATE.clone();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(state) = State::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
            let mut branch = Branch { state, salt: 0, l1_seconds: Some(u64::MAX) };
            for _ in 0..12 {
                let height = branch.state.height();
                let next = super::super::testing::input(0, height.wrapping_add(1));
                if branch.state.apply(&next).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(State::decode(&bytes).is_err());
    }
}
