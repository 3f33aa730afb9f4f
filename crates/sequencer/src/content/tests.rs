use super::*;
use crate::payload::Payload;
use crate::testing::entry;
use proptest::prelude::*;

fn bundle(positions: &[(u64, u32)]) -> Bundle {
    Bundle {
        positions: positions
            .iter()
            .map(|(namespace, index)| Position { namespace: *namespace, index: *index })
            .collect(),
    }
}

/// Namespaces 1, 5 and 9; a bundle over 1 and 5, another over 5 and 9.
fn content() -> Content {
    Content {
        entries: vec![entry(1, &["a", "b", "c"]), entry(5, &["d", "e", "f", "g"]), entry(9, &["h"])],
        bundles: vec![bundle(&[(1, 1), (5, 0), (5, 1)]), bundle(&[(9, 0), (5, 3)])],
    }
}

#[test]
fn choosing_all_changes_nothing() {
    assert_eq!(content().choose(1, &[0, 1, 2]), Ok(content()));
    assert_eq!(content().without(&[]), content());
}

#[test]
fn bundles_move_with_their_transactions() {
    let chosen = content().choose(1, &[2, 1]).unwrap();
    assert_eq!(chosen.entries[0], entry(1, &["c", "b"]));
    assert_eq!(chosen.bundles[0], bundle(&[(1, 1), (5, 0), (5, 1)]));
    let chosen = content().choose(1, &[1]).unwrap();
    assert_eq!(chosen.bundles[0], bundle(&[(1, 0), (5, 0), (5, 1)]));
    assert!(Payload::new(chosen).is_ok());
}

#[test]
fn a_bundle_leaves_whole_when_its_transaction_was_not_chosen() {
    let chosen = content().choose(1, &[0, 2]).unwrap();
    assert_eq!(chosen.entries, vec![entry(1, &["a", "c"]), entry(5, &["f", "g"]), entry(9, &["h"])]);
    assert_eq!(chosen.bundles, vec![bundle(&[(9, 0), (5, 1)])]);
    let chosen = content().choose(9, &[]).unwrap();
    assert_eq!(chosen.entries, vec![entry(1, &["a", "b", "c"]), entry(5, &["d", "e", "f"])]);
    assert_eq!(chosen.bundles.len(), 1);
}

#[test]
fn a_choice_that_tears_a_bundle_names_it() {
    let torn = |chosen: &[usize]| content().choose(5, chosen).unwrap_err().bundles;
    assert_eq!(torn(&[0, 2, 3]), [0], "one of two is missing");
    assert_eq!(torn(&[0, 2, 1, 3]), [0], "something is between");
    assert_eq!(torn(&[1, 0, 3]), [0], "the other way round");
    assert_eq!(torn(&[3, 0, 1]), [1], "it came after the other bundle");
    assert_eq!(content().without(&[0]).choose(5, &[1, 0]).unwrap().entries[1], entry(5, &["g", "f"]));
}

#[test]
fn a_removed_bundle_takes_its_transactions_along() {
    let rest = content().without(&[0, 1]);
    assert_eq!(rest, Content { entries: vec![entry(1, &["a", "c"]), entry(5, &["f"])], bundles: vec![] });
    assert_eq!(content().without(&[7]), content(), "there is no such bundle");
}

#[test]
fn bundles_are_found_by_namespace() {
    assert_eq!(content().bundles_in(5, 1), [0, 1]);
    assert_eq!(content().bundles_in(5, 2), [0]);
    assert_eq!(content().bundles_in(2, 1), [] as [usize; 0]);
}

#[test]
fn a_refused_transaction_takes_its_bundle_along_and_nothing_else() {
    assert_eq!(content().retain(|_, _| true), content());
    let without = |text: &'static str| content().retain(|_, it| it.payload() != text.as_bytes());
    let rest = without("b");
    assert_eq!(rest.entries, vec![entry(1, &["a", "c"]), entry(5, &["f", "g"]), entry(9, &["h"])]);
    assert_eq!(rest.bundles, vec![bundle(&[(9, 0), (5, 1)])]);
    let rest = without("f");
    assert_eq!(rest.entries[1], entry(5, &["d", "e", "g"]));
    assert_eq!(rest.bundles, vec![bundle(&[(1, 1), (5, 0), (5, 1)]), bundle(&[(9, 0), (5, 2)])]);
    assert!(content().retain(|namespace, _| namespace == 9).entries.is_empty(), "its bundle is torn");
}

#[test]
fn a_front_comes_before_all_others_and_moves_bundles_along() {
    let fronted = content().with_front(5, vec!["x".into(), "y".into()]);
    assert_eq!(fronted.entries[1], entry(5, &["x", "y", "d", "e", "f", "g"]));
    assert_eq!(fronted.bundles, vec![bundle(&[(1, 1), (5, 2), (5, 3)]), bundle(&[(9, 0), (5, 5)])]);
    assert!(Payload::new(fronted).is_ok());
    let opened = content().with_front(7, vec!["x".into()]);
    assert_eq!(opened.entries[2], entry(7, &["x"]));
    assert_eq!(content().with_front(7, vec![]), content());
}

proptest! {
    /// Whatever an application chooses: what stands in the block afterwards are whole bundles, and nothing else was lost.
    #[test]
    fn any_choice_leaves_whole_bundles(order in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle(), count in 0..=4usize) {
        let (mut content, chosen) = (content(), &order[..count]);
        let before: Vec<_> = content.bundles.iter().map(|bundle| content.bundle_hash(bundle).unwrap()).collect();
        let mut outcome = content.choose(5, chosen);
        if let Err(torn) = &outcome {
            // As an application does: without them, and the rest in the order it had.
            content = content.without(&torn.bundles);
            let all: Vec<usize> = (0..content.entry(5).map_or(0, |entry| entry.transactions().len())).collect();
            outcome = content.choose(5, &all);
        }
        let chosen = outcome.unwrap();
        for bundle in &chosen.bundles {
            prop_assert!(before.contains(&chosen.bundle_hash(bundle).unwrap()));
        }
        prop_assert!(Payload::new(chosen).is_ok());
    }
}
