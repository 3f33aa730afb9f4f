//! A market and a gateway in memory, with a consumer, providers and strangers around them.

use super::*;
use crate::chain::tests::{FakeNode, receipt as receipt_json};
use crate::files::{FilesError, Protection, Unlock};
use crate::gateway::tests::FakeGateway;
use alloy_consensus::Transaction as _;
use alloy_primitives::aliases::U96;
use alloy_primitives::{B256, Bytes};
use alloy_sol_types::{SolCall, SolValue};
use futures::StreamExt;
use protocol::abi::IJobMarket::{JobState, Receipt, Task, TaskState, Terms};
use protocol::abi::{self, IProviderRegistry, ISlashingCourt, SLASHING_COURT};
use protocol::api::LogRecord;
use protocol::content::{digest_of_cid, raw_cid, sha256};
use protocol::keys::{FileKey, KeyBundle};
use protocol::output::{OutputFile, OutputManifest, OutputSummary};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const JOB: u64 = 7;
const CHAIN: u64 = 5886;

/// What the chain knows.
struct Market {
    consumer: Address,
    state: JobState,
    tasks: Vec<Task>,
    bidders: Vec<Address>,
    holders: Vec<Address>,
    keys: BTreeMap<Address, B256>,
    /// Topics, data and emitting contract of each log.
    logs: Vec<(Address, Vec<B256>, Bytes)>,
    /// Input of the transaction that emitted the receipt logs.
    receipt_input: Bytes,
    escrow: U256,
}

impl Market {
    fn emit<E: SolEvent>(&mut self, contract: Address, event: E) {
        let data = event.encode_log_data();
        self.logs.push((contract, data.topics().to_vec(), data.data.clone()));
    }

    fn job(&self) -> IJobMarket::Job {
        IJobMarket::Job {
            terms: Terms {
                spec: B256::ZERO,
                consumerKey: B256::ZERO,
                tasks: self.tasks.len() as u32,
                priceMax: U96::from(1),
                bidSeconds: 2,
                taskSeconds: 60,
                jobSeconds: 600,
                auditBps: 500,
                attemptsMax: 3,
            },
            consumer: self.consumer,
            state: self.state,
            openedAt: 1_700_000_000,
            bidEnd: 1_700_000_002,
            deadline: 1_700_000_602,
            tasksAssigned: 0,
            tasksPaid: 0,
            tasksFailed: 0,
            escrowed: U256::ZERO,
            paid: U256::ZERO,
            refunded: U256::ZERO,
        }
    }

    fn call(&self, input: &[u8]) -> Vec<u8> {
        let selector: [u8; 4] = input[..4].try_into().unwrap();
        match selector {
            IJobMarket::jobCall::SELECTOR => IJobMarket::jobCall::abi_encode_returns(&self.job()),
            IJobMarket::bidsCall::SELECTOR => {
                let bid = |provider: &Address| IJobMarket::Bid {
                    provider: *provider,
                    price: U96::from(1),
                    capacity: 1,
                    assigned: 1,
                    score: U256::from(1),
                };
                IJobMarket::bidsCall::abi_encode_returns(&self.bidders.iter().map(bid).collect())
            }
            IJobMarket::tasksCall::SELECTOR => IJobMarket::tasksCall::abi_encode_returns(&self.tasks),
            IJobMarket::isKeyHolderCall::SELECTOR => {
                let account = IJobMarket::isKeyHolderCall::abi_decode(input).unwrap().account;
                self.holders.contains(&account).abi_encode()
            }
            IJobMarket::escrowRequiredCall::SELECTOR => self.escrow.abi_encode(),
            IProviderRegistry::profileCall::SELECTOR => {
                let provider = IProviderRegistry::profileCall::abi_decode(input).unwrap().provider;
                IProviderRegistry::profileCall::abi_encode_returns(&IProviderRegistry::Profile {
                    roles: 1,
                    encryptionKey: self.keys.get(&provider).copied().unwrap_or_default(),
                    endpoint: String::new(),
                    attributes: String::new(),
                })
            }
            other => panic!("nobody expects call {}", hex::encode(other)),
        }
    }

