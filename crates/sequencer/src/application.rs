//! The seam between ordering and execution.
//!
//! The sequencer orders opaque bytes; an [`Application`] gives them a meaning. A validator asks it to build a proposal,
//! to judge a block before the vote, and hands it every final block once it is final.
//!
//! Calls come from blocking threads. `propose` and `verify` may overlap each other, since views overlap; `finalized`
//! never overlaps anything. Between two `finalized` calls, [`Application::finalized_height`] must not change.

use crate::block::Block;
use crate::content::Content;
use crate::lane::Front;
use crate::system::Offender;
use bytes::Bytes;
use proof::checkpoint::ValidatorSet;
use std::sync::Arc;

/// What a proposal has to build on.
#[derive(Clone, Debug)]
pub struct Propose<'a> {
    /// Blocks after the newest final one, oldest first, up to and including the parent; empty if the parent is final.
    pub ancestors: &'a [Arc<Block>],
    /// The parent.
    pub parent: &'a Block,
    /// Time of the new block, Unix milliseconds.
    pub timestamp_millis: u64,
    /// Randomness of the new block.
    pub randomness: [u8; 32],
    /// Waiting transactions and bundles that are in no ancestor, within the size of a proposal.
    pub candidates: Content,
    /// Opened transactions of the encrypted lane that are due at the front of [`Application::executes`], in their order.
    pub due: &'a [Bytes],
    /// Whom evidence in the new block convicts, as [`System::offenders`](crate::System::offenders) will read it from there.
    pub offenders: &'a [Offender],
}

impl Propose<'_> {
    /// Height of the new block.
    pub fn height(&self) -> u64 {
        self.parent.height + 1
    }
}

/// What the application wants in the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// What stays of the candidates, see [`Content::choose`] and [`Content::without`].
    pub content: Content,
    /// Commitment to the outcome, at most [`COMMITMENT_BYTES_MAX`](crate::limits::COMMITMENT_BYTES_MAX) bytes.
    pub commitment: Bytes,
    /// Hashes of transactions, and names of bundles, that can never be included and leave the mempool.
    pub rejected: Vec<[u8; 32]>,
    /// How many of those that are due the block settles: at least one if there are any, and no other transaction of that
    /// namespace stands in a block that does not settle all.
    pub taken: usize,
    /// How many of these are in the content, before all other transactions of that namespace; the others cannot be
    /// executed at their place.
    pub included: usize,
}

/// Gives meaning to what is ordered.
pub trait Application: Send + Sync + 'static {
    /// Commitment of block 0; the same on every validator.
    fn genesis_commitment(&self) -> Bytes;

    /// Chooses and commits to the content of a new block; `None` gives the turn away.
    fn propose(&self, request: Propose<'_>) -> Option<Proposal>;

    /// Whether `block` is valid on `ancestors` (as in [`Propose::ancestors`]). Must be deterministic: the answer
    /// decides the vote. Signatures, sizes, order, time and randomness are checked before.
    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool;

    /// The namespace whose opened transactions of the encrypted lane are executed by this application; always the same.
    /// `None`, the default: all rollups open theirs themselves.
    fn executes(&self) -> Option<u64> {
        None
    }

    /// As [`Application::verify`], which the default asks; also whether the block settles of `front` all that can be
    /// settled. That what it includes was opened, in this order, is checked before.
    fn verify_front(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> bool {
        let _ = front;
        self.verify(ancestors, block)
    }

    /// Stake of the vote keys after `block`, the candidate for the epochs after it was finalised; every key must be proven
    /// to be possessed. Asked about blocks that open an epoch, after they were verified, proposed or taken, and after a
    /// restart once more about those of the last epoch; the answer must always be the same. `None`, the default: the
    /// candidates stay, less those who are convicted by evidence.
    fn candidate(&self, _block: &Block) -> Option<ValidatorSet> {
        None
    }

    /// Whether `offender` has stake that it loses if a child of `block` has evidence against it. Asked about keys that are no
    /// candidates (any more), and about consensus keys; answered like [`Application::verify`]. `false`, the default: only
    /// candidates lose something, their vote.
    fn liable(&self, _block: &Block, _offender: &Offender) -> bool {
        false
    }

    /// Validators that hold a seat each, in the order of their seats, by the stake after `block`; for the committee of an epoch
    /// after the one that `block` opens. Asked and answered like [`Application::candidate`]. `None`, the default: the committee stays.
    fn seats(&self, _block: &Block) -> Option<Vec<protocol::network::Validator>> {
        None
    }

    /// Why the application cannot answer any more; the validator stops before it goes on with what it was told then.
    fn failed(&self) -> Option<String> {
        None
    }

    /// Takes the next final block; durable when it returns `Ok`. An error stops the validator. A validator that catches
    /// up takes blocks that it was never asked to verify: a quorum did.
    fn finalized(&self, block: &Block) -> Result<(), String>;

    /// Height of the newest block that [`Application::finalized`] took durably; 0 at genesis. Blocks up to it are not
    /// handed over again.
    fn finalized_height(&self) -> u64;
}

/// An application for rollups that execute elsewhere: takes every candidate as it is and accepts every block whose
/// commitment is the one of genesis.
#[derive(Debug, Default)]
pub struct OrderOnly {
    height: std::sync::atomic::AtomicU64,
}

impl Application for OrderOnly {
    fn genesis_commitment(&self) -> Bytes {
        Bytes::new()
    }

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        Some(Proposal { content: request.candidates, ..Proposal::default() })
    }

    fn verify(&self, _ancestors: &[Arc<Block>], block: &Block) -> bool {
        block.commitment.is_empty()
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        self.height.store(block.height, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    fn finalized_height(&self) -> u64 {
        self.height.load(std::sync::atomic::Ordering::Acquire)
    }
}
