//! `kumo rollup`: what the operator of a namespace does. Register, submit, read with proofs, know what is owed, be paid; `inbox` has
//! what it does on an L1.

mod inbox;

use crate::amount::{amount, bytes, parse_ake};
use crate::session::Session;
use crate::{Exit, Failure, Table, ake};
use clap::{Args, Subcommand, ValueEnum};
use sdk::protocol::api::{SubmissionState, SubmissionStatus};
use sdk::rollup::{Ordering, Policy, Rollup, VerifiedBlock, WAIT_MILLIS};
use sdk::{Address, B256, U256};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Most bytes of one transaction.
const TRANSACTION_BYTES_MAX: u64 = 1 << 20;
/// Blocks printed at once, unless `--to` says otherwise.
const BLOCKS_DEFAULT: u64 = 16;

/// Order transactions of a rollup, read them with proofs, see what the namespace owes
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a namespace for your account: owner, fee recipient, policy
    ///
    /// Costs the registration fee. A namespace works without being registered, but only a registered one has a policy
    /// that validators keep to, and gets a share of its fees back. Whoever registers takes over what it owes.
    #[command(
        after_help = "Examples:\n  kumo rollup register 7000\n  kumo rollup register 7000 --deposit 5 --quota 65536\n  \
                            kumo rollup register 7000 --recipient 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    )]
    Register(Register),
    /// Change how validators order a namespace of yours
    #[command(after_help = "Example:\n  kumo rollup policy 7000 --quota 131072 --ordering both")]
    Policy(SetPolicy),
    /// Show a namespace as the registry has it: owner, policy, deposit, debt, share
    #[command(after_help = "Examples:\n  kumo rollup show 7000\n  kumo rollup show 7000 --output json")]
    Show(Namespace),
    /// Pay for fees of a namespace, what it owes first
    #[command(after_help = "Example:\n  kumo rollup deposit 7000 2.5")]
    Deposit(Deposit),
    /// Submit a transaction; prints only its hash
    ///
    /// It is on the disk of a validator when this returns, and is ordered or expires. The bytes are never looked into.
    /// With --bundle, transactions of several namespaces stand together in one block, in this order, or not at all.
    #[command(
        after_help = "Examples:\n  kumo rollup submit 7000 batch.bin\n  echo hello | kumo rollup submit 7000 -\n  \
                            kumo rollup submit 7000 a.bin --bundle 7001:b.bin\n  \
                            hash=$(kumo rollup submit 7000 batch.bin); kumo rollup status $hash"
    )]
    Submit(Submit),
    /// Say what became of a transaction or bundle
    #[command(
        after_help = "Example:\n  kumo rollup status 0x5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456"
    )]
    Status(Status),
    /// Read a namespace block by block; every block is verified, none is left out
    ///
    /// Checked here, without trust in who answers: a quorum of the committee in the network file signed the header, and
    /// these are all transactions of the namespace under it, or there are none.
    #[command(
        after_help = "Examples:\n  kumo rollup blocks 7000 --from 100\n  kumo rollup blocks 7000 --from 100 --to 400 --output json"
    )]
    Blocks(Blocks),
    /// Follow a namespace: each transaction when it is final and verified
    #[command(after_help = "Examples:\n  kumo rollup follow 7000\n  kumo rollup follow 7000 --from 1 --output json")]
    Follow(Follow),
    /// Show what a namespace used and owes, verified, and what a byte costs now
    #[command(after_help = "Examples:\n  kumo rollup account 7000\n  kumo rollup account 7000 --output json")]
    Account(Namespace),
    /// Have a namespace charged for what it owes: shows the contract the proof
    ///
    /// Anybody may, for any namespace; the amount does not depend on who does, or how often.
    #[command(after_help = "Example:\n  kumo rollup settle 7000")]
    Settle(Namespace),
    /// Pay the namespace's share of its fees to its fee recipient
    #[command(after_help = "Example:\n  kumo rollup claim 7000")]
    Claim(Namespace),
    /// Put the contract RollupInbox on an L1, beside a light client
    #[command(
        after_help = "Example:\n  kumo rollup deploy-inbox --light-client 0x… --l1-rpc http://127.0.0.1:8545 --l1-chain-id 31337 --key-file l1.key"
    )]
    DeployInbox(inbox::DeployInbox),
    /// Begin an inbox for a namespace on an L1; prints its number
    ///
    /// The account that pays posts the blobs. Nobody has a namespace for himself there: tell your users the number.
    #[command(
        after_help = "Examples:\n  kumo rollup open 7000 --mode optimistic --inbox 0x… --l1-rpc URL --l1-chain-id 1 --key-file l1.key\n  \
                            kumo rollup open 7000 --mode zk --verifier 0x… --state-root 0x… --inbox 0x… --l1-rpc URL --l1-chain-id 1 --key-file l1.key"
    )]
    Open(inbox::Open),
    /// Post to an L1 what was ordered (optimistic), or a state with its proof (zk)
    ///
    /// Everything is verified here, and again by the contract. What the inbox has is never posted again; stopped at any point, it goes on
    /// with the same --state.
    #[command(
        after_help = "Examples:\n  kumo rollup post 7000 --mode optimistic --via blobs --follow --inbox 0x… --id 1 --state post --l1-rpc URL --l1-chain-id 1 --key-file l1.key\n  \
                            kumo rollup post 7000 --mode zk --epoch 12 --height 384 --state-root 0x… --state-diff diff.bin --proof proof.bin --inbox 0x… --id 2 --state post --l1-rpc URL --l1-chain-id 1 --key-file l1.key"
    )]
    Post(inbox::Post),
    /// Show what a proof for a zk rollup must be about
    #[command(after_help = "Example:\n  kumo rollup statement 7000 --inbox 0x… --id 2 --l1-rpc URL")]
    Statement(inbox::Statement),
    /// Read the batches of a rollup back from the L1 and check them; with --verify also against the network
    #[command(after_help = "Examples:\n  kumo rollup derive 7000 --inbox 0x… --id 1 --l1-rpc URL\n  \
                            kumo rollup derive 7000 --inbox 0x… --id 1 --l1-rpc URL --beacon URL --verify --output json")]
    Derive(inbox::Derive),
}

