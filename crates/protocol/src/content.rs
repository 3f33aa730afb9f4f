//! Content addresses: CIDv1 over SHA-256, and the bridge between a CID and the 32 bytes that the chain keeps.

use alloy_primitives::B256;
use cid::Cid;
use multihash::Multihash;
use sha2::{Digest, Sha256};

/// Multicodec of raw bytes.
pub const RAW: u64 = 0x55;
/// Multicodec of dag-pb (UnixFS nodes).
pub const DAG_PB: u64 = 0x70;
/// Multihash code of SHA-256.
pub const SHA2_256: u64 = 0x12;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> B256 {
    B256::from_slice(Sha256::digest(bytes).as_slice())
}

/// CIDv1 with `codec` for content whose SHA-256 is `digest`.
pub fn cid_of_digest(codec: u64, digest: B256) -> Cid {
    let hash = Multihash::wrap(SHA2_256, digest.as_slice()).expect("32 bytes fit a 64-byte multihash");
    Cid::new_v1(codec, hash)
}

/// CIDv1 with the raw codec of `bytes`: how job specifications and output manifests are addressed.
pub fn raw_cid(bytes: &[u8]) -> Cid {
    cid_of_digest(RAW, sha256(bytes))
}

/// The SHA-256 inside `cid`, or `None` when it uses another hash function.
pub fn digest_of_cid(cid: &Cid) -> Option<B256> {
    let hash = cid.hash();
    (hash.code() == SHA2_256 && hash.digest().len() == 32).then(|| B256::from_slice(hash.digest()))
}

/// Whether `bytes` are what `cid` names.
pub fn matches(cid: &Cid, bytes: &[u8]) -> bool {
    digest_of_cid(cid) == Some(sha256(bytes))
}
