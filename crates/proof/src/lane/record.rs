//! What blocks say about the lane, in the namespace of the protocol.

use super::{OPENING_BYTES, Opening};
use crate::reader::Reader;

/// First byte of every transaction of the lane in namespace 0.
pub const KIND: u8 = 4;

const OPENING: u8 = 1;
const FRONT: u8 = 2;

/// The bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are neither opening nor front of the encrypted lane")]
pub struct RecordError(pub usize);

/// One transaction of the lane in namespace 0.
///
/// ```text
/// 4 ‖ 1 ‖ target height (8) ‖ opening (96)
/// 4 ‖ 2 ‖ taken (4) ‖ included (4)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        }
    }
}
