//! What blocks say about the lane, in the namespace of the protocol.

use super::{LANE_KEY_BYTES, LaneKey, OPENING_BYTES, Opening};
use crate::certificate::{COMMITTEE_MAX, Header};
use crate::namespace::{NamespaceError, TransactionProof};
use crate::reader::Reader;
use alloy_primitives::{B256, Bytes};

/// First byte of every transaction of the lane in namespace 0.
pub const KIND: u8 = 4;
/// Bytes of what one dealer publishes: a commitment to its polynomial, and an acknowledgement of each member or its share.
pub const DEALING_BYTES_MAX: usize = 40 * 1024;

const OPENING: u8 = 1;
const FRONT: u8 = 2;
const DEALING: u8 = 3;
const KEY: u8 = 4;

/// The bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are neither opening nor front nor dealing nor key of the encrypted lane")]
pub struct RecordError(pub usize);

/// One transaction of the lane in namespace 0.
///
/// ```text
/// 4 ‖ 1 ‖ target height (8) ‖ opening (96)
/// 4 ‖ 2 ‖ taken (4) ‖ included (4)
/// 4 ‖ 3 ‖ round (8) ‖ dealing
/// 4 ‖ 4 ‖ round (8) ‖ first height (8) ‖ lane key (48) ‖ required (4) ‖ members (4) ‖ consensus keys (32 each)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// From this block on everybody can open the envelopes for the target.
    Opening {
        /// Height that they were encrypted to.
        target: u64,
        /// What opens them.
        opening: Opening,
    },
    /// How far this block comes with opened transactions of the namespace that is executed.
    Front {
        /// How many it settles, the first ones that are due.
        taken: u32,
        /// How many of them stand at the front of the namespace; the others could not be executed at their place.
        included: u32,
    },
    /// What one dealer publishes in a round in which validators make or hand over the key.
    Dealing {
        /// Number of the round, from 1.
        round: u64,
        /// Signed by the dealer; at most [`DEALING_BYTES_MAX`] bytes. Validators check it before they vote.
        dealing: Bytes,
    },
    /// Who holds the key that a round made.
    Key(KeyRecord),
}

/// The key of the lane and who opens with it, as a final block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The round that made these shares.
    pub round: u64,
    /// First height from which on these members make the openings.
    pub first: u64,
    /// What senders encrypt to. It stays when the shares are handed to another committee.
    pub key: LaneKey,
    /// How many members make an opening together.
    pub required: u32,
    /// Consensus keys of the members, ascending; 1 to 256 of them.
    pub members: Vec<B256>,
}

/// A key is not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The record does not stand in the block.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// What stands there is something else.
    #[error("transaction {0} of namespace 0 names no key of the encrypted lane")]
    Record(u32),
    /// It is shared among others.
    #[error(
        "{shares} validators share the key of the encrypted lane from height {first} on, and they are not the committee"
    )]
    Members {
        /// How many do.
        shares: usize,
        /// From which height on.
        first: u64,
    },
    /// Fewer could open than are needed for a block.
    #[error("{required} of {shares} validators open, it must be {quorum}")]
    Required {
        /// How many do.
        required: u32,
        /// How many share the key.
        shares: usize,
        /// How many finalise a block.
        quorum: u32,
    },
}

impl KeyRecord {
    /// The record in a final block, whose `header` a certificate has proven: `proof` shows a transaction of namespace 0.
    ///
    /// # Errors
    /// When it is not there, or not one of these.
    pub fn prove(header: &Header, proof: &TransactionProof) -> Result<Self, KeyError> {
        let bytes = proof.verify(header.namespaces_root, 0, proof.index)?;
        match Record::decode(bytes) {
            Ok(Record::Key(record)) => Ok(record),
            _ => Err(KeyError::Record(proof.index)),
        }
    }

    /// Whether the key is shared among `committee` (keys ascending), and a quorum of it is needed to open.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, committee: &[B256]) -> Result<&LaneKey, KeyError> {
        let (shares, first, required) = (self.members.len(), self.first, self.required);
        if self.members != committee {
            return Err(KeyError::Members { shares, first });
        }
        let quorum = (shares - shares.saturating_sub(1) / 3) as u32;
        if required != quorum {
            return Err(KeyError::Required { required, shares, quorum });
        }
        Ok(&self.key)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (round, first) = (reader.u64()?, reader.u64()?);
        let key = LaneKey::decode(&reader.array::<LANE_KEY_BYTES>()?).ok()?;
        let required = reader.u32()?;
        let count = reader.u32().filter(|count| (1..=COMMITTEE_MAX as u32).contains(count))?;
        let members = reader.words(count as usize)?;
        let is_right = members.is_sorted_by(|one, other| one < other) && (1..=count).contains(&required);
        is_right.then_some(Self { round, first, key, required, members })
    }

    fn encode(&self) -> Vec<u8> {
        let Self { round, first, key, required, members } = self;
        let mut bytes = [&[KIND, KEY][..], &round.to_be_bytes(), &first.to_be_bytes(), key.bytes()].concat();
        bytes.extend(required.to_be_bytes());
        bytes.extend((members.len() as u32).to_be_bytes());
        bytes.extend(members.iter().flatten());
        bytes
    }
}

impl Record {
    /// Decodes what [`Record::encode`] gives.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let read = || {
            let mut reader = Reader(bytes.strip_prefix(&[KIND])?);
            match reader.array::<1>()? {
                [OPENING] => {
                    let (target, opening) = (reader.u64()?, Opening(reader.array::<OPENING_BYTES>()?));
                    reader.end(Self::Opening { target, opening })
                }
                [FRONT] => {
                    let (taken, included) = (reader.u32()?, reader.u32()?);
                    reader.end(Self::Front { taken, included })
                }
                [DEALING] => {
                    let (round, length) = (reader.u64()?, reader.0.len());
                    let dealing = reader.bytes(length).filter(|_| (1..=DEALING_BYTES_MAX).contains(&length))?;
                    reader.end(Self::Dealing { round, dealing })
                }
                [KEY] => {
                    let record = KeyRecord::read(&mut reader)?;
                    reader.end(Self::Key(record))
                }
                _ => None,
            }
        };
        read().ok_or(RecordError(bytes.len()))
    }

    /// The transaction.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Opening { target, opening } => [&[KIND, OPENING][..], &target.to_be_bytes(), &opening.0].concat(),
            Self::Front { taken, included } => {
                [&[KIND, FRONT][..], &taken.to_be_bytes(), &included.to_be_bytes()].concat()
            }
            Self::Dealing { round, dealing } => [&[KIND, DEALING][..], &round.to_be_bytes(), dealing].concat(),
            Self::Key(record) => record.encode(),
        }
    }
}
