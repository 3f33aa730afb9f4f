//! Validators that a block convicts, and what becomes of them.
//!
//! Consensus judges evidence; the chain slashes. Whom, stands in the block's own header (`extra_data`), so that a block can be
//! executed again from nothing but itself: each offender's number in `ValidatorRegistry`, 8 bytes, big endian. Almost
//! all blocks have none.

use alloy_primitives::Bytes;

/// Offenders of one block.
pub const OFFENDERS_MAX: usize = 4;

const NUMBER_BYTES: usize = 8;

/// The most that a header of Ethereum may carry there.
const _: () = assert!(OFFENDERS_MAX * NUMBER_BYTES <= 32);

/// Numbers of validators in `ValidatorRegistry`, from 1, each once; the first [`OFFENDERS_MAX`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offenders {
    numbers: [u64; OFFENDERS_MAX],
    count: usize,
}

impl Offenders {
    /// Reads what stands in a header; what is no number of a validator is left out.
    pub(crate) fn decode(extra_data: &[u8]) -> Self {
        let numbers = extra_data.chunks_exact(NUMBER_BYTES);
        numbers.map(|bytes| u64::from_be_bytes(bytes.try_into().expect("a chunk has eight bytes"))).collect()
    }

    pub(crate) fn encode(&self) -> Bytes {
        self.iter().flat_map(u64::to_be_bytes).collect::<Vec<_>>().into()
    }

    /// The numbers.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.numbers.into_iter().take(self.count)
    }
}

impl FromIterator<u64> for Offenders {
    fn from_iter<T: IntoIterator<Item = u64>>(numbers: T) -> Self {
        let mut offenders = Self::default();
        for number in numbers {
            if number != 0 && offenders.count < OFFENDERS_MAX && !offenders.iter().any(|known| known == number) {
                offenders.numbers[offenders.count] = number;
                offenders.count += 1;
            }
        }
        offenders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_header_and_nobody_stands_there_twice() {
        let offenders: Offenders = [7, 0, 7, u64::MAX].into_iter().collect();
        assert_eq!(offenders.iter().collect::<Vec<_>>(), [7, u64::MAX]);
        assert_eq!(Offenders::decode(&offenders.encode()), offenders);
        assert_eq!(Offenders::default().encode(), Bytes::new());
        let many: Offenders = (1..=9).collect();
        assert_eq!(many.iter().count(), OFFENDERS_MAX);
        assert_eq!(many.encode().len(), 32);
        assert_eq!(Offenders::decode(&[1, 2, 3]), Offenders::default());
    }
}
