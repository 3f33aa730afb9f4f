//! `kumo stake validator`: validators register, rotate their keys, leave and are paid.
//!
//! A validator's directory has its keys (`validator.key`) and the account that owns its stake (`wallet.key`). Each command finds
//! the registration by the consensus key in the directory, so nobody has to know numbers.

use crate::dev::plan::{VALIDATOR_STAKE_AKE, ake, node_wallet};
use crate::roles::validator::KEY_FILE;
use crate::validators::{address, registered};
use alloy_primitives::{Address, B256, U256};
use clap::{Args, Subcommand};
use cli::{Table, ake as show_ake, rfc3339};
use eyre::{Context, Result, ensure, eyre};
use proof::checkpoint::VoteKey;
use protocol::abi::{IValidatorRegistry, VALIDATOR_REGISTRY};
use protocol::network::Network;
use protocol::units::Wei;
use sdk::chain::ChainClient;
use sdk::{AccountChoice, Wallet};
use sequencer::ValidatorKeys;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Account of a development network that pays for validators whose owner has no coin.
const DEV_FAUCET: AccountChoice = AccountChoice::Index(9);
/// Wei that an owner keeps for gas.
const GAS_RESERVE: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
/// Validators asked for at a time.
const PAGE: u64 = 32;

/// Stake as a validator: register, rotate keys, leave
#[derive(Debug, Subcommand)]
pub enum StakeCommand {
    /// Register a validator with its stake, change its keys, leave with its stake
    #[command(subcommand)]
    Validator(ValidatorCommand),
}

/// `kumo stake validator`.
#[derive(Debug, Subcommand)]
pub enum ValidatorCommand {
    /// Register the keys of a directory and reserve stake behind them
    ///
    /// Without enough stake of its own, the owner stakes what is missing. On a development network an owner without coin is
    /// given some. The seat is taken some epochs later, if the stake is among the largest.
    #[command(
        after_help = "Example:\n  kumo node keys --dir my-validator\n  kumo stake validator register --keys my-validator --p2p 203.0.113.5:9000 --api http://203.0.113.5:9001"
    )]
    Register(RegisterArguments),
    /// Replace the keys by those of another directory; the owner stays
    ///
    /// The old keys stay liable. Go on running with them until the new ones have the seat.
    #[command(after_help = "Example:\n  kumo stake validator rotate --keys my-validator --new my-validator-2")]
    Rotate(RotateArguments),
    /// Change where the others reach the validator
    #[command(after_help = "Example:\n  kumo stake validator move --keys my-validator --p2p 203.0.113.6:9000")]
    Move(MoveArguments),
    /// Reserve more stake behind a validator
    #[command(after_help = "Example:\n  kumo stake validator add --keys my-validator --stake \"500 AKE\"")]
    Add(AddArguments),
    /// Give the seat up; the stake is held until it is too late for evidence
    ///
    /// Go on running until the validator is in no set any more: until then its vote is missed.
    #[command(after_help = "Example:\n  kumo stake validator leave --keys my-validator")]
    Leave(Keys),
    /// Pay the stake of a validator that left to its owner
    #[command(after_help = "Example:\n  kumo stake validator withdraw --keys my-validator")]
    Withdraw(Keys),
    /// Show one validator, by its directory or its number
    #[command(after_help = "Examples:\n  kumo stake validator show 3\n  kumo stake validator show --keys my-validator")]
    Show(ShowArguments),
    /// List the active validators
    #[command(after_help = "Example:\n  kumo stake validator list --output json")]
    List,
}

