//! Whether a quorum of a known committee finalised a block.
//!
//! The sequencer's certificate is a finalization of simplex (one Ed25519 signature per member of a quorum over the
//! digest of a block) and, where that block is a descendant of the one to prove, the headers in between. Everything is
//! decoded strictly: each claim has one encoding. `docs/formats.md` has the bytes. This module decides exactly what the
//! sequencer's followers decide about the certificate; it does not repeat the check of the proposer's reveal, which
//! every member of the quorum made before it voted.

use crate::ed25519::{self, KEY_BYTES, SIGNATURE_BYTES};
use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// Members of a committee.
pub const COMMITTEE_MAX: usize = 256;
/// Headers in one certificate.
pub const HEADERS_MAX: usize = 1024;
/// Bytes of an encoded header.
pub const HEADER_BYTES_MAX: usize = PREFIX_BYTES + REVEAL_BYTES + SUFFIX_BYTES;
/// Bytes of an encoded certificate, for any committee.
pub const CERTIFICATE_BYTES_MAX: usize = 1024 * 512 + COMMITTEE_MAX * 72;

const REVEAL_BYTES: usize = crate::vrf::PROOF_BYTES;
/// Parent, height, view, timestamp, whether there is a reveal.
const PREFIX_BYTES: usize = 32 + 3 * 8 + 1;
/// Randomness, the three roots of the payload, commitment hash.
const SUFFIX_BYTES: usize = 5 * 32;

const _: () = assert!(4 + HEADERS_MAX * HEADER_BYTES_MAX + 64 + COMMITTEE_MAX * 66 <= CERTIFICATE_BYTES_MAX);

const NAMESPACE: &[u8] = b"kumo/sequencer/v1/";
const FINALIZE: &[u8] = b"_FINALIZE";
const HEADER_DOMAIN: &[u8] = b"kumo/block/header/v3";

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No members, too many, or the keys do not ascend.
    #[error("a committee has 1 to {COMMITTEE_MAX} strictly ascending keys, {0} were given")]
    Committee(usize),
    /// Not the encoding of a header.
    #[error("{0} bytes do not decode as a header")]
    Header(usize),
    /// Not the encoding of a certificate of this committee.
    #[error("{0} bytes do not decode as a certificate of this committee")]
    Certificate(usize),
    /// The certificate is about another block.
    #[error("the certificate does not lead to the block of height {0}")]
    Unrelated(u64),
    /// Fewer than a quorum signed, or a signature is false.
    #[error("the quorum certificate of height {0} does not verify")]
    Quorum(u64),
}

/// What a block's digest covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Digest of the parent; zero at genesis.
    pub parent: B256,
    /// Height; 0 at genesis.
    pub height: u64,
    /// Consensus view in which it was proposed.
    pub view: u64,
    /// Unix milliseconds.
    pub timestamp_millis: u64,
    /// Randomness of the block.
    pub randomness: B256,
    /// What [`crate::namespace`] proves transactions against.
    pub namespaces_root: B256,
    /// What [`crate::shard`] proves shards of the payload against.
    pub erasure_root: B256,
    /// What [`crate::bundle`] proves bundles against.
    pub bundles_root: B256,
    /// SHA-256 of the application's commitment, for the settlement chain the RLP of its header.
    pub commitment_hash: B256,
    /// Digest of the block: SHA-256 over a domain and the encoded header.
    pub digest: B256,
}

/// A claim that a block is final, decoded but not believed yet.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    header: Header,
    /// What the quorum signed: namespace and proposal.
    message: Vec<u8>,
    /// Keys and signatures.
    votes: Vec<(&'a B256, &'a [u8; SIGNATURE_BYTES])>,
    quorum: usize,
}

impl Header {
    /// Decodes exactly one header.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let header = Self::read(&mut rest)?;
        rest.is_empty().then_some(header)
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let all = *bytes;
        let parent = word(bytes)?;
        let (height, view, timestamp_millis) = (number(bytes)?, number(bytes)?, number(bytes)?);
        let revealed = match take::<1>(bytes)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        if revealed == (height == 0) {
            return None;
        }
        if revealed {
            take::<REVEAL_BYTES>(bytes)?;
        }
        let randomness = word(bytes)?;
        let (namespaces_root, erasure_root, bundles_root) = (word(bytes)?, word(bytes)?, word(bytes)?);
        let commitment_hash = word(bytes)?;
        let encoded = &all[..all.len() - bytes.len()];
        let digest = B256::from_slice(&Sha256::new().chain_update(HEADER_DOMAIN).chain_update(encoded).finalize());
        Some(Self {
            parent,
            height,
            view,
            timestamp_millis,
            randomness,
            namespaces_root,
            erasure_root,
            bundles_root,
            commitment_hash,
            digest,
        })
    }
}

