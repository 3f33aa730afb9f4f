//! Members that fail in the middle of something: the work goes on, the money is accounted for, the data is whole.

use crate::person::{Person, noise};
use crate::programs::{COPY, WORK, write_job};
use alloy_primitives::aliases::U96;
use kumo::dev::{DevNetwork, plan};
use protocol::abi::{
    ESCROW, IEscrow, IJobMarket, IProviderRegistry, IStakeManager, JOB_MARKET, PROVIDER_REGISTRY, ROLE_COMPUTE,
    STAKE_MANAGER,
};
use sdk::files::{Protection, Unlock};
use sdk::jobs::Until;
use sdk::{Cid, Client, U256, Wallet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(30);

/// A network in this process, and its first account.
struct World {
    person: Person,
    network: DevNetwork,
    client: Client,
    wallet: Wallet,
}

impl World {
    async fn start(storage_nodes: usize, providers: usize) -> Self {
        Self::start_with_dishonest(storage_nodes, providers, 0).await
    }

    async fn start_with_dishonest(storage_nodes: usize, providers: usize, dishonest: usize) -> Self {
        let person = Person::new();
        let options = plan::Options {
            state: Some(person.path("net")),
            ports_auto: true,
            validators: 1,
            hosts: Vec::new(),
            storage_nodes,
            providers,
            dishonest,
            block_millis: 100,
            epoch_blocks: 32,
            policies: kumo::lane::policies(&[]),
            lane: Default::default(),
            chain: Default::default(),
            settings: Default::default(),
        };
        let network = DevNetwork::start(options).await.unwrap();
        network.ready().await.unwrap();
        let client = Client::connect(network.network().clone(), Default::default()).await.unwrap();
        let wallet = Wallet::dev(client.network(), Default::default()).unwrap();
        Self { person, network, client, wallet }
    }

    async fn stake(&self, account: sdk::Address) -> U256 {
        self.client.chain.call(STAKE_MANAGER, IStakeManager::activeStakeCall { account }).await.unwrap()
    }

    async fn task(&self, id: u64) -> IJobMarket::Task {
        let call = IJobMarket::taskCall { jobId: U256::from(id), index: 0 };
        self.client.chain.call(JOB_MARKET, call).await.unwrap()
    }

    /// Stores a file and returns its address, once it cannot come from the gateway's memory.
    async fn store(&mut self, bytes: &[u8]) -> Cid {
        let cid = self.client.files.put_bytes(bytes.to_vec(), &Protection::owner(&self.wallet)).await.unwrap().cid;
        self.forget().await;
        cid
    }

    /// Restarts the gateway, so that nothing is served from its memory.
    async fn forget(&mut self) {
        self.network.stop_node("gateway").await.unwrap();
        self.network.start_node("gateway").await.unwrap();
    }

    async fn get(&self, cid: &Cid) -> Result<Vec<u8>, sdk::FilesError> {
        self.client.files.get_bytes(cid, &Unlock::Wallet(&self.wallet), 64 << 20).await
    }

    async fn nodes_up(&self) -> usize {
        self.client.gateway.storage_nodes().await.unwrap().iter().filter(|node| node.up).count()
    }
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

fn job(person: &Person, program: &str, task_timeout: &str, attempts: u8) -> PathBuf {
    let yaml = format!(
        "{{apiVersion: kumo/v1, kind: Job, metadata: {{name: fault}}, spec: {{run: {{wasm: {{module: ./program.wasm}}}}, \
         inputs: [{{path: ./data.bin, mount: data}}], \
         resources: {{memory: 16Mi, fuel: 4G, output: 1Mi, wall: {task_timeout}}}, \
         scheduling: {{bidWindow: 2s, taskTimeout: {task_timeout}, jobTimeout: 5m, attempts: {attempts}}}, \
         budget: {{perTask: 0.5 AKE}}, verify: {{audit: 0%}}}}}}"
    );
    write_job(person, "fault", program, b"data", &yaml)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_of_a_killed_provider_is_run_by_another_one() {
    let mut world = World::start(4, 2).await;
    let jobs = world.client.jobs(&world.wallet);
    let prepared = jobs.prepare(&job(&world.person, WORK, "8s", 3), &[]).await.unwrap();
    let id = jobs.open(&prepared).await.unwrap();
    let bundle = prepared.bundle.clone();
    let running = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.run(id, bundle, Until::Closed).await }
    });
    let first = until("the task is assigned and its key delivered", || async {
        let task = world.task(id).await;
        let assigned = task.state == IJobMarket::TaskState::Assigned;
        let delivered = assigned && sdk::jobs::was_delivered(&world.client.chain, id, task.provider).await.unwrap();
        delivered.then_some(task.provider)
    })
    .await;
    let stake = world.stake(first).await;
    let name = ["provider-0", "provider-1"].into_iter().find(|name| address(&world, name) == first).unwrap();
    world.network.stop_node(name).await.unwrap();
    let outcome = running.await.unwrap().unwrap();
    assert!(outcome.is_success(), "{outcome:?}");
    let task = world.task(id).await;
    assert_eq!(task.attempt, 2);
    assert_ne!(task.provider, first);
    assert_eq!(stake - world.stake(first).await, collateral(&world, task.price).await, "the reservation is lost");
    let outputs = jobs.outputs(id).await.unwrap();
    assert_eq!(jobs.output_bytes(&outputs[0], "copy", 1_000).await.unwrap().unwrap(), b"data");
    assert!(held(&world).await.is_zero());
    world.network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_never_delivers_loses_its_reservation_and_the_consumer_is_refunded() {
    let world = World::start(2, 0).await;
    let cheat = register(&world).await;
    let jobs = world.client.jobs(&world.wallet);
    let prepared = jobs.prepare(&job(&world.person, COPY, "3s", 1), &[]).await.unwrap();
    let id = jobs.open(&prepared).await.unwrap();
    let stake = world.stake(cheat.address()).await;
    let bid = IJobMarket::bidCall { jobId: U256::from(id), price: U96::from(1_000_000), capacity: 4 };
    world.client.chain.send(&cheat, JOB_MARKET, bid, U256::ZERO).await.unwrap();
    let outcome = jobs.run(id, prepared.bundle.clone(), Until::Closed).await.unwrap();
    let on_chain = jobs.on_chain(id).await.unwrap();
    assert_eq!((outcome.paid, outcome.failed, outcome.spent), (0, 1, U256::ZERO));
    assert_eq!((on_chain.refunded, on_chain.paid), (on_chain.escrowed, U256::ZERO), "refunded in full");
    assert!(held(&world).await.is_zero());
    let lost = stake - world.stake(cheat.address()).await;
    assert_eq!(lost, collateral(&world, U96::from(1_000_000)).await);
    assert!(!lost.is_zero());
    let reserved = IStakeManager::reservedStakeCall { account: cheat.address() };
    assert!(world.client.chain.call(STAKE_MANAGER, reserved).await.unwrap().is_zero());
    let seen = world.client.provider(cheat.address()).await.unwrap();
    assert!(seen.reputation_bps < 5_000, "a missed deadline is bad evidence: {}", seen.reputation_bps);
    world.network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_output_is_caught_by_re_execution_and_the_task_is_run_again() {
    let world = World::start_with_dishonest(2, 3, 1).await;
    let cheat = address(&world, "provider-2");
    let stake = world.stake(cheat).await;
    let jobs = world.client.jobs(&world.wallet);
    let edits: Vec<_> = ["spec.verify.audit=100%", "spec.tasks=[{}, {}, {}]"].map(|e| e.parse().unwrap()).into();
    let prepared = jobs.prepare(&job(&world.person, COPY, "60s", 3), &edits).await.unwrap();
    let id = jobs.open(&prepared).await.unwrap();
    let outcome = jobs.run(id, prepared.bundle.clone(), Until::Closed).await.unwrap();
    assert!(outcome.is_success(), "{outcome:?}");
    for output in jobs.outputs(id).await.unwrap() {
        assert_ne!(output.receipt.provider, cheat, "no wrong output is paid for");
        assert_eq!(jobs.output_bytes(&output, "copy", 1_000).await.unwrap().unwrap(), b"data");
    }
    assert!(world.stake(cheat).await < stake, "the stake shrinks");
    let seen = world.client.provider(cheat).await.unwrap();
    assert!(seen.jailed_until > 0 && seen.reputation_bps < 5_000, "{seen:?}");
    assert!(held(&world).await.is_zero());
    world.network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_and_lost_shards_are_rebuilt_and_too_many_lost_nodes_are_counted() {
    let mut world = World::start(4, 0).await;
    let bytes = noise(5, 2_500_000);
    let cid = world.store(&bytes).await;

    let damaged = flip_every_shard(&world.network.node_dir("storage-2").join("shards/shards"));
    assert!(damaged > 0);
    assert_eq!(world.get(&cid).await.unwrap(), bytes, "damage is noticed and gone around");
    let report = world.client.files.repair(&cid).await.unwrap();
    assert_eq!(report.unplaced, 0, "{report:?}");
    assert!(report.rebuilt > 0 && report.rebuilt == report.damaged, "{report:?}");
    let again = world.client.files.repair(&cid).await.unwrap();
    assert_eq!((again.damaged, again.checked), (0, report.checked), "{again:?}");

    for name in ["storage-0", "storage-1"] {
        world.network.stop_node(name).await.unwrap();
    }
    world.forget().await;
    assert_eq!(world.get(&cid).await.unwrap(), bytes, "any two of four shards are enough");
    world.network.stop_node("storage-2").await.unwrap();
    world.forget().await;
    let error = world.get(&cid).await.unwrap_err().to_string();
    assert!(error.contains("1 of 4 shards reachable, 2 needed"), "{error}");

    for name in ["storage-0", "storage-1", "storage-2"] {
        world.network.start_node(name).await.unwrap();
    }
    until("all storage nodes are up", || async { (world.nodes_up().await == 4).then_some(()) }).await;
    assert_eq!(world.get(&cid).await.unwrap(), bytes, "nothing was lost");
    world.network.stop().await;
}

/// Flips one bit in every file below `dir`; returns how many there are.
fn flip_every_shard(dir: &Path) -> usize {
    let mut flipped = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            flipped += flip_every_shard(&path);
        } else {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            flipped += 1;
        }
    }
    flipped
}

fn address(world: &World, name: &str) -> sdk::Address {
    plan::node_wallet(&world.network.node_dir(name)).unwrap().address()
}

async fn collateral(world: &World, price: U96) -> U256 {
    U256::from(world.client.chain.call(JOB_MARKET, IJobMarket::collateralCall { price }).await.unwrap())
}

/// All that the escrow still holds.
async fn held(world: &World) -> U256 {
    world.client.chain.call(ESCROW, IEscrow::totalHeldCall {}).await.unwrap()
}

/// A registered provider that nobody runs.
async fn register(world: &World) -> Wallet {
    let cheat = Wallet::random();
    world.client.chain.transfer(&world.wallet, cheat.address(), plan::ake(300)).await.unwrap();
    let profile = IProviderRegistry::Profile {
        roles: 1 << ROLE_COMPUTE,
        encryptionKey: cheat.exchange_public(),
        endpoint: String::new(),
        attributes: "{}".into(),
    };
    let call = IProviderRegistry::stakeAndRegisterCall { profile };
    world.client.chain.send(&cheat, PROVIDER_REGISTRY, call, plan::ake(200)).await.unwrap();
    cheat
}
