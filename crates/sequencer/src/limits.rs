//! Named maxima of everything that grows: transactions, blocks, queues, proofs, files.
//!
//! Limits that a validator checks before it votes are constants of the protocol; what one validator merely prefers
//! (how full its own proposals are, how much it queues) is in [`Limits`].

/// Bytes of one transaction (1..=1 MiB).
pub const TRANSACTION_BYTES_MAX: usize = proof::namespace::TRANSACTION_BYTES_MAX;

/// Bytes that a namespace takes in a payload beyond its transactions, each of which takes 4 more.
pub const ENTRY_OVERHEAD_BYTES: usize = 16;

/// Bytes that a payload takes beyond its namespaces and bundles.
pub const PAYLOAD_OVERHEAD_BYTES: usize = 8;

/// Bytes of the encoded payload of a block (8 MiB).
pub const BLOCK_PAYLOAD_BYTES_MAX: usize = proof::namespace::PAYLOAD_BYTES_MAX;

/// Namespaces with transactions in one block.
pub const NAMESPACES_MAX: usize = proof::namespace::NAMESPACES_MAX as usize;

/// Transactions in one block: what bounds the memory and the hashing of a block of tiny ones.
pub const TRANSACTIONS_MAX: usize = proof::namespace::TRANSACTIONS_MAX as usize;

/// Bundles in one block.
pub const BUNDLES_MAX: usize = proof::bundle::BUNDLES_MAX as usize;

/// Transactions of the protocol itself in one block: roots of accounts and of committees, certificates of votes, evidence, the next committee, records of the
/// encrypted lane and what was opened in it.
pub const SYSTEM_TRANSACTIONS_MAX: usize = 2
    + crate::ffg::CERTIFICATES_PER_BLOCK_MAX
    + EVIDENCE_PER_BLOCK_MAX
    + 1
    + LANE_RECORDS_MAX
    + crate::lane::OPENED_PER_BLOCK_MAX;

/// Records of the encrypted lane in one block: openings, what is settled, dealings and a key.
pub const LANE_RECORDS_MAX: usize = crate::lane::OPENINGS_PER_BLOCK_MAX + 1 + crate::lane::DEALINGS_PER_BLOCK_MAX + 1;

/// Pieces of evidence in one block; more wait for the next ones.
pub const EVIDENCE_PER_BLOCK_MAX: usize = 4;

/// Bytes that the protocol itself takes in a payload: what users' transactions leave free.
pub const SYSTEM_BYTES_MAX: usize = ENTRY_OVERHEAD_BYTES
    + 2 * (1 + 32 + 4)
    + crate::ffg::CERTIFICATES_PER_BLOCK_MAX * (1 + proof::checkpoint::CERTIFICATE_BYTES_MAX + 4)
    + EVIDENCE_PER_BLOCK_MAX * (1 + proof::checkpoint::EVIDENCE_BYTES_MAX + 4)
    + (1 + crate::committees::ANNOUNCEMENT_BYTES_MAX + 4)
    + crate::lane::OPENINGS_PER_BLOCK_MAX * (2 + 8 + proof::lane::OPENING_BYTES + 4)
    + (2 + 8 + 4)
    + crate::lane::DEALINGS_PER_BLOCK_MAX * (2 + 8 + proof::lane::DEALING_BYTES_MAX + 4)
    + (2 + 8 + 8 + proof::lane::LANE_KEY_BYTES + 4 + 4 + 32 * COMMITTEE_MAX + 4)
    + ENTRY_OVERHEAD_BYTES
    + crate::lane::OPENED_BYTES_PER_BLOCK_MAX
    + 4 * crate::lane::OPENED_PER_BLOCK_MAX;

/// Bytes of the application's commitment in a block; an Ethereum header takes about 700.
pub const COMMITMENT_BYTES_MAX: usize = 4096;

/// Bytes of an encoded header: fixed fields, the reveal, three roots and a digest.
pub const HEADER_BYTES_MAX: usize = 512;

/// Bytes of an encoded block.
pub const BLOCK_BYTES_MAX: usize = BLOCK_PAYLOAD_BYTES_MAX + COMMITMENT_BYTES_MAX + HEADER_BYTES_MAX;

/// Bytes of one message between validators: a block with its certificate and framing.
pub const MESSAGE_BYTES_MAX: usize = BLOCK_BYTES_MAX + 64 * 1024;

/// Largest height, epoch or number of a round that is read from a file: whatever is added to it, it stays a number of 64 bits.
pub const HEIGHT_MAX: u64 = 1 << 48;
/// Validators in a committee.
pub const COMMITTEE_MAX: usize = 256;

/// Bytes of the address at which other validators reach one, in an announced committee.
pub const P2P_BYTES_MAX: usize = 64;

/// Bytes of the URL of a validator's API, in an announced committee.
pub const API_BYTES_MAX: usize = 128;

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

/// Checkpoints kept with their state, for a start after a crash and for other nodes.
pub const CHECKPOINTS_KEPT: u64 = 1024;

/// How long blocks are kept unless the operator says otherwise: 14 days.
pub const RETENTION_DEFAULT: std::time::Duration = std::time::Duration::from_secs(14 * 24 * 60 * 60);

/// The newest final blocks, which are kept whatever their age.
pub const KEPT_BLOCKS_MIN: u64 = 128;

