//! Which batch of a rollup is next.
//!
//! `RollupInbox` says how far it is, the light client beside it what is final, and a node of the network what was ordered and how
//! the account proves it. A batch takes as many blocks as fit; of those behind it up to the anchor only the leaves are shown. So
//! nothing has to be remembered: what the inbox has is never posted again. Whoever is so far behind that the leaves do not fit into a
//! call first traces names back from the account (`far`).
//!
//! ```text
//!  inbox.inputs ─▶ blocks in this batch ─▶ leaves of the rest ─▶ account at the light client's last checkpoint
//! ```

mod far;

use crate::l1::{Call, L1, L1Error};
use crate::plan::{CALL_BYTES_MAX, PlanError};
use crate::poster::Settings;
use crate::work::{Job, Work};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError as _, SolInterface as _};
use proof::batch::{BATCH_BYTES_MAX, Batch, BatchBlock, BatchError, LEAF_BYTES, Leaf};
use proof::checkpoint::{Checkpoint, abi_checkpoint};
use protocol::abi::l1::{Anchor, IKumoLightClient, IRollupInbox, Mode};
use std::future::Future;

/// Blocks that a source is asked for at a time.
const PAGE_BLOCKS: u64 = 64;
/// Bytes of a call beside batch and leaves: anchor, lengths, padding.
const CALL_HEAD_BYTES: usize = 4 << 10;
/// Bytes that a block may take in a batch beyond what a quota counts: its head.
const QUOTA_MARGIN_BYTES: usize = 64;

/// What shows the account of a namespace in the block of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Encoded header of its block.
    pub header: Bytes,
    /// Encoded proof of the root of accounts in it.
    pub commitment: Bytes,
    /// Encoded proof of the account.
    pub account: Bytes,
    /// First block with transactions of the namespace.
    pub since: u64,
    /// Name of everything that was ordered before the block.
    pub inputs: B256,
}

/// Where the blocks begin that can still be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// First of them.
    pub height: u64,
    /// Whether everybody was heard; who was not may have older ones.
    pub is_sure: bool,
}

/// The source has no answer that can be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot learn what was ordered: {0}")]
pub struct SourceError(pub String);

/// A network, as far as a rollup's batches go.
pub trait Ordered: Send + Sync {
    /// Its namespace.
    fn namespace(&self) -> u64;
    /// What shows the account in the checkpoint of `epoch` with this root, whose block has `height`; `None` if nobody has it. The
    /// checkpoint has another root only if nobody has that one, and everybody another.
    fn evidence(
        &self,
        epoch: u64,
        height: u64,
        root: B256,
    ) -> impl Future<Output = Result<Option<Evidence>, SourceError>> + Send;
    /// The lowest height from `from` on at which somebody still proves a block.
    fn oldest(&self, from: u64) -> impl Future<Output = Result<Oldest, SourceError>> + Send;
    /// Verified blocks with transactions of the namespace, of these heights, ascending.
    fn blocks(&self, from: u64, to: u64) -> impl Future<Output = Result<Vec<BatchBlock>, SourceError>> + Send;
}

