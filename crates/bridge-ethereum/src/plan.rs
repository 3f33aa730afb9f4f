//! Which links the contract needs next.
//!
//! The contract follows finality from what it knows (`proof::checkpoint::Follower`): each source must be justified there. So
//! intermediate links cannot be left out where they lead to the next, or votes of a far epoch could not be punished; but those that lead
//! nowhere can, and links with the same signers go into one call: one pairing for all, and only the last final checkpoint is stored.

use crate::finality::{Certified, Finality, FinalityError};
use crate::inbox::InboxError;
use crate::l1::{Call, L1, L1Error};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolError};
use proof::checkpoint::{
    Checkpoint, Point, Signers, ValidatorSet, VoteSignature, WitnessError, abi_checkpoint, abi_witness,
};
use protocol::abi::l1::{self, IKumoLightClient};

/// Links in one call; the contract takes no more.
pub const BATCH_MAX: usize = 32;
/// Bytes of calldata of one call: nodes' pools take transactions of 128 KiB.
pub const CALL_BYTES_MAX: usize = 120 << 10;

/// What the contract knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Last finalised checkpoint.
    pub finalised: Point,
    /// Unix time of its block, in seconds.
    pub seconds: u64,
    /// Up to four last justified ones.
    pub justified: Vec<Point>,
    /// Electorate of the last justified one.
    pub electorate: B256,
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Calldata of `advance`.
    pub data: Bytes,
    /// Last epoch that it finalises; that of the contract if it only prepares.
    pub epoch: u64,
    /// Links in it.
    pub links: usize,
    /// Last epoch that could be final in the contract by this and later calls.
    pub newest: u64,
}

/// Why nothing can be posted, now or ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The L1 does not answer.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// The node does not answer.
    #[error(transparent)]
    Finality(#[from] FinalityError),
    /// A signature cannot be shown.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// Not the answer of a light client.
    #[error("{contract} does not answer {call} as KumoLightClient does; is it the right contract?")]
    NoLightClient {
        /// Its address.
        contract: Address,
        /// What it was asked.
        call: &'static str,
    },
    /// It follows another network.
    #[error("the contract follows chain {chain_id} with genesis {genesis}, the node is of another network")]
    OtherNetwork {
        /// Chain id in the contract.
        chain_id: u64,
        /// Genesis digest in the contract.
        genesis: B256,
    },
    /// It started elsewhere, or one of the two was deceived.
    #[error("epoch {epoch} is final as {there} in the contract, here as {here}: it started from another checkpoint")]
    Diverged {
        /// Epoch.
        epoch: u64,
        /// Root in the contract.
        there: B256,
        /// Root that the node has.
        here: B256,
    },
    /// Another bridge was quicker, or the node has forgotten the checkpoint.
    #[error(
        "epoch {epoch} is final as {there} in the contract, and the node does not have it: it is behind, or started later"
    )]
    Behind {
        /// Epoch.
        epoch: u64,
        /// Root in the contract.
        there: B256,
    },
    /// A batch of a rollup cannot be posted.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// It has stopped.
    #[error("the contract has stopped: it saw two final checkpoints that exclude each other")]
    Stopped,
    /// The node lost a link that the contract needs.
    #[error("the node has no link to the checkpoint of epoch {0}, which the contract needs first")]
    LinkMissing(u64),
    /// The node does not know the contract's electorate.
    #[error("the node does not know electorate {0}, which the contract believes")]
    ElectorateUnknown(B256),
    /// One call is too long.
    #[error("a call for {links} links has {bytes} bytes, at most {CALL_BYTES_MAX} are sent")]
    TooLong {
        /// Links in it.
        links: usize,
        /// Its length.
        bytes: usize,
    },
}

impl PlanError {
    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Inbox(error) => error.is_transient(),
            _ => matches!(self, Self::L1(_) | Self::Finality(_) | Self::Behind { .. }),
        }
    }
}

impl View {
    /// What the contract knows, after checking that it follows the network of `finality`.
    ///
    /// # Errors
    /// When it does not, or the L1 does not answer.
    pub async fn read(l1: &impl L1, contract: Address, finality: &impl Finality) -> Result<Self, PlanError> {
        let domain = ask(l1, contract, "domain", IKumoLightClient::domainCall {}).await?;
        let ours = finality.domain();
        if (domain.chainId, domain.genesis) != (ours.chain_id, ours.genesis) {
            return Err(PlanError::OtherNetwork { chain_id: domain.chainId, genesis: domain.genesis });
        }
        if ask(l1, contract, "isStopped", IKumoLightClient::isStoppedCall {}).await? {
            return Err(PlanError::Stopped);
        }
        let latest = ask(l1, contract, "latest", IKumoLightClient::latestCall {}).await?;
        let finalised = Point { epoch: latest.epoch, root: latest.root };
        let Point { epoch, root: there } = finalised;
        match finality.checkpoint(epoch).await?.map(|known| known.root()) {
            Some(here) if here == there => {}
            Some(here) => return Err(PlanError::Diverged { epoch, there, here }),
            None => return Err(PlanError::Behind { epoch, there }),
        }
        let justified = ask(l1, contract, "justified", IKumoLightClient::justifiedCall {}).await?;
        let points = justified.epochs.into_iter().zip(justified.roots);
        let points = points.filter(|(_, root)| !root.is_zero()).map(|(epoch, root)| Point { epoch, root });
        let electorate = ask(l1, contract, "electorate", IKumoLightClient::electorateCall {}).await?.root;
        Ok(Self { finalised, seconds: latest.timestamp, justified: points.collect(), electorate })
    }
}

