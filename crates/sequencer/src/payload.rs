//! The payload of a block: its transactions and bundles as they are stored, sent and committed to.
//!
//! One run of bytes: a table of namespaces with the ends of their sections, a table of bundles, then per namespace a
//! section with a table of ends and the transactions one after the other (`docs/formats.md`). Whatever decodes encodes
//! to the same bytes, and keeps every limit of a block. A payload never changes, so what is computed from it is
//! computed once.

use crate::content::{Bundle, Content, Entry, Hash, Transaction, bundle_hash_in};
use crate::erasure;
use crate::limits::{
    BLOCK_PAYLOAD_BYTES_MAX, BUNDLES_MAX, ENTRY_OVERHEAD_BYTES, NAMESPACES_MAX, PAYLOAD_OVERHEAD_BYTES,
    TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX,
};
use crate::namespaces::Trees;
use bytes::{BufMut as _, Bytes, BytesMut};
use proof::bundle::{self, Position};
use std::sync::{Arc, OnceLock};

/// Transactions that cannot stand in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The bytes are not the encoding of a payload.
    #[error("{bytes} bytes do not decode as a payload: {reason}")]
    Malformed {
        /// Length of the input.
        bytes: usize,
        /// What was wrong.
        reason: &'static str,
    },
    /// Namespaces are out of order or twice there.
    #[error("namespace {0} does not ascend")]
    Order(u64),
    /// A namespace has no transactions.
    #[error("namespace {0} has no transactions")]
    Empty(u64),
    /// A transaction is empty or too large.
    #[error("a transaction of namespace {namespace} has {bytes} bytes, allowed are 1 to {TRANSACTION_BYTES_MAX}")]
    Transaction {
        /// Namespace.
        namespace: u64,
        /// Its length.
        bytes: usize,
    },
    /// More namespaces, bundles, transactions or bytes than a block may have.
    #[error("{found} {what}, a block has at most {limit}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
    /// A bundle is broken.
    #[error("bundle {number} {reason}")]
    Bundle {
        /// Its position among the bundles.
        number: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

struct Sealed {
    encoded: Bytes,
    content: Content,
    trees: OnceLock<Trees>,
    erasure_root: OnceLock<Hash>,
}

/// The transactions and bundles of a block. Cheap to clone.
#[derive(Clone)]
pub struct Payload(Arc<Sealed>);

impl Payload {
    /// Checks `content` against every limit and encodes it.
    pub fn new(content: Content) -> Result<Self, PayloadError> {
        check(&content)?;
        Ok(Self::sealed(encode(&content), content))
    }

    /// Decodes a payload; its transactions share the memory of `encoded`.
    pub fn decode(encoded: Bytes) -> Result<Self, PayloadError> {
        limit("bytes", encoded.len(), BLOCK_PAYLOAD_BYTES_MAX)?;
        let malformed = |reason| PayloadError::Malformed { bytes: encoded.len(), reason };
        let content = decode(&encoded).map_err(malformed)?;
        check(&content)?;
        Ok(Self::sealed(encoded, content))
    }

    fn sealed(encoded: Bytes, content: Content) -> Self {
        Self(Arc::new(Sealed { encoded, content, trees: OnceLock::new(), erasure_root: OnceLock::new() }))
    }

    /// Transactions by namespace, ascending.
    pub fn entries(&self) -> &[Entry] {
        &self.0.content.entries
    }

    /// Bundles, in the order of the block.
    pub fn bundles(&self) -> &[Bundle] {
        &self.0.content.bundles
    }

    /// Transactions of `namespace`, in order; empty if it has none.
    pub fn transactions(&self, namespace: u64) -> &[Transaction] {
        self.0.content.entry(namespace).map_or(&[], Entry::transactions)
    }

    /// Names of the bundles, in the order of the block.
    pub fn bundle_hashes(&self) -> impl Iterator<Item = Hash> {
        let hash = |bundle| bundle_hash_in(self.entries(), bundle).expect("positions were checked");
        self.bundles().iter().map(hash)
    }

    /// Transactions in all namespaces.
    pub fn transaction_count(&self) -> usize {
        self.entries().iter().map(|entry| entry.transactions().len()).sum()
    }

    /// The encoding, at most [`BLOCK_PAYLOAD_BYTES_MAX`] bytes.
    pub fn encoded(&self) -> &Bytes {
        &self.0.encoded
    }

    /// Root over the namespaces and their transactions.
    pub fn namespaces_root(&self) -> Hash {
        self.trees().namespaces_root
    }

    /// Root over the bundles.
    pub fn bundles_root(&self) -> Hash {
        self.trees().bundles_root
    }

    /// What the header commits to of namespaces and bundles. Hashes every transaction when it is first asked.
    pub(crate) fn trees(&self) -> &Trees {
        self.0.trees.get_or_init(|| Trees::new(self))
    }

    /// Root over the shards of the payload. Encodes and hashes them when it is first asked.
    pub fn erasure_root(&self) -> Hash {
        *self.0.erasure_root.get_or_init(|| erasure::root(self.encoded()))
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new(Content::default()).expect("nothing is within every limit")
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }
}

impl Eq for Payload {}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload").field("entries", &self.entries()).field("bundles", &self.bundles()).finish()
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), PayloadError> {
    if found > limit {
        return Err(PayloadError::TooMuch { what, found, limit });
    }
    Ok(())
}

