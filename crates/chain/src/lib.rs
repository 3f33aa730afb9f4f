//! Execute ordered blocks on the EVM and keep the resulting state.
//!
//! A validator proposes or verifies a block on top of any block it has seen notarised, and finalises what the quorum
//! finalised; nothing is ever rolled back. Blocks, headers, receipts and roots are Ethereum's (Osaka rules), so every
//! Ethereum tool can read them.
//!
//! ```text
//! propose ─┐                 ┌─ pending blocks (in memory, by hash)
//!          ├─▶ executor ──▶ state trie ──▶ header      finalize ──▶ one durable write ──▶ subscribers
//! verify ──┘        ▲                                                     │
//!                   └──────────── StateView (a snapshot of the store) ◀───┘
//! ```
//!
//! ```no_run
//! use chain::{BlockAttributes, Chain, ChainConfig, GenesisSpec};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let genesis = GenesisSpec::default();
//! let chain = Chain::open("state/chain".as_ref(), &genesis, ChainConfig::default())?;
//! let head = chain.head();
//! let attributes = BlockAttributes { timestamp: head.header.timestamp + 1, ..Default::default() };
//! let block = chain.propose(head.hash, attributes, &[])?;
//! let record = chain.finalize(block.hash)?;
//! assert_eq!(record.number(), head.number() + 1);
//! # Ok(()) }
//! ```

mod block;
mod cache;
mod engine;
mod error;
mod ethereum;
mod evm;
mod execute;
mod front;
mod genesis;
mod import;
mod logs;
mod offenders;
mod pending;
pub mod pool;
pub mod precompiles;
pub mod predeploys;
mod proof;
mod propose;
mod query;
mod replay;
pub mod rpc;
mod settings;
mod state;
mod statetest;
mod store;
mod supply;
#[cfg(test)]
mod test_support;
mod transactions;
mod trie;
mod verify;
mod witness;

pub use block::{BlockAttributes, BlockRecord, Proposed};
pub use engine::{Chain, ChainConfig};
pub use error::{ChainError, InvalidBlock};
pub use ethereum::GenesisError;
pub use front::Front;
pub use genesis::{EthereumGenesis, GenesisSpec, Predeploy};
pub use import::{BlockStream, ImportError, Imported};
pub use logs::{LOG_BLOCKS_MAX, LOG_RESULTS_MAX, LogFilter};
pub use offenders::{OFFENDERS_MAX, Offenders};
pub use precompiles::minter::MintRules;
pub use proof::PROOF_SLOTS_MAX;
pub use settings::{Setting, SettingError};
pub use state::StateView;
pub use statetest::{StateTestFailure, StateTestReport, run_state_tests};
pub use store::{Exported, FILE as CHAIN_FILE, Verified, export_snapshot, import_snapshot, verify_directory};
pub use supply::Supply;
pub use transactions::{InvalidTransaction, TRANSACTION_BYTES_MAX, TRANSACTION_GAS_MAX};
