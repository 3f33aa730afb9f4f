//! The validator role: order blocks with the other validators, execute before voting, serve final blocks.

use super::rpc::clients;
use super::shards::ShardDesk;
use super::shared::Shared;
use super::{Running, listen, lock_directory};
use crate::genesis;
use crate::lane;
use crate::protection;
use crate::retention::Retention;
use crate::seam::Settlement;
use crate::validator_snapshot::{self, SEQUENCER_DIR};
use ::gateway::backend::{Answer, FinalBlock, Submission, ValidatorBackend};
use ::gateway::client::{ClientError, ValidatorClient};
use ::gateway::problem::{self, Next as _};
use alloy_primitives::{B256, U256};
use async_trait::async_trait;
use bytes::Bytes;
use chain::{Chain, ChainConfig, ChainError};
use eyre::{Context, Result, ensure, eyre};
use protocol::api::{
    BlockHeader, BlockShard, CertifiedBlock, CheckpointName, CommittedAccount, CommitteeTerm, Committees,
    FinalizedPage, KeptCheckpoint, LaneState, LinkPage, NamespaceAccount, NamespaceBlock, NamespaceFee, Problem,
    SubmissionReceipt, SubmissionStatus, ValidatorStatus, VotedLink,
};
use protocol::network::{Network, Validator};
use sequencer::committees::Term;
use sequencer::fees::Pricing;
use sequencer::{
    Application as _, Block, Committee, FinalizedError, Lifetime, Limits, Receipt, ReportError, SYSTEM, Sequencer,
    SubmitError, TakeError, ValidatorKeys,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait of one `finalized` request.
const WAIT_MILLIS_MAX: u64 = 30_000;

/// What a validator needs to start.
pub struct Config {
    /// The network, with its committee and genesis.
    pub network: Network,
    /// Which validator it is.
    pub place: Place,
    /// Its directory.
    pub dir: PathBuf,
    /// What it shares with the rpc role of this process, if there is one.
    pub shared: Option<Shared>,
    /// How it keeps its chain.
    pub chain: ChainOptions,
}

/// Which validator a node is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// The one with this seat in the first committee, the one of the network file.
    Seat(usize),
    /// One that is not in the network file: it follows the others until a committee has a seat for its keys. New keys are
    /// made if there are none.
    Own {
        /// Where the other validators reach it.
        p2p: SocketAddr,
        /// Where it serves its API.
        api: SocketAddr,
    },
}

/// File in the directory of a validator that is not in the network file: its listing, to be registered.
pub const LISTING_FILE: &str = "validator.json";
/// Final blocks asked for at a time by a validator without a seat.
const PAGE_BLOCKS: usize = 64;
/// How long a validator without a seat waits for the next block in one request.
const PAGE_WAIT_MILLIS: u64 = 2_000;
/// A validator with a seat that has had no new block for so long asks the APIs of others.
const STALLED: Duration = Duration::from_secs(10);
/// Pause after a validator did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Epochs whose states finality may have to read after a start.
const EPOCHS_READ: u64 = 2;
/// HTTP status of what is pruned.
const GONE: u16 = 410;

/// File in a validator's directory that holds its keys.
pub const KEY_FILE: &str = "validator.key";
/// Directory of the chain in the directory of a validator or an rpc node.
pub const CHAIN_DIR: &str = "chain";