    fn matching(&self, filter: &Value) -> Vec<Value> {
        let one_of = |wanted: &Value, found: &str| match wanted {
            Value::Null => true,
            Value::String(wanted) => wanted.eq_ignore_ascii_case(found),
            Value::Array(wanted) => wanted.iter().any(|w| w.as_str().unwrap().eq_ignore_ascii_case(found)),
            other => panic!("{other}"),
        };
        let matches = |(contract, topics, _): &&(Address, Vec<B256>, Bytes)| {
            let wanted = filter["topics"].as_array().cloned().unwrap_or_default();
            let mut pairs = wanted.iter().zip(0..);
            one_of(&filter["address"], &contract.to_string())
                && pairs.all(|(wanted, i)| {
                    wanted.is_null() || topics.get(i).is_some_and(|topic| one_of(wanted, &topic.to_string()))
                })
        };
        self.logs.iter().filter(matches).map(log_json).collect()
    }

    /// What a transaction does.
    fn act(&mut self, from: Address, input: &[u8]) {
        if let Ok(call) = IJobMarket::deliverKeysCall::abi_decode(input) {
            for (to, wrapped) in call.to.into_iter().zip(call.wrapped) {
                self.emit(JOB_MARKET, IJobMarket::KeyDelivered { jobId: call.jobId, to, from, wrapped });
            }
        }
    }
}

fn log_json((contract, topics, data): &(Address, Vec<B256>, Bytes)) -> Value {
    json!({
        "address": contract, "topics": topics, "data": data, "blockNumber": "0x9", "blockHash": B256::ZERO,
        "transactionHash": B256::repeat_byte(0x77), "transactionIndex": "0x0", "logIndex": "0x0", "removed": false
    })
}

fn wallet(byte: u8) -> Wallet {
    Wallet::from_private_key(&B256::repeat_byte(byte)).unwrap()
}

fn consumer() -> Wallet {
    wallet(1)
}

fn provider() -> Wallet {
    wallet(2)
}

fn bundle() -> KeyBundle {
    KeyBundle { secret: [7; 32], files: vec![FileKey { cid: raw_cid(b"input"), key: [8; 32] }] }
}

struct World {
    market: Arc<Mutex<Market>>,
    node: Arc<FakeNode>,
    gateway: Arc<FakeGateway>,
    jobs: Jobs,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let market = Arc::new(Mutex::new(Market {
            consumer: consumer().address(),
            state: JobState::Running,
            tasks: Vec::new(),
            bidders: Vec::new(),
            holders: vec![provider().address()],
            keys: BTreeMap::from([(provider().address(), provider().exchange_public())]),
            logs: Vec::new(),
            receipt_input: Bytes::new(),
            escrow: U256::from(100),
        }));
        let (chain, node) = node(market.clone()).serve().await;
        let (gateway, state) = FakeGateway::default().serve().await;
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let jobs = Jobs::new(chain, gateway.clone(), Files::new(gateway, scratch), consumer());
        Self { market, node, gateway: state, jobs, folder }
    }

    fn with(&self, change: impl FnOnce(&mut Market)) {
        change(&mut self.market.lock().unwrap());
    }

    fn jobs_of(&self, wallet: Wallet) -> Jobs {
        Jobs { wallet, ..self.jobs.clone() }
    }

    fn assign(&self, task: u32, provider: Address) {
        self.market.lock().unwrap().emit(
            JOB_MARKET,
            IJobMarket::TaskAssigned {
                jobId: U256::from(JOB),
                task,
                provider,
                attempt: 1,
                price: U96::from(1),
                reserved: U96::from(1),
                deadline: 1_700_000_060,
            },
        );
    }

    async fn deliver(&self) -> KeyService {
        let mut keys = self.jobs.keys(JOB, bundle()).await.unwrap();
        keys.step().await.unwrap();
        keys
    }
}

