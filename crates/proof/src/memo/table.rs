//! The table of a thread, by the hash of name and input.

use alloy_primitives::{B256, Keccak256};
use std::cell::RefCell;
use std::collections::HashMap;

/// Verdicts of one thread; when there are more, all are forgotten.
const VERDICTS_MAX: usize = 1 << 16;

thread_local! {
    static VERDICTS: RefCell<Option<HashMap<B256, bool>>> = const { RefCell::new(None) };
}

/// From now on, this thread remembers verdicts.
pub fn remember_on_this_thread() {
    VERDICTS.with_borrow_mut(|verdicts| {
        verdicts.get_or_insert_default();
    });
}

pub(super) fn recall(name: &'static str, parts: &[&[u8]], check: impl FnOnce() -> bool) -> bool {
    if VERDICTS.with_borrow(Option::is_none) {
        return check();
    }
    let key = key(name, parts);
    if let Some(known) = VERDICTS.with_borrow(|verdicts| verdicts.as_ref().and_then(|known| known.get(&key).copied())) {
        return known;
    }
    // Not within the borrow: a check may ask for the verdict of another one.
    let verdict = check();
    VERDICTS.with_borrow_mut(|verdicts| {
        if let Some(verdicts) = verdicts {
            if verdicts.len() >= VERDICTS_MAX {
                verdicts.clear();
            }
            verdicts.insert(key, verdict);
        }
    });
    verdict
}

/// Each part with its length before it, so that no two inputs are one.
fn key(name: &str, parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    for part in std::iter::once(name.as_bytes()).chain(parts.iter().copied()) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_remembered_for_its_input_alone() {
        let ask = |name, parts: &[&[u8]], verdict| recall(name, parts, || verdict);
        assert!(ask("a", &[b"xy"], true));
        assert!(!ask("a", &[b"xy"], false), "nothing is remembered unasked");
        remember_on_this_thread();
        assert!(!ask("a", &[b"xy"], false));
        assert!(!ask("a", &[b"xy"], true), "the check is not made again");
        assert!(ask("a", &[b"x", b"y"], true) && ask("b", &[b"xy"], true) && ask("a", &[b"xz"], true));
        let elsewhere = std::thread::spawn(move || recall("a", &[b"xy"], || true)).join().unwrap();
        assert!(elsewhere, "other threads do not share it");
    }

    #[test]
    fn the_table_is_bounded() {
        remember_on_this_thread();
        for number in 0..=VERDICTS_MAX {
            recall("n", &[&number.to_be_bytes()], || true);
        }
        let kept = VERDICTS.with_borrow(|verdicts| verdicts.as_ref().map_or(0, HashMap::len));
        assert!((1..=VERDICTS_MAX).contains(&kept), "{kept}");
    }
}
