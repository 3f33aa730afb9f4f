//! The block content that names the next committee.
//!
//! ```text
//! announcement = first height (8) ‖ count (2) ‖ validator…
//! validator    = consensus key (32) ‖ randomness key (32) ‖ vote key (96) ‖ possession (48)
//!                ‖ length (1) ‖ p2p address ‖ length (1) ‖ API URL
//! ```

use crate::limits::{API_BYTES_MAX, COMMITTEE_MAX, P2P_BYTES_MAX};
use protocol::network::Validator;

const CONSENSUS_BYTES: usize = 32;
const RANDOMNESS_BYTES: usize = proof::vrf::KEY_BYTES;
const VOTE_BYTES: usize = 96;
const POSSESSION_BYTES: usize = 48;
const KEYS_BYTES: usize = CONSENSUS_BYTES + RANDOMNESS_BYTES + VOTE_BYTES + POSSESSION_BYTES;

/// Bytes of an announcement.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 8 + 2 + COMMITTEE_MAX * (KEYS_BYTES + 1 + P2P_BYTES_MAX + 1 + API_BYTES_MAX);

const _: () = assert!(P2P_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(API_BYTES_MAX <= u8::MAX as usize);

/// The bytes announce no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not decode as the announcement of a committee")]
pub struct AnnouncementError(pub usize);

/// Who orders the blocks from a height on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// First height of the committee.
    pub first: u64,
    /// Its validators, in the order of their seats.
    pub validators: Vec<Validator>,
}

impl Announcement {
    /// The bytes; `None` if a key is no key of its length, or a list or text is too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let count = u16::try_from(self.validators.len()).ok()?;
        if self.validators.len() > COMMITTEE_MAX {
            return None;
        }
        let mut out = [&self.first.to_be_bytes()[..], &count.to_be_bytes()].concat();
        for validator in &self.validators {
            write_key(&mut out, &validator.public_key, CONSENSUS_BYTES)?;
            write_key(&mut out, &validator.randomness_key, RANDOMNESS_BYTES)?;
            write_key(&mut out, &validator.vote_key, VOTE_BYTES)?;
            write_key(&mut out, &validator.vote_possession, POSSESSION_BYTES)?;
            write_text(&mut out, &validator.p2p, P2P_BYTES_MAX)?;
            write_text(&mut out, &validator.api, API_BYTES_MAX)?;
        }
        Some(out)
    }

    /// Decodes [`Announcement::encode`], exactly. Whether the keys are keys is not checked.
    ///
    /// # Errors
    /// When the bytes are not one announcement.
    pub fn decode(bytes: &[u8]) -> Result<Self, AnnouncementError> {
        let fail = AnnouncementError(bytes.len());
        let mut rest = bytes;
        let announcement = Self::read(&mut rest).ok_or(fail)?;
        if rest.is_empty() { Ok(announcement) } else { Err(fail) }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let first = u64::from_be_bytes(take(bytes, 8)?.try_into().ok()?);
        let count = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?) as usize;
        if count > COMMITTEE_MAX {
            return None;
        }
        let validators = (0..count).map(|_| read_validator(bytes)).collect::<Option<_>>()?;
        Some(Self { first, validators })
    }
}

fn write_key(out: &mut Vec<u8>, key: &str, bytes: usize) -> Option<()> {
    let decoded = hex::decode(key).ok().filter(|decoded| decoded.len() == bytes)?;
    out.extend(decoded);
    Some(())
}

fn write_text(out: &mut Vec<u8>, text: &str, limit: usize) -> Option<()> {
    let length = u8::try_from(text.len()).ok().filter(|_| text.len() <= limit)?;
    out.push(length);
    out.extend(text.as_bytes());
    Some(())
}

fn read_validator(bytes: &mut &[u8]) -> Option<Validator> {
    Some(Validator {
        public_key: hex::encode(take(bytes, CONSENSUS_BYTES)?),
        randomness_key: hex::encode(take(bytes, RANDOMNESS_BYTES)?),
        vote_key: hex::encode(take(bytes, VOTE_BYTES)?),
        vote_possession: hex::encode(take(bytes, POSSESSION_BYTES)?),
        p2p: read_text(bytes, P2P_BYTES_MAX)?,
        api: read_text(bytes, API_BYTES_MAX)?,
    })
}

fn read_text(bytes: &mut &[u8], limit: usize) -> Option<String> {
    let length = usize::from(take(bytes, 1)?[0]);
    if length > limit {
        return None;
    }
    Some(std::str::from_utf8(take(bytes, length)?).ok()?.to_owned())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
