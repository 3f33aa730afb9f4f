//! The inner loop: add an input, times a coefficient per output, to each output.
//!
//! The input is turned into its eight multiples by powers of two, 64 bytes at a time and eight bytes per word; a
//! product is then the sum of the multiples at the bits of its coefficient. There is no table look-up, so the compiler
//! makes vector instructions of it on every machine.

use super::field::{REDUCTION, mul};

/// Words handled at once.
const WORDS: usize = 8;
/// Bytes handled at once.
const LANE_BYTES: usize = WORDS * 8;

type Lane = [u64; WORDS];

/// Adds `input` times `coefficient(row)` to the bytes of every output from `at` on.
pub(super) fn add_products(input: &[u8], coefficient: impl Fn(usize) -> u8, outputs: &mut [Vec<u8>], at: usize) {
    let coefficients: Vec<u8> = (0..outputs.len()).map(coefficient).collect();
    let (lanes, tail) = input.as_chunks::<LANE_BYTES>();
    for (i, lane) in lanes.iter().enumerate() {
        let multiples = multiples(lane);
        let from = at + i * LANE_BYTES;
        for (output, coefficient) in outputs.iter_mut().zip(&coefficients) {
            let target = output[from..from + LANE_BYTES].as_mut_array().expect("slice of that length");
            add_selected(target, &multiples, *coefficient);
        }
    }
    let from = at + lanes.len() * LANE_BYTES;
    for (output, coefficient) in outputs.iter_mut().zip(&coefficients) {
        for (target, byte) in output[from..].iter_mut().zip(tail) {
            *target ^= mul(*byte, *coefficient);
        }
    }
}

/// The lane times 1, 2, 4 … 128.
#[inline]
fn multiples(bytes: &[u8; LANE_BYTES]) -> [Lane; 8] {
    let mut out = [[0; WORDS]; 8];
    for (word, chunk) in out[0].iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    for bit in 1..8 {
        out[bit] = out[bit - 1].map(double);
    }
    out
}

/// Doubles each of the eight bytes of a word in the field.
#[inline]
fn double(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const ONE: u64 = 0x0101_0101_0101_0101;
    const REDUCTIONS: u64 = u64::from_ne_bytes([REDUCTION; 8]);
    let carry = (word >> 7) & ONE;
    // A byte of 1 becomes one of 255; vector units have no multiplication of this width.
    let mask = (carry << 8).wrapping_sub(carry);
    ((word & LOW) << 1) ^ (mask & REDUCTIONS)
}

#[inline]
fn add_selected(target: &mut [u8; LANE_BYTES], multiples: &[Lane; 8], coefficient: u8) {
    let mut sum = [0u64; WORDS];
    for (bit, multiple) in multiples.iter().enumerate() {
        if coefficient >> bit & 1 == 1 {
            for word in 0..WORDS {
                sum[word] ^= multiple[word];
            }
        }
    }
    for (chunk, word) in target.as_chunks_mut::<8>().0.iter_mut().zip(sum) {
        *chunk = (u64::from_le_bytes(*chunk) ^ word).to_le_bytes();
    }
}