impl<'a> Claim<'a> {
    /// Decodes the claim that `committee` (keys strictly ascending) of the network with `chain_id` finalised the block
    /// with this header. Which heights a committee orders is the caller's to know; the number of the committee (the
    /// consensus epoch) is signed, and not compared with anything here. Everything but the signatures is checked: shape, ancestry, and the size of the quorum.
    pub fn decode(
        chain_id: u64,
        committee: &'a [B256],
        header: &[u8],
        certificate: &'a [u8],
    ) -> Result<Self, CertificateError> {
        if committee.len() > COMMITTEE_MAX || committee.is_empty() || !committee.is_sorted_by(|a, b| a < b) {
            return Err(CertificateError::Committee(committee.len()));
        }
        let header = Header::decode(header).ok_or(CertificateError::Header(header.len()))?;
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::Certificate(certificate.len()));
        }
        let parsed = Parsed::read(certificate, committee.len());
        let parsed = parsed.ok_or(CertificateError::Certificate(certificate.len()))?;
        let height = header.height;
        let (mut digest, mut view) = (header.digest, header.view);
        for descendant in &parsed.descendants {
            if descendant.parent != digest {
                return Err(CertificateError::Unrelated(height));
            }
            (digest, view) = (descendant.digest, descendant.view);
        }
        // The last block of a committee is proposed again in later views until one of them makes it final.
        if parsed.payload != digest || parsed.view < view {
            return Err(CertificateError::Unrelated(height));
        }
        // More than two thirds: at most (n - 1) / 3 members are taken to be faulty.
        let quorum = committee.len() - (committee.len() - 1) / 3;
        if parsed.members != committee.len() || parsed.signatures.len() < quorum {
            return Err(CertificateError::Quorum(height));
        }
        let votes = parsed.signers.iter().map(|index| &committee[*index]).zip(parsed.signatures).collect();
        Ok(Self { header, message: message(chain_id, parsed.proposal), votes, quorum })
    }

    /// Signatures that [`Claim::verify`] checks, which is nearly all of its cost.
    pub fn signatures(&self) -> usize {
        self.votes.len()
    }

    /// Signatures that are needed: more than two thirds of the committee.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Checks all signatures; the header is then final.
    pub fn verify(self) -> Result<Header, CertificateError> {
        let valid = |(key, signature): &(&B256, &[u8; SIGNATURE_BYTES])| {
            let key: &[u8; KEY_BYTES] = key;
            ed25519::verify(key, &[&self.message], signature)
        };
        match self.votes.iter().all(valid) {
            true => Ok(self.header),
            false => Err(CertificateError::Quorum(self.header.height)),
        }
    }
}

/// Decodes and verifies in one step, see [`Claim`].
pub fn verify(
    chain_id: u64,
    committee: &[B256],
    header: &[u8],
    certificate: &[u8],
) -> Result<Header, CertificateError> {
    Claim::decode(chain_id, committee, header, certificate)?.verify()
}

/// What is signed: the length of the namespace, the namespace, the proposal.
fn message(chain_id: u64, proposal: &[u8]) -> Vec<u8> {
    let namespace = [NAMESPACE, &chain_id.to_be_bytes(), FINALIZE].concat();
    let length = u8::try_from(namespace.len()).expect("it has 35 bytes, which are one byte of a varint");
    [&[length], namespace.as_slice(), proposal].concat()
}

/// A certificate as it is encoded.
struct Parsed<'a> {
    descendants: Vec<Header>,
    /// The bytes that hold the next four fields and the parent's view.
    proposal: &'a [u8],
    view: u64,
    payload: B256,
    /// Bits in the bitmap of signers.
    members: usize,
    /// Positions of the signers among the keys, ascending.
    signers: Vec<usize>,
    signatures: Vec<&'a [u8; SIGNATURE_BYTES]>,
}

impl<'a> Parsed<'a> {
    fn read(mut bytes: &'a [u8], committee: usize) -> Option<Self> {
        let bytes = &mut bytes;
        let count = u32::from_be_bytes(*take(bytes)?) as usize;
        if count > HEADERS_MAX {
            return None;
        }
        let descendants = (0..count).map(|_| Header::read(bytes)).collect::<Option<Vec<_>>>()?;
        let all = *bytes;
        let (_epoch, view, _parent_view) = (varint(bytes)?, varint(bytes)?, varint(bytes)?);
        let payload = word(bytes)?;
        let proposal = &all[..all.len() - bytes.len()];
        let (members, signers) = bitmap(bytes, committee)?;
        let count = usize::try_from(varint(bytes)?).ok()?;
        if signers.is_empty() || count != signers.len() {
            return None;
        }
        let signatures = (0..count).map(|_| take(bytes)).collect::<Option<Vec<_>>>()?;
        let parsed = Self { descendants, proposal, view, payload, members, signers, signatures };
        bytes.is_empty().then_some(parsed)
    }
}

/// Length and set bits of a bitmap of at most `max` bits; padding must be zero.
fn bitmap(bytes: &mut &[u8], max: usize) -> Option<(usize, Vec<usize>)> {
    let length = usize::try_from(number(bytes)?).ok().filter(|length| *length <= max)?;
    let (bits, rest) = bytes.split_at_checked(length.div_ceil(8))?;
    *bytes = rest;
    let set: Vec<usize> = (0..bits.len() * 8).filter(|bit| bits[bit / 8] >> (bit % 8) & 1 == 1).collect();
    set.last().is_none_or(|last| *last < length).then_some((length, set))
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

fn word(bytes: &mut &[u8]) -> Option<B256> {
    take(bytes).map(|word: &[u8; 32]| B256::from(*word))
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(|number| u64::from_be_bytes(*number))
}

/// An unsigned LEB128 number in its shortest form.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = *take(bytes)?;
        let low = u64::from(byte & 0x7f);
        if (byte == 0 && shift > 0) || low << shift >> shift != low {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