/// Starts a validator; returns when it serves, not when the first block is final.
///
/// # Errors
/// When the seat, the keys, the ports or the directory do not fit; the text says which.
pub async fn start(config: Config) -> Result<Running> {
    let lock = lock_directory(&config.dir)?;
    validator_snapshot::check_whole(&config.dir)?;
    let name = match config.place {
        Place::Seat(seat) => format!("validator-{seat}"),
        Place::Own { .. } => "validator".to_owned(),
    };
    let mut role = Running::new(name.clone());
    role.hold(lock);
    let (keys, listing) = identity(&config)?;
    let p2p: SocketAddr = listing.p2p.parse().wrap_err_with(|| format!("{name}: p2p {:?}", listing.p2p))?;
    let api = listen("validator API", socket_of(&listing.api)?).await?;
    let shared = config.shared.clone().unwrap_or_default();
    let chain = shared.open(&config.dir, &config.network, config.chain).await?;
    shared.take_over();
    let released = shared.clone();
    role.on_stop(move || async move { released.release() });
    let sequencer = match start_sequencer(&config, keys, p2p, chain).await {
        Ok(sequencer) => sequencer,
        Err(error) => {
            shared.release();
            return Err(error);
        }
    };
    shared.attach(sequencer.clone());
    let mut failed = sequencer.failed();
    let failure = role.failure();
    role.spawn(fetch_when_alone(sequencer.clone(), clients(&config.network)?, listing.api));
    role.spawn(async move {
        if let Ok(reason) = failed.wait_for(Option::is_some).await {
            tracing::error!(validator = name, reason = reason.as_deref(), "the validator stopped; restart it");
            failure.send_replace(reason.clone());
            shared.release();
        }
    });
    let stopped = sequencer.clone();
    role.on_stop(move || async move { stopped.stop().await });
    let router = ::gateway::validator_router(Arc::new(Api::new(sequencer)), Default::default());
    let server = ::gateway::serve(api, router, ::gateway::ServeLimits::node())?;
    role.on_stop(move || async move { server.stop().await });
    Ok(role)
}

/// The keys of a validator and how others know it.
fn identity(config: &Config) -> Result<(ValidatorKeys, Validator)> {
    let key_file = config.dir.join(KEY_FILE);
    let unusable = || format!("cannot load {}", key_file.display());
    let seat = match config.place {
        Place::Seat(seat) => seat,
        Place::Own { p2p, api } => {
            let keys = ValidatorKeys::load_or_generate(&key_file).wrap_err_with(unusable)?;
            let listing = keys.validator(p2p.to_string(), format!("http://{api}"));
            let file = config.dir.join(LISTING_FILE);
            let text = serde_json::to_string_pretty(&listing).expect("strings always serialise");
            std::fs::write(&file, text).wrap_err_with(|| format!("cannot write {}", file.display()))?;
            return Ok((keys, listing));
        }
    };
    let listed = config.network.validators.get(seat).ok_or_else(|| {
        eyre!("there is no seat {seat}: the committee has {} validators", config.network.validators.len())
    })?;
    let keys = ValidatorKeys::load(&key_file).wrap_err_with(unusable)?;
    ensure!(
        keys.public_key() == listed.public_key,
        "the keys in {} are not those of seat {seat}: the network file says {}",
        key_file.display(),
        listed.public_key
    );
    Ok((keys, listed.clone()))
}

