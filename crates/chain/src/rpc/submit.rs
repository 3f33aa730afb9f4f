//! Many transactions in one request: decoded and recovered on all cores, admitted in order, handed over together.
//!
//! A run of `eth_sendRawTransaction` calls in a JSON-RPC batch takes this road. Each call gets the answer it would get
//! alone; what one transaction unblocks is handed over with the rest.

use super::failure::Failure;
use super::node::Node;
use crate::pool::{HeadState, PooledTransaction};
use alloy_primitives::{Address, B256, Bytes, map::HashMap};
use jsonrpsee::MethodResponse;
use jsonrpsee::core::server::ResponsePayload;
use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use std::sync::Arc;

/// The method that may be answered many at a time.
const METHOD: &str = "eth_sendRawTransaction";

/// The transaction that a call sends, if the call is well formed; any other is answered on its own.
pub(super) fn transaction_of(call: &Request<'_>) -> Option<Bytes> {
    if call.method != METHOD {
        return None;
    }
    let params = call.params.as_ref()?;
    serde_json::from_str::<[Bytes; 1]>(params.get()).ok().map(|[raw]| raw)
}

/// The answer to one call of a run.
pub(super) fn answer(id: Id<'_>, outcome: Result<B256, Failure>, response_bytes_max: usize) -> MethodResponse {
    match outcome {
        Ok(hash) => MethodResponse::response(id, ResponsePayload::success(hash), response_bytes_max),
        Err(failure) => MethodResponse::error(id, ErrorObjectOwned::from(failure)),
    }
}

impl Node {
    /// Takes signed transactions into the pool, in order, and hands them over together; one answer for each.
    pub(super) async fn submit_all(self: &Arc<Self>, raws: Vec<Bytes>) -> Vec<Result<B256, Failure>> {
        let (node, count) = (self.clone(), raws.len());
        // A task of its own, so that a caller who hangs up does not cut the hand-over short.
        let task = tokio::spawn(async move {
            let admitting = node.clone();
            let admitted = tokio::task::spawn_blocking(move || admitting.admit_all(raws)).await;
            let (mut outcomes, head) = admitted.ok()?;
            node.send_all(&mut outcomes, head).await;
            Some(outcomes)
        });
        let outcomes = task.await.ok().flatten();
        let outcomes = outcomes.map(|all| all.into_iter().map(|outcome| outcome.map(|tx| tx.hash)).collect());
        outcomes.unwrap_or_else(|| (0..count).map(|_| Err(Failure::Internal)).collect())
    }

    fn admit_all(&self, raws: Vec<Bytes>) -> (Vec<Result<Arc<PooledTransaction>, Failure>>, HeadState) {
        let count = raws.len();
        match self.pool.admit(&self.chain, self.pool.decode_all(raws)) {
            Ok((admitted, head)) => (admitted.into_iter().map(|one| one.map_err(Failure::from)).collect(), head),
            Err(error) => {
                tracing::error!(%error, "cannot read the accounts of senders");
                ((0..count).map(|_| Err(Failure::Internal)).collect(), HeadState::default())
            }
        }
    }

    /// Hands over what is ready; an admitted transaction that no validator took is forgotten and says so.
    async fn send_all(&self, outcomes: &mut [Result<Arc<PooledTransaction>, Failure>], head: HeadState) {
        let mut senders: Vec<Address> = outcomes.iter().flatten().map(|tx| tx.sender).collect();
        senders.sort_unstable();
        senders.dedup();
        let ready: Vec<_> = senders.iter().flat_map(|sender| self.pool.take_ready(sender, head)).collect();
        let sent = self.broadcast.broadcast_all(ready.iter().map(|tx| tx.raw.clone()).collect()).await;
        let answered = sent.len();
        let refused = ready.iter().zip(sent).filter_map(|(tx, sent)| Some((tx.hash, sent.err()?)));
        let silent = ready.iter().skip(answered).map(|tx| (tx.hash, "it did not answer".to_owned()));
        let mut refused: HashMap<B256, String> = refused.chain(silent).collect();
        for outcome in outcomes {
            let Ok(tx) = outcome else { continue };
            if let Some(reason) = refused.remove(&tx.hash) {
                self.pool.remove(&tx.hash);
                *outcome = Err(Failure::Broadcast { hash: tx.hash, reason });
            }
        }
        // The others were in the pool before this request; they are due again.
        for hash in refused.keys() {
            self.pool.mark_unsent(hash);
        }
    }
}