fn check(content: &Content) -> Result<(), PayloadError> {
    let Content { entries, bundles } = content;
    limit("namespaces", entries.len(), NAMESPACES_MAX)?;
    limit("bundles", bundles.len(), BUNDLES_MAX)?;
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].namespace() >= pair[1].namespace()) {
        return Err(PayloadError::Order(pair[1].namespace()));
    }
    entries.iter().try_for_each(check_entry)?;
    limit("transactions", entries.iter().map(|entry| entry.transactions().len()).sum(), TRANSACTIONS_MAX)?;
    check_bundles(content)?;
    limit("bytes", encoded_bytes(content), BLOCK_PAYLOAD_BYTES_MAX)
}

fn check_entry(entry: &Entry) -> Result<(), PayloadError> {
    let namespace = entry.namespace();
    if entry.transactions().is_empty() {
        return Err(PayloadError::Empty(namespace));
    }
    let wrong = |bytes: &usize| !(1..=TRANSACTION_BYTES_MAX).contains(bytes);
    match entry.transactions().iter().map(Transaction::bytes).find(wrong) {
        Some(bytes) => Err(PayloadError::Transaction { namespace, bytes }),
        None => Ok(()),
    }
}

/// Checks that all transactions of each bundle are there, contiguous, and that bundles meet in the same order
/// everywhere.
fn check_bundles(content: &Content) -> Result<(), PayloadError> {
    // First position in each namespace that no bundle before has passed.
    let mut free = vec![0u32; content.entries.len()];
    for (number, bundle) in content.bundles.iter().enumerate() {
        let broken = |reason| PayloadError::Bundle { number, reason };
        let mut lengths = Vec::with_capacity(bundle.positions.len());
        if bundle.positions.len() > bundle::MEMBERS_MAX {
            return Err(broken("has too many transactions"));
        }
        for Position { namespace, index } in &bundle.positions {
            let place = content.entries.binary_search_by_key(namespace, Entry::namespace);
            let place = place.map_err(|_| broken("names a namespace that is not in the block"))?;
            let transaction = content.entries[place].transactions().get(*index as usize);
            lengths.push(transaction.ok_or_else(|| broken("names a transaction that is not in the block"))?.bytes());
            if *index < free[place] {
                return Err(broken("overlaps another one, or itself, or changes its order"));
            }
            free[place] = index + 1;
        }
        if bundle::scattered(&bundle.positions).is_some() {
            return Err(broken("is not contiguous"));
        }
        bundle::check_size(lengths.into_iter()).map_err(|_| broken("has too few transactions or too many bytes"))?;
    }
    Ok(())
}

/// Bytes of the encoding.
fn encoded_bytes(content: &Content) -> usize {
    let entries = content.entries.iter().map(|entry| entry_bytes(entry.payloads().map(Bytes::len))).sum::<usize>();
    let bundles = content.bundles.iter().map(|bundle| bundle_bytes(bundle.positions.len())).sum::<usize>();
    PAYLOAD_OVERHEAD_BYTES + entries + bundles
}

/// Bytes that a namespace with transactions of these lengths takes in a payload.
pub(crate) fn entry_bytes(lengths: impl Iterator<Item = usize>) -> usize {
    ENTRY_OVERHEAD_BYTES + lengths.map(transaction_bytes).sum::<usize>()
}

/// Bytes that a transaction takes in a payload, less those of a namespace that only it has.
pub(crate) const fn transaction_bytes(length: usize) -> usize {
    4 + length
}

/// Bytes that a bundle takes in a payload beyond its transactions.
pub(crate) const fn bundle_bytes(members: usize) -> usize {
    2 + 6 * members
}