fn node(market: Arc<Mutex<Market>>) -> FakeNode {
    let [calls, logs, acts, receipts, transactions] = [(); 5].map(|()| market.clone());
    let height = std::sync::atomic::AtomicU64::new(9);
    FakeNode::default()
        .on("eth_blockNumber", move |_, _| {
            Ok(json!(alloy_primitives::U64::from(height.fetch_add(1, std::sync::atomic::Ordering::Relaxed))))
        })
        .on("eth_call", move |_, params| {
            let input: Bytes = serde_json::from_value(params[0]["input"].clone()).unwrap();
            Ok(json!(Bytes::from(calls.lock().unwrap().call(&input))))
        })
        .on("eth_getLogs", move |_, params| Ok(json!(logs.lock().unwrap().matching(&params[0]))))
        .on("eth_sendRawTransaction", move |node, params| {
            let hash = node.usual("eth_sendRawTransaction", params)?;
            let sent = node.sent.lock().unwrap();
            let transaction = sent.last().unwrap();
            let from = alloy_consensus::transaction::SignerRecoverable::recover_signer(transaction).unwrap();
            acts.lock().unwrap().act(from, transaction.input());
            Ok(hash)
        })
        .on("eth_getTransactionReceipt", move |_, params| {
            let mut receipt = receipt_json(serde_json::from_value(params[0].clone()).unwrap(), true);
            receipt["logs"] = receipts.lock().unwrap().logs.iter().map(log_json).collect();
            Ok(receipt)
        })
        .on("eth_getTransactionByHash", move |_, _| {
            let input = transactions.lock().unwrap().receipt_input.clone();
            Ok(json!({
                "type": "0x2", "chainId": "0x16fe", "nonce": "0x0", "gas": "0x5208", "maxFeePerGas": "0x1",
                "maxPriorityFeePerGas": "0x1", "to": JOB_MARKET, "value": "0x0", "accessList": [], "input": input,
                "r": "0x1", "s": "0x1", "yParity": "0x0", "v": "0x0", "hash": B256::repeat_byte(0x77),
                "blockHash": B256::ZERO, "blockNumber": "0x9", "transactionIndex": "0x0", "from": Address::ZERO
            }))
        })
}

/// A module that does nothing, byte by byte: `(module (memory (export "memory") 1) (func (export "_start")))`.
fn module() -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01".to_vec();
    bytes.extend(b"\x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b");
    bytes
}

const SPEC: &str = "
apiVersion: kumo/v1
kind: Job
metadata: {name: digits}
spec:
  run: {wasm: {module: ./task.wasm, args: ['${n}']}}
  inputs: [{path: ./data.csv}]
  matrix: {n: [1, 2, 3]}
  budget: {perTask: 0.5 AKE}
";