/// Names a namespace.
#[derive(Debug, Args)]
pub struct Namespace {
    /// Namespace (rollup) id; 0 is the protocol's, 1 the settlement chain
    #[arg(value_name = "ID")]
    pub namespace: u64,
}

/// How validators order a namespace.
#[derive(Debug, Args)]
pub struct PolicyWords {
    /// Which transactions are ordered: first come first served, only through the encrypted lane, or both
    #[arg(long, value_enum, default_value = "open", value_name = "WHICH")]
    pub ordering: OrderingWord,
    /// Most bytes of the namespace in one block (1024 and more; 0: no limit); bounds what one block can cost it
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub quota: u32,
}

/// Which transactions of a namespace are ordered.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OrderingWord {
    /// First come, first served.
    Open,
    /// Only through the encrypted lane.
    Encrypted,
    /// Both.
    Both,
}

/// `kumo rollup register`.
#[derive(Debug, Args)]
pub struct Register {
    /// What to register.
    #[command(flatten)]
    pub namespace: Namespace,
    /// Who gets the share of the fees; your account if absent
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<Address>,
    /// AKE for its fees, on top of the registration fee
    #[arg(long, value_name = "AKE", default_value = "0", value_parser = parse_ake)]
    pub deposit: U256,
    /// How it is ordered.
    #[command(flatten)]
    pub policy: PolicyWords,
}

/// `kumo rollup policy`.
#[derive(Debug, Args)]
pub struct SetPolicy {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// How it is ordered from the next block on.
    #[command(flatten)]
    pub policy: PolicyWords,
}

/// `kumo rollup deposit`.
#[derive(Debug, Args)]
pub struct Deposit {
    /// For which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// How much
    #[arg(value_name = "AKE", value_parser = parse_ake)]
    pub amount: U256,
}