/// Fetches final blocks from the APIs of others while this validator has no seat, or hears nothing new from its peers.
async fn fetch_when_alone(sequencer: Sequencer, named: Vec<ValidatorClient>, own: String) {
    let http = ::gateway::client::http_client();
    let mut heights = sequencer.heights();
    let mut turn = 0usize;
    loop {
        let height = *heights.borrow_and_update();
        if sequencer.seat().is_some() {
            match tokio::time::timeout(STALLED, heights.changed()).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
        let committees = sequencer.committees();
        let newest = committees.last().committee.validators().iter().filter(|validator| validator.api != own);
        let newest = newest.filter_map(|validator| ValidatorClient::new(&validator.api, http.clone()).ok());
        let all: Vec<ValidatorClient> = newest.chain(named.iter().cloned()).collect();
        let Some(validator) = all.get(turn % all.len().max(1)) else { return };
        turn += 1;
        let page = match validator.finalized(height + 1, PAGE_BLOCKS, PAGE_WAIT_MILLIS).await {
            Ok(page) => page.blocks,
            Err(error) => {
                passed_over(&error, height + 1);
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
        };
        // Whoever has nothing new may be cut off from the others: the next one is asked.
        let (taker, is_new) = (sequencer.clone(), !page.is_empty());
        match tokio::task::spawn_blocking(move || taker.take(&page)).await {
            Ok(Ok(())) => turn -= usize::from(is_new),
            Ok(Err(TakeError::Stopped)) | Err(_) => return,
            Ok(Err(error)) => {
                tracing::warn!(%error, height, "a validator served blocks that cannot be taken");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Says why a validator was of no use: loudly if it will never be, as it has pruned what is missing here. Returns whether
/// that is so.
pub(crate) fn passed_over(error: &ClientError, height: u64) -> bool {
    match error {
        ClientError::Refused { problem, .. } if problem.status == GONE => {
            tracing::warn!(%error, height, "a validator no longer has the blocks that are missing here");
            true
        }
        _ => {
            tracing::debug!(%error, height, "passed over a validator");
            false
        }
    }
}

/// How a node keeps its chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainOptions {
    /// History and cache.
    pub config: ChainConfig,
    /// Whether everything in the directory is checked before it is used.
    pub verify: bool,
    /// How long a validator keeps the blocks of the sequencer.
    pub retention: Retention,
}

impl ChainOptions {
    /// Checks the chain in `dir` if that is asked for and there is one. Takes as long as reading it.
    ///
    /// # Errors
    /// With the first thing that is not right.
    pub fn check(&self, dir: &Path) -> Result<(), ChainError> {
        if self.verify && dir.join(chain::CHAIN_FILE).exists() {
            let found = chain::verify_directory(dir, self.config.cache_bytes)?;
            tracing::info!(head = found.head, root = %found.state_root, accounts = found.accounts, "the chain is verified");
        }
        Ok(())
    }
}

/// Opens the settlement chain below `dir`, on a blocking thread.
///
/// # Errors
/// When the network file has no genesis, less history is asked for than finality needs, or the state cannot be opened or is not
/// what it should be.
pub async fn open_chain(dir: &Path, network: &Network, mut options: ChainOptions) -> Result<Chain> {
    let spec = genesis::spec(network)?;
    options.config.history_blocks_min = history_needed(network, options.config.history_blocks)?;
    let dir = dir.join(CHAIN_DIR);
    let open = move || {
        options.check(&dir)?;
        Chain::open(&dir, &spec, options.config)
    };
    Ok(tokio::task::spawn_blocking(open).await??)
}

/// States that must be there: those after the blocks which open epochs say who has stake. After a crash at most two epochs of
/// blocks are taken once more.
fn history_needed(network: &Network, asked: Option<u64>) -> Result<u64> {
    let epoch_blocks = genesis::of(network)?.epoch_blocks;
    let needed = EPOCHS_READ.saturating_mul(epoch_blocks);
    ensure!(
        asked.is_none_or(|asked| asked >= needed),
        "--prune {} keeps too few states: finality reads those of the last {EPOCHS_READ} epochs of {epoch_blocks} blocks, so \
         {needed} is the least",
        asked.unwrap_or_default()
    );
    Ok(needed)
}

/// `127.0.0.1:8545` of `http://127.0.0.1:8545/…`.
///
/// # Errors
/// When the URL names no IP address and port.
pub fn socket_of(url: &str) -> Result<SocketAddr> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.parse().wrap_err_with(|| format!("{url:?} does not name an IP address and a port to listen on"))
}

async fn start_sequencer(config: &Config, keys: ValidatorKeys, p2p: SocketAddr, chain: Chain) -> Result<Sequencer> {
    let genesis = genesis::of(&config.network)?;
    let committee = Committee::new(&config.network.validators, config.network.chain_id)?;
    let lane = lane::config(&config.network, &committee, &keys, &config.dir)?;
    let application = Arc::new(Settlement::new(chain, &config.network)?);
    let genesis_timestamp_millis = genesis.timestamp * 1000;
    let first = Block::genesis(config.network.chain_id, genesis_timestamp_millis, application.genesis_commitment());
    let guard = protection::open(&config.dir, first.digest())?;
    let settings = sequencer::Config {
        keys,
        committee,
        listen: p2p,
        directory: config.dir.join(SEQUENCER_DIR),
        genesis_timestamp_millis,
        block_millis: genesis.block_millis,
        limits: Limits { retention: config.chain.retention.0, ..Limits::default() },
        epoch_blocks: genesis.epoch_blocks,
        guard: Arc::new(guard),
        lane,
    };
    Ok(tokio::task::spawn_blocking(move || Sequencer::start(settings, application)).await??)
}

struct Api {
    sequencer: Sequencer,
    shards: ShardDesk,
}

impl Api {
    fn new(sequencer: Sequencer) -> Self {
        Self { sequencer, shards: ShardDesk::default() }
    }

    /// Reads on a blocking thread.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Sequencer) -> Result<T, sequencer::FinalizedError> + Send + 'static,
    ) -> Answer<T> {
        let sequencer = self.sequencer.clone();
        let read = tokio::task::spawn_blocking(move || read(&sequencer)).await;
        read.map_err(|e| problem::internal(e.to_string()))?.map_err(unreadable)
    }

    /// The final block of a height with its certificate, which genesis does not have.
    async fn decoded(&self, height: u64) -> Answer<(Block, Bytes)> {
        let found = self.read(move |sequencer| match height {
            0 => Ok(Some((sequencer.genesis()?, Bytes::new()))),
            _ => sequencer.block(height),
        });
        found.await?.ok_or_else(|| not_final(height, self.sequencer.height()))
    }
}

fn unreadable(error: FinalizedError) -> Problem {
    match error {
        FinalizedError::Pruned { .. } => problem::gone(error.to_string())
            .with_next("ask a validator that keeps blocks longer; this one still has the header and its certificate"),
        FinalizedError::Stopped => problem::unavailable(error.to_string()),
        FinalizedError::History(_) => problem::internal(error.to_string()),
    }
}

fn not_final(height: u64, newest: u64) -> Problem {
    problem::not_found("block", height, format!("not final yet; the newest final height is {newest}"))
}

/// What a client is told about a submission that was not accepted.
fn refusal(error: SubmitError) -> Problem {
    let detail = format!("the submission was not accepted: {error}");
    match error {
        SubmitError::Size { .. } | SubmitError::Bundle { .. } | SubmitError::Reserved | SubmitError::Lane(_) => {
            problem::unprocessable(detail)
        }
        SubmitError::TooMany { .. } => problem::bad_request("number of submissions", "too many", detail),
        SubmitError::NamespaceFull { .. } | SubmitError::Full { .. } | SubmitError::Busy | SubmitError::Stopped => {
            problem::unavailable(detail)
        }
        SubmitError::Journal(_) => problem::insufficient_storage(detail),
    }
}

fn receipt(Receipt { hash, expires, is_known }: Receipt) -> SubmissionReceipt {
    SubmissionReceipt { hash: hash.into(), expires, known: is_known }
}

fn lifetime_of(blocks: Option<u64>) -> Answer<Lifetime> {
    let Some(blocks) = blocks else { return Ok(Lifetime::default()) };
    let max = sequencer::limits::LIFETIME_BLOCKS_MAX;
    Lifetime::new(blocks).ok_or_else(|| problem::bad_request("lifetime", blocks, format!("1 to {max} blocks")))
}

/// What a namespace used and owes, with the proof of what the last block that opened an epoch commits to.
fn account(sequencer: &Sequencer, namespace: u64, proven: Option<u64>) -> Result<NamespaceAccount, FinalizedError> {
    let accounts = sequencer.accounts()?;
    let (height, base_fee) = (accounts.height(), accounts.base_fee(namespace));
    let known = accounts.account(namespace).copied().unwrap_or_default();
    Ok(NamespaceAccount {
        namespace,
        height,
        base_fee,
        since: (known.since != 0).then_some(known.since),
        transactions: known.transactions,
        bytes: known.bytes,
        owed: U256::from(known.owed),
        committed: committed(sequencer, namespace, proven)?,
    })
}

fn committed(
    sequencer: &Sequencer,
    namespace: u64,
    height: Option<u64>,
) -> Result<Option<CommittedAccount>, FinalizedError> {
    let Some(committed) = sequencer.committed_accounts(height)? else { return Ok(None) };
    let (Some(account), Some((block, certificate))) =
        (committed.prove(namespace), sequencer.block(committed.height())?)
    else {
        return Ok(None);
    };
    let Some(commitment) = block.payload.prove_transaction(SYSTEM, 0) else { return Ok(None) };
    Ok(Some(CommittedAccount {
        height: committed.height(),
        header: block.header().encode().into(),
        certificate: certificate.into(),
        commitment: commitment.encode().into(),
        account: account.encode().into(),
    }))
}

#[async_trait]
impl ValidatorBackend for Api {
    async fn status(&self) -> Answer<ValidatorStatus> {
        Ok(self.sequencer.status())
    }

    async fn accept(
        &self,
        submissions: Vec<Submission>,
        lifetime: Option<u64>,
    ) -> Answer<Vec<Result<SubmissionReceipt, Problem>>> {
        let lifetime = lifetime_of(lifetime)?;
        let submission = |submission| match submission {
            Submission::Transaction(namespace, payload) => sequencer::Submission::Transaction(namespace, payload),
            Submission::Bundle(members) => sequencer::Submission::Bundle(members),
        };
        let submissions = submissions.into_iter().map(submission).collect();
        let answers = self.sequencer.accept(submissions, lifetime).await;
        Ok(answers.into_iter().map(|answer| answer.map(receipt).map_err(refusal)).collect())
    }

    async fn statuses(&self, hashes: Vec<B256>) -> Answer<Vec<SubmissionStatus>> {
        let hashes: Vec<[u8; 32]> = hashes.into_iter().map(Into::into).collect();
        let finalized = self.sequencer.finality().borrow().finalized.height;
        self.sequencer.statuses(&hashes, finalized).map_err(refusal)
    }

    async fn submit_all(&self, namespace: u64, payloads: Vec<Bytes>) -> Answer<Vec<Option<String>>> {
        let submit = |payload| self.sequencer.submit(namespace, payload).err().map(|error| error.to_string());
        Ok(payloads.into_iter().map(submit).collect())
    }

    async fn height_above(&self, height: u64) -> Answer<u64> {
        let mut heights = self.sequencer.heights();
        let reached = heights.wait_for(|now| *now > height).await;
        reached.map(|now| *now).map_err(|_| problem::unavailable("the validator has stopped"))
    }

    async fn block(&self, height: u64) -> Answer<FinalBlock> {
        let (block, certificate) = self.decoded(height).await?;
        let header = block.header();
        let payloads = |entry: &sequencer::Entry| (entry.namespace(), entry.payloads().cloned().collect());
        Ok(FinalBlock {
            height,
            view: block.view,
            timestamp_millis: block.timestamp_millis,
            digest: header.digest().into(),
            parent: block.parent.into(),
            namespaces_root: header.namespaces_root.into(),
            erasure_root: header.erasure_root.into(),
            header: header.encode(),
            certificate,
            payload: block.payload.encoded().clone(),
            namespaces: block.payload.entries().iter().map(payloads).collect(),
        })
    }

    async fn header(&self, height: u64) -> Answer<BlockHeader> {
        let found = self.read(move |sequencer| sequencer.header(height)).await?;
        let (header, certificate) = found.ok_or_else(|| match height {
            0 => problem::not_found("header of block", height, "genesis has no certificate"),
            _ => not_final(height, self.sequencer.height()),
        })?;
        Ok(BlockHeader { height, header: header.encode().into(), certificate: certificate.into() })
    }

    async fn shard(&self, height: u64, index: u32) -> Answer<BlockShard> {
        let read = async || Ok(self.decoded(height).await?.0.payload.encoded().clone());
        let proof = self.shards.prove(height, index, read).await?;
        Ok(BlockShard { height, proof: proof.encode().into() })
    }

    async fn height_of(&self, digest: B256) -> Answer<u64> {
        let found = self.read(move |sequencer| sequencer.height_of(&digest.into())).await?;
        found.ok_or_else(|| problem::not_found("block", digest, "no final block has this digest"))
    }

    async fn namespace(&self, height: u64, namespace: u64) -> Answer<NamespaceBlock> {
        let found = self.read(move |sequencer| {
            let Some((block, certificate)) = sequencer.block(height)? else { return Ok(None) };
            let proof = block.payload.prove_namespace(namespace).encode();
            let header = block.header().encode();
            Ok(Some(NamespaceBlock {
                height,
                header: header.into(),
                certificate: certificate.into(),
                proof: proof.into(),
            }))
        });
        found.await?.ok_or_else(|| not_final(height, self.sequencer.height()))
    }

    async fn account(&self, namespace: u64, height: Option<u64>) -> Answer<NamespaceAccount> {
        self.read(move |sequencer| account(sequencer, namespace, height)).await
    }

    async fn fee(&self, namespace: u64) -> Answer<NamespaceFee> {
        let accounts = self.sequencer.accounts().map_err(|error| problem::unavailable(error.to_string()))?;
        let (pricing, base_fee) = (accounts.pricing(), accounts.base_fee(namespace));
        let Pricing { target_bytes, base_fee_min } = pricing;
        Ok(NamespaceFee { namespace, height: accounts.height(), base_fee, base_fee_min, target_bytes })
    }

    async fn finalized(&self, from: u64, max: usize, wait_millis: u64) -> Answer<FinalizedPage> {
        let mut heights = self.sequencer.heights();
        let wait = Duration::from_millis(wait_millis.min(WAIT_MILLIS_MAX));
        // A timeout is an empty page, and a closed channel a validator that stops: both answer with what is there.
        let _ = tokio::time::timeout(wait, heights.wait_for(|height| *height >= from)).await;
        let height = *heights.borrow();
        let blocks = self.read(move |sequencer| sequencer.finalized(from, max)).await?;
        Ok(FinalizedPage { blocks, height })
    }

    async fn checkpoint(&self, epoch: Option<u64>) -> Answer<KeptCheckpoint> {
        let epoch = epoch.unwrap_or_else(|| self.sequencer.finality().borrow().finalized.epoch);
        let sequencer = self.sequencer.clone();
        let kept = tokio::task::spawn_blocking(move || sequencer.checkpoint(epoch))
            .await
            .map_err(|e| problem::internal(e.to_string()))?
            .map_err(|e| problem::internal(e.to_string()))?;
        let kept = kept.ok_or_else(|| problem::not_found("checkpoint", epoch, "not reached yet, or no longer kept"))?;
        let point = kept.checkpoint.point();
        let checkpoint = CheckpointName { epoch: point.epoch, height: kept.checkpoint.height, root: point.root };
        Ok(KeptCheckpoint { checkpoint, kept: kept.encode().into() })
    }

    async fn committees(&self) -> Answer<Committees> {
        let term = |term: &Term| CommitteeTerm {
            first: term.first,
            announced: term.announced,
            validators: term.committee.validators().to_vec(),
        };
        Ok(Committees { committees: self.sequencer.committees().terms().iter().map(term).collect() })
    }

    async fn lane(&self) -> Answer<LaneState> {
        let found = self.read(lane::state).await?;
        found.ok_or_else(|| problem::not_found("encrypted lane", "key", "this network has none"))
    }

    async fn links(&self, from: u64, max: usize) -> Answer<LinkPage> {
        let page = self.read(move |sequencer| sequencer.links(from, max)).await?;
        let voted =
            |link: &sequencer::finality::Link| VotedLink { epoch: link.target.epoch, link: link.encode().into() };
        let electorates = page.electorates.values().map(|kept| kept.encode().into()).collect();
        Ok(LinkPage { links: page.links.iter().map(voted).collect(), electorates })
    }

    async fn report(&self, evidence: Bytes) -> Answer<()> {
        let sequencer = self.sequencer.clone();
        let reported = tokio::task::spawn_blocking(move || sequencer.report(&evidence)).await;
        reported.map_err(|e| problem::internal(e.to_string()))?.map_err(|error| match error {
            ReportError::Refused(reason) => problem::unprocessable(format!("the evidence is not taken: {reason}")),
            ReportError::Stopped | ReportError::Full(_) => problem::unavailable(error.to_string()),
            ReportError::History(error) => problem::insufficient_storage(error.to_string()),
        })
    }

    async fn certified(&self, height: u64) -> Answer<CertifiedBlock> {
        let page = self.finalized(height, 1, 0).await?;
        page.blocks.into_iter().next().ok_or_else(|| not_final(height, page.height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_to_listen_on_needs_address_and_port() {
        assert_eq!(socket_of("http://127.0.0.1:80/x").unwrap().to_string(), "127.0.0.1:80");
        assert!(socket_of("http://example.org").unwrap_err().to_string().contains("example.org"));
    }

    #[test]
    fn a_history_shorter_than_two_epochs_is_refused_and_the_default_is_never_shorter() {
        let mut network = genesis::tests::network(1);
        let history = |network: &Network, asked| history_needed(network, asked).map_err(|error| error.to_string());
        assert_eq!(history(&network, Some(64)), Ok(64));
        let refused = history(&network, Some(63)).unwrap_err();
        assert!(refused.contains("--prune 63") && refused.contains("64 is the least"), "{refused}");
        network.genesis.as_mut().unwrap().epoch_blocks = 65_536;
        assert_eq!(history(&network, None), Ok(131_072), "longer than a chain keeps by itself");
        assert_eq!(history(&network, Some(ChainConfig::ARCHIVE)), Ok(131_072));
    }
}