impl World {
    fn write_spec(&self, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join("job.yaml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(self.folder.path().join("task.wasm"), module()).unwrap();
        std::fs::write(self.folder.path().join("data.csv"), b"1,2,3").unwrap();
        path
    }
}

#[tokio::test]
async fn a_prepared_job_is_stored_and_its_inputs_only_for_who_gets_the_keys() {
    let world = World::new().await;
    let prepared = world.jobs.prepare(&world.write_spec(SPEC), &[]).await.unwrap();
    assert_eq!((prepared.terms.tasks, prepared.terms.consumerKey), (3, consumer().exchange_public()));
    assert_eq!(prepared.terms.spec, digest_of_cid(&prepared.cid).unwrap());
    let block = world.jobs.files.block(&prepared.cid).await.unwrap();
    assert_eq!(Job::from_block(&block).unwrap(), prepared.job);
    let stored = prepared.job.module.cid().unwrap();
    assert_eq!(stored, raw_cid(&module()), "the module is stored as it is");
    let input = prepared.job.inputs[0].content.cid().unwrap();
    let key = crate::files::FileKey::from_bytes(prepared.bundle.file(&input).unwrap());
    let plain = world.jobs.files.get_bytes(&input, &Unlock::Key(key), 100).await.unwrap();
    assert_eq!(plain, b"1,2,3");
    let error = world.jobs.files.get_bytes(&input, &Unlock::Wallet(&provider()), 100).await.unwrap_err();
    assert!(matches!(error, FilesError::Crypt { .. }), "{error}");
}

#[tokio::test]
async fn every_job_has_a_secret_of_its_own() {
    let world = World::new().await;
    let path = world.write_spec(SPEC);
    let first = world.jobs.prepare(&path, &[]).await.unwrap();
    let second = world.jobs.prepare(&path, &[]).await.unwrap();
    assert_ne!(first.bundle.secret, second.bundle.secret);
}

#[tokio::test]
async fn inputs_that_are_stored_already_bring_their_keys() {
    let world = World::new().await;
    let mine = world.jobs.files.put_bytes("secret", &Protection::owner(&consumer())).await.unwrap();
    let open = world.jobs.files.put_bytes("open", &Protection::Plain).await.unwrap();
    let theirs = world.jobs.files.put_bytes("theirs", &Protection::owner(&provider())).await.unwrap();
    let spec = |cid| SPEC.replace("{path: ./data.csv}", &format!("{{cid: {cid}, mount: a}}"));
    let prepared = world.jobs.prepare(&world.write_spec(&spec(mine.cid)), &[]).await.unwrap();
    assert_eq!(prepared.bundle.file(&mine.cid).as_ref(), Some(mine.key.unwrap().as_bytes()));
    let prepared = world.jobs.prepare(&world.write_spec(&spec(open.cid)), &[]).await.unwrap();
    assert_eq!(prepared.bundle.files, []);
    let error = world.jobs.prepare(&world.write_spec(&spec(theirs.cid)), &[]).await.unwrap_err();
    assert!(matches!(error, PrepareError::Files(FilesError::Crypt { .. })), "{error}");
}

#[tokio::test]
async fn edits_are_made_before_the_check() {
    let world = World::new().await;
    let path = world.write_spec(SPEC);
    let edit = |text: &str| [text.parse::<Edit>().unwrap()];
    assert_eq!(check(&path, &edit("spec.matrix.n=[1]")).unwrap().task_count(), 1);
    let error = check(&path, &edit("spec.resources.memory=9 potatoes")).unwrap_err();
    assert!(error.to_string().contains("spec.resources.memory"), "{error}");
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_stored() {
    let world = World::new().await;
    let path = world.write_spec(SPEC);
    std::fs::write(world.folder.path().join("task.wasm"), b"#!/bin/sh").unwrap();
    let error = world.jobs.prepare(&path, &[]).await.unwrap_err();
    assert!(matches!(error, PrepareError::Module { .. }), "{error}");
    assert!(error.to_string().contains("not a WebAssembly module"), "{error}");

    world.write_spec(SPEC);
    std::fs::remove_file(world.folder.path().join("data.csv")).unwrap();
    let error = world.jobs.prepare(&path, &[]).await.unwrap_err();
    assert!(matches!(error, PrepareError::Read { ref path, .. } if path.ends_with("data.csv")), "{error}");

    let error = world.jobs.prepare(&world.write_spec("kind: Job"), &[]).await.unwrap_err();
    assert!(matches!(error, PrepareError::Spec { ref errors, .. } if errors.0.len() >= 3), "{error}");
    assert!(world.gateway.blocks.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_specification_that_is_endless_or_no_text_is_refused() {
    let world = World::new().await;
    let path = world.write_spec(&" ".repeat(protocol::job::SPEC_BYTES_MAX + 1));
    assert!(matches!(check(&path, &[]), Err(PrepareError::TooLong { .. })));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(check(&path, &[]), Err(PrepareError::NotText { .. })));
    let missing = world.folder.path().join("none.yaml");
    assert!(matches!(check(&missing, &[]), Err(PrepareError::Read { .. })));
}

#[tokio::test]
async fn opening_pays_the_escrow_and_returns_the_id() {
    let world = World::new().await;
    let prepared = world.jobs.prepare(&world.write_spec(SPEC), &[]).await.unwrap();
    let opened = IJobMarket::JobOpened {
        jobId: U256::from(JOB),
        consumer: consumer().address(),
        spec: prepared.terms.spec,
        tasks: 3,
        priceMax: prepared.terms.priceMax,
        bidEnd: 0,
    };
    world.market.lock().unwrap().emit(JOB_MARKET, opened);
    assert_eq!(world.jobs.open(&prepared).await.unwrap(), JOB);
    let sent = world.node.sent.lock().unwrap();
    assert_eq!(sent[0].value(), U256::from(100));
    assert_eq!(IJobMarket::openCall::abi_decode(sent[0].input()).unwrap().terms, prepared.terms);
}

#[tokio::test]
async fn who_cannot_pay_the_escrow_learns_both_numbers_and_sends_nothing() {
    let world = World::new().await;
    let prepared = world.jobs.prepare(&world.write_spec(SPEC), &[]).await.unwrap();
    world.market.lock().unwrap().escrow = U256::from(10u64.pow(18)) + U256::from(1);
    match world.jobs.open(&prepared).await {
        Err(JobsError::TooPoor { account, balance, required }) => {
            assert_eq!(account, consumer().address());
            assert_eq!(required - balance, U256::from(1));
        }
        other => panic!("{other:?}"),
    }
    assert!(world.node.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn keys_reach_assigned_providers_and_drawn_auditors_once_each_and_only_them() {
    let world = World::new().await;
    let auditor = wallet(3);
    world.assign(0, provider().address());
    let mut keys = world.jobs.keys(JOB, bundle()).await.unwrap();
    let served = keys.step().await.unwrap();
    assert_eq!(served.len(), 2, "the provider and the consumer itself: {served:?}");
    assert!(keys.step().await.unwrap().is_empty(), "once is enough");
    for wallet in [provider(), consumer()] {
        assert_eq!(open_bundle(&world.jobs.chain, &wallet, JOB).await.unwrap(), Some(bundle()));
    }
    assert_eq!(open_bundle(&world.jobs.chain, &auditor, JOB).await.unwrap(), None);

    let drawn = ISlashingCourt::AuditorDrawn {
        jobId: U256::from(JOB),
        task: 0,
        auditor: auditor.address(),
        attempt: 1,
        second: false,
        deadline: 0,
    };
    world.with(|market| {
        market.emit(SLASHING_COURT, drawn);
        market.holders.push(auditor.address());
        market.keys.insert(auditor.address(), auditor.exchange_public());
    });
    // A new service, as after a restart, serves who was not served yet, and nobody twice.
    let mut again = world.jobs.keys(JOB, bundle()).await.unwrap();
    assert_eq!(again.step().await.unwrap(), [auditor.address()]);
    assert_eq!(open_bundle(&world.jobs.chain, &auditor, JOB).await.unwrap(), Some(bundle()));
    assert!(was_delivered(&world.jobs.chain, JOB, auditor.address()).await.unwrap());
}

#[tokio::test]
async fn who_may_not_hold_the_key_is_not_sent_it() {
    let world = World::new().await;
    let stranger = wallet(9);
    world.market.lock().unwrap().keys.insert(stranger.address(), stranger.exchange_public());
    let served = deliver(&world.jobs.chain, &consumer(), JOB, &bundle(), &[stranger.address()]).await.unwrap();
    assert!(served.is_empty());
    assert!(world.node.sent.lock().unwrap().is_empty(), "not even in a transaction that reverts");
}

#[tokio::test]
async fn a_bundle_from_a_stranger_is_not_believed_and_the_consumers_is_preferred() {
    let world = World::new().await;
    let forged = KeyBundle { secret: [66; 32], files: vec![] };
    let send = |from: Address, bundle: &KeyBundle| {
        let wrapped = bundle::seal(CHAIN, JOB, bundle, provider().exchange_public()).unwrap();
        let event = IJobMarket::KeyDelivered {
            jobId: U256::from(JOB),
            to: provider().address(),
            from,
            wrapped: wrapped.into(),
        };
        world.market.lock().unwrap().emit(JOB_MARKET, event);
    };
    send(wallet(9).address(), &forged);
    assert_eq!(open_bundle(&world.jobs.chain, &provider(), JOB).await.unwrap(), None);
    send(consumer().address(), &bundle());
    send(provider().address(), &forged);
    assert_eq!(open_bundle(&world.jobs.chain, &provider(), JOB).await.unwrap(), Some(bundle()));
}

/// What a provider stored and signed for task 0.
struct Delivered {
    manifest: OutputManifest,
    receipt: Receipt,
    signature: [u8; 65],
}

impl World {
    /// An honest provider's output, which `cheat` may change before it is committed to.
    async fn produce(&self, cheat: impl FnOnce(&mut OutputManifest)) -> Delivered {
        let protection = Protection::owner(&consumer());
        let files = &self.jobs.files;
        let (model, log) = (files.put_bytes("weights", &protection), files.put_bytes("epoch 1\n", &protection));
        let (model, log) = (model.await.unwrap(), log.await.unwrap());
        let file = OutputFile { path: "out/model.bin".into(), size: 7, sha256: sha256(b"weights") };
        let summary = OutputSummary { files: vec![file], log: sha256(b"epoch 1\n"), exit_code: 0 };
        let mut manifest = OutputManifest { job_id: JOB, task: 0, summary, cids: vec![model.cid], log_cid: log.cid };
        cheat(&mut manifest);
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let stored = files.put_bytes(bytes, &protection).await.unwrap();
        let root = manifest.summary.root(&bundle().secret);
        let receipt = Receipt {
            jobId: U256::from(JOB),
            task: 0,
            attempt: 1,
            provider: provider().address(),
            commitment: abi::commitment(root, provider().address(), JOB, 0),
            output: digest_of_cid(&stored.cid).unwrap(),
            log: manifest.summary.log,
            fuel: 1,
            memoryBytes: 1,
            wallMillis: 1,
            exitCode: 0,
        };
        let signature = provider().sign_typed(&receipt, &abi::receipt_domain(CHAIN));
        Delivered { manifest, receipt, signature }
    }

    /// Puts the receipt on chain.
    fn submit(&self, delivered: &Delivered) {
        let receipt = delivered.receipt.clone();
        let mut market = self.market.lock().unwrap();
        market.tasks = vec![Task {
            state: TaskState::Paid,
            attempt: 1,
            provider: receipt.provider,
            price: U96::from(1),
            reserved: U96::ZERO,
            deadline: 0,
            receiptBlock: 9,
            commitment: receipt.commitment,
            output: receipt.output,
        }];
        market.emit(
            JOB_MARKET,
            IJobMarket::ReceiptSubmitted {
                jobId: receipt.jobId,
                task: 0,
                provider: receipt.provider,
                attempt: 1,
                commitment: receipt.commitment,
                output: receipt.output,
            },
        );
        let call = IJobMarket::submitReceiptCall { receipt, signature: delivered.signature.to_vec().into() };
        market.receipt_input = call.abi_encode().into();
    }
}

#[tokio::test]
async fn honest_outputs_are_handed_out() {
    let world = World::new().await;
    world.deliver().await;
    let delivered = world.produce(|_| {}).await;
    world.submit(&delivered);
    let outputs = world.jobs.outputs(JOB).await.unwrap();
    let [output] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(output.manifest, delivered.manifest);
    assert_eq!(output.root, delivered.manifest.summary.root(&bundle().secret));
    let folder = world.folder.path().join("results");
    let paths = world.jobs.download(output, &folder).await.unwrap();
    assert_eq!(paths, [folder.join("out/model.bin")]);
    assert_eq!(std::fs::read(&paths[0]).unwrap(), b"weights");
    assert_eq!(world.jobs.output_log(output).await.unwrap(), b"epoch 1\n");
    assert_eq!(world.jobs.output_bytes(output, "out/model.bin", 7).await.unwrap().unwrap(), b"weights");
    assert_eq!(world.jobs.output_bytes(output, "out/model.bin", 6).await.unwrap(), None);
    assert_eq!(world.jobs.output_bytes(output, "other", 7).await.unwrap(), None);
}

#[tokio::test]
async fn outputs_of_somebody_elses_job_stay_closed() {
    let world = World::new().await;
    world.deliver().await;
    world.submit(&world.produce(|_| {}).await);
    let error = world.jobs_of(wallet(9)).outputs(JOB).await.unwrap_err();
    assert!(matches!(error, OutputsError::NoKey { job_id: JOB, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_committed_is_not_saved() {
    let world = World::new().await;
    world.deliver().await;
    world.submit(&world.produce(|manifest| manifest.summary.files[0].sha256 = sha256(b"better weights")).await);
    let outputs = world.jobs.outputs(JOB).await.unwrap();
    let folder = world.folder.path().join("results");
    let error = world.jobs.download(&outputs[0], &folder).await.unwrap_err();
    assert!(matches!(error, OutputsError::Output { task: 0, .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.join("out")).unwrap().count(), 0);
    let error = world.jobs.output_bytes(&outputs[0], "out/model.bin", 100).await.unwrap_err();
    assert!(matches!(error, OutputsError::Output { .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_that_leaves_the_folder_is_refused() {
    let world = World::new().await;
    world.deliver().await;
    world.submit(&world.produce(|manifest| manifest.summary.files[0].path = "../../.profile".into()).await);
    let error = world.jobs.outputs(JOB).await.unwrap_err();
    assert!(matches!(error, OutputsError::Output { .. }), "{error}");
    assert!(error.to_string().contains("../../.profile"), "{error}");
}

#[tokio::test]
async fn commitment_signature_and_chain_must_agree() {
    let world = World::new().await;
    world.deliver().await;

    let mut other_root = world.produce(|_| {}).await;
    other_root.receipt.commitment = B256::repeat_byte(1);
    other_root.signature = provider().sign_typed(&other_root.receipt, &abi::receipt_domain(CHAIN));
    world.submit(&other_root);
    let error = world.jobs.outputs(JOB).await.unwrap_err();
    assert!(matches!(error, OutputsError::Output { .. }), "{error}");

    let mut other_signer = world.produce(|_| {}).await;
    other_signer.signature = wallet(9).sign_typed(&other_signer.receipt, &abi::receipt_domain(CHAIN));
    world.submit(&other_signer);
    let error = world.jobs.outputs(JOB).await.unwrap_err();
    assert!(matches!(error, OutputsError::Receipt { .. }), "{error}");

    world.submit(&world.produce(|_| {}).await);
    world.market.lock().unwrap().tasks[0].commitment = B256::repeat_byte(2);
    let error = world.jobs.outputs(JOB).await.unwrap_err();
    assert!(matches!(error, OutputsError::OtherReceipt { .. }), "{error}");

    world.market.lock().unwrap().receipt_input = Bytes::from_static(b"something else");
    let error = world.jobs.outputs(JOB).await.unwrap_err();
    assert!(matches!(error, OutputsError::NoReceipt { task: 0, attempt: 1, .. }), "{error}");
}

#[test]
fn manifests_are_read_strictly() {
    let cid = raw_cid(b"");
    assert!(matches!(read_manifest(b"{}", JOB, 0, cid), Err(OutputsError::NotAManifest { .. })));
    let summary = OutputSummary { files: vec![], log: B256::ZERO, exit_code: 0 };
    let manifest = OutputManifest { job_id: JOB, task: 1, summary, cids: vec![], log_cid: cid };
    let bytes = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(read_manifest(&bytes, JOB, 1, cid).unwrap(), manifest);
    assert!(matches!(read_manifest(&bytes, JOB, 0, cid), Err(OutputsError::Output { .. })));
}

/// A record of `text` by `author` for an attempt, sealed with the job's key.
fn record(author: &Wallet, task: u32, secret: [u8; 32], text: &str) -> LogRecord {
    let (seq, sealed) = storage::crypt::LogSealer::new(&secret, JOB, task, 1).seal(text.as_bytes());
    let mut record = LogRecord {
        job_id: JOB,
        task,
        attempt: 1,
        provider: author.address(),
        seq,
        sealed: sealed.into(),
        signature: Bytes::new(),
    };
    record.signature = author.sign_message(&record.signing_bytes()).to_vec().into();
    record
}

impl World {
    async fn read_logs(&self, records: &[LogRecord]) -> Vec<Result<LogLine, LogsError>> {
        let data = records.iter().map(|r| format!("data: {}\n\n", serde_json::to_string(r).unwrap()));
        let body = data.collect::<String>() + "event: end\ndata: {}\n\n";
        self.gateway.streams.lock().unwrap().push(body);
        self.jobs.logs(JOB, None, false).await.unwrap().collect().await
    }
}

#[tokio::test]
async fn live_logs_are_opened_here() {
    let world = World::new().await;
    world.assign(3, provider().address());
    world.deliver().await;
    let lines = world.read_logs(&[record(&provider(), 3, [7; 32], "epoch 1\n")]).await;
    let expected = LogLine { task: 3, attempt: 1, provider: provider().address(), seq: 0, text: b"epoch 1\n".to_vec() };
    assert!(matches!(lines.as_slice(), [Ok(line)] if *line == expected), "{lines:?}");
}

#[tokio::test]
async fn forged_records_end_the_log_with_an_error() {
    let world = World::new().await;
    world.assign(3, provider().address());
    world.deliver().await;
    let honest = record(&provider(), 3, [7; 32], "x");
    let unsigned = LogRecord { seq: 1, ..honest.clone() };
    let lines = world.read_logs(&[unsigned, honest.clone()]).await;
    assert!(matches!(lines.as_slice(), [Err(LogsError::Forged { task: 3, seq: 1, .. })]), "{lines:?}");
    let lines = world.read_logs(&[record(&wallet(9), 3, [7; 32], "x")]).await;
    assert!(matches!(lines.as_slice(), [Err(LogsError::Stranger { task: 3, .. })]), "{lines:?}");
    let lines = world.read_logs(&[record(&provider(), 3, [9; 32], "x")]).await;
    assert!(matches!(lines.as_slice(), [Err(LogsError::Sealed { .. })]), "{lines:?}");
}

#[tokio::test]
async fn a_finished_task_shows_its_stored_log_instead_of_live_records() {
    let world = World::new().await;
    world.assign(0, provider().address());
    world.deliver().await;
    world.submit(&world.produce(|_| {}).await);
    let lines = world.read_logs(&[record(&provider(), 0, [7; 32], "only the beginn")]).await;
    let [Ok(line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.text, b"epoch 1\n");
}

#[tokio::test]
async fn a_job_is_left_when_every_task_has_a_provider_with_the_key() {
    let world = World::new().await;
    world.submit(&world.produce(|_| {}).await);
    world.assign(0, provider().address());
    let outcome = world.jobs.run(JOB, bundle(), Until::Selected).await.unwrap();
    assert_eq!((outcome.state, outcome.tasks), (JobState::Running, 1));
    assert_eq!(open_bundle(&world.jobs.chain, &provider(), JOB).await.unwrap(), Some(bundle()));
}

#[tokio::test]
async fn a_job_with_waiting_tasks_is_left_when_every_bidder_has_the_key() {
    let world = World::new().await;
    world.submit(&world.produce(|_| {}).await);
    world.with(|market| {
        market.tasks[0].state = TaskState::Open;
        market.bidders = vec![provider().address()];
    });
    let run = world.jobs.run(JOB, bundle(), Until::Selected);
    tokio::pin!(run);
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut run).await;
    assert!(early.is_err(), "the bidder has no key yet");
    world.assign(1, provider().address());
    assert_eq!(run.await.unwrap().state, JobState::Running);
}

#[tokio::test]
async fn a_closed_job_ends_the_accompaniment_with_its_account() {
    let world = World::new().await;
    world.market.lock().unwrap().state = JobState::Closed;
    let outcome = world.jobs.run(JOB, bundle(), Until::Closed).await.unwrap();
    assert_eq!((outcome.state, outcome.tasks, outcome.is_success()), (JobState::Closed, 0, true));
}