/// `kumo rollup submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// In which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// The transaction, 1 byte to 1 MiB; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Another transaction that must stand behind it in the same block; may be repeated (2 to 64 in all)
    #[arg(long, value_name = "NAMESPACE:FILE", value_parser = parse_member)]
    pub bundle: Vec<Member>,
}

/// A further transaction of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// In which namespace.
    pub namespace: u64,
    /// The transaction.
    pub file: PathBuf,
}

/// `kumo rollup status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Hash that `submit` printed
    #[arg(value_name = "HASH")]
    pub hash: B256,
}

/// `kumo rollup blocks`.
#[derive(Debug, Args)]
pub struct Blocks {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// First height
    #[arg(long, value_name = "HEIGHT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// Last height; 16 blocks if absent
    #[arg(long, value_name = "HEIGHT")]
    pub to: Option<u64>,
}

/// `kumo rollup follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// Which namespace.
    #[command(flatten)]
    pub namespace: Namespace,
    /// First height; the next block if absent
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,
    /// Stop behind this height
    #[arg(long, value_name = "HEIGHT")]
    pub to: Option<u64>,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Register(words) => register(words, session).await,
        Command::Policy(words) => policy(words, session).await,
        Command::Show(words) => show(words, session).await,
        Command::Deposit(words) => deposit(words, session).await,
        Command::Submit(words) => submit(words, session).await,
        Command::Status(words) => status(words, session).await,
        Command::Blocks(words) => blocks(words, session).await,
        Command::Follow(words) => follow(words, session).await,
        Command::Account(words) => account(words, session).await,
        Command::Settle(words) => settle(words, session).await,
        Command::Claim(words) => claim(words, session).await,
        Command::DeployInbox(words) => inbox::deploy(words, session).await,
        Command::Open(words) => inbox::open(words, session).await,
        Command::Post(words) => inbox::post(words, session).await,
        Command::Statement(words) => inbox::statement(words, session).await,
        Command::Derive(words) => inbox::derive(words, session).await,
    }
}

async fn register(words: Register, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let Register { namespace: Namespace { namespace }, recipient, deposit, policy } = words;
    session.doing(format!("cannot register namespace {namespace}"));
    let client = session.client().await?;
    let (rollups, wallet) = (client.rollups()?, session.wallet(&client)?);
    let recipient = recipient.unwrap_or(wallet.address());
    let fee = rollups.registration_fee().await?;
    let hash = rollups.register(&wallet, namespace, recipient, policy.into(), deposit).await?;
    session.say(format!("namespace {namespace} belongs to {}; paid {}", wallet.address(), ake(fee + deposit)));
    let json = json!({
        "namespace": namespace,
        "owner": wallet.address().to_string(),
        "recipient": recipient.to_string(),
        "fee": amount(fee),
        "deposit": amount(deposit),
        "transaction": hash.to_string(),
    });
    session.print(hash.to_string(), json)?;
    Ok(Exit::Ok)
}

async fn policy(words: SetPolicy, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace.namespace;
    session.doing(format!("cannot change the policy of namespace {namespace}"));
    let client = session.client().await?;
    let hash = client.rollups()?.set_policy(&session.wallet(&client)?, namespace, words.policy.into()).await?;
    session.print(hash.to_string(), json!({ "namespace": namespace, "transaction": hash.to_string() }))?;
    Ok(Exit::Ok)
}

async fn show(words: Namespace, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace;
    session.doing(format!("cannot show namespace {namespace}"));
    let client = session.client().await?;
    let rollup = client.rollups()?.rollup(namespace).await?;
    session.print(rollup_text(namespace, &rollup), rollup_json(namespace, &rollup))?;
    Ok(Exit::Ok)
}

