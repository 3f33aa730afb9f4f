//! anvil, the contracts on it, and a bridge.

use crate::network::{DOMAIN, Network, key};
use alloy_primitives::{Address, B256, Bytes, U256, address, b256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolValue, sol};
use bridge_ethereum::journal::Identity;
use bridge_ethereum::{Call, FeeLimits, HttpL1, Journal, L1, Poster, Settings, Step};
use eyre::{Context, Result, bail, ensure, eyre};
use proof::checkpoint::{
    Electorate, Evidence, MESSAGE_DST, POSSESSION_DST, Point, SignedVote, ValidatorSet, Vote, VoteKey, VoteSignature,
    Witness, abi_checkpoint, abi_key, abi_signature, abi_slash, possession_message,
};
use protocol::abi::l1::{IKumoLightClient, IStakeVault};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds that pass with each block.
pub const BLOCK_MILLIS: u64 = 12_000;
/// Most wei per gas that the bridge pays.
pub const FEE_MAX: u128 = 20_000_000_000;
const CHAIN_ID: u64 = 31_337;
const CONFIRMATIONS: u64 = 2;
const START_TIME: Duration = Duration::from_secs(20);
const STAKE: u128 = 1_000_000;
/// anvil's accounts 0 (the bridge) and 1 (a validator's owner); their keys are in its documentation.
const BRIDGE_KEY: B256 = b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
const OWNER: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");

sol! {
    interface Token {
        function mint(address to, uint256 amount);
        function approve(address spender, uint256 amount) returns (bool);
        function balanceOf(address account) returns (uint256);
    }
}

/// Everything a test needs.
pub struct World {
    anvil: PathBuf,
    port: String,
    process: Option<Child>,
    folder: tempfile::TempDir,
    rpc: HttpL1,
    network: Network,
    last: u64,
    millis: u64,
    client: Address,
    token: Address,
    vault: Address,
    bridge: Option<Poster<HttpL1, Network>>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It is gone either way.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl World {
    pub async fn start(anvil: &Path, artifacts: &Path, token: &Path) -> Result<Self> {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut world = Self {
            rpc: HttpL1::new(&format!("http://127.0.0.1:{port}"))?,
            anvil: anvil.into(),
            port,
            process: None,
            folder: tempfile::tempdir()?,
            network: Network::new(seconds),
            last: 0,
            millis: 0,
            client: Address::ZERO,
            token: Address::ZERO,
            vault: Address::ZERO,
            bridge: None,
        };
        world.start_l1().await?;
        world.deploy(artifacts, token).await?;
        world.restart_bridge()?;
        Ok(world)
    }

    async fn deploy(&mut self, artifacts: &Path, token: &Path) -> Result<()> {
        let bridge = PrivateKeySigner::from_bytes(&BRIDGE_KEY)?.address();
        let electorate: Electorate = self.network.members();
        let sets: Vec<B256> = electorate.sets().iter().map(ValidatorSet::root).collect();
        let trusted = abi_checkpoint(&self.network.at(0));
        let client = (DOMAIN.chain_id, DOMAIN.genesis, 7 * 86_400u64, trusted, sets).abi_encode_params();
        let (at, gas) = self.create(&artifacts.join("KumoLightClient.json"), &client).await?;
        println!("l1: light client deployed, {gas} gas");
        self.client = at;
        (self.token, _) = self.create(token, &[]).await?;
        // Unbonding, evidence, least deposit, slashed, rewarded, treasury.
        let terms = (14 * 86_400u64, 7 * 86_400u64, U256::from(1_000), 5_000u64, 1_000u64, bridge);
        let vault = (self.token, self.client, terms).abi_encode_params();
        let (at, gas) = self.create(&artifacts.join("StakeVault.json"), &vault).await?;
        println!("l1: vault deployed, {gas} gas");
        self.vault = at;
        Ok(())
    }

    pub fn bridge(&mut self) -> Result<&mut Poster<HttpL1, Network>> {
        self.bridge.as_mut().ok_or_else(|| eyre!("the bridge is not started"))
    }

    /// A new bridge that knows what the journal says.
    pub fn restart_bridge(&mut self) -> Result<()> {
        self.bridge = None;
        let signer = PrivateKeySigner::from_bytes(&BRIDGE_KEY)?;
        let identity = Identity { chain_id: CHAIN_ID, contract: self.client, account: signer.address() };
        let journal = Journal::open(&self.folder.path().join("journal"), identity)?;
        let settings = Settings {
            chain_id: CHAIN_ID,
            contract: self.client,
            confirmations: CONFIRMATIONS,
            epochs_min: 1,
            fees: FeeLimits { max: FEE_MAX, tip: 1_000_000_000 },
            replace_millis: 3 * BLOCK_MILLIS,
            gas_max: 5_000_000,
        };
        self.bridge = Some(Poster::new(self.rpc.clone(), self.network.clone(), signer, settings, journal));
        Ok(())
    }

    /// Epochs in which everybody votes.
    pub fn epochs(&mut self, count: u64) {
        for _ in 0..count {
            self.network.epoch();
            self.last += 1;
        }
    }

    /// An epoch in which some do not vote.
    pub fn link_without(&mut self, absent: usize) {
        self.network.link(self.last, self.last + 1, absent);
        self.last += 1;
    }

    pub fn wait(&mut self, millis: u64) {
        self.millis += millis;
    }

    pub async fn step(&mut self) -> Result<Step> {
        let millis = self.millis;
        Ok(self.bridge()?.step(millis).await?)
    }

    /// Steps and blocks until the bridge rests; the contract must then have `epoch`. Returns the gas of the last post.
    pub async fn settle(&mut self, epoch: u64) -> Result<u64> {
        let mut used = 0;
        for _ in 0..20 {
            self.wait(BLOCK_MILLIS);
            match self.step().await? {
                Step::Idle => {
                    let latest: IKumoLightClient::latestReturn =
                        self.ask(self.client, IKumoLightClient::latestCall {}).await?;
                    ensure!(latest.epoch == epoch, "the contract has epoch {}, expected {epoch}", latest.epoch);
                    ensure!(latest.root == self.network.at(epoch).root(), "another root of epoch {epoch}");
                    return Ok(used);
                }
                Step::Settled { gas, is_success, .. } => {
                    ensure!(is_success, "a post reverted");
                    used = gas;
                }
                _ => self.mine(1).await?,
            }
        }
        bail!("epoch {epoch} is not posted after 20 steps")
    }

    pub async fn mine(&self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            self.rpc.request("evm_mine", json!([])).await?;
        }
        Ok(())
    }