async fn ask<C: SolCall>(l1: &impl L1, contract: Address, name: &'static str, call: C) -> Result<C::Return, PlanError> {
    let call = Call::new(Address::ZERO, contract, call.abi_encode());
    let wrong = PlanError::NoLightClient { contract, call: name };
    match l1.call(&call).await {
        Ok(answer) => C::abi_decode_returns(&answer).map_err(|_| wrong),
        Err(L1Error::Reverted(_)) => Err(wrong),
        Err(error) => Err(error.into()),
    }
}

/// The next call that brings the contract nearer to what is final; `None` if it knows all that it can.
///
/// # Errors
/// When the node lacks something that the contract needs.
pub async fn next(view: &View, finality: &impl Finality) -> Result<Option<Plan>, PlanError> {
    let oldest = view.justified.iter().map(|point| point.epoch).min().unwrap_or(view.finalised.epoch);
    let links = finality.links(oldest).await?;
    let needed = needed(view, &links)?;
    let Some(first) = needed.first() else { return Ok(None) };
    let together = |link: &&&Certified| {
        link.electorate == first.electorate && link.certificate.signers == first.certificate.signers
    };
    let batch: Vec<&Certified> = needed.iter().take_while(together).take(BATCH_MAX).copied().collect();
    let finalised = last_finalised(view, &batch);
    let checkpoint = match finalised {
        Some(point) => checkpoint(point, &batch, finality).await?,
        None => batch[0].target,
    };
    let known = match view.electorate == first.electorate.root() {
        true => vec![],
        false => {
            let known = finality.electorate(view.electorate).await?;
            known.ok_or(PlanError::ElectorateUnknown(view.electorate))?.sets().to_vec()
        }
    };
    let data = encode(&batch, &checkpoint, &known)?;
    if data.len() > CALL_BYTES_MAX {
        return Err(PlanError::TooLong { links: batch.len(), bytes: data.len() });
    }
    let epoch = finalised.map_or(view.finalised.epoch, |point| point.epoch);
    let newest = needed.last().map_or(epoch, |link| link.certificate.vote.source.epoch);
    Ok(Some(Plan { data, epoch, links: batch.len(), newest }))
}

/// The links that lead from what is justified to the newest link that finalises something, without those that lead nowhere.
fn needed<'a>(view: &View, links: &'a [Certified]) -> Result<Vec<&'a Certified>, PlanError> {
    let to = |epoch: u64| links.iter().find(|link| link.target.epoch == epoch);
    let spans = |link: &&Certified| {
        let (source, target) = (link.certificate.vote.source.epoch, link.target.epoch);
        let between = || view.justified.iter().any(|point| point.epoch == source + 1) || to(source + 1).is_some();
        source > view.finalised.epoch && (target - source == 1 || (target - source == 2 && between()))
    };
    let Some(last) =
        links.iter().rev().filter(|link| link.certificate.vote.source.epoch < link.target.epoch).find(spans)
    else {
        return Ok(vec![]);
    };
    let mut wanted = vec![last];
    let mut open = vec![];
    let sources = |link: &Certified| {
        let source = link.certificate.vote.source.epoch;
        (source..link.target.epoch).collect::<Vec<_>>()
    };
    open.extend(sources(last));
    while let Some(epoch) = open.pop() {
        let is_known = view.justified.iter().any(|point| point.epoch == epoch);
        if is_known || wanted.iter().any(|link| link.target.epoch == epoch) {
            continue;
        }
        let link = to(epoch).ok_or(PlanError::LinkMissing(epoch))?;
        wanted.push(link);
        open.push(link.certificate.vote.source.epoch);
    }
    wanted.sort_by_key(|link| link.target.epoch);
    Ok(wanted)
}

/// What the contract will have finalised after these links, by its own rule.
fn last_finalised(view: &View, batch: &[&Certified]) -> Option<Point> {
    let mut justified: Vec<u64> = view.justified.iter().map(|point| point.epoch).collect();
    let mut finalised = view.finalised.epoch;
    let mut last = None;
    for link in batch {
        let (source, target) = (link.certificate.vote.source, link.target.epoch);
        let span = target - source.epoch;
        if source.epoch > finalised && (span == 1 || (span == 2 && justified.contains(&(source.epoch + 1)))) {
            (finalised, last) = (source.epoch, Some(source));
        }
        justified.push(target);
    }
    last
}

async fn checkpoint(point: Point, batch: &[&Certified], finality: &impl Finality) -> Result<Checkpoint, PlanError> {
    if let Some(link) = batch.iter().find(|link| link.target.point() == point) {
        return Ok(link.target);
    }
    let known = finality.checkpoint(point.epoch).await?.filter(|known| known.point() == point);
    known.ok_or(PlanError::LinkMissing(point.epoch))
}

/// Calldata for links with the same signers.
fn encode(batch: &[&Certified], finalised: &Checkpoint, known: &[ValidatorSet]) -> Result<Bytes, PlanError> {
    let (first, signatures): (_, Vec<VoteSignature>) =
        (batch[0], batch.iter().map(|link| link.certificate.signature).collect());
    let signers: &Signers = &first.certificate.signers;
    let sum = VoteSignature::aggregate(&signatures).ok_or(WitnessError::Point(first.certificate.signature))?;
    let witness = abi_witness(&first.electorate, signers, &sum, known)?;
    let link = |link: &&Certified| l1::Link {
        source: link.certificate.vote.source.epoch,
        target: abi_checkpoint(&link.target),
    };
    let links = batch.iter().map(link).collect();
    let finalised = abi_checkpoint(finalised);
    Ok(IKumoLightClient::advanceCall { links, finalised, witness }.abi_encode().into())
}

/// Whether a revert says that somebody else has posted the same already.
pub fn is_known(revert: &[u8]) -> bool {
    revert.get(..4) == Some(&IKumoLightClient::NothingNew::SELECTOR)
}