async fn deposit(words: Deposit, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let Deposit { namespace: Namespace { namespace }, amount: paid } = words;
    session.doing(format!("cannot pay for namespace {namespace}"));
    let client = session.client().await?;
    let rollups = client.rollups()?;
    let hash = rollups.deposit(&session.wallet(&client)?, namespace, paid).await?;
    let rollup = rollups.rollup(namespace).await?;
    session.say(format!("deposit {}, debt {}", ake(rollup.deposit), ake(rollup.debt)));
    let json = json!({
        "namespace": namespace,
        "paid": amount(paid),
        "deposit": amount(rollup.deposit),
        "debt": amount(rollup.debt),
        "transaction": hash.to_string(),
    });
    session.print(hash.to_string(), json)?;
    Ok(Exit::Ok)
}

async fn submit(words: Submit, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let Submit { namespace: Namespace { namespace }, file, bundle } = words;
    session.doing(format!("cannot submit {}", file.display()));
    let mut members = vec![(namespace, read(&file)?.into())];
    for member in bundle {
        members.push((member.namespace, read(&member.file)?.into()));
    }
    let rollups = session.client().await?.rollups()?;
    let count = members.len();
    let receipt = match count {
        1 => {
            let (namespace, payload) = members.remove(0);
            rollups.submit(namespace, payload).await?
        }
        _ => rollups.submit_bundle(members).await?,
    };
    let known = if receipt.known { ", known already" } else { "" };
    session.say(format!("on the disk of a validator; ordered by height {} or expired{known}", receipt.expires));
    let json = json!({
        "hash": receipt.hash.to_string(),
        "transactions": count,
        "expires": receipt.expires,
        "known": receipt.known,
    });
    session.print(receipt.hash.to_string(), json)?;
    Ok(Exit::Ok)
}

async fn status(words: Status, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot say what became of {}", words.hash));
    let status = session.client().await?.rollups()?.status(words.hash).await?;
    session.print(status_text(&status), to_json(&status))?;
    Ok(Exit::Ok)
}

async fn blocks(words: Blocks, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let Blocks { namespace: Namespace { namespace }, from, to } = words;
    let to = to.unwrap_or(from.saturating_add(BLOCKS_DEFAULT - 1));
    session.doing(format!("cannot read namespace {namespace}"));
    if to < from {
        return Err(Failure::new(Exit::Invalid, format!("--to {to} is below --from {from}")));
    }
    let rollups = session.client().await?.rollups()?;
    let (mut next, mut table) = (from, Table::new(&["height", "transactions", "bytes", "evidence", "digest"]));
    let mut json = Vec::new();
    while next <= to {
        let page = rollups.blocks(namespace, next, to, 0).await?;
        let Some(last) = page.last() else { break };
        next = last.height + 1;
        for block in &page {
            let payload: usize = block.transactions.iter().map(|transaction| transaction.len()).sum();
            let (count, payload) = (block.transactions.len().to_string(), bytes(payload as u64));
            let evidence = bytes(block.evidence_bytes as u64);
            table.row([block.height.to_string(), count, payload, evidence, block.digest.to_string()]);
            json.push(block_json(block));
        }
    }
    session.say(format!("{} blocks verified, from {from} to {}", json.len(), next.saturating_sub(1)));
    session.print(table.render(), json.into())?;
    Ok(Exit::Ok)
}

async fn follow(words: Follow, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let Follow { namespace: Namespace { namespace }, from, to } = words;
    session.doing(format!("cannot follow namespace {namespace}"));
    let rollups = session.client().await?.rollups()?;
    let mut next = match from {
        Some(from) => from,
        None => rollups.fee(namespace).await?.height + 1,
    };
    let to = to.unwrap_or(u64::MAX);
    while next <= to {
        for block in rollups.blocks(namespace, next, to, WAIT_MILLIS).await? {
            next = block.height + 1;
            if block.transactions.is_empty() {
                continue;
            }
            let lines = block.transactions.iter().map(|transaction| format!("{} {transaction}\n", block.height));
            session.print(lines.collect::<String>(), block_json(&block))?;
        }
    }
    Ok(Exit::Ok)
}

