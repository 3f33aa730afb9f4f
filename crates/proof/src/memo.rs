//! Verdicts of checks that depend on nothing but their input, remembered for simulations.
//!
//! Validators that share a thread in a simulation check the same signatures of the same bytes one after the other. With the
//! feature `memo`, a thread that asked for it looks a verdict up instead of computing it again. Without the feature, as in
//! every program that is shipped, [`recall`] is the check and nothing else.

#[cfg(feature = "memo")]
mod table;

#[cfg(feature = "memo")]
pub use table::remember_on_this_thread;

/// The verdict of `check`, which must be a pure function of its `name` and the `parts` of its input.
#[inline]
pub fn recall(name: &'static str, parts: &[&[u8]], check: impl FnOnce() -> bool) -> bool {
    #[cfg(feature = "memo")]
    return table::recall(name, parts, check);
    #[cfg(not(feature = "memo"))]
    {
        let _ = (name, parts);
        check()
    }
}
