//! Order opaque transactions into finalised blocks with a Byzantine quorum.
//!
//! A [`Sequencer`] is one validator. Together with the others of its [`Committee`] it agrees on blocks that carry the
//! transactions of many namespaces; as long as fewer than a third of
//! them fail, in whatever way, they never disagree. Each validator asks its [`Application`] to judge a block before it votes for it, so a final block is a valid
//! one, and nothing final is ever undone.
//!
//! ```no_run
//! use sequencer::guard::Guard;
//! use sequencer::{Application, Block, Committee, Config, Limits, OrderOnly, Sequencer, ValidatorKeys};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = ValidatorKeys::generate();
//! let listen = "127.0.0.1:9100".parse()?;
//! let validators = [keys.validator("127.0.0.1:9100".into(), "http://127.0.0.1:9101".into())];
//! let committee = Committee::new(&validators, 5886)?;
//! let genesis = Block::genesis(5886, 0, OrderOnly::default().genesis_commitment()).digest();
//! let config = Config {
//!     keys,
//!     committee: committee.clone(),
//!     listen,
//!     directory: "state/validator-0".into(),
//!     genesis_timestamp_millis: 0,
//!     block_millis: 200,
//!     limits: Limits::default(),
//!     epoch_blocks: 32,
//!     guard: Guard::create("state/validator-0/signing.guard".as_ref(), genesis)?.into(),
//!     lane: None,
//! };
//! let sequencer = Sequencer::start(config, Arc::new(OrderOnly::default()))?;
//! sequencer.submit(7, "hello".into())?;
//! for certified in sequencer.finalized(1, 10)? {
//!     let block = committee.verify(&certified)?;
//!     println!("{} has {} transactions", block.height, block.transaction_count());
//! }
//! sequencer.stop_blocking();
//! # Ok(())
//! # }
//! ```
//!
//! | module | decides |
//! |---|---|
//! | `block`, `payload` | what a block is and how it is encoded |
//! | `content` | how transactions and bundles are put together |
//! | `namespaces`, `erasure` | what a header commits to, and the proofs of it |
//! | `committee` | who votes, who proposes, what proves finality |
//! | `committees` | which committee orders which blocks |
//! | `randomness` | what each proposer must reveal |
//! | `mempool` | what waits, and in which order it is offered |
//! | `submission` | what is on disk when a submission is acknowledged, and what becomes of it |
//! | `dissemination` | how a block gets from the leader to all |
//! | `orderer` | when to propose, what to vote for, when to hand over |
//! | `history`, `archive`, `retention` | what is kept on disk, and until when |
//! | `intake` | which final blocks are taken from elsewhere |
//! | `engine` | how the consensus engine is put together |
//! | `disk` | why a directory cannot be written to |
//! | [`fees`] | what each namespace owes |
//! | [`ffg`] | which blocks two thirds of the stake finalise |
//! | [`finality`], `system` | how votes get into blocks, and what blocks mean for finality |
//! | [`lane`] | what is ordered before anybody can read it, and when it is opened |
//! | [`guard`] | what a validator may sign after what it signed |
//! | `sequencer` | life and death of a validator |
//! | [`simulated`] | the same validator in a simulation |

#![warn(missing_docs)]

mod application;
mod archive;
mod block;
mod certificate;
mod committee;
pub mod committees;
mod content;
mod disk;
mod dissemination;
mod engine;
mod equivocation;
mod erasure;
mod evidence;
pub mod fees;
pub mod ffg;
pub mod finality;
pub mod guard;
mod history;
mod intake;
mod keys;
pub mod lane;
pub mod limits;
mod mempool;
mod namespaces;
mod orderer;
mod payload;
mod randomness;
mod ranges;
mod retention;
mod sequencer;
pub mod simulated;
mod submission;
mod system;
#[cfg(test)]
mod testing;
pub mod transfer;

pub use application::{Application, OrderOnly, Proposal, Propose};
pub use block::{Block, DecodeError, Header, transaction_hash};
pub use committee::{Committee, CommitteeError, VerifyError};
pub use content::{Bundle, Content, Entry, Hash, Torn, Transaction};
pub use equivocation::{CONSENSUS_KEY_BYTES, Equivocation, EquivocationError};
pub use erasure::{ErasureError, Shards, reconstruct};
pub use evidence::EvidenceRecord;
pub use history::{HistoryError, LinkPage};
pub use intake::TakeError;
pub use keys::{KeysError, ValidatorKeys, unused_mark};
pub use limits::Limits;
pub use mempool::SubmitError;
pub use payload::{Payload, PayloadError};
pub use randomness::{REVEAL_BYTES, mix as mix_randomness};
pub use sequencer::{Config, FinalizedError, ReportError, Sequencer, StartError};
pub use submission::{JournalError, Lifetime, Receipt, Submission};
pub use system::{Offender, SYSTEM, System, SystemError};
