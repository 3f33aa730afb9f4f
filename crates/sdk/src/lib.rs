//! Do everything a user can do, from Rust; encrypt and verify on the user's side.
//!
//! ```no_run
//! # async fn example(network: protocol::network::Network) -> Result<(), Box<dyn std::error::Error>> {
//! use sdk::files::{Protection, Unlock};
//! use sdk::jobs::Until;
//!
//! let client = sdk::Client::connect(network, Default::default()).await?;
//! let wallet = sdk::Wallet::dev(client.network(), Default::default())?;
//!
//! let stored = client.files.put("data.csv".as_ref(), &Protection::owner(&wallet)).await?;
//! client.files.get_to_file(&stored.cid, &Unlock::Wallet(&wallet), "copy.csv".as_ref()).await?;
//!
//! let jobs = client.jobs(&wallet);
//! let prepared = jobs.prepare("job.yaml".as_ref(), &[]).await?;
//! let id = jobs.open(&prepared).await?;
//! let outcome = jobs.run(id, prepared.bundle, Until::Closed).await?;
//! assert!(outcome.is_success());
//! for output in jobs.outputs(id).await? {
//!     jobs.download(&output, format!("task-{}", output.manifest.task).as_ref()).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A rollup reads its namespace of the sequencer with proofs that are checked here, and knows what it owes:
//! [`rollup::Rollups`]. Whether the data of a block can be had is sampled: [`sampling::Sampler`].
//!
//! The gateway carries data and is not trusted for content: blocks are checked against CIDs, receipts and commitments
//! against the chain, and no file key ever leaves this machine except wrapped to an account that the chain names. The RPC
//! is trusted for what contracts answer; headers and account proofs can be checked ([`ChainClient::proved_account`]).

// Errors say which CIDs, accounts and digests they are about; none of them is made in a loop that must be quick.
#![allow(clippy::result_large_err)]

pub mod chain;
pub mod client;
pub mod error;
pub mod files;
pub mod gateway;
mod http;
pub mod jobs;
pub mod lane;
pub mod revert;
pub mod rollup;
pub mod rpc;
pub mod sampling;
pub mod sse;
pub mod wallet;

pub use alloy_primitives::{Address, B256, U256};
pub use bridge_ethereum as l1;
pub use chain::{ChainClient, ChainError};
pub use cid::Cid;
pub use client::{Client, ConnectError, Options};
pub use error::{Error, Kind};
pub use files::{Files, FilesError};
pub use gateway::{Gateway, GatewayError};
pub use http::BodyError;
pub use jobs::Jobs;
pub use lane::SealError;
pub use protocol;
pub use rollup::{RollupError, Rollups};
pub use wallet::{AccountChoice, Wallet, WalletError};
