//! `kumo rollup deploy-inbox | open | post | statement | derive`: a rollup's batches on an L1.

use super::Namespace;
use crate::amount::bytes;
use crate::session::Session;
use crate::{Exit, Failure, Table};
use clap::{Args, ValueEnum};
use sdk::l1::deploy::{self, Deployed, Sender};
use sdk::l1::{Beacon, Blobs, Content, Derived, Deriver, FeeLimits, HttpL1, L1 as _, Mail, NoBlobs, Ordered as _};
use sdk::l1::{PosterError, Proven, Step, Via};
use sdk::protocol::abi::l1::{IRollupInbox, Mode};
use sdk::rollup::{Inbox, PostTerms, RollupError, Rollups};
use sdk::{Address, B256, U256, Wallet};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;
/// Bytes of a file with a proof or a state difference: a transaction holds no more.
const FILE_BYTES_MAX: u64 = 120 << 10;
/// File in a poster's directory that holds what was sent.
const JOURNAL_FILE: &str = "post.journal";

/// A node of an L1.
#[derive(Debug, Args)]
pub struct Node {
    /// URL of a node of the L1
    #[arg(long, value_name = "URL")]
    pub l1_rpc: String,
}

/// Who pays on an L1, and how much.
#[derive(Debug, Args)]
pub struct Payer {
    /// Which node.
    #[command(flatten)]
    pub node: Node,
    /// Chain id that it must have
    #[arg(long, value_name = "ID")]
    pub l1_chain_id: u64,
    /// File with the private key of the account that pays, 32 bytes in hex, readable by its owner alone; used by nobody else
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// Most gwei per gas, and per gas of blobs, ever; above it nothing is sent
    #[arg(long, value_name = "GWEI", default_value_t = 50)]
    pub fee_max_gwei: u32,
    /// Gwei per gas for the proposer at first
    #[arg(long, value_name = "GWEI", default_value_t = 1)]
    pub tip_gwei: u32,
    /// How often the L1 is looked at
    #[arg(long, value_name = "MS", default_value_t = 12_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub l1_poll_millis: u64,
}

/// Names a rollup of an inbox.
#[derive(Debug, Args)]
pub struct Place {
    /// The contract RollupInbox
    #[arg(long, value_name = "ADDRESS")]
    pub inbox: Address,
    /// Number of the rollup in it, as `open` printed
    #[arg(long, value_name = "N")]
    pub id: U256,
}

/// What a rollup posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeWord {
    /// Everything that was ordered.
    Optimistic,
    /// States with proofs.
    Zk,
}

/// Where data goes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ViaWord {
    /// Into transactions, where the contract checks it.
    Calldata,
    /// Into blobs, which nodes keep for 18 days.
    Blobs,
}

/// `kumo rollup deploy-inbox`.
#[derive(Debug, Args)]
pub struct DeployInbox {
    /// The light client that says what is final
    #[arg(long, value_name = "ADDRESS")]
    pub light_client: Address,
    /// Who pays.
    #[command(flatten)]
    pub payer: Payer,
}

/// `kumo rollup open`.
#[derive(Debug, Args)]
pub struct Open {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// What it posts
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: ModeWord,
    /// Contract that checks the proofs of a zk rollup, for ever
    #[arg(long, value_name = "ADDRESS", required_if_eq("mode", "zk"))]
    pub verifier: Option<Address>,
    /// State of a zk rollup before its first transaction
    #[arg(long, value_name = "HASH", required_if_eq("mode", "zk"))]
    pub state_root: Option<B256>,
    /// The contract RollupInbox
    #[arg(long, value_name = "ADDRESS")]
    pub inbox: Address,
    /// Who pays.
    #[command(flatten)]
    pub payer: Payer,
}

