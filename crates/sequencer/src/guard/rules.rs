//! What may be signed after what was signed.
//!
//! Conditions 1 to 5 of EIP-3076, over every record and not over bounds alone. A record without a signing root matches
//! nothing, not even itself. Folding replaces old records by one without a root that has the highest source and the highest target
//! of them: what contradicted one of them is at or below its target, or has a source below its own and surrounds it.

use super::{Prune, RECORDS_PER_KEY_MAX, Record};
use std::collections::BTreeSet;
use std::fmt;

/// A vote from a source epoch to a target epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Epoch of the source.
    pub source: u64,
    /// Epoch of the target.
    pub target: u64,
    /// Signing root; `None` if it is not known.
    pub root: Option<[u8; 32]>,
}

/// A block, or whatever may be signed once for each slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// Slot.
    pub slot: u64,
    /// Signing root; `None` if it is not known.
    pub root: Option<[u8; 32]>,
}

/// Which rule a signature would break, and the record that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The source is later than the target.
    #[error("a vote from epoch {source_epoch} to epoch {target_epoch} goes backward")]
    Backward {
        /// Source.
        source_epoch: u64,
        /// Target.
        target_epoch: u64,
    },
    /// Another vote has the target (condition 3).
    #[error("vote {asked} has the target of vote {record}, which was signed before")]
    Double {
        /// What was asked for.
        asked: Attestation,
        /// What was signed.
        record: Attestation,
    },
    /// It surrounds another vote (condition 3).
    #[error("vote {asked} surrounds vote {record}, which was signed before")]
    Surrounds {
        /// What was asked for.
        asked: Attestation,
        /// What was signed.
        record: Attestation,
    },
    /// It is surrounded by another vote (condition 3).
    #[error("vote {asked} is surrounded by vote {record}, which was signed before")]
    Surrounded {
        /// What was asked for.
        asked: Attestation,
        /// What was signed.
        record: Attestation,
    },
    /// The source is below the lowest known (condition 4).
    #[error("vote {asked} has a source below that of vote {record}, the lowest known; what came before may be missing")]
    SourceBound {
        /// What was asked for.
        asked: Attestation,
        /// Record with the lowest source.
        record: Attestation,
    },
    /// The target is not above the lowest known (condition 5).
    #[error(
        "vote {asked} has a target not above that of vote {record}, the lowest known; what came before may be missing"
    )]
    TargetBound {
        /// What was asked for.
        asked: Attestation,
        /// Record with the lowest target.
        record: Attestation,
    },
    /// Another block has the slot (condition 1).
    #[error("{asked} has the slot of {record}, which was signed before")]
    DoubleBlock {
        /// What was asked for.
        asked: Block,
        /// What was signed.
        record: Block,
    },
    /// The slot is not above the lowest known (condition 2).
    #[error("{asked} is not above {record}, the lowest known; what came before may be missing")]
    SlotBound {
        /// What was asked for.
        asked: Block,
        /// Record with the lowest slot.
        record: Block,
    },
}

/// What may be signed is new or the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Repeat,
}

/// Everything that one key signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    attestations: BTreeSet<Attestation>,
    blocks: BTreeSet<Block>,
    attestation_bound: Option<Attestation>,
    block_bound: Option<Block>,
}

impl Attestation {
    fn is_repeat_of(&self, record: &Self) -> bool {
        self == record && self.root.is_some()
    }

    fn surrounds(&self, other: &Self) -> bool {
        self.source < other.source && other.target < self.target
    }

    fn check_against(&self, record: &Self) -> Result<(), Violation> {
        let (asked, record) = (*self, *record);
        if asked.target == record.target && !asked.is_repeat_of(&record) {
            return Err(Violation::Double { asked, record });
        }
        if asked.surrounds(&record) {
            return Err(Violation::Surrounds { asked, record });
        }
        if record.surrounds(&asked) {
            return Err(Violation::Surrounded { asked, record });
        }
        Ok(())
    }
}

/// By target, so that the oldest come first.
impl Ord for Attestation {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.target, self.source, self.root).cmp(&(other.target, other.source, other.root))
    }
}

impl PartialOrd for Attestation {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Attestation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}→{}", self.source, self.target)?;
        write_root(f, self.root)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.slot)?;
        write_root(f, self.root)
    }
}

fn write_root(f: &mut fmt::Formatter<'_>, root: Option<[u8; 32]>) -> fmt::Result {
    match root {
        Some(root) => write!(f, " (root 0x{}…)", hex::encode(&root[..4])),
        None => write!(f, " (root unknown)"),
    }
}