/// Why no batch can be posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// The network does not answer.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Not the answer of an inbox.
    #[error("{contract} does not answer {call} as RollupInbox does; is it the right contract?")]
    NoInbox {
        /// Its address.
        contract: Address,
        /// What it was asked.
        call: &'static str,
    },
    /// Nothing is registered there.
    #[error("the inbox has no rollup {0}")]
    Unknown(U256),
    /// Of another namespace, or another mode.
    #[error("rollup {id} of the inbox is of namespace {namespace} and takes {mode}")]
    Other {
        /// Its id.
        id: U256,
        /// Its namespace.
        namespace: u64,
        /// What it takes.
        mode: &'static str,
    },
    /// The node follows another network than the light client.
    #[error("epoch {epoch} is final as {there} on the L1, the network says {here}")]
    Diverged {
        /// Epoch.
        epoch: u64,
        /// Root in the light client.
        there: B256,
        /// Root that the network has.
        here: B256,
    },
    /// Validators keep the accounts of some epochs only.
    #[error(
        "no validator proves the account at block {0}, which is final on the L1; it is tried again with the next one"
    )]
    NoEvidence(u64),
    /// The blocks do not lead to the account.
    #[error("blocks up to {height} lead to inputs {reached}, the account has {committed}")]
    Inputs {
        /// Last block.
        height: u64,
        /// Where they lead.
        reached: B256,
        /// What the account has.
        committed: B256,
    },
    /// Blocks with transactions of the namespace are kept by nobody.
    #[error(
        "every validator has pruned blocks between {height}, up to which the inbox is, and {oldest}, and they had transactions of \
         the namespace: add a validator that kept them (--retention forever) to the network file, else nothing more of it can be posted"
    )]
    Pruned {
        /// Last block that is covered.
        height: u64,
        /// First block that can be had.
        oldest: u64,
    },
    /// A block that no batch can take.
    #[error(
        "block {height} has {bytes} bytes of the namespace, a batch by {via} takes less than {max}: the inbox cannot pass it \
         in this way; --quota keeps others from being as large"
    )]
    TooLarge {
        /// Its height.
        height: u64,
        /// Bytes in the batch.
        bytes: usize,
        /// How it is posted.
        via: &'static str,
        /// Most bytes of a batch.
        max: usize,
    },
    /// The rollup's verifier says no.
    #[error("the rollup's verifier does not take the proof: is it of what `kumo rollup statement` says now?")]
    ProofFalse,
    /// Blobs are believed of one account alone.
    #[error("{caller} may not post blobs, {poster} may; calldata is taken from everybody")]
    NotPoster {
        /// Who tried.
        caller: Address,
        /// Who may.
        poster: Address,
    },
    /// It could be called by anybody, so that the data would not stand in the transaction.
    #[error("the inbox takes no calls from {0}, which has code: post from an account without")]
    NotDirect(Address),
    /// The network forgot what was ordered before.
    #[error("the network began the account anew at block {since}, the inbox covers block {height}: open another inbox")]
    Restarted {
        /// First block of the new account.
        since: u64,
        /// Last block that is covered.
        height: u64,
    },
    /// Blobs cannot hold it.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl InboxError {
    /// What a revert of the inbox says, if no waiting mends it.
    fn of(revert: &[u8]) -> Option<Self> {
        use IRollupInbox::IRollupInboxErrors as Refusal;
        Some(match Refusal::abi_decode(revert).ok()? {
            Refusal::ProofFalse(_) => Self::ProofFalse,
            Refusal::NotPoster(refused) => Self::NotPoster { caller: refused.caller, poster: refused.poster },
            Refusal::NotDirect(refused) => Self::NotDirect(refused.caller),
            Refusal::Restarted(refused) => Self::Restarted { since: refused.since, height: refused.height },
            _ => return None,
        })
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Source(_) | Self::NoEvidence(_))
    }
}

/// Where the data of an optimistic rollup goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Into the transaction; the contract checks it.
    Calldata,
    /// Into blobs, which nodes keep for 18 days; the contract checks what should be in them.
    Blobs,
}

impl Via {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calldata => "calldata",
            Self::Blobs => "blobs",
        }
    }

    /// The largest quota of a namespace, in bytes, with which every block fits into a batch.
    pub fn quota_max(self) -> usize {
        self.bytes_max() - QUOTA_MARGIN_BYTES
    }

    /// Most bytes of a batch, whatever follows.
    fn bytes_max(self) -> usize {
        match self {
            Self::Calldata => CALL_BYTES_MAX - CALL_HEAD_BYTES,
            Self::Blobs => BATCH_BYTES_MAX,
        }
    }
}

/// A state that a rollup's own prover has proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Block of the checkpoint up to which everything is executed; the anchor.
    pub height: u64,
    /// Epoch of that checkpoint.
    pub epoch: u64,
    /// The new state.
    pub state_root: B256,
    /// What changed.
    pub state_diff: Bytes,
    /// The proof.
    pub proof: Bytes,
}

/// What is posted for a rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// Everything that was ordered.
    Data(Via),
    /// One state.
    State(Proven),
}