/// `kumo rollup post`.
#[derive(Debug, Args)]
pub struct Post {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// What is posted
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: ModeWord,
    /// Which rollup.
    #[command(flatten)]
    pub place: Place,
    /// optimistic: where the data goes
    #[arg(long, value_enum, default_value = "calldata", value_name = "WHERE")]
    pub via: ViaWord,
    /// optimistic: wait until the inbox covers this block; without it, what is final on the L1 now is posted
    #[arg(long, value_name = "HEIGHT")]
    pub to: Option<u64>,
    /// optimistic: go on for ever
    #[arg(long, conflicts_with = "to")]
    pub follow: bool,
    /// zk: epoch of the checkpoint up to which the proof goes, as `statement` printed
    #[arg(long, value_name = "N", required_if_eq("mode", "zk"))]
    pub epoch: Option<u64>,
    /// zk: height of the checkpoint's block
    #[arg(long, value_name = "HEIGHT", required_if_eq("mode", "zk"))]
    pub height: Option<u64>,
    /// zk: the new state
    #[arg(long, value_name = "HASH", required_if_eq("mode", "zk"))]
    pub state_root: Option<B256>,
    /// zk: file with what changed, which the L1 keeps
    #[arg(long, value_name = "FILE", required_if_eq("mode", "zk"))]
    pub state_diff: Option<PathBuf>,
    /// zk: file with the proof
    #[arg(long, value_name = "FILE", required_if_eq("mode", "zk"))]
    pub proof: Option<PathBuf>,
    /// Directory for what was sent, made if it is missing; one for each account
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Blocks of the L1 that must be on top of a transaction before it counts
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub confirmations: u64,
    /// Who pays.
    #[command(flatten)]
    pub payer: Payer,
}

/// `kumo rollup statement`.
#[derive(Debug, Args)]
pub struct Statement {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// Which rollup.
    #[command(flatten)]
    pub place: Place,
    /// Which node.
    #[command(flatten)]
    pub node: Node,
}

/// `kumo rollup derive`.
#[derive(Debug, Args)]
pub struct Derive {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// Which rollup.
    #[command(flatten)]
    pub place: Place,
    /// Which node.
    #[command(flatten)]
    pub node: Node,
    /// URL of a beacon node, for batches in blobs
    #[arg(long, value_name = "URL")]
    pub beacon: Option<String>,
    /// Block of the L1 before the first batch
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    pub from_l1: u64,
    /// Compare with what the network's validators prove, too
    #[arg(long)]
    pub verify: bool,
}

pub(crate) async fn deploy(words: DeployInbox, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing("cannot deploy an inbox");
    let (wallet, l1) = words.payer.open()?;
    let code = deploy::inbox(words.light_client).map_err(RollupError::from)?;
    let done = words.payer.sender(&l1, &wallet).transact(sdk::l1::CREATE, code).await.map_err(RollupError::from)?;
    session.print(done.address.to_string(), deployed(&done))?;
    Ok(Exit::Ok)
}

pub(crate) async fn open(words: Open, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace.namespace;
    session.doing(format!("cannot open an inbox for namespace {namespace}"));
    let (wallet, l1) = words.payer.open()?;
    let (mode, verifier) = (words.mode.into(), words.verifier.unwrap_or_default());
    let state_root = words.state_root.unwrap_or_default();
    let call = IRollupInbox::registerCall { namespace, mode, verifier, stateRoot: state_root };
    let sender = words.payer.sender(&l1, &wallet);
    let (id, done) = deploy::register(&sender, words.inbox, call).await.map_err(RollupError::from)?;
    let json = json!({ "id": id.to_string(), "transaction": done.transaction, "gas": done.gas });
    session.print(id.to_string(), json)?;
    Ok(Exit::Ok)
}

pub(crate) async fn post(words: Post, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace.namespace;
    session.doing(format!("cannot post namespace {namespace}"));
    let (wallet, _) = words.payer.open()?;
    let mail = words.mail()?;
    std::fs::create_dir_all(&words.state).map_err(|error| invalid(&words.state, &error.to_string()))?;
    let terms = PostTerms {
        fees: words.payer.fees(),
        confirmations: words.confirmations,
        poll: Duration::from_millis(words.payer.l1_poll_millis),
        journal: words.state.join(JOURNAL_FILE),
        until: words.to,
        follow: words.follow,
    };
    let at = Inbox {
        l1: words.payer.node.l1_rpc.clone(),
        chain_id: words.payer.l1_chain_id,
        contract: words.place.inbox,
        id: words.place.id,
    };
    let rollups = session.client().await?.rollups()?;
    let (mut gas, mut settled) = (0, Vec::new());
    let posted = rollups.post(namespace, &wallet, &at, mail, terms, |step| {
        if let Ok(Step::Settled { hash, is_success: true, gas: used }) = step {
            (gas, settled) = (gas + used, [settled.as_slice(), &[hash.to_string()]].concat());
        }
        session.say(told(step));
    });
    let rollup = posted.await.map_err(RollupError::from)?;
    let text = format!("{} batches, up to block {}", rollup.count, rollup.height);
    let json = json!({
        "batches": rollup.count,
        "height": rollup.height,
        "inputs": rollup.inputs,
        "state_root": rollup.stateRoot,
        "transactions": settled,
        "gas": gas,
    });
    session.print(text, json)?;
    Ok(Exit::Ok)
}