fn encode(content: &Content) -> Bytes {
    let mut bytes = BytesMut::with_capacity(encoded_bytes(content));
    bytes.put_u32(content.entries.len() as u32);
    bytes.put_u32(content.bundles.len() as u32);
    let bundles = content.bundles.iter().map(|bundle| bundle_bytes(bundle.positions.len())).sum::<usize>();
    let mut end = PAYLOAD_OVERHEAD_BYTES + 12 * content.entries.len() + bundles;
    for entry in &content.entries {
        // A row of the table has 12 bytes of the overhead, the section all else.
        end += entry_bytes(entry.payloads().map(Bytes::len)) - 12;
        bytes.put_u64(entry.namespace());
        bytes.put_u32(end as u32);
    }
    for bundle in &content.bundles {
        bytes.put_u16(bundle.positions.len() as u16);
        for Position { namespace, index } in &bundle.positions {
            let place = content.entries.partition_point(|entry| entry.namespace() < *namespace);
            bytes.put_u16(place as u16);
            bytes.put_u32(*index);
        }
    }
    for entry in &content.entries {
        bytes.put_u32(entry.transactions().len() as u32);
        let mut end = 0;
        for payload in entry.payloads() {
            end += payload.len() as u32;
            bytes.put_u32(end);
        }
        entry.payloads().for_each(|payload| bytes.put_slice(payload));
    }
    bytes.freeze()
}

/// Numbers from the front of some bytes.
struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (array, _) = rest.split_first_chunk().ok_or("it ends too early")?;
        self.at += N;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_be_bytes)
    }

    /// A count of things that take at least `each` bytes, all of which may still follow.
    fn count(&mut self, each: usize, max: usize) -> Result<usize, &'static str> {
        let count = self.u32()? as usize;
        if count > max || count.saturating_mul(each) > self.bytes.len() - self.at {
            return Err("a table is too long");
        }
        Ok(count)
    }
}

/// Reads what has the shape of a payload; whether it is one is for [`check`] to say.
fn decode(bytes: &Bytes) -> Result<Content, &'static str> {
    let mut cursor = Cursor { bytes, at: 0 };
    let namespaces = cursor.count(12, NAMESPACES_MAX)?;
    let bundles = cursor.count(2, BUNDLES_MAX)?;
    let row = |cursor: &mut Cursor<'_>| Ok((u64::from_be_bytes(cursor.array()?), cursor.u32()? as usize));
    let rows = (0..namespaces).map(|_| row(&mut cursor)).collect::<Result<Vec<_>, &'static str>>()?;
    let bundles = (0..bundles).map(|_| read_bundle(&mut cursor, &rows)).collect::<Result<_, _>>()?;
    let mut entries = Vec::with_capacity(rows.len());
    for (namespace, end) in rows {
        entries.push(read_section(&mut cursor, namespace)?);
        if cursor.at != end {
            return Err("a section does not end where the table says");
        }
    }
    if cursor.at != bytes.len() {
        return Err("bytes follow the last section");
    }
    Ok(Content { entries, bundles })
}

fn read_bundle(cursor: &mut Cursor<'_>, rows: &[(u64, usize)]) -> Result<Bundle, &'static str> {
    let members = u16::from_be_bytes(cursor.array()?);
    let member = |cursor: &mut Cursor<'_>| -> Result<Position, &'static str> {
        let place = u16::from_be_bytes(cursor.array()?);
        let (namespace, _) = rows.get(usize::from(place)).ok_or("a bundle names a namespace that is not there")?;
        Ok(Position { namespace: *namespace, index: cursor.u32()? })
    };
    if usize::from(members) > bundle::MEMBERS_MAX {
        return Err("a bundle has too many transactions");
    }
    Ok(Bundle { positions: (0..members).map(|_| member(cursor)).collect::<Result<_, _>>()? })
}

fn read_section(cursor: &mut Cursor<'_>, namespace: u64) -> Result<Entry, &'static str> {
    let count = cursor.count(5, TRANSACTIONS_MAX)?;
    let first = cursor.at + 4 * count;
    let (mut transactions, mut start) = (Vec::with_capacity(count), 0);
    for _ in 0..count {
        let end = cursor.u32()? as usize;
        if end <= start || first + end > cursor.bytes.len() {
            return Err("an end of a transaction is out of range");
        }
        transactions.push(Transaction::from(cursor.bytes.slice(first + start..first + end)));
        start = end;
    }
    cursor.at = first + start;
    Ok(Entry::of(namespace, transactions))
}

#[cfg(test)]
mod tests;