/// The batches of one rollup.
#[derive(Clone, Debug)]
pub struct Batches<S> {
    source: S,
    id: U256,
    mail: Mail,
    /// Nothing is posted once the inbox covers this block.
    until: Option<u64>,
}

impl<S: Ordered> Batches<S> {
    /// What rollup `id` of an inbox needs, from a network; until the inbox covers block `until`, or for ever.
    pub fn new(source: S, id: U256, mail: Mail, until: Option<u64>) -> Self {
        Self { source, id, mail, until }
    }

    async fn plan(&self, l1: &impl L1, contract: Address) -> Result<Option<Job>, PlanError> {
        let rollup = self.rollup(l1, contract).await?;
        if self.until.is_some_and(|until| rollup.height >= until) {
            return Ok(None);
        }
        let client = ask(l1, contract, "lightClient", IRollupInbox::lightClientCall {}).await?;
        match &self.mail {
            Mail::Data(via) => {
                let latest = ask(l1, client, "latest", IKumoLightClient::latestCall {}).await?;
                if latest.height <= rollup.height + 1 {
                    return Ok(None);
                }
                let evidence = self.evidence(latest.epoch, latest.height, latest.root).await?;
                self.batch(l1, contract, &rollup, &evidence, *via).await
            }
            Mail::State(proven) => {
                let root =
                    ask(l1, client, "finalisedRoot", IKumoLightClient::finalisedRootCall { epoch: proven.epoch });
                let root = root.await?;
                if proven.height <= rollup.height + 1 || root.is_zero() {
                    return Ok(None);
                }
                let evidence = self.evidence(proven.epoch, proven.height, root).await?;
                Ok(Some(self.state(proven, &evidence)))
            }
        }
    }

    async fn rollup(&self, l1: &impl L1, contract: Address) -> Result<IRollupInbox::Rollup, PlanError> {
        let rollup = rollup(l1, contract, self.id).await?;
        let wanted = match self.mail {
            Mail::Data(_) => Mode::Optimistic,
            Mail::State(_) => Mode::Zk,
        };
        if rollup.namespace != self.source.namespace() || rollup.mode != wanted {
            let mode = mode_name(rollup.mode);
            return Err(InboxError::Other { id: self.id, namespace: rollup.namespace, mode }.into());
        }
        Ok(rollup)
    }

    async fn evidence(&self, epoch: u64, height: u64, there: B256) -> Result<Evidence, InboxError> {
        let evidence = self.source.evidence(epoch, height, there).await?.ok_or(InboxError::NoEvidence(height))?;
        let here = evidence.checkpoint.root();
        match here == there {
            true => Ok(evidence),
            false => Err(InboxError::Diverged { epoch, there, here }),
        }
    }

    fn state(&self, proven: &Proven, evidence: &Evidence) -> Job {
        let call = IRollupInbox::postProofCall {
            id: self.id,
            anchor: anchor(evidence),
            newStateRoot: proven.state_root,
            stateDiff: proven.state_diff.clone(),
            proof: proven.proof.clone(),
        };
        Job { data: call.abi_encode().into(), mark: proven.height - 1, blobs: vec![] }
    }

    /// The blocks behind the last batch, up to `covered`.
    async fn fill(&self, reached: Reached, covered: u64, via: Via) -> Result<Filling, InboxError> {
        let mut filling = Filling::new(self.source.namespace(), reached.inputs, via);
        let mut from = reached.next;
        while from <= covered {
            let to = covered.min(from + PAGE_BLOCKS - 1);
            for block in self.source.blocks(from, to).await? {
                filling.take(block)?;
            }
            from = to + 1;
        }
        Ok(filling)
    }