impl History {
    /// Conditions 3 to 5.
    pub fn check_attestation(&self, asked: &Attestation) -> Result<Verdict, Violation> {
        let asked = *asked;
        if asked.source > asked.target {
            return Err(Violation::Backward { source_epoch: asked.source, target_epoch: asked.target });
        }
        for record in self.all_attestations() {
            asked.check_against(record)?;
        }
        if self.attestations.contains(&asked) && asked.root.is_some() {
            return Ok(Verdict::Repeat);
        }
        let lowest_source = self.all_attestations().min_by_key(|record| record.source);
        if let Some(record) = lowest_source.filter(|record| asked.source < record.source) {
            return Err(Violation::SourceBound { asked, record: *record });
        }
        let lowest_target = self.all_attestations().min_by_key(|record| record.target);
        if let Some(record) = lowest_target.filter(|record| asked.target <= record.target) {
            return Err(Violation::TargetBound { asked, record: *record });
        }
        Ok(Verdict::New)
    }

    /// Conditions 1 and 2.
    pub fn check_block(&self, asked: &Block) -> Result<Verdict, Violation> {
        let asked = *asked;
        let is_repeat = |record: &Block| *record == asked && asked.root.is_some();
        let same_slot = |record: &&Block| record.slot == asked.slot && !is_repeat(record);
        if let Some(record) = self.all_blocks().find(same_slot) {
            return Err(Violation::DoubleBlock { asked, record: *record });
        }
        if self.blocks.contains(&asked) && asked.root.is_some() {
            return Ok(Verdict::Repeat);
        }
        let lowest = self.all_blocks().min_by_key(|record| record.slot);
        if let Some(record) = lowest.filter(|record| asked.slot <= record.slot) {
            return Err(Violation::SlotBound { asked, record: *record });
        }
        Ok(Verdict::New)
    }

    /// Adds a record; what the bound says already is not added again. True if it is new.
    pub fn insert(&mut self, record: Record) -> bool {
        let is_new = match record {
            Record::Attestation(attestation) => {
                let is_folded =
                    |bound: Attestation| attestation.target <= bound.target && attestation.source <= bound.source;
                !self.attestation_bound.is_some_and(is_folded) && self.attestations.insert(attestation)
            }
            Record::Block(block) => {
                self.block_bound.is_none_or(|bound| block.slot > bound.slot) && self.blocks.insert(block)
            }
            Record::AttestationBound(bound) => {
                self.fold_attestations(&[bound]);
                true
            }
            Record::BlockBound(bound) => {
                self.fold_blocks(&[bound]);
                true
            }
        };
        self.shorten();
        is_new
    }

    /// Folds what is below the limits.
    pub fn prune(&mut self, prune: Prune) {
        let kept = self.attestations.iter().filter(|record| record.target >= prune.target).count();
        self.fold_oldest_attestations(self.attestations.len() - kept);
        let kept = self.blocks.iter().filter(|record| record.slot >= prune.slot).count();
        self.fold_oldest_blocks(self.blocks.len() - kept);
    }

    /// Records, bounds first, so that reading them in this order gives the same history.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let bounds = (self.attestation_bound.map(Record::AttestationBound).into_iter())
            .chain(self.block_bound.map(Record::BlockBound));
        let attestations = self.attestations.iter().copied().map(Record::Attestation);
        bounds.chain(attestations).chain(self.blocks.iter().copied().map(Record::Block))
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        let bounds = usize::from(self.attestation_bound.is_some()) + usize::from(self.block_bound.is_some());
        bounds + self.attestations.len() + self.blocks.len()
    }

    /// Attestations for the outside, the bound as one without a root.
    pub fn all_attestations(&self) -> impl Iterator<Item = &Attestation> {
        self.attestation_bound.iter().chain(&self.attestations)
    }

    /// Blocks for the outside, the bound as one without a root.
    pub fn all_blocks(&self) -> impl Iterator<Item = &Block> {
        self.block_bound.iter().chain(&self.blocks)
    }

    fn shorten(&mut self) {
        if self.attestations.len() > RECORDS_PER_KEY_MAX {
            self.fold_oldest_attestations(self.attestations.len() / 2);
        }
        if self.blocks.len() > RECORDS_PER_KEY_MAX {
            self.fold_oldest_blocks(self.blocks.len() / 2);
        }
    }

    fn fold_oldest_attestations(&mut self, count: usize) {
        let folded: Vec<Attestation> = (0..count).map_while(|_| self.attestations.pop_first()).collect();
        self.fold_attestations(&folded);
    }

    fn fold_attestations(&mut self, folded: &[Attestation]) {
        let all = || folded.iter().chain(&self.attestation_bound);
        if let (Some(source), Some(target)) = (all().map(|a| a.source).max(), all().map(|a| a.target).max()) {
            self.attestation_bound = Some(Attestation { source, target, root: None });
            self.attestations.retain(|record| record.target > target || record.source > source);
        }
    }

    fn fold_oldest_blocks(&mut self, count: usize) {
        let folded: Vec<Block> = (0..count).map_while(|_| self.blocks.pop_first()).collect();
        self.fold_blocks(&folded);
    }

    fn fold_blocks(&mut self, folded: &[Block]) {
        if let Some(slot) = folded.iter().chain(&self.block_bound).map(|block| block.slot).max() {
            self.block_bound = Some(Block { slot, root: None });
            self.blocks.retain(|record| record.slot > slot);
        }
    }
}
