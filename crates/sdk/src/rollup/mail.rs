//! A rollup's batches on an L1: what is posted comes from here with proofs that are checked, and what is there can be read back.
//!
//! ```text
//! validators ─▶ blocks and accounts, verified ─▶ Batches ─▶ Poster (journal) ─▶ RollupInbox on the L1 ─▶ Deriver ─▶ blocks
//! ```

use super::{Rollups, VerifiedAccount};
use crate::wallet::Wallet;
use alloy_primitives::{Address, B256, U256};
use bridge_ethereum::journal::Identity;
use bridge_ethereum::{
    Batches, Evidence, FeeLimits, HttpL1, Journal, Mail, Oldest, Ordered, Poster, PosterError, Settings, SourceError,
    Step, inbox,
};
use proof::batch::BatchBlock;
use proof::checkpoint::Checkpoint;
use protocol::abi::l1::IRollupInbox;
use protocol::api::{KeptCheckpoint, NamespaceAccount, ValidatorStatus};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of the fields of a checkpoint: three numbers, four words.
const CHECKPOINT_BYTES: usize = 3 * 8 + 4 * 32;
/// Largest answer with a checkpoint, in bytes of JSON: its state has all validators of the sets in force.
const CHECKPOINT_ANSWER_BYTES_MAX: usize = 64 << 20;
/// Most gas of one transaction (EIP-7825).
const GAS_MAX: u64 = 16_777_216;
/// Milliseconds after which a transaction that is not mined is replaced by a dearer one.
const REPLACE_MILLIS: u64 = 60_000;

/// Which inbox, and what posting to it may cost.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// URL of a node of the L1.
    pub l1: String,
    /// Chain id that it must have.
    pub chain_id: u64,
    /// The contract `RollupInbox`.
    pub contract: Address,
    /// Number of the rollup in it.
    pub id: U256,
}

/// How somebody posts.
#[derive(Clone, Debug)]
pub struct PostTerms {
    /// Prices.
    pub fees: FeeLimits,
    /// Blocks that must be on top of a transaction before it counts.
    pub confirmations: u64,
    /// How often the L1 is looked at.
    pub poll: Duration,
    /// File with what was sent; one for each account.
    pub journal: PathBuf,
    /// Block of the network that must be covered; without it what is final now on the L1 is posted, and no more.
    pub until: Option<u64>,
    /// Go on for ever.
    pub follow: bool,
}

/// Posting failed.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// For good.
    #[error(transparent)]
    Poster(#[from] PosterError),
}

/// A namespace of a network, as batches need it.
#[derive(Clone, Debug)]
pub struct Source {
    rollups: Rollups,
    namespace: u64,
}

impl Rollups {
    /// What `namespace` has, for batches.
    pub fn source(&self, namespace: u64) -> Source {
        Source { rollups: self.clone(), namespace }
    }