    async fn batch(
        &self,
        l1: &impl L1,
        contract: Address,
        rollup: &IRollupInbox::Rollup,
        evidence: &Evidence,
        via: Via,
    ) -> Result<Option<Job>, PlanError> {
        let covered = evidence.checkpoint.height - 1;
        if evidence.inputs == rollup.inputs {
            // Nothing was ordered: the account alone says so, and it is posted only for whoever waits for a height.
            let silence = Filling::new(self.source.namespace(), rollup.inputs, via);
            return self
                .until
                .map(|_| silence.job(self.id, anchor(evidence), covered))
                .transpose()
                .map_err(PlanError::from);
        }
        // Blocks before the first transaction have nothing of the namespace. Of later ones that are pruned that is not known; if one had
        // something, the rest does not lead to the account.
        let first = evidence.since.max(rollup.height + 1);
        let oldest = self.source.oldest(first).await.map_err(InboxError::from)?;
        let reached = Reached { height: rollup.height, inputs: rollup.inputs, next: oldest.height };
        let mut filling = self.fill(reached, covered, via).await?;
        if filling.reached != evidence.inputs {
            let (reached, committed) = (filling.reached, evidence.inputs);
            return Err(match oldest {
                Oldest { height, .. } if height == first => InboxError::Inputs { height: covered, reached, committed },
                Oldest { height, is_sure: true } => InboxError::Pruned { height: rollup.height, oldest: height },
                Oldest { height, is_sure: false } => SourceError(format!(
                    "blocks before {height} are pruned, had transactions, and not every validator answers"
                ))
                .into(),
            }
            .into());
        }
        if filling.make_room() {
            return Ok(Some(filling.job(self.id, anchor(evidence), covered)?));
        }
        self.far(l1, contract, reached, anchor(evidence), filling).await.map(Some)
    }
}

impl<S: Ordered> Work for Batches<S> {
    async fn next(&self, l1: &impl L1, settings: &Settings) -> Result<Option<Job>, PlanError> {
        self.plan(l1, settings.contract).await
    }

    fn is_known(&self, revert: &[u8]) -> bool {
        revert.get(..4) == Some(&IRollupInbox::NothingNew::SELECTOR)
    }

    fn refusal(&self, revert: &[u8]) -> Option<PlanError> {
        InboxError::of(revert).map(PlanError::from)
    }
}

/// How far an inbox is.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// Last block that it covers.
    height: u64,
    /// Name of everything up to it.
    inputs: B256,
    /// The block with which a batch can begin.
    next: u64,
}

/// A batch that takes blocks until it is full, and the leaves of all behind it.
struct Filling {
    namespace: u64,
    via: Via,
    batch: Batch,
    bytes: usize,
    /// Name of the inputs after the blocks that fit into a batch, if its call holds nothing else.
    filled: B256,
    rest: Vec<Leaf>,
    reached: B256,
}

impl Filling {
    fn new(namespace: u64, inputs: B256, via: Via) -> Self {
        Self { namespace, via, batch: Batch::default(), bytes: 1, filled: inputs, rest: vec![], reached: inputs }
    }

    fn take(&mut self, block: BatchBlock) -> Result<(), InboxError> {
        let (leaf, height) = (block.leaf(self.namespace), block.height);
        let bytes = block.encoded_bytes().unwrap_or(usize::MAX);
        let (via, max) = (self.via.name(), self.via.bytes_max());
        // Behind others it is a leaf at first; the batches before it are posted.
        if bytes >= max && self.batch.blocks.is_empty() {
            return Err(InboxError::TooLarge { height, bytes, via, max });
        }
        self.reached = leaf.extend(&self.reached);
        if self.rest.is_empty() && self.bytes.saturating_add(bytes) <= max {
            self.bytes += bytes;
            self.filled = self.reached;
            self.batch.blocks.push(block);
        } else {
            self.rest.push(leaf);
        }
        Ok(())
    }

    /// Leaves need room in the call, too: until they have it, the last block of the batch becomes one. False if they never have.
    fn make_room(&mut self) -> bool {
        let (mut call_bytes, mut kept) = (self.call_bytes(), self.batch.blocks.len());
        while call_bytes > CALL_BYTES_MAX && kept > 1 && self.via == Via::Calldata {
            kept -= 1;
            call_bytes = call_bytes + LEAF_BYTES - self.batch.blocks[kept].encoded_bytes().unwrap_or_default();
        }
        if call_bytes > CALL_BYTES_MAX {
            return false;
        }
        let moved = self.batch.blocks.split_off(kept);
        self.bytes -= moved.iter().filter_map(BatchBlock::encoded_bytes).sum::<usize>();
        self.rest.splice(0..0, moved.iter().map(|block| block.leaf(self.namespace)));
        true
    }

