//! The difficulty a proof-of-work block must state, from its parent.
//!
//! Sources: yellow paper section 4.3.4, EIP-2, EIP-100, and the delays of the difficulty bomb in EIP-649, EIP-1234,
//! EIP-2384, EIP-3554, EIP-4345 and EIP-5133.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::U256;

/// Least difficulty.
const DIFFICULTY_MIN: u64 = 131_072;
/// One step of the difficulty is this part of it.
const STEP_DIVISOR: u64 = 2_048;
/// Blocks after which the bomb doubles.
const BOMB_PERIOD: u64 = 100_000;
/// Steps down that one block may take.
const STEPS_DOWN_MAX: u64 = 99;

/// What the forks of a block say about its difficulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// EIP-2.
    pub homestead: bool,
    /// EIP-100.
    pub byzantium: bool,
    /// Blocks by which the bomb is delayed.
    pub bomb_delay_blocks: u64,
}

/// Difficulty of a child of `parent` at `timestamp`, which must be later than the parent's.
pub(crate) fn next(rules: Rules, parent: &Header, timestamp: u64) -> U256 {
    let step = parent.difficulty / U256::from(STEP_DIVISOR);
    let elapsed = timestamp.saturating_sub(parent.timestamp);
    let minimum = U256::from(DIFFICULTY_MIN);
    let (up, down) = steps(rules, parent, elapsed);
    let adjusted =
        (parent.difficulty.saturating_add(step * U256::from(up))).saturating_sub(step * U256::from(down)).max(minimum);
    let bombed = adjusted.saturating_add(bomb(rules, parent.number + 1));
    bombed.max(minimum)
}

/// Steps up and down, of which one is zero.
fn steps(rules: Rules, parent: &Header, elapsed: u64) -> (u64, u64) {
    let (most, passed) = match rules {
        Rules { byzantium: true, .. } => (if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 }, elapsed / 9),
        Rules { homestead: true, .. } => (1, elapsed / 10),
        _ if elapsed < 13 => (1, 0),
        _ => (0, 1),
    };
    match passed <= most {
        true => (most - passed, 0),
        false => (0, (passed - most).min(STEPS_DOWN_MAX)),
    }
}

fn bomb(rules: Rules, number: u64) -> U256 {
    let delayed = number.saturating_sub(rules.bomb_delay_blocks);
    match delayed / BOMB_PERIOD {
        0 | 1 => U256::ZERO,
        periods => U256::from(2).saturating_pow(U256::from(periods - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONTIER: Rules = Rules { homestead: false, byzantium: false, bomb_delay_blocks: 0 };
    const HOMESTEAD: Rules = Rules { homestead: true, ..FRONTIER };
    const BYZANTIUM: Rules = Rules { byzantium: true, homestead: true, bomb_delay_blocks: 3_000_000 };

    fn parent(number: u64, difficulty: u64, timestamp: u64) -> Header {
        Header {
            number,
            difficulty: U256::from(difficulty),
            timestamp,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            ..Default::default()
        }
    }

    #[test]
    fn quick_blocks_raise_the_difficulty_and_slow_ones_lower_it() {
        let parent = parent(10, 2_048_000, 100);
        assert_eq!(next(FRONTIER, &parent, 112), U256::from(2_049_000));
        assert_eq!(next(FRONTIER, &parent, 113), U256::from(2_047_000));
        assert_eq!(next(HOMESTEAD, &parent, 109), U256::from(2_049_000));
        assert_eq!(next(HOMESTEAD, &parent, 110), U256::from(2_048_000));
        assert_eq!(next(HOMESTEAD, &parent, 130), U256::from(2_046_000));
        assert_eq!(next(HOMESTEAD, &parent, 100_000), U256::from(2_048_000 - 99 * 1_000));
    }

    #[test]
    fn ommers_of_the_parent_count_since_byzantium() {
        let without = parent(4_400_000, 2_048_000, 100);
        let with = Header { ommers_hash: Default::default(), ..without.clone() };
        // The bomb is 14 periods old after the delay: 2^12.
        assert_eq!(next(BYZANTIUM, &without, 108), U256::from(2_049_000 + 4_096));
        assert_eq!(next(BYZANTIUM, &with, 108), U256::from(2_050_000 + 4_096));
        assert_eq!(next(BYZANTIUM, &without, 109), U256::from(2_048_000 + 4_096));
    }

    #[test]
    fn difficulty_has_a_floor_and_the_bomb_goes_off() {
        assert_eq!(next(FRONTIER, &parent(1, 131_072, 0), 1_000), U256::from(131_072));
        // Block 200,000 is the first with a bomb: 2^0.
        assert_eq!(next(HOMESTEAD, &parent(199_998, 2_048_000, 0), 10), U256::from(2_048_000));
        assert_eq!(next(HOMESTEAD, &parent(199_999, 2_048_000, 0), 10), U256::from(2_048_001));
        assert_eq!(next(HOMESTEAD, &parent(3_799_999, 2_048_000, 0), 10), U256::from(2_048_000 + (1u64 << 36)));
    }
}
