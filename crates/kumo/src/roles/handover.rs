//! Hand transactions to the validators: at once to the one in this process, many at a time to the others.
//!
//! A transaction counts as taken when the first validator has it. With a validator in this process that is a function
//! call; the others get it in the background, grouped with what else arrives meanwhile.

use super::rpc::submit_to_all;
use super::shared::Shared;
use crate::seam::SETTLEMENT;
use ::gateway::client::ValidatorClient;
use alloy_primitives::Bytes;
use async_trait::async_trait;
use chain::pool::Broadcast;
use futures::future::join_all;
use tokio::sync::mpsc;

/// Transactions that wait to be handed to the other validators. When there are more, the newest go to the validator in
/// this process alone; the pool hands them over again until they are mined.
const WAITING_MAX: usize = 32_768;
/// Transactions in one request; the validators' limit is 1,024.
const BATCH_TRANSACTIONS_MAX: usize = 1_000;
/// Bytes of transactions in one request, at least one of them; as hex, twice that and within the validators' limit of 4 MiB.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The validators, as the rpc role sees them.
pub struct Handover {
    local: Option<Shared>,
    all: Vec<ValidatorClient>,
    others: mpsc::Sender<bytes::Bytes>,
}

impl Handover {
    /// To `all` validators; `local` is the one of this process with its seat. The second value hands over in the
    /// background and must be run.
    pub fn new(
        all: Vec<ValidatorClient>,
        local: Option<(Shared, usize)>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (others, waiting) = mpsc::channel(WAITING_MAX);
        let seat = local.as_ref().map(|(_, seat)| *seat);
        let remote = all.iter().enumerate().filter(|(index, _)| Some(*index) != seat).map(|(_, client)| client.clone());
        let sending = send_batches(remote.collect(), waiting);
        (Self { local: local.map(|(shared, _)| shared), all, others }, sending)
    }

    /// Gives a transaction to the validator of this process; `None` if there is none or it has stopped.
    fn submit_here(&self, raw: &Bytes) -> Option<Result<(), String>> {
        let sequencer = self.local.as_ref()?.sequencer()?;
        match sequencer.submit(SETTLEMENT, raw.0.clone()) {
            Ok(_) => {
                if self.others.try_send(raw.0.clone()).is_err() {
                    tracing::debug!(limit = WAITING_MAX, "the other validators get a transaction later");
                }
                Some(Ok(()))
            }
            Err(sequencer::SubmitError::Stopped) => None,
            Err(error) => Some(Err(error.to_string())),
        }
    }

    /// Gives transactions to every validator and returns when one has answered; the others get them in the background.
    async fn submit_there(&self, raws: Vec<Bytes>) -> Vec<Result<(), String>> {
        let mut answers = Vec::with_capacity(raws.len());
        for batch in batches(raws.into_iter().map(|raw| raw.0).collect()) {
            answers.extend(submit_batch_to_all(&self.all, batch).await);
        }
        answers
    }
}

#[async_trait]
impl Broadcast for Handover {
    async fn broadcast(&self, raw: Bytes) -> Result<(), String> {
        match self.submit_here(&raw) {
            Some(answer) => answer,
            None => submit_to_all(&self.all, SETTLEMENT, raw.0).await.map(|_| ()),
        }
    }

    async fn broadcast_all(&self, raws: Vec<Bytes>) -> Vec<Result<(), String>> {
        let here: Option<Vec<_>> = raws.iter().map(|raw| self.submit_here(raw)).collect();
        match here {
            Some(answers) => answers,
            None => self.submit_there(raws).await,
        }
    }
}

/// Submits to all validators at once; the answers are those of the first that answers.
async fn submit_batch_to_all(validators: &[ValidatorClient], batch: Vec<bytes::Bytes>) -> Vec<Result<(), String>> {
    let (answered, mut answers) = mpsc::channel(validators.len().max(1));
    for validator in validators {
        let (validator, batch, answered) = (validator.clone(), batch.clone(), answered.clone());
        tokio::spawn(async move {
            let answer = validator.submit_all(SETTLEMENT, &batch).await.map_err(|error| error.to_string());
            // Nobody waits any more once another validator has answered.
            let _ = answered.send(answer).await;
        });
    }
    drop(answered);
    let mut refusal = "the network file names no validators".to_owned();
    while let Some(answer) = answers.recv().await {
        match answer {
            Ok(refusals) => return refusals.into_iter().map(|refusal| refusal.map_or(Ok(()), Err)).collect(),
            Err(error) => refusal = error,
        }
    }
    batch.iter().map(|_| Err(refusal.clone())).collect()
}

/// Sends what waits to each of `validators`, as much at a time as a request holds.
async fn send_batches(validators: Vec<ValidatorClient>, mut waiting: mpsc::Receiver<bytes::Bytes>) {
    let mut arrived = Vec::new();
    while waiting.recv_many(&mut arrived, BATCH_TRANSACTIONS_MAX).await > 0 {
        for batch in batches(std::mem::take(&mut arrived)) {
            let sent = validators.iter().map(|validator| async {
                if let Err(error) = validator.submit_all(SETTLEMENT, &batch).await {
                    tracing::debug!(%error, count = batch.len(), "a validator did not take transactions");
                }
            });
            join_all(sent).await;
        }
    }
}

/// Parts that each fit into one request.
fn batches(transactions: Vec<bytes::Bytes>) -> Vec<Vec<bytes::Bytes>> {
    let mut batches: Vec<Vec<bytes::Bytes>> = Vec::new();
    let mut room = 0;
    for transaction in transactions {
        let bytes = transaction.len();
        match batches.last_mut() {
            Some(batch) if bytes <= room && batch.len() < BATCH_TRANSACTIONS_MAX => {
                room -= bytes;
                batch.push(transaction);
            }
            _ => {
                room = BATCH_BYTES_MAX.saturating_sub(bytes);
                batches.push(vec![transaction]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(transactions: &[usize]) -> Vec<usize> {
        let transactions = transactions.iter().map(|bytes| vec![0; *bytes].into()).collect();
        batches(transactions).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_ends_at_its_bytes_and_at_its_count_and_loses_nothing() {
        assert_eq!(lengths(&[]), [0_usize; 0]);
        assert_eq!(lengths(&[BATCH_BYTES_MAX, 1, 1]), [1, 2]);
        assert_eq!(lengths(&[BATCH_BYTES_MAX - 1, 1, 1]), [2, 1]);
        assert_eq!(lengths(&vec![1; BATCH_TRANSACTIONS_MAX + 1]), [BATCH_TRANSACTIONS_MAX, 1]);
    }
}
