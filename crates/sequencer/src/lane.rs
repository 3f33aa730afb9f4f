//! The encrypted lane: transactions that are ordered before anybody can read them.
//!
//! 1. A sender encrypts to the lane key and to a *target*, a height that is a multiple of the period
//!    ([`proof::lane`]), and submits the envelope like any transaction of its namespace.
//! 2. It may stand in blocks up to its target and in none above: a block with a late one is not voted for, and in the
//!    mempool it expires. So once the target is final, which envelopes there are, and in which order, is decided.
//! 3. Only then each validator releases its share of the opening. From a quorum of shares everybody has the opening.
//! 4. The next proposer puts it into namespace 0. Openings come in the order of their targets. In the namespace that is
//!    executed the opened transactions stand at the front of that block and of the next ones, all that can be executed,
//!    in the order in which they were ordered while nobody could read them.
//! 5. From the block after a target on until everything for it stands in blocks, other transactions of that namespace
//!    wait: who has seen what is in the envelopes cannot go before them. They wait [`Rules::hold_blocks`] blocks at most,
//!    so that the namespace goes on when validators withhold their shares.
//!
//! The threshold is the engine's quorum, n − f of n = 3f + 1: f shares, and even f with those of an honest third, open
//! nothing before finality, and whoever can withhold the opening could as well stop the blocks.
//!
//! | module | what |
//! |---|---|
//! | `state` | what envelopes wait after a block, and which blocks may follow: a pure function of the blocks |
//! | `desk` | shares and openings of one validator, and its part of a proposal |
//! | `actor` | shares between validators |
//! | `secret` | shares of the key, a dealer for development |
//! | `ceremony` | how validators make the key and hand it to the next committee: a pure function of the blocks |
//! | `dealings`, `vault` | the part of one validator in that, and what it keeps for it |

pub(crate) mod actor;
pub(crate) mod ceremony;
pub(crate) mod dealings;
pub(crate) mod desk;
mod secret;
pub(crate) mod state;
#[cfg(test)]
mod tests;
pub(crate) mod vault;

pub use ceremony::{DEALINGS_PER_BLOCK_MAX, DealingError, epoch_blocks_min};
pub use dealings::Randomness;
pub use secret::{DEALER, DKG, Dealt, Secret, SecretError, Sharing};
pub use state::Fault;

use crate::content::Transaction;
use proof::lane::{Envelope, KeyRecord, is_envelope};
use protocol::network::LanePolicy;
use std::collections::BTreeMap;

/// Longest period, in blocks.
pub const PERIOD_BLOCKS_MAX: u64 = 64;
/// How far above the next block a target may be, in blocks.
pub const TARGET_AHEAD_MAX: u64 = 256;
/// Envelopes for one target, in all namespaces: each takes a millisecond to open.
pub const ENVELOPES_PER_TARGET_MAX: usize = 256;
/// Bytes of all envelopes that wait for an opening, and of what was opened and waits to be executed.
pub const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Openings in one block.
pub const OPENINGS_PER_BLOCK_MAX: usize = 4;
/// Opened transactions at the front of one block.
pub const OPENED_PER_BLOCK_MAX: usize = 256;
/// Bytes of them.
pub const OPENED_BYTES_PER_BLOCK_MAX: usize = 1024 * 1024;
/// Blocks that other transactions wait for an opening, beside one for each validator.
const HOLD_BLOCKS_MIN: u64 = 16;

const _: () = assert!(proof::lane::ENVELOPE_PAYLOAD_BYTES_MAX <= OPENED_BYTES_PER_BLOCK_MAX);

/// The height after which the lane is as it was kept; `None` if that is cut off.
pub(crate) fn kept_height(kept: &[u8]) -> Option<u64> {
    kept.first_chunk().map(|height| u64::from_be_bytes(*height))
}

/// The lane of a network, as one validator is started with it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Targets are multiples of this (1..=64 blocks).
    pub period_blocks: u64,
    /// What stands in which namespace; first come, first served in all others.
    pub policies: BTreeMap<u64, LanePolicy>,
    /// The own share of a dealt key, and what everybody knows of it; `None` if the validators make the key.
    pub dealt: Option<Secret>,
    /// Where the secrets come from that it deals to others.
    pub randomness: Randomness,
}

/// Who holds the key of the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// Height of the last final block.
    pub height: u64,
    /// The key in force; `None` while the lane is closed.
    pub key: Option<KeyRecord>,
    /// The block that names this key; `None` if it was dealt.
    pub announced: Option<u64>,
    /// The round under way that makes a key or hands it over, and the last block of the attempt.
    pub attempt: Option<(u64, u64)>,
    /// Whether this validator holds a share of the key in force.
    pub has_share: bool,
}

/// What is the same for all validators, whatever the blocks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Chain id, which openings are bound to.
    pub chain_id: u64,
    /// Targets are multiples of this.
    pub period_blocks: u64,
    /// By namespace.
    pub policies: BTreeMap<u64, LanePolicy>,
    /// The namespace whose opened transactions the application executes.
    pub executed: Option<u64>,
    /// Blocks that other transactions of a namespace wait for its openings: longer than the longest row of proposers
    /// without an honest one.
    pub hold_blocks: u64,
}

impl Rules {
    pub(crate) fn new(config: &Config, chain_id: u64, executed: Option<u64>, validators: usize) -> Self {
        let Config { period_blocks, policies, .. } = config;
        let hold_blocks = HOLD_BLOCKS_MIN + validators as u64;
        Self { chain_id, period_blocks: *period_blocks, policies: policies.clone(), executed, hold_blocks }
    }

    /// What stands in `namespace`.
    pub fn policy(&self, namespace: u64) -> LanePolicy {
        self.policies.get(&namespace).copied().unwrap_or_default()
    }

    /// The target of an envelope, `None` for another transaction; whether it may stand in the block of this height,
    /// apart from what stands there already.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn check(&self, namespace: u64, transaction: &Transaction, height: u64) -> Result<Option<u64>, Fault> {
        let policy = self.policy(namespace);
        if policy == LanePolicy::Fcfs {
            return Ok(None);
        }
        if !is_envelope(transaction.payload()) {
            return match policy {
                LanePolicy::Encrypted => Err(Fault::Plain(namespace)),
                _ => Ok(None),
            };
        }
        let target = Envelope::decode(transaction.payload())?.target;
        let (period, latest) = (self.period_blocks, height.saturating_add(TARGET_AHEAD_MAX));
        if !target.is_multiple_of(period) || target > latest {
            return Err(Fault::Target { target, period, latest });
        }
        if target < height {
            return Err(Fault::Late { target, height });
        }
        Ok(Some(target))
    }
}

/// What is due at the front of a block, and how far the block comes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front<'a> {
    /// Opened transactions that are due, in their order.
    pub due: &'a [bytes::Bytes],
    /// How many of them the block settles: all of these stand in it or cannot be executed at their place.
    pub taken: usize,
    /// How many stand in it, before all other transactions of the namespace.
    pub included: usize,
}