    pub async fn snapshot(&self) -> Result<Value> {
        Ok(self.rpc.request("evm_snapshot", json!([])).await?)
    }

    pub async fn revert(&self, snapshot: &Value) -> Result<()> {
        let result = self.rpc.request("evm_revert", json!([snapshot])).await?;
        ensure!(result == json!(true), "anvil does not go back");
        self.rpc.request("anvil_dropAllTransactions", json!([])).await?;
        Ok(())
    }

    pub async fn set_base_fee(&self, wei: u128) -> Result<()> {
        self.rpc.request("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")])).await?;
        // The bridge looks at the last block.
        self.mine_empty().await?;
        self.rpc.request("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")])).await?;
        Ok(())
    }

    async fn mine_empty(&self) -> Result<()> {
        self.mine(1).await
    }

    /// A transfer from the bridge's account that pays too little to be mined.
    pub async fn stuck_transfer(&self) -> Result<()> {
        self.set_base_fee(1_000_000_000).await?;
        let from = PrivateKeySigner::from_bytes(&BRIDGE_KEY)?.address();
        let transfer = json!([{ "from": from, "to": OWNER, "value": "0x1", "gas": "0x5208",
            "maxFeePerGas": "0x2540be400", "maxPriorityFeePerGas": "0x77359400" }]);
        self.set_base_fee(4_000_000_000).await?;
        self.rpc.request("eth_sendTransaction", transfer).await?;
        self.set_base_fee_of_next(12_000_000_000).await
    }

    async fn set_base_fee_of_next(&self, wei: u128) -> Result<()> {
        self.rpc.request("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")])).await?;
        Ok(())
    }

    /// Locks stake of the first validator.
    pub async fn deposit(&mut self) -> Result<u64> {
        let (key, proof) = possession(&self.network);
        let amount = U256::from(STAKE);
        self.transact(self.token, Token::mintCall { to: OWNER, amount }.abi_encode()).await?;
        self.transact(self.token, Token::approveCall { spender: self.vault, amount }.abi_encode()).await?;
        let call = IStakeVault::depositCall { key: abi_key(&key), possession: abi_signature(&proof)?, amount };
        self.transact(self.vault, call.abi_encode()).await
    }

    /// Reports its double vote.
    pub async fn slash(&mut self) -> Result<u64> {
        let evidence = double_vote(&self.network);
        let gas = self.transact(self.vault, abi_slash(&evidence, |_| None)?.abi_encode()).await?;
        let key = self.ask(self.vault, IStakeVault::keyOfCall { key: abi_key(&evidence.key) }).await?;
        let validator = self.ask(self.vault, IStakeVault::validatorCall { key }).await?;
        ensure!(validator.isSlashed && validator.active.is_zero(), "the validator must be out");
        ensure!(validator.unbonding == U256::from(STAKE / 2), "half of the stake is left");
        let reward = self.ask(self.vault, IStakeVault::owedToCall { account: OWNER }).await?;
        ensure!(reward == U256::from(STAKE / 20), "a tenth of what was slashed is the reward");
        Ok(gas)
    }

    async fn ask<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return> {
        let call = Call::new(Address::ZERO, to, call.abi_encode());
        Ok(C::abi_decode_returns(&self.rpc.call(&call).await?)?)
    }

    /// A transaction of the second account, which must succeed; returns its gas.
    async fn transact(&self, to: Address, data: Vec<u8>) -> Result<u64> {
        let fields = json!([{ "from": OWNER, "to": to, "data": Bytes::from(data), "gas": "0x1e8480" }]);
        Ok(self.send(fields).await?.1)
    }

    /// Puts a contract on the chain; returns where, and the gas.
    async fn create(&self, artifact: &Path, arguments: &[u8]) -> Result<(Address, u64)> {
        let text = std::fs::read(artifact).wrap_err_with(|| format!("cannot read {}", artifact.display()))?;
        let json: Value = serde_json::from_slice(&text)?;
        let code = json["bytecode"].as_str().or(json["bytecode"]["object"].as_str());
        let code: Bytes = code.ok_or_else(|| eyre!("{} has no bytecode", artifact.display()))?.parse()?;
        let data = Bytes::from([&code[..], arguments].concat());
        let (receipt, gas) = self.send(json!([{ "from": OWNER, "data": data, "gas": "0x7a1200" }])).await?;
        Ok((serde_json::from_value(receipt["contractAddress"].clone())?, gas))
    }

    async fn send(&self, fields: Value) -> Result<(Value, u64)> {
        let hash = self.rpc.request("eth_sendTransaction", fields).await?;
        self.mine(1).await?;
        let receipt = self.rpc.request("eth_getTransactionReceipt", json!([hash])).await?;
        ensure!(receipt["status"] == json!("0x1"), "the transaction reverted: {receipt}");
        let gas: alloy_primitives::U64 = serde_json::from_value(receipt["gasUsed"].clone())?;
        Ok((receipt, gas.to()))
    }

    /// Asks anvil to stop, so that it writes its blocks down.
    pub async fn stop_l1(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = Command::new("kill").args(["-TERM", &process.id().to_string()]).status()?;
        ensure!(status.success(), "cannot stop anvil");
        process.wait()?;
        Ok(())
    }

    pub async fn start_l1(&mut self) -> Result<()> {
        let chain_id = CHAIN_ID.to_string();
        let mut command = Command::new(&self.anvil);
        command.args(["--port", &self.port, "--chain-id", &chain_id, "--hardfork", "osaka", "--no-mining", "--silent"]);
        command.args(["--preserve-historical-states", "--state"]).arg(self.folder.path().join("state.json"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(command.spawn().wrap_err_with(|| format!("cannot run {command:?}"))?);
        let begin = Instant::now();
        while self.rpc.chain_id().await.is_err() {
            ensure!(begin.elapsed() < START_TIME, "anvil does not answer within {} s", START_TIME.as_secs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Key of the first validator, and the proof that it is possessed.
fn possession(network: &Network) -> (VoteKey, VoteSignature) {
    let secret = &network.0.lock().expect("no test panics with the lock").secrets[0];
    let message = possession_message(&key(secret), &OWNER.into_array());
    (key(secret), VoteSignature(secret.sign(&message, POSSESSION_DST, &[]).to_bytes()))
}

/// Proof that it voted twice for an epoch that nobody else has seen.
fn double_vote(network: &Network) -> Evidence {
    let secret = &network.0.lock().expect("no test panics with the lock").secrets[0];
    let point = |epoch, salt| Point { epoch, root: B256::repeat_byte(salt) };
    let signed = |salt| {
        let vote = Vote { source: point(7_000, 1), target: point(7_001, salt) };
        let signature = secret.sign(vote.signing_root(&DOMAIN).as_slice(), MESSAGE_DST, &[]);
        SignedVote { vote, witness: Witness::Alone(VoteSignature(signature.to_bytes())) }
    };
    Evidence { key: key(secret), first: signed(2), second: signed(3) }
}
