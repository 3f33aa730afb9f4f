//! The methods outside `eth_*`.

use super::api::{
    BlockName, ByNonce, BySender, Checkpoint, Finality, KumoServer, NetServer, PoolContent, PoolStatus, RpcInfoServer,
    StakePoint, StakeVotes, SupplyView, TxPoolServer, Web3Server,
};
use super::convert;
use super::failure::Failure;
use super::node::Node;
use crate::BlockRecord;
use crate::pool::{PooledTransaction, SenderContent};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U64, keccak256};
use jsonrpsee::core::{RpcResult, async_trait};
use protocol::api::{CheckpointName, StakeFinality};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The namespaces that [`super::methods`] registers.
const NAMESPACES: [&str; 9] = ["debug", "eth", "kumo", "net", "ots", "rpc", "trace", "txpool", "web3"];

/// `net_*`, `web3_*`, `txpool_*` and `kumo_*` over one node.
pub(super) struct Namespaces(pub(super) Arc<Node>);

impl NetServer for Namespaces {
    fn version(&self) -> RpcResult<String> {
        Ok(self.0.chain.chain_id().to_string())
    }

    fn listening(&self) -> RpcResult<bool> {
        Ok(true)
    }

    fn peer_count(&self) -> RpcResult<U64> {
        Ok(U64::ZERO)
    }
}

impl Web3Server for Namespaces {
    fn client_version(&self) -> RpcResult<String> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Ok(format!("kumo/v{}/{os}-{arch}", env!("CARGO_PKG_VERSION")))
    }

    fn sha3(&self, data: Bytes) -> RpcResult<B256> {
        Ok(keccak256(data))
    }
}

impl TxPoolServer for Namespaces {
    fn status(&self) -> RpcResult<PoolStatus> {
        let (pending, queued) = self.0.pool.status();
        Ok(PoolStatus { pending: U64::from(pending), queued: U64::from(queued) })
    }

    fn content(&self) -> RpcResult<PoolContent<BySender<ByNonce<convert::Waiting>>>> {
        Ok(by_sender(self.0.pool.content(None), convert::Waiting::of))
    }

    fn content_from(&self, sender: Address) -> RpcResult<PoolContent<ByNonce<convert::Waiting>>> {
        let content = self.0.pool.content(Some(sender)).into_iter().next();
        Ok(content.map_or_else(PoolContent::default, |content| PoolContent {
            pending: by_nonce(&content.pending, convert::Waiting::of),
            queued: by_nonce(&content.queued, convert::Waiting::of),
        }))
    }

    fn inspect(&self) -> RpcResult<PoolContent<BySender<ByNonce<String>>>> {
        Ok(by_sender(self.0.pool.content(None), |tx| convert::summary(&tx.decoded())))
    }
}

#[async_trait]
impl KumoServer for Namespaces {
    async fn supply(&self) -> RpcResult<SupplyView> {
        Ok(self.0.heavy(|node, _| supply(node)).await?)
    }

    async fn checkpoint(&self, block: Option<BlockId>) -> RpcResult<Checkpoint> {
        let block = self.0.block(block)?;
        let Some(checkpoints) = &self.0.checkpoints else {
            return Err(Failure::Execution("this chain has no quorum, so no block has a certificate".into()).into());
        };
        let found = checkpoints.checkpoint(block.number()).await.map_err(Failure::Execution)?;
        if keccak256(&found.commitment) != block.hash {
            tracing::error!(number = block.number(), "the certificate of a block is about another block");
            return Err(Failure::Internal.into());
        }
        Ok(Checkpoint {
            block: name(&block),
            header: found.commitment,
            sequencer_header: found.header,
            sequencer_block: found.block,
            certificate: found.certificate,
        })
    }

    fn finality(&self) -> RpcResult<Finality> {
        let node = &self.0;
        let stake = node.finality.current().map(votes);
        let rule = match &stake {
            _ if node.chain.rules().ethereum.is_some() => "imported",
            Some(_) => "ffg",
            None => "bft",
        };
        let safe = node.by_stake(|finality| finality.justified.height)?;
        let finalized = node.by_stake(|finality| finality.finalized.height)?;
        // The head last: it is never before the others.
        let latest = node.chain.head();
        Ok(Finality { rule, latest: name(&latest), safe: name(&safe), finalized: name(&finalized), stake })
    }
}

impl RpcInfoServer for Namespaces {
    fn modules(&self) -> RpcResult<BTreeMap<String, String>> {
        Ok(NAMESPACES.iter().map(|name| ((*name).to_owned(), "1.0".to_owned())).collect())
    }
}

/// What the stake has decided, as callers see it.
fn votes(finality: StakeFinality) -> StakeVotes {
    let point = |name: &CheckpointName| StakePoint {
        epoch: U64::from(name.epoch),
        block: U64::from(name.height),
        root: name.root,
    };
    StakeVotes {
        epoch: U64::from(finality.epoch),
        epoch_blocks: U64::from(finality.epoch_blocks),
        current: point(&finality.current),
        justified: point(&finality.justified),
        finalized: point(&finality.finalized),
        set: finality.set,
        validators: U64::from(finality.validators),
        stake: finality.stake,
        voted: finality.voted,
    }
}

/// A block by number and hash.
pub(super) fn name(block: &BlockRecord) -> BlockName {
    BlockName { number: U64::from(block.number()), hash: block.hash }
}

fn by_sender<T>(
    content: Vec<SenderContent>,
    view: impl Fn(&PooledTransaction) -> T + Copy,
) -> PoolContent<BySender<ByNonce<T>>> {
    let part = |choose: fn(&SenderContent) -> &Vec<Arc<PooledTransaction>>| {
        let some = content.iter().filter(|c| !choose(c).is_empty());
        some.map(|c| (c.sender.to_string(), by_nonce(choose(c), view))).collect()
    };
    PoolContent { pending: part(|c| &c.pending), queued: part(|c| &c.queued) }
}

fn by_nonce<T>(txs: &[Arc<PooledTransaction>], view: impl Fn(&PooledTransaction) -> T) -> ByNonce<T> {
    txs.iter().map(|tx| (tx.nonce().to_string(), view(tx))).collect()
}

fn supply(node: &Node) -> Result<SupplyView, Failure> {
    let supply = node.chain.supply()?;
    Ok(SupplyView {
        block: U64::from(supply.block),
        genesis: supply.genesis,
        minted: supply.minted,
        total: supply.total,
        burned: supply.burned,
        circulating: supply.circulating,
    })
}