/// Which validator.
#[derive(Debug, Args)]
pub struct Keys {
    /// Directory with validator.key and wallet.key
    #[arg(long = "keys", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Where the others reach it.
#[derive(Debug, Args)]
pub struct Reach {
    /// Address and port of its consensus socket
    #[arg(long, value_name = "IP:PORT")]
    pub p2p: SocketAddr,
    /// URL of its node API, at most 128 bytes
    #[arg(long, value_name = "URL", default_value = "")]
    pub api: String,
}

/// `kumo stake validator register`.
#[derive(Debug, Args)]
pub struct RegisterArguments {
    /// Which one.
    #[command(flatten)]
    pub keys: Keys,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
    /// Stake to reserve, at least seatStakeMin of the registry
    #[arg(long, value_name = "AMOUNT")]
    pub stake: Option<Wei>,
}

/// `kumo stake validator rotate`.
#[derive(Debug, Args)]
pub struct RotateArguments {
    /// Which one.
    #[command(flatten)]
    pub keys: Keys,
    /// Directory with the new validator.key; its wallet.key is not used
    #[arg(long, value_name = "DIR")]
    pub new: PathBuf,
}

/// `kumo stake validator move`.
#[derive(Debug, Args)]
pub struct MoveArguments {
    /// Which one.
    #[command(flatten)]
    pub keys: Keys,
    /// Where.
    #[command(flatten)]
    pub reach: Reach,
}

/// `kumo stake validator add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// Which one.
    #[command(flatten)]
    pub keys: Keys,
    /// Stake to reserve besides
    #[arg(long, value_name = "AMOUNT")]
    pub stake: Wei,
}

/// `kumo stake validator show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Number of the validator
    #[arg(value_name = "ID", required_unless_present = "dir", conflicts_with = "dir")]
    pub id: Option<u64>,
    /// Directory with validator.key
    #[arg(long = "keys", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What a command says, for a person and for a program.
pub type Said = (String, Value);

/// Makes the keys of a new validator and of its owner.
///
/// # Errors
/// When there are keys already, or the directory cannot be written.
pub fn make_keys(dir: &Path) -> Result<Said> {
    let owner = node_wallet(dir)?.address();
    let keys = ValidatorKeys::generate();
    keys.store(&dir.join(KEY_FILE))?;
    let json = json!({
        "dir": dir, "owner": owner, "public_key": keys.public_key(), "randomness_key": keys.randomness_key(),
        "vote_key": keys.vote_key(),
    });
    let text = format!(
        "keys of a new validator in {}\nowner       {owner}\npublic key  {}\nvote key    {}",
        dir.display(),
        keys.public_key(),
        keys.vote_key()
    );
    Ok((text, json))
}

/// Runs one command.
///
/// # Errors
/// When keys are missing, the network does not answer, or the registry refuses; the text says what.
pub async fn run(command: StakeCommand, network: &Network) -> Result<Said> {
    let StakeCommand::Validator(command) = command;
    let registry = Client { chain: ChainClient::connect(&network.rpc, network.chain_id).await?, network };
    match command {
        ValidatorCommand::Register(words) => registry.register(words).await,
        ValidatorCommand::Rotate(words) => registry.rotate(words).await,
        ValidatorCommand::Move(words) => {
            let (id, wallet) = registry.owned(&words.keys).await?;
            registry.send(&wallet, IValidatorRegistry::moveCall { id, endpoint: endpoint(&words.reach) }).await?;
            registry.show(id).await
        }
        ValidatorCommand::Add(words) => {
            let (id, wallet) = registry.owned(&words.keys).await?;
            let amount = U256::from(words.stake.0);
            registry.pay(&wallet, IValidatorRegistry::addStakeCall { id, amount }, amount).await?;
            registry.show(id).await
        }
        ValidatorCommand::Leave(keys) => {
            let (id, wallet) = registry.owned(&keys).await?;
            registry.send(&wallet, IValidatorRegistry::leaveCall { id }).await?;
            registry.show(id).await
        }
        ValidatorCommand::Withdraw(keys) => {
            let (id, wallet) = registry.owned(&keys).await?;
            registry.send(&wallet, IValidatorRegistry::withdrawCall { id }).await?;
            registry.show(id).await
        }
        ValidatorCommand::Show(words) => {
            let id = match (words.id, words.dir) {
                (Some(id), _) => id,
                (None, Some(dir)) => registry.id_of(&load(&dir)?).await?,
                (None, None) => return Err(eyre!("name a validator: a number, or --keys DIR")),
            };
            registry.show(id).await
        }
        ValidatorCommand::List => registry.list().await,
    }
}

/// The registry of one network.
struct Client<'a> {
    chain: ChainClient,
    network: &'a Network,
}

