//! One network as a client knows it: chain, gateway, files, and the accounts of its users.

use crate::chain::{ChainClient, ChainError};
use crate::files::Files;
use crate::gateway::{Gateway, GatewayError};
use crate::jobs::Jobs;
use crate::rollup::{RollupError, Rollups};
use crate::wallet::Wallet;
use alloy_primitives::Address;
use protocol::api::ProviderInfo;
use protocol::network::Network;
use std::path::PathBuf;

/// Why no network answers.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The gateway refused or was not reached.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The RPC refused or was not reached, or serves another chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Gateway and network file disagree.
    #[error("the gateway at {url} serves chain {found}, expected chain {expected}")]
    WrongChain {
        /// URL of the gateway.
        url: String,
        /// Its chain id.
        found: u64,
        /// Chain id of the network.
        expected: u64,
    },
}

/// What a client may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder for scratch files while files are put and fetched; they are for this user only and removed after use.
    pub scratch: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { scratch: std::env::temp_dir() }
    }
}

/// A connection to one network. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    network: Network,
    /// The settlement chain.
    pub chain: ChainClient,
    /// The gateway.
    pub gateway: Gateway,
    /// Files through the gateway.
    pub files: Files,
}

impl Client {
    /// Connects to `network`; RPC and gateway must both serve its chain.
    ///
    /// A network known by its two URLs alone (chain id 0) takes chain id and development mark from the gateway.
    pub async fn connect(network: Network, options: Options) -> Result<Self, ConnectError> {
        let gateway = Gateway::new(&network.gateway);
        let (status, chain) = tokio::join!(gateway.status(), ChainClient::connect(&network.rpc, network.chain_id));
        let (status, chain) = (status?, chain?);
        let (found, expected) = (status.chain_id, chain.chain_id());
        if found != expected {
            return Err(ConnectError::WrongChain { url: gateway.url().to_owned(), found, expected });
        }
        let dev = network.dev || (network.chain_id == 0 && status.dev);
        let network = Network { chain_id: found, dev, ..network };
        let files = Files::new(gateway.clone(), options.scratch);
        Ok(Self { network, chain, gateway, files })
    }

    /// The network, with its chain id known.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What `wallet`'s account can do with jobs.
    pub fn jobs(&self, wallet: &Wallet) -> Jobs {
        Jobs::new(self.chain.clone(), self.gateway.clone(), self.files.clone(), wallet.clone())
    }

    /// The sequencer as the operator of a namespace sees it.
    ///
    /// # Errors
    /// When the network is known without its validators.
    pub fn rollups(&self) -> Result<Rollups, RollupError> {
        Rollups::new(self)
    }

    /// Compute providers, as the gateway reads them from the chain.
    pub async fn providers(&self) -> Result<Vec<ProviderInfo>, GatewayError> {
        self.gateway.providers().await
    }

    /// One provider.
    pub async fn provider(&self, address: Address) -> Result<ProviderInfo, GatewayError> {
        self.gateway.provider(address).await
    }
}
