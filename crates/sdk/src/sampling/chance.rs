//! How likely it is to be fooled.

use proof::shard::Code;

/// The chance that at least `verified` of `drawn` different shards, drawn at random, are served although no more than k − 1
/// of the 3k are, so that the payload cannot be put together. 1 if nothing was verified, 0 from k on.
///
/// ```text
/// sum over j ≥ verified of C(k − 1, j) · C(2k + 1, drawn − j) / C(3k, drawn)        at most 3^−drawn if all were served
/// ```
/// Source: the hypergeometric distribution, drawing without replacement.
pub fn chance(code: Code, drawn: u32, verified: u32) -> f64 {
    let (served, hidden) = (code.data - 1, code.total - code.data + 1);
    let drawn = drawn.min(code.total);
    let terms = (verified..=served.min(drawn)).filter(|j| drawn - j <= hidden);
    let all = ln_choose(code.total, drawn);
    let sum: f64 = terms.map(|j| (ln_choose(served, j) + ln_choose(hidden, drawn - j) - all).exp()).sum();
    if verified == 0 { 1.0 } else { sum.min(1.0) }
}

/// The least number of samples that, all answered, leave no more than `chance` (above 0) of being fooled; never more than
/// give the payload back.
pub fn samples_for(code: Code, wanted: f64) -> u32 {
    (1..code.data).find(|samples| chance(code, *samples, *samples) <= wanted).unwrap_or(code.data)
}

/// The logarithm of a binomial coefficient.
fn ln_choose(of: u32, chosen: u32) -> f64 {
    (1..=chosen).map(|i| (f64::from(of - chosen + i) / f64::from(i)).ln()).sum()
}