impl Client<'_> {
    async fn register(&self, words: RegisterArguments) -> Result<Said> {
        let keys = load(&words.keys.dir)?;
        let wallet = node_wallet(&words.keys.dir)?;
        let amount = words.stake.map_or(ake(VALIDATOR_STAKE_AKE), |stake| U256::from(stake.0));
        let call = IValidatorRegistry::registerCall {
            keys: registration(&keys, wallet.address())?,
            endpoint: endpoint(&words.reach),
            amount,
        };
        self.pay(&wallet, call, amount).await?;
        self.show(self.id_of(&keys).await?).await
    }

    async fn rotate(&self, words: RotateArguments) -> Result<Said> {
        let (id, wallet) = self.owned(&words.keys).await?;
        let keys = registration(&load(&words.new)?, wallet.address())?;
        self.send(&wallet, IValidatorRegistry::rotateCall { id, keys }).await?;
        self.show(id).await
    }

    async fn show(&self, id: u64) -> Result<Said> {
        let validator = self.chain.call(VALIDATOR_REGISTRY, IValidatorRegistry::validatorCall { id }).await?;
        ensure!(validator.state != IValidatorRegistry::State::None, "there is no validator {id}");
        let json = to_json(&validator);
        let field = |name: &str| json[name].as_str().unwrap_or("-").to_owned();
        let text = format!(
            "id          {id}\nowner       {}\nstate       {}\nstake       {}\nslashed     {}\npaid from   {}\n\
             public key  {}\nvote key    {}\np2p         {}\napi         {}",
            validator.owner,
            field("state"),
            show_ake(U256::from(validator.stake)),
            show_ake(U256::from(validator.slashed)),
            field("withdrawable_at"),
            field("public_key"),
            field("vote_key"),
            field("p2p"),
            field("api"),
        );
        Ok((text, json))
    }

    async fn list(&self) -> Result<Said> {
        let count = self.chain.call(VALIDATOR_REGISTRY, IValidatorRegistry::countCall {}).await?.saturating_to::<u64>();
        let mut validators = Vec::new();
        for from in (0..count).step_by(PAGE as usize) {
            let call = IValidatorRegistry::listCall { from: U256::from(from), max: U256::from(PAGE) };
            validators.extend(self.chain.call(VALIDATOR_REGISTRY, call).await?);
        }
        validators.sort_by_key(|validator| validator.id);
        let mut table = Table::new(&["id", "owner", "stake", "public key"]);
        for validator in &validators {
            let (stake, key) = (show_ake(U256::from(validator.stake)), hex::encode(validator.consensusKey));
            table.row([validator.id.to_string(), validator.owner.to_string(), stake, key]);
        }
        Ok((table.render(), validators.iter().map(to_json).collect()))
    }

    /// The registration of these keys, and the wallet in the same directory.
    async fn owned(&self, keys: &Keys) -> Result<(u64, Wallet)> {
        Ok((self.id_of(&load(&keys.dir)?).await?, node_wallet(&keys.dir)?))
    }

    async fn id_of(&self, keys: &ValidatorKeys) -> Result<u64> {
        let key: B256 = keys.public_key().parse()?;
        let id = self.chain.call(VALIDATOR_REGISTRY, IValidatorRegistry::idOfConsensusKeyCall { key }).await?;
        ensure!(id != 0, "the consensus key {} is not registered", keys.public_key());
        Ok(id)
    }

    async fn send<C: alloy_sol_types::SolCall>(&self, wallet: &Wallet, call: C) -> Result<()> {
        self.fund(wallet, GAS_RESERVE).await?;
        self.chain.send(wallet, VALIDATOR_REGISTRY, call, U256::ZERO).await?;
        Ok(())
    }

    /// The same with stake that is taken from the balance.
    async fn pay<C: alloy_sol_types::SolCall>(&self, wallet: &Wallet, call: C, stake: U256) -> Result<()> {
        self.fund(wallet, stake + GAS_RESERVE).await?;
        self.chain.send(wallet, VALIDATOR_REGISTRY, call, stake).await?;
        Ok(())
    }

    /// On a development network the faucet account pays for owners that have no coin; elsewhere its owner must.
    async fn fund(&self, wallet: &Wallet, wanted: U256) -> Result<()> {
        let balance = self.chain.balance(wallet.address()).await?;
        if balance >= wanted {
            return Ok(());
        }
        if let Ok(faucet) = Wallet::dev(self.network, DEV_FAUCET) {
            self.chain.transfer(&faucet, wallet.address(), wanted - balance).await?;
        }
        Ok(())
    }
}