    /// Posts what is next until the terms are met, and says each step that did something. Dropping it loses nothing: a later call with
    /// the same journal goes on. Returns the rollup as the inbox has it.
    ///
    /// # Errors
    /// When something is wrong for good; what a later try may mend is told to `report`, and tried again.
    pub async fn post(
        &self,
        namespace: u64,
        wallet: &Wallet,
        at: &Inbox,
        mail: Mail,
        terms: PostTerms,
        mut report: impl FnMut(Result<&Step, &PosterError>),
    ) -> Result<IRollupInbox::Rollup, MailError> {
        let l1 = HttpL1::new(&at.l1).map_err(PosterError::from)?;
        let identity = Identity { chain_id: at.chain_id, contract: at.contract, account: wallet.address() };
        let journal = Journal::open(&terms.journal, identity).map_err(PosterError::from)?;
        let settings = Settings {
            chain_id: at.chain_id,
            contract: at.contract,
            confirmations: terms.confirmations,
            epochs_min: 1,
            fees: terms.fees,
            replace_millis: REPLACE_MILLIS,
            gas_max: GAS_MAX,
        };
        let waits = terms.follow || terms.until.is_some() || matches!(mail, Mail::State(_));
        let until = match &mail {
            Mail::State(proven) => Some(proven.height.saturating_sub(1)),
            Mail::Data(_) => terms.until,
        };
        let batches = Batches::new(self.source(namespace), at.id, mail, until);
        let mut poster = Poster::new(l1.clone(), batches, wallet.signer().clone(), settings, journal);
        loop {
            match poster.step(unix_millis()).await {
                Ok(Step::Idle) => {
                    let rollup = inbox::rollup(&l1, at.contract, at.id).await.map_err(PosterError::from)?;
                    if !waits || !terms.follow && until.is_some_and(|until| rollup.height >= until) {
                        return Ok(rollup);
                    }
                }
                Ok(step) => report(Ok(&step)),
                Err(error) if error.is_transient() => report(Err(&error)),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(terms.poll).await;
        }
    }

    /// The account of `namespace` that the block of `height` commits to, from the first validator that proves it.
    async fn account_at(&self, namespace: u64, height: u64) -> Result<Option<VerifiedAccount>, SourceError> {
        let path = format!("/seq/v1/namespaces/{namespace}/account?height={height}");
        let mut last = None;
        for validator in &self.validators {
            let told: NamespaceAccount = match validator.get(&path).await {
                Ok(told) => told,
                Err(error) => {
                    last = Some(SourceError(error.to_string()));
                    continue;
                }
            };
            let Some(committed) = told.committed.filter(|committed| committed.height == height) else { continue };
            match self.trust.account(namespace, &committed) {
                Ok(account) => return Ok(Some(account)),
                Err(error) => last = Some(SourceError(error.to_string())),
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// The lowest height from `from` on at which a validator proves a block. What validators say that they keep is only where to look.
    async fn oldest(&self, namespace: u64, from: u64) -> Result<Oldest, SourceError> {
        let mut last = match self.blocks(namespace, from, from, 0).await {
            Ok(blocks) if !blocks.is_empty() => return Ok(Oldest { height: from, is_sure: true }),
            Ok(_) => format!("no validator has block {from}"),
            Err(error) => error.to_string(),
        };
        let (mut told, mut is_sure) = (BTreeSet::new(), true);
        for validator in &self.validators {
            match validator.get::<ValidatorStatus>("/seq/v1/status").await {
                Ok(status) => told.extend((status.oldest_height > from).then_some(status.oldest_height)),
                Err(_) => is_sure = false,
            }
        }
        for height in told {
            match self.blocks(namespace, height, height, 0).await {
                Ok(blocks) if !blocks.is_empty() => return Ok(Oldest { height, is_sure }),
                Ok(_) => {}
                Err(error) => last = error.to_string(),
            }
        }
        Err(SourceError(last))
    }

    /// The checkpoint of `epoch` with this root, in whose block this account was proven. The root alone makes its fields believable, so
    /// one with another root is given only if every validator has another one: then the network is not the one that the L1 follows.
    async fn checkpoint(
        &self,
        epoch: u64,
        root: B256,
        account: &VerifiedAccount,
    ) -> Result<Option<Checkpoint>, SourceError> {
        let path = format!("/seq/v1/checkpoint?epoch={epoch}");
        let (mut last, mut others) = (None, Vec::new());
        for validator in &self.validators {
            let told: Result<KeptCheckpoint, _> = validator.get_up_to(&path, CHECKPOINT_ANSWER_BYTES_MAX).await;
            match told.map(|told| read_checkpoint(&told.kept)) {
                Ok(Some(checkpoint)) if checkpoint.block != account.digest => {}
                Ok(Some(checkpoint)) if checkpoint.root() == root => return Ok(Some(checkpoint)),
                Ok(Some(checkpoint)) => others.push(checkpoint),
                Ok(None) => {}
                Err(error) => last = Some(SourceError(error.to_string())),
            }
        }
        match others.len() == self.validators.len() {
            true => Ok(others.pop()),
            false => last.map_or(Ok(None), Err),
        }
    }
}

impl Ordered for Source {
    fn namespace(&self) -> u64 {
        self.namespace
    }

    async fn evidence(&self, epoch: u64, height: u64, root: B256) -> Result<Option<Evidence>, SourceError> {
        let Some(account) = self.rollups.account_at(self.namespace, height).await? else { return Ok(None) };
        let Some(checkpoint) = self.rollups.checkpoint(epoch, root, &account).await? else { return Ok(None) };
        let told = account.evidence;
        Ok(Some(Evidence {
            checkpoint,
            header: told.header,
            commitment: told.commitment,
            account: told.account,
            since: account.account.since,
            inputs: account.account.inputs,
        }))
    }

    async fn oldest(&self, from: u64) -> Result<Oldest, SourceError> {
        self.rollups.oldest(self.namespace, from).await
    }

    async fn blocks(&self, from: u64, to: u64) -> Result<Vec<BatchBlock>, SourceError> {
        let (mut found, mut next) = (Vec::new(), from);
        while next <= to {
            let page = self.rollups.blocks(self.namespace, next, to, 0).await;
            let page = page.map_err(|error| SourceError(error.to_string()))?;
            let last = page.last().ok_or_else(|| SourceError(format!("no validator has block {next}")))?;
            next = last.height + 1;
            let with = page.into_iter().filter(|block| !block.transactions.is_empty());
            found.extend(with.map(|block| BatchBlock { height: block.height, transactions: block.transactions }));
        }
        Ok(found)
    }
}

/// The fields of a kept checkpoint, which begins with them (docs/formats.md).
fn read_checkpoint(kept: &[u8]) -> Option<Checkpoint> {
    let fields = kept.get(..CHECKPOINT_BYTES)?;
    let number =
        |place: usize| fields[8 * place..8 * place + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let word = |place: usize| B256::from_slice(&fields[24 + 32 * place..56 + 32 * place]);
    Some(Checkpoint {
        epoch: number(0),
        height: number(1),
        seconds: number(2),
        block: word(0),
        application: word(1),
        electorate: word(2),
        state: word(3),
    })
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_checkpoint_are_read_in_their_order() {
        let mut kept: Vec<u8> = [1u64, 2, 3].iter().flat_map(|number| number.to_be_bytes()).collect();
        (4..8u8).for_each(|byte| kept.extend([byte; 32]));
        kept.extend(b"state");
        let word = B256::repeat_byte;
        let (block, application, electorate, state) = (word(4), word(5), word(6), word(7));
        let expected = Checkpoint { epoch: 1, height: 2, seconds: 3, block, application, electorate, state };
        assert_eq!(read_checkpoint(&kept), Some(expected));
        assert_eq!(read_checkpoint(&kept[..CHECKPOINT_BYTES - 1]), None);
    }
}
