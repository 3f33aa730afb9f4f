//! Named maxima of everything that grows: transactions, blocks, queues, proofs, files.
//!
//! Limits that a validator checks before it votes are constants of the protocol; what one validator merely prefers
//! (how full its own proposals are, how much it queues) is in [`Limits`].

/// Bytes of one transaction (1..=131_072).
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;

/// Bytes that a transaction counts in a block beyond its payload.
pub const TRANSACTION_OVERHEAD_BYTES: usize = 8;

/// Bytes that a namespace counts in a block beyond its transactions.
pub const ENTRY_OVERHEAD_BYTES: usize = 16;

/// Bytes that all entries of a valid block may count, overheads included (4 MiB).
pub const BLOCK_PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the application's commitment in a block; an Ethereum header takes about 700.
pub const COMMITMENT_BYTES_MAX: usize = 4096;

/// Bytes of an encoded header: fixed fields, the reveal and two digests.
pub const HEADER_BYTES_MAX: usize = 512;

/// Bytes of an encoded block.
pub const BLOCK_BYTES_MAX: usize = BLOCK_PAYLOAD_BYTES_MAX + COMMITMENT_BYTES_MAX + HEADER_BYTES_MAX;

/// Bytes of one message between validators: a block with its certificate and framing.
pub const MESSAGE_BYTES_MAX: usize = BLOCK_BYTES_MAX + 64 * 1024;

/// Validators in a committee.
pub const COMMITTEE_MAX: usize = 256;

/// Headers between a block and the descendant whose quorum certificate proves it.
///
/// A block without a certificate of its own is rare: its view must have been abandoned by some after a quorum had
/// already notarised it.
pub const CERTIFICATE_HEADERS_MAX: usize = 1024;

/// Bytes of an encoded certificate.
pub const CERTIFICATE_BYTES_MAX: usize = CERTIFICATE_HEADERS_MAX * HEADER_BYTES_MAX + COMMITTEE_MAX * 72;

/// How far ahead of a voter's clock a block's timestamp may be, in milliseconds; the vote waits until it is nearer.
pub const CLOCK_DRIFT_MILLIS_MAX: u64 = 2_000;

/// Unfinalised ancestors handed to the application; beyond it the validator waits for the application to catch up.
pub const ANCESTORS_MAX: usize = 64;

/// Blocks in one answer of [`Sequencer::finalized`](crate::Sequencer::finalized).
pub const FINALIZED_BLOCKS_MAX: usize = 256;

/// Bytes of blocks and certificates in one answer of [`Sequencer::finalized`](crate::Sequencer::finalized), after
/// which it ends early; the first block is always in it.
pub const FINALIZED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest pace that can be configured, in milliseconds.
pub const BLOCK_MILLIS_MAX: u64 = 60_000;

/// Hashes of final transactions remembered, so that a late copy is not ordered again.
pub const RECENT_TRANSACTIONS_MAX: usize = 65_536;

/// Final blocks read at start to fill the set of recent transactions.
pub const RECENT_BLOCKS_MAX: u64 = 64;

/// Bytes of the evidence file; when it is full, evidence is still counted and logged.
pub const EVIDENCE_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const _: () =
    assert!(TRANSACTION_BYTES_MAX + TRANSACTION_OVERHEAD_BYTES + ENTRY_OVERHEAD_BYTES <= BLOCK_PAYLOAD_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES_MAX <= FINALIZED_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= u32::MAX as usize);

/// What one validator chooses for itself; validators may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the entries of its own proposals may count (131_096..=4 MiB), see [`BLOCK_PAYLOAD_BYTES_MAX`].
    pub block_payload_bytes: usize,
    /// Namespaces with waiting transactions.
    pub namespaces: usize,
    /// Transactions waiting in one namespace.
    pub namespace_transactions: usize,
    /// Bytes waiting in one namespace.
    pub namespace_bytes: usize,
    /// Transactions waiting in all.
    pub transactions: usize,
    /// Bytes waiting in all.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_payload_bytes: 1024 * 1024,
            namespaces: 1024,
            namespace_transactions: 16_384,
            namespace_bytes: 8 * 1024 * 1024,
            transactions: 32_768,
            bytes: 16 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// The proposal size within what any valid block may hold and any valid transaction needs.
    pub(crate) fn proposal_bytes(&self) -> usize {
        let least = TRANSACTION_BYTES_MAX + TRANSACTION_OVERHEAD_BYTES + ENTRY_OVERHEAD_BYTES;
        self.block_payload_bytes.clamp(least, BLOCK_PAYLOAD_BYTES_MAX)
    }
}