pub(crate) async fn statement(words: Statement, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace.namespace;
    session.doing(format!("cannot say what a proof for namespace {namespace} is about"));
    let l1 = HttpL1::new(&words.node.l1_rpc).map_err(RollupError::from)?;
    let at = sdk::l1::inbox::last_final(&l1, words.place.inbox, words.place.id).await.map_err(RollupError::from)?;
    let source = session.client().await?.rollups()?.source(namespace);
    let found = source.evidence(at.epoch, at.height, at.root).await;
    let none = || Failure::new(Exit::NotFound, format!("no validator proves the account at block {}", at.height));
    let evidence = found.map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?.ok_or_else(none)?;
    let json = json!({
        "namespace": namespace,
        "epoch": at.epoch,
        "height": at.height,
        "covered": at.height.saturating_sub(1),
        "state_root": at.rollup.stateRoot,
        "inputs": at.rollup.inputs,
        "new_inputs": evidence.inputs,
    });
    let text = format!(
        "epoch       {}\nheight      {}\nstate root  {}\ninputs      {}\nnew inputs  {}\n",
        at.epoch, at.height, at.rollup.stateRoot, at.rollup.inputs, evidence.inputs
    );
    session.print(text, json)?;
    Ok(Exit::Ok)
}

pub(crate) async fn derive(words: Derive, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace.namespace;
    session.doing(format!("cannot derive namespace {namespace}"));
    let l1 = HttpL1::new(&words.node.l1_rpc).map_err(RollupError::from)?;
    let batches = match &words.beacon {
        Some(url) => {
            let beacon = Beacon::new(url, l1.clone()).map_err(RollupError::from)?;
            read(&words, l1, beacon).await?
        }
        None => read(&words, l1, NoBlobs).await?,
    };
    if words.verify {
        let rollups = session.client().await?.rollups()?;
        compare(&rollups, namespace, &batches).await?;
    }
    let mut table = Table::new(&["batch", "blocks up to", "carrier", "transactions", "bytes", "l1 block"]);
    for batch in &batches {
        let (carrier, transactions, size) = told_content(&batch.content);
        let row = [batch.index, batch.height].map(|number| number.to_string());
        let [index, height] = row;
        table.row([index, height, carrier, transactions.to_string(), bytes(size), batch.block.to_string()]);
    }
    session.say(format!("{} batches checked", batches.len()));
    session.print(table.render(), batches.iter().map(batch_json).collect())?;
    Ok(Exit::Ok)
}

async fn read<B: Blobs>(words: &Derive, l1: HttpL1, blobs: B) -> Result<Vec<Derived>, Failure> {
    let Place { inbox, id } = words.place;
    let to = l1.height().await.map_err(RollupError::from)?;
    let mut deriver = Deriver::new(l1, blobs, inbox, id, words.namespace.namespace);
    Ok(deriver.batches(words.from_l1, to).await.map_err(RollupError::from)?)
}

/// Every block of every batch is what validators prove, and no block between has transactions.
async fn compare(rollups: &Rollups, namespace: u64, batches: &[Derived]) -> Result<(), Failure> {
    let mut next = 1;
    for derived in batches {
        let Some(batch) = derived.content.batch() else { continue };
        let proven = rollups.source(namespace).blocks(next, derived.height).await;
        let proven = proven.map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))?;
        if proven != batch.blocks {
            let differs =
                format!("batch {} is not what validators prove up to block {}", derived.index, derived.height);
            return Err(Failure::new(Exit::Failure, differs));
        }
        next = derived.height + 1;
    }
    Ok(())
}

impl Payer {
    fn open(&self) -> Result<(Wallet, HttpL1), Failure> {
        let wallet = Wallet::load(&self.key_file).map_err(|error| invalid(&self.key_file, &error.to_string()))?;
        Ok((wallet, HttpL1::new(&self.node.l1_rpc).map_err(RollupError::from)?))
    }