async fn account(words: Namespace, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace;
    session.doing(format!("cannot show what namespace {namespace} owes"));
    let rollups = session.client().await?.rollups()?;
    let (told, verified) = rollups.account(namespace).await?;
    let rollup = rollups.rollup(namespace).await?;
    let proven = match &verified {
        Some(verified) => format!("{} before block {}", ake(U256::from(verified.account.owed)), verified.height),
        None => "nothing: no epoch has begun since its first transaction".to_owned(),
    };
    let text = format!(
        "namespace     {namespace}\nbase fee      {} wei per byte in the next block\ntransactions  {} with {}\n\
         charged       {} in all, by block {}\nproven        {proven}\nsettled       {}\ndeposit       {}\ndebt          {}\n",
        told.base_fee,
        told.transactions,
        bytes(told.bytes),
        ake(told.owed),
        told.height,
        ake(U256::from(rollup.settledOwed)),
        ake(rollup.deposit),
        ake(rollup.debt),
    );
    let json = json!({
        "namespace": namespace,
        "height": told.height,
        "base_fee": told.base_fee,
        "transactions": told.transactions,
        "bytes": told.bytes,
        "owed": amount(told.owed),
        "proven": verified.map(|verified| json!({
            "height": verified.height,
            "digest": verified.digest.to_string(),
            "since": verified.account.since,
            "transactions": verified.account.transactions,
            "bytes": verified.account.bytes,
            "owed": amount(U256::from(verified.account.owed)),
        })),
        "settled": amount(U256::from(rollup.settledOwed)),
        "deposit": amount(rollup.deposit),
        "debt": amount(rollup.debt),
    });
    session.print(text, json)?;
    Ok(Exit::Ok)
}

async fn settle(words: Namespace, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace;
    session.doing(format!("cannot settle namespace {namespace}"));
    let client = session.client().await?;
    let settled = client.rollups()?.settle(&session.wallet(&client)?, namespace).await?;
    let due = settled.map_or(U256::ZERO, |(due, _)| due);
    if settled.is_none() {
        session.say("what is proven was settled before");
    }
    let transaction = settled.map(|(_, hash)| hash.to_string());
    session.print(ake(due), json!({ "namespace": namespace, "due": amount(due), "transaction": transaction }))?;
    Ok(Exit::Ok)
}

async fn claim(words: Namespace, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let namespace = words.namespace;
    session.doing(format!("cannot pay the share of namespace {namespace}"));
    let client = session.client().await?;
    let (share, hash) = client.rollups()?.claim(&session.wallet(&client)?, namespace).await?;
    let json = json!({ "namespace": namespace, "paid": amount(share), "transaction": hash.to_string() });
    session.print(ake(share), json)?;
    Ok(Exit::Ok)
}

impl From<PolicyWords> for Policy {
    fn from(words: PolicyWords) -> Self {
        let ordering = match words.ordering {
            OrderingWord::Open => Ordering::Open,
            OrderingWord::Encrypted => Ordering::Encrypted,
            OrderingWord::Both => Ordering::Both,
        };
        Self { ordering, quotaBytes: words.quota }
    }
}

/// The bytes of a file, or of stdin; at most what one transaction may have.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let invalid = |reason: String| Failure::new(Exit::Invalid, format!("{}: {reason}", file.display()));
    let source: Box<dyn std::io::Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(file).map_err(|error| invalid(error.to_string()))?),
    };
    let mut bytes = Vec::new();
    source.take(TRANSACTION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| invalid(error.to_string()))?;
    match bytes.len() as u64 {
        1..=TRANSACTION_BYTES_MAX => Ok(bytes),
        0 => Err(invalid("it is empty, a transaction has 1 byte to 1 MiB".to_owned())),
        _ => Err(invalid("it has more than 1 MiB, the most that one transaction may have".to_owned())),
    }
}

fn parse_member(text: &str) -> Result<Member, String> {
    let (namespace, file) = text.split_once(':').ok_or_else(|| format!("{text:?} is not NAMESPACE:FILE"))?;
    let namespace = namespace.parse().map_err(|error| format!("namespace {namespace:?}: {error}"))?;
    Ok(Member { namespace, file: file.into() })
}

fn ordering_name(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Open => "open",
        Ordering::Encrypted => "encrypted",
        Ordering::Both => "both",
        _ => "unknown",
    }
}