    /// Leaves of all blocks that it took.
    fn leaves(&self) -> impl Iterator<Item = Leaf> {
        self.batch.blocks.iter().map(|block| block.leaf(self.namespace)).chain(self.rest.iter().copied())
    }

    fn call_bytes(&self) -> usize {
        let data = match self.via {
            Via::Calldata => self.bytes,
            Via::Blobs => self.batch.blocks.len() * LEAF_BYTES,
        };
        CALL_HEAD_BYTES + data + self.rest.len() * LEAF_BYTES
    }

    fn job(self, id: U256, anchor: Anchor, covered: u64) -> Result<Job, InboxError> {
        let last = self.batch.blocks.last().map(|block| block.height);
        let mark = match self.rest.is_empty() {
            true => covered,
            false => last.unwrap_or_default(),
        };
        let rest = encode(&self.rest);
        let is_empty = self.batch.blocks.is_empty();
        let (data, blobs) = match self.via {
            Via::Blobs if !is_empty => {
                let leaves = self.batch.leaves(self.namespace).into();
                let blobs = self.batch.to_blobs()?;
                let call = IRollupInbox::postBlobsCall { id, anchor, leaves, rest };
                (call.abi_encode(), blobs.into_iter().map(Bytes::from).collect())
            }
            _ => {
                let batch = if is_empty { Bytes::new() } else { self.batch.encode().into() };
                (IRollupInbox::postCalldataCall { id, anchor, batch, rest }.abi_encode(), vec![])
            }
        };
        Ok(Job { data: data.into(), mark, blobs })
    }
}

/// Leaves as the contract takes them.
fn encode(leaves: &[Leaf]) -> Bytes {
    leaves.iter().flat_map(Leaf::encode).collect()
}

/// A rollup as an inbox has it.
///
/// # Errors
/// When there is none, or the L1 does not answer.
pub async fn rollup(l1: &impl L1, contract: Address, id: U256) -> Result<IRollupInbox::Rollup, PlanError> {
    let rollup = ask(l1, contract, "rollup", IRollupInbox::rollupCall { id }).await?;
    match rollup.mode {
        Mode::None => Err(InboxError::Unknown(id).into()),
        _ => Ok(rollup),
    }
}

/// A rollup, and the last checkpoint that its inbox can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFinal {
    /// The rollup.
    pub rollup: IRollupInbox::Rollup,
    /// Epoch of the checkpoint.
    pub epoch: u64,
    /// Height of its block.
    pub height: u64,
    /// Its root.
    pub root: B256,
}

/// How far rollup `id` is, and how far the light client of its inbox.
///
/// # Errors
/// As [`rollup`].
pub async fn last_final(l1: &impl L1, contract: Address, id: U256) -> Result<LastFinal, PlanError> {
    let rollup = rollup(l1, contract, id).await?;
    let client = ask(l1, contract, "lightClient", IRollupInbox::lightClientCall {}).await?;
    let latest = ask(l1, client, "latest", IKumoLightClient::latestCall {}).await?;
    Ok(LastFinal { rollup, epoch: latest.epoch, height: latest.height, root: latest.root })
}

/// What a mode takes, in words.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Optimistic => "data",
        Mode::Zk => "proofs",
        _ => "nothing",
    }
}

fn anchor(evidence: &Evidence) -> Anchor {
    Anchor {
        checkpoint: abi_checkpoint(&evidence.checkpoint),
        header: evidence.header.clone(),
        commitment: evidence.commitment.clone(),
        account: evidence.account.clone(),
        traced: B256::ZERO,
    }
}

async fn ask<C: SolCall>(l1: &impl L1, contract: Address, name: &'static str, call: C) -> Result<C::Return, PlanError> {
    let wrong = InboxError::NoInbox { contract, call: name };
    match l1.call(&Call::new(Address::ZERO, contract, call.abi_encode())).await {
        Ok(answer) => Ok(C::abi_decode_returns(&answer).map_err(|_| wrong)?),
        Err(L1Error::Reverted(_)) => Err(wrong.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