/// Links kept for those who follow finality by signatures alone: with epochs of 6.4 s those of 38 days, while stake stays bonded
/// for 21.
pub const LINKS_KEPT: u64 = 1 << 19;
/// Links in one page.
pub const LINKS_PAGE_MAX: usize = 256;
/// Different electorates in one page of links; a page ends before the next one.
pub const LINKS_PAGE_ELECTORATES_MAX: usize = 4;

/// Final transactions and bundles remembered, so that a late copy is not ordered again and each can be asked for. Whole
/// blocks are forgotten, so at least the newest two full blocks are remembered.
pub const RECENT_TRANSACTIONS_MAX: usize = 3 * TRANSACTIONS_MAX;

/// Final blocks whose transactions are remembered.
pub const STATUS_BLOCKS_MAX: u64 = 16_384;

/// Bytes of final blocks read at start to remember their transactions.
pub const REMEMBERED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Blocks that a submission waits for its turn unless it says otherwise; ten minutes at five blocks a second.
pub const LIFETIME_BLOCKS_DEFAULT: u64 = 3_000;

/// Longest wait that a submission may ask for, in blocks.
pub const LIFETIME_BLOCKS_MAX: u64 = 15_000;

/// Final blocks after which the accounts of namespaces are written to the disk again; after a crash as many are counted
/// once more, and those of one epoch.
pub const ACCOUNTS_KEPT_BLOCKS: u64 = 1_024;

/// Epochs whose accounts are kept for proofs: an L1 learns of a checkpoint some epochs later.
pub const COMMITTED_EPOCHS_MAX: usize = 64;

/// Accounts of all those epochs together; the newest ones are kept whatever their number.
pub const COMMITTED_ACCOUNTS_MAX: usize = 262_144;

/// Expired and rejected submissions remembered.
pub const ENDED_SUBMISSIONS_MAX: usize = 65_536;

/// Valid blocks that are not final yet and whose transactions are told as included.
pub const INCLUDING_BLOCKS_MAX: usize = 8;

/// Submissions in one call.
pub const SUBMISSIONS_MAX: usize = 65_536;

/// Bytes that may wait to be written to the journal of submissions; what comes then is refused.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Size from which on the journal of submissions is written anew.
pub const JOURNAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of submissions in one message between validators, or one submission beyond that.
pub const RELAY_BYTES_MAX: usize = 1024 * 1024;

/// Submissions in one message between validators.
pub const RELAY_COUNT_MAX: usize = 4_096;

/// Bytes of the evidence file; when it is full, evidence is still counted and logged.
pub const EVIDENCE_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes that a proposal must have room for: the largest transaction alone, or the largest bundle.
const PROPOSAL_BYTES_MIN: usize = PAYLOAD_OVERHEAD_BYTES
    + proof::bundle::BUNDLE_BYTES_MAX
    + proof::bundle::MEMBERS_MAX * (ENTRY_OVERHEAD_BYTES + 4 + 6)
    + 2;

const _: () = assert!(TRANSACTION_BYTES_MAX <= proof::bundle::BUNDLE_BYTES_MAX);
const _: () = assert!(PROPOSAL_BYTES_MIN <= BLOCK_PAYLOAD_BYTES_MAX - SYSTEM_BYTES_MAX);
const _: () = assert!(SYSTEM_TRANSACTIONS_MAX < TRANSACTIONS_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= u32::MAX as usize);
// Whatever waits may still be asked for when it has ended.
const _: () = assert!(LIFETIME_BLOCKS_DEFAULT <= LIFETIME_BLOCKS_MAX && LIFETIME_BLOCKS_MAX < STATUS_BLOCKS_MAX);
const _: () = assert!(2 * RELAY_BYTES_MAX + 8 * RELAY_COUNT_MAX < MESSAGE_BYTES_MAX);

/// What one validator chooses for itself; validators may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that users' transactions in its own proposals may have (1_050_250..=8 MiB less [`SYSTEM_BYTES_MAX`]),
    /// see [`BLOCK_PAYLOAD_BYTES_MAX`].
    pub block_payload_bytes: usize,
    /// Namespaces with waiting transactions.
    pub namespaces: usize,
    /// Transactions and bundles waiting in one namespace.
    pub namespace_transactions: usize,
    /// Bytes waiting in one namespace.
    pub namespace_bytes: usize,
    /// Transactions and bundles waiting in all.
    pub transactions: usize,
    /// Bytes waiting in all.
    pub bytes: usize,
    /// How long final blocks are kept; `None` for ever. Headers and certificates stay.
    pub retention: Option<std::time::Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            block_payload_bytes: 2 * 1024 * 1024,
            namespaces: 1024,
            namespace_transactions: 16_384,
            namespace_bytes: 8 * 1024 * 1024,
            transactions: 32_768,
            bytes: 16 * 1024 * 1024,
            retention: Some(RETENTION_DEFAULT),
        }
    }
}

impl Limits {
    /// The proposal size within what any valid block may hold and any valid transaction needs.
    pub(crate) fn proposal_bytes(&self) -> usize {
        self.block_payload_bytes.clamp(PROPOSAL_BYTES_MIN, BLOCK_PAYLOAD_BYTES_MAX - SYSTEM_BYTES_MAX)
    }
}
