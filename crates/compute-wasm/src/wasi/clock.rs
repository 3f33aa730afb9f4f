//! A clock that depends on nothing but how often it is read, and randomness that depends on nothing but a seed.

use sha2::{Digest, Sha256};

/// The first reading: 2000-01-01T00:00:00Z, in nanoseconds since 1970.
const BEGIN_NANOS: u64 = 946_684_800_000_000_000;
/// How much later each reading is: a loop that waits for time to pass ends.
const STEP_NANOS: u64 = 1_000;

/// Virtual time.
pub(crate) struct Clock {
    elapsed_nanos: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { elapsed_nanos: 0 }
    }

    /// Nanoseconds since the guest began, one step later than before.
    pub(crate) fn monotonic(&mut self) -> u64 {
        self.advance(STEP_NANOS);
        self.elapsed_nanos
    }

    /// Nanoseconds since 1970, one step later than before.
    pub(crate) fn realtime(&mut self) -> u64 {
        BEGIN_NANOS.saturating_add(self.monotonic())
    }

    /// Lets time pass at once.
    pub(crate) fn advance(&mut self, nanos: u64) {
        self.elapsed_nanos = self.elapsed_nanos.saturating_add(nanos);
    }
}

/// SHA-256 in counter mode over the seed.
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0, block: [0; 32], used: 32 }
    }

    /// Fills `out` with the next bytes of the stream.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                let digest = Sha256::new().chain_update(self.seed).chain_update(self.counter.to_be_bytes());
                self.block = digest.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_steps_with_each_reading_and_never_goes_back() {
        let mut clock = Clock::new();
        assert_eq!((clock.monotonic(), clock.monotonic()), (STEP_NANOS, 2 * STEP_NANOS));
        assert_eq!(clock.realtime(), BEGIN_NANOS + 3 * STEP_NANOS);
        clock.advance(u64::MAX);
        assert_eq!((clock.monotonic(), clock.realtime()), (u64::MAX, u64::MAX));
    }

    #[test]
    fn the_stream_depends_on_the_seed_and_not_on_how_it_is_read() {
        let mut whole = [0; 100];
        Random::new([1; 32]).fill(&mut whole);
        let mut parts = Random::new([1; 32]);
        let mut read = Vec::new();
        for len in [1, 31, 33, 35] {
            let mut part = vec![0; len];
            parts.fill(&mut part);
            read.extend(part);
        }
        assert_eq!(read, whole);
        let mut other = [0; 100];
        Random::new([2; 32]).fill(&mut other);
        assert_ne!(other, whole);
    }
}