fn load(dir: &Path) -> Result<ValidatorKeys> {
    let file = dir.join(KEY_FILE);
    ValidatorKeys::load(&file)
        .wrap_err_with(|| format!("no keys of a validator; `kumo node keys --dir {}` makes some", dir.display()))
}

fn endpoint(reach: &Reach) -> IValidatorRegistry::Endpoint {
    let (ip, port) = registered(reach.p2p);
    IValidatorRegistry::Endpoint { ip, port, api: reach.api.clone() }
}

/// The keys as the registry takes them from `owner`.
fn registration(keys: &ValidatorKeys, owner: Address) -> Result<IValidatorRegistry::Keys> {
    let public = keys.validator(String::new(), String::new());
    let vote_key = VoteKey::decode(&hex::decode(&public.vote_key)?)?;
    let possession = keys.possession_for(&owner.into_array()).to_eip2537();
    let possession = possession.ok_or_else(|| eyre!("the signature of the vote key is no point of the curve"))?;
    let word = |bytes: &[u8], place: usize| B256::from_slice(&bytes[32 * place..32 * (place + 1)]);
    Ok(IValidatorRegistry::Keys {
        consensusKey: public.public_key.parse()?,
        randomnessKey: public.randomness_key.parse()?,
        voteKey: std::array::from_fn(|place| word(&vote_key.to_eip2537(), place)),
        possession: std::array::from_fn(|place| word(&possession, place)),
        proof: hex::decode(&public.vote_possession)?.into(),
    })
}

fn to_json(validator: &IValidatorRegistry::Validator) -> Value {
    let state = match validator.state {
        IValidatorRegistry::State::Active => "active",
        IValidatorRegistry::State::Leaving => "leaving",
        IValidatorRegistry::State::Slashed => "slashed",
        IValidatorRegistry::State::Gone => "gone",
        _ => "none",
    };
    let amount = |wei: u128| json!({ "wei": wei.to_string(), "display": show_ake(U256::from(wei)) });
    let endpoint = &validator.endpoint;
    json!({
        "id": validator.id,
        "owner": validator.owner,
        "state": state,
        "stake": amount(validator.stake),
        "slashed": amount(validator.slashed),
        "withdrawable_at": (validator.withdrawableAt != 0).then(|| rfc3339(validator.withdrawableAt)),
        "public_key": hex::encode(validator.consensusKey),
        "randomness_key": hex::encode(validator.randomnessKey),
        "vote_key": hex::encode(&validator.voteKey),
        "p2p": (endpoint.port != 0).then(|| address(endpoint.ip, endpoint.port).to_string()),
        "api": (!endpoint.api.is_empty()).then_some(&endpoint.api),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proof::checkpoint::verify_possession_of;

    #[test]
    fn new_keys_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_, said) = make_keys(dir.path()).unwrap();
        assert_eq!(said["public_key"], load(dir.path()).unwrap().public_key());
        assert!(make_keys(dir.path()).is_err(), "keys are never overwritten");
        assert_eq!(said["owner"], json!(node_wallet(dir.path()).unwrap().address()));
    }

    #[test]
    fn a_registration_is_possessed_by_its_owner_alone() {
        let (keys, owner) = (ValidatorKeys::from_seed(3), Address::repeat_byte(7));
        let registration = registration(&keys, owner).unwrap();
        let key = VoteKey::decode(&hex::decode(keys.vote_key()).unwrap()).unwrap();
        assert_eq!(registration.voteKey.concat(), key.to_eip2537());
        assert!(verify_possession_of(&key, &owner.into_array(), &keys.possession_for(&owner.into_array())));
        assert!(!verify_possession_of(&key, &[8; 20], &keys.possession_for(&owner.into_array())));
    }
}
