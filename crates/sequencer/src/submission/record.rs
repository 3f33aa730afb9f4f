//! The records of the journal, which are also what validators hand to each other.
//!
//! ```text
//! accepted:  1 ‖ expires (8) ‖ transactions (2) ‖ (namespace (8) ‖ length (4))… ‖ bytes…      2 to 64 are a bundle
//! ended:     2 ‖ how (1): 1 final, 2 expired, 3 rejected ‖ height (8) ‖ hash (32)
//! ```
//! Integers are big endian. One record has one encoding.

use super::{Ended, Submission};
use crate::content::Hash;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use proof::bundle::{BUNDLE_BYTES_MAX, MEMBERS_MAX};

const ACCEPTED: u8 = 1;
const ENDED: u8 = 2;

/// Bytes of an encoded record.
pub(crate) const RECORD_BYTES_MAX: usize = 11 + 12 * MEMBERS_MAX + BUNDLE_BYTES_MAX;

/// Something that happened to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// It was accepted, until the height `expires`.
    Accepted { expires: u64, submission: Submission },
    /// It is over.
    Ended { hash: Hash, how: Ended, height: u64 },
}

impl Record {
    /// Adds the encoding to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Accepted { expires, submission } => {
                out.put_u8(ACCEPTED);
                out.put_u64(*expires);
                match submission {
                    Submission::Transaction(namespace, payload) => write_members(out, &[(*namespace, payload)]),
                    Submission::Bundle(members) => {
                        let members: Vec<_> =
                            members.iter().map(|(namespace, payload)| (*namespace, payload)).collect();
                        write_members(out, &members);
                    }
                }
            }
            Self::Ended { hash, how, height } => {
                out.put_u8(ENDED);
                out.put_u8(match how {
                    Ended::Final => 1,
                    Ended::Expired => 2,
                    Ended::Rejected => 3,
                });
                out.put_u64(*height);
                out.put_slice(hash);
            }
        }
    }

    /// Bytes of the encoding.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Accepted { submission: Submission::Transaction(_, payload), .. } => 11 + 12 + payload.len(),
            Self::Accepted { submission: Submission::Bundle(members), .. } => {
                11 + members.iter().map(|(_, payload)| 12 + payload.len()).sum::<usize>()
            }
            Self::Ended { .. } => 42,
        }
    }

    /// Reads exactly one record; its transactions share the memory of `bytes`. Sizes beyond the limits of a submission
    /// are for [`Submission::check`] to refuse.
    pub fn read(mut bytes: Bytes) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            ACCEPTED => {
                let expires = bytes.try_get_u64().ok()?;
                Some(Self::Accepted { expires, submission: read_members(bytes)? })
            }
            ENDED => {
                let how = match bytes.try_get_u8().ok()? {
                    1 => Ended::Final,
                    2 => Ended::Expired,
                    3 => Ended::Rejected,
                    _ => return None,
                };
                let height = bytes.try_get_u64().ok()?;
                Some(Self::Ended { how, height, hash: bytes.as_ref().try_into().ok()? })
            }
            _ => None,
        }
    }
}

fn write_members(out: &mut BytesMut, members: &[(u64, &Bytes)]) {
    out.put_u16(members.len() as u16);
    for (namespace, payload) in members {
        out.put_u64(*namespace);
        out.put_u32(payload.len() as u32);
    }
    members.iter().for_each(|(_, payload)| out.put_slice(payload));
}

fn read_members(mut bytes: Bytes) -> Option<Submission> {
    let count = usize::from(bytes.try_get_u16().ok()?);
    if !(1..=MEMBERS_MAX).contains(&count) || bytes.len() < 12 * count {
        return None;
    }
    let table: Vec<(u64, usize)> = (0..count).map(|_| (bytes.get_u64(), bytes.get_u32() as usize)).collect();
    let mut members = Vec::with_capacity(count);
    for (namespace, length) in table {
        if length > bytes.len() {
            return None;
        }
        members.push((namespace, bytes.split_to(length)));
    }
    if !bytes.is_empty() {
        return None;
    }
    match members.as_slice() {
        [(namespace, payload)] => Some(Submission::Transaction(*namespace, payload.clone())),
        _ => Some(Submission::Bundle(members)),
    }
}