fn rollup_text(namespace: u64, rollup: &Rollup) -> String {
    let owner = match rollup.owner {
        Address::ZERO => "nobody: it is not registered".to_owned(),
        owner => owner.to_string(),
    };
    let quota = match rollup.policy.quotaBytes {
        0 => "none".to_owned(),
        quota => format!("{} in a block", bytes(u64::from(quota))),
    };
    let suspended = if rollup.suspended { " (suspended until it is paid)" } else { "" };
    format!(
        "namespace  {namespace}\nowner      {owner}\nrecipient  {}\nordering   {}\nquota      {quota}\n\
         settled    {}\ndeposit    {}\ndebt       {}{suspended}\nshare      {}\n",
        rollup.feeRecipient,
        ordering_name(rollup.policy.ordering),
        ake(U256::from(rollup.settledOwed)),
        ake(rollup.deposit),
        ake(rollup.debt),
        ake(rollup.share),
    )
}

fn rollup_json(namespace: u64, rollup: &Rollup) -> Value {
    let named = |address: Address| (address != Address::ZERO).then(|| address.to_string());
    json!({
        "namespace": namespace,
        "owner": named(rollup.owner),
        "pending_owner": named(rollup.pendingOwner),
        "recipient": named(rollup.feeRecipient),
        "ordering": ordering_name(rollup.policy.ordering),
        "quota_bytes": rollup.policy.quotaBytes,
        "settled": amount(U256::from(rollup.settledOwed)),
        "deposit": amount(rollup.deposit),
        "debt": amount(rollup.debt),
        "suspended": rollup.suspended,
        "share": amount(rollup.share),
    })
}

fn block_json(block: &VerifiedBlock) -> Value {
    json!({
        "height": block.height,
        "digest": block.digest.to_string(),
        "timestamp_millis": block.timestamp_millis,
        "verified": true,
        "transactions": block.transactions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn to_json(status: &SubmissionStatus) -> Value {
    // A status has nothing that JSON cannot hold.
    serde_json::to_value(status).unwrap_or_default()
}

fn status_text(status: &SubmissionStatus) -> String {
    let state = to_json(status)["state"].as_str().unwrap_or_default().to_owned();
    match (status.height, status.expires) {
        (Some(height), _) => format!("{state} in block {height}"),
        (None, Some(height)) if matches!(status.state, SubmissionState::Expired | SubmissionState::Rejected) => {
            format!("{state} at block {height}")
        }
        (None, Some(expires)) => format!("{state}, until block {expires}"),
        (None, None) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_bundle_name_namespace_and_file() {
        let member = Member { namespace: 7, file: "a:b".into() };
        assert_eq!(parse_member("7:a:b"), Ok(member), "files may have colons");
        for wrong in ["7", "x:a", "-1:a", "18446744073709551616:a"] {
            assert!(parse_member(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_transaction_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("transaction");
        let limit = TRANSACTION_BYTES_MAX as usize;
        for (bytes, fits) in [(0, false), (1, true), (limit, true), (limit + 1, false)] {
            std::fs::write(&file, vec![7; bytes]).unwrap();
            assert_eq!(read(&file).map(|bytes| bytes.len()).ok(), fits.then_some(bytes));
        }
        assert!(read(&folder.path().join("absent")).unwrap_err().detail.contains("absent"));
    }

    #[test]
    fn a_status_says_where_it_stands_how_long_it_waits_or_where_it_ended() {
        let status = |state, height, expires| {
            status_text(&SubmissionStatus { state, height, expires, ..SubmissionStatus::default() })
        };
        assert_eq!(status(SubmissionState::Final, Some(5), None), "final in block 5");
        assert_eq!(status(SubmissionState::Pending, None, Some(9)), "pending, until block 9");
        assert_eq!(status(SubmissionState::Rejected, None, Some(8)), "rejected at block 8");
        assert_eq!(status(SubmissionState::Expired, None, Some(8)), "expired at block 8");
        assert_eq!(status(SubmissionState::Unknown, None, None), "unknown");
    }
}