    fn fees(&self) -> FeeLimits {
        FeeLimits { max: u128::from(self.fee_max_gwei) * GWEI, tip: u128::from(self.tip_gwei) * GWEI }
    }

    fn sender<'a>(&self, l1: &'a HttpL1, wallet: &'a Wallet) -> Sender<'a> {
        let (signer, poll) = (wallet.signer(), Duration::from_millis(self.l1_poll_millis));
        Sender { l1, chain_id: self.l1_chain_id, signer, fees: self.fees(), poll }
    }
}

impl Post {
    fn mail(&self) -> Result<Mail, Failure> {
        if self.mode == ModeWord::Optimistic {
            return Ok(Mail::Data(match self.via {
                ViaWord::Calldata => Via::Calldata,
                ViaWord::Blobs => Via::Blobs,
            }));
        }
        // clap asks for all of them.
        let missing =
            || Failure::new(Exit::Usage, "--mode zk needs --epoch, --height, --state-root, --state-diff, --proof");
        Ok(Mail::State(Proven {
            epoch: self.epoch.ok_or_else(missing)?,
            height: self.height.ok_or_else(missing)?,
            state_root: self.state_root.ok_or_else(missing)?,
            state_diff: file(self.state_diff.as_deref().ok_or_else(missing)?)?.into(),
            proof: file(self.proof.as_deref().ok_or_else(missing)?)?.into(),
        }))
    }
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Optimistic => Self::Optimistic,
            ModeWord::Zk => Self::Zk,
        }
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    let found = std::fs::read(path).map_err(|error| invalid(path, &error.to_string()))?;
    match found.len() as u64 <= FILE_BYTES_MAX {
        true => Ok(found),
        false => Err(invalid(path, &format!("{} bytes, a transaction takes {FILE_BYTES_MAX}", found.len()))),
    }
}

fn invalid(path: &Path, reason: &str) -> Failure {
    Failure::new(Exit::Invalid, format!("{}: {reason}", path.display()))
}

fn deployed(done: &Deployed) -> Value {
    json!({ "address": done.address, "transaction": done.transaction, "gas": done.gas })
}

/// A step of posting, for a person.
fn told(step: Result<&Step, &PosterError>) -> String {
    match step {
        Ok(Step::Idle) => "nothing to post".to_owned(),
        Ok(Step::Sent { hash, epoch, version }) => format!("sent {hash} (version {version}), up to block {epoch}"),
        Ok(Step::Waiting { hash, depth }) => format!("{hash} has {depth} blocks on top"),
        Ok(Step::TooDear { base, max }) => {
            format!("the L1 asks for {base} wei per gas, at most {max} are allowed: waiting")
        }
        Ok(Step::Settled { hash, is_success: true, gas }) => format!("settled {hash}, {gas} gas"),
        Ok(Step::Settled { hash, gas, .. }) => format!("{hash} reverted, {gas} gas: somebody else was quicker"),
        Ok(Step::Abandoned { nonce }) => format!("nonce {nonce} was used by somebody else with this key"),
        Err(error) => format!("trying again: {error}"),
    }
}

/// Carrier, transactions, bytes of transactions or of the state difference.
fn told_content(content: &Content) -> (String, usize, u64) {
    let (carrier, batch) = match content {
        Content::Calldata(batch) => ("calldata".to_owned(), batch),
        Content::Blobs(batch, count) => (format!("{count} blobs"), batch),
        Content::State { diff, .. } => return ("proof".to_owned(), 0, diff.len() as u64),
    };
    let transactions = || batch.blocks.iter().flat_map(|block| &block.transactions);
    (carrier, transactions().count(), transactions().map(|transaction| transaction.len() as u64).sum())
}

fn batch_json(batch: &Derived) -> Value {
    let (carrier, transactions, size) = told_content(&batch.content);
    let blocks = batch.content.batch().into_iter().flat_map(|batch| &batch.blocks);
    let blocks: Vec<Value> =
        blocks.map(|block| json!({ "height": block.height, "transactions": block.transactions })).collect();
    let state = match &batch.content {
        Content::State { root, diff } => json!({ "root": root, "diff": diff }),
        _ => Value::Null,
    };
    json!({
        "index": batch.index,
        "height": batch.height,
        "inputs": batch.inputs,
        "carrier": carrier,
        "transactions": transactions,
        "bytes": size,
        "blocks": blocks,
        "state": state,
        "transaction": batch.transaction,
        "l1_block": batch.block,
    })
}
