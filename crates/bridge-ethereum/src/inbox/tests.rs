use super::*;
use crate::fees::FeeLimits;
use crate::l1::Receipt;
use alloy_sol_types::SolValue as _;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const NAMESPACE: u64 = 7;
const INBOX: Address = Address::repeat_byte(1);
const CLIENT: Address = Address::repeat_byte(2);

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing in these tests waits"),
    }
}

/// A network with these blocks, whose last checkpoint has `height`.
#[derive(Clone)]
struct Chain {
    blocks: Vec<BatchBlock>,
    height: u64,
    lies: bool,
    /// The oldest block that is kept, and whether everybody said so.
    oldest: (u64, bool),
}

fn block(height: u64, bytes: usize) -> BatchBlock {
    BatchBlock { height, transactions: vec![vec![height as u8; bytes].into()] }
}

impl Chain {
    fn new(blocks: Vec<BatchBlock>, height: u64) -> Self {
        Self { blocks, height, lies: false, oldest: (0, true) }
    }

    fn inputs(&self, to: u64) -> B256 {
        let blocks = self.blocks.iter().filter(|block| block.height <= to).cloned().collect();
        Batch { blocks }.extend(NAMESPACE, B256::ZERO)
    }

    fn since(&self) -> u64 {
        self.blocks.first().map_or(0, |block| block.height)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            epoch: self.height / 8,
            height: self.height,
            seconds: 5,
            block: B256::repeat_byte(3),
            application: B256::ZERO,
            electorate: B256::ZERO,
            state: B256::ZERO,
        }
    }
}

impl Ordered for Chain {
    fn namespace(&self) -> u64 {
        NAMESPACE
    }

    async fn evidence(&self, epoch: u64, height: u64, _: B256) -> Result<Option<Evidence>, SourceError> {
        assert_eq!((epoch, height), (self.height / 8, self.height));
        let inputs = if self.lies { B256::repeat_byte(9) } else { self.inputs(height - 1) };
        let (header, commitment, account) = Default::default();
        let since = self.since();
        Ok(Some(Evidence { checkpoint: self.checkpoint(), header, commitment, account, since, inputs }))
    }

    async fn oldest(&self, from: u64) -> Result<Oldest, SourceError> {
        let (height, is_sure) = self.oldest;
        Ok(Oldest { height: height.max(from), is_sure })
    }

    async fn blocks(&self, from: u64, to: u64) -> Result<Vec<BatchBlock>, SourceError> {
        assert!(from <= to && to - from < PAGE_BLOCKS && to < self.height);
        assert!(from >= self.oldest.0, "block {from} is pruned");
        assert!(from >= self.since(), "blocks from before the first transaction may be pruned");
        Ok(self.blocks.iter().filter(|block| (from..=to).contains(&block.height)).cloned().collect())
    }
}

/// An L1 whose inbox covers the network up to `covered`.
struct Fake {
    chain: Chain,
    covered: u64,
    mode: Mode,
    namespace: u64,
    root: B256,
    /// Names that were traced, and the last block that each covers.
    traced: Vec<(B256, u64)>,
}

impl Fake {
    fn new(chain: &Chain, covered: u64) -> Self {
        let root = chain.checkpoint().root();
        Self { chain: chain.clone(), covered, mode: Mode::Optimistic, namespace: NAMESPACE, root, traced: vec![] }
    }
}

impl L1 for Fake {
    async fn chain_id(&self) -> Result<u64, L1Error> {
        Ok(1)
    }

    async fn height(&self) -> Result<u64, L1Error> {
        Ok(1)
    }

    async fn base_fee(&self) -> Result<u128, L1Error> {
        Ok(1)
    }

    async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        Ok(1)
    }

    async fn nonce(&self, _: Address, _: Option<u64>) -> Result<u64, L1Error> {
        Ok(0)
    }

    async fn call(&self, call: &Call) -> Result<Bytes, L1Error> {
        let selector: [u8; 4] = call.data[..4].try_into().unwrap();
        let Checkpoint { epoch, height, .. } = self.chain.checkpoint();
        let answer = match selector {
            IRollupInbox::lightClientCall::SELECTOR if call.to == INBOX => CLIENT.abi_encode(),
            IRollupInbox::rollupCall::SELECTOR if call.to == INBOX => IRollupInbox::Rollup {
                namespace: self.namespace,
                mode: self.mode,
                poster: Address::ZERO,
                pendingPoster: Address::ZERO,
                verifier: Address::ZERO,
                count: 0,
                height: self.covered,
                since: 0,
                inputs: self.chain.inputs(self.covered),
                stateRoot: B256::ZERO,
                batches: B256::ZERO,
            }
            .abi_encode(),
            IRollupInbox::tracedHeightCall::SELECTOR if call.to == INBOX => {
                let asked = IRollupInbox::tracedHeightCall::abi_decode(&call.data).unwrap().inputs;
                self.traced.iter().find(|(name, _)| *name == asked).map_or(0, |(_, height)| *height).abi_encode()
            }
            IKumoLightClient::latestCall::SELECTOR if call.to == CLIENT => {
                (epoch, self.root, height, 0u64, B256::ZERO, B256::ZERO).abi_encode_params()
            }
            IKumoLightClient::finalisedRootCall::SELECTOR if call.to == CLIENT => self.root.abi_encode(),
            _ => return Err(L1Error::Reverted(Bytes::new())),
        };
        Ok(answer.into())
    }

    async fn estimate(&self, _: &Call) -> Result<u64, L1Error> {
        Ok(1)
    }

    async fn send(&self, _: &Bytes) -> Result<(), L1Error> {
        Ok(())
    }

    async fn receipt(&self, _: B256) -> Result<Option<Receipt>, L1Error> {
        Ok(None)
    }
}

fn settings() -> Settings {
    let fees = FeeLimits { max: 1, tip: 1 };
    let (chain_id, contract) = (1, INBOX);
    Settings { chain_id, contract, confirmations: 0, epochs_min: 1, fees, replace_millis: 1, gas_max: 1 }
}

fn next(chain: &Chain, l1: &Fake, via: Via, until: Option<u64>) -> Result<Option<Job>, PlanError> {
    let batches = Batches::new(chain.clone(), U256::from(1), Mail::Data(via), until);
    ready(batches.next(l1, &settings()))
}

fn calldata(job: &Job) -> (Batch, Vec<Leaf>) {
    let call = IRollupInbox::postCalldataCall::abi_decode(&job.data).unwrap();
    (Batch::decode(&call.batch).unwrap(), Leaf::decode_all(&call.rest).unwrap())
}

#[test]
fn a_batch_has_all_blocks_up_to_the_anchor_and_no_older_ones() {
    let chain = Chain::new(vec![block(3, 9), block(7, 9), block(11, 9), block(70, 9)], 80);
    let job = next(&chain, &Fake::new(&chain, 3), Via::Calldata, None).unwrap().unwrap();
    let (batch, rest) = calldata(&job);
    assert_eq!((batch.blocks.as_slice(), rest.len(), job.mark), (&chain.blocks[1..], 0, 79));
    assert!(job.blobs.is_empty());
}

#[test]
fn what_does_not_fit_comes_with_the_next_batch_and_stands_there_as_leaves() {
    let size = 50 << 10;
    let chain = Chain::new((1..=5).map(|height| block(height, size)).collect(), 8);
    let mut covered = 0;
    for expected in [2, 4, 7] {
        let job = next(&chain, &Fake::new(&chain, covered), Via::Calldata, None).unwrap().unwrap();
        let (batch, rest) = calldata(&job);
        assert!(job.data.len() <= CALL_BYTES_MAX);
        assert_eq!(job.mark, expected);
        let reached = batch.extend(NAMESPACE, chain.inputs(covered));
        assert_eq!(rest.iter().fold(reached, |inputs, leaf| leaf.extend(&inputs)), chain.inputs(7));
        covered = job.mark;
    }
    assert_eq!(next(&chain, &Fake::new(&chain, covered), Via::Calldata, None), Ok(None));
}

#[test]
fn many_leaves_take_room_from_the_batch() {
    let chain = Chain::new((1..=2_000).map(|height| block(height, 2_000)).collect(), 2_001);
    let job = next(&chain, &Fake::new(&chain, 0), Via::Calldata, None).unwrap().unwrap();
    let (batch, rest) = calldata(&job);
    assert!(job.data.len() <= CALL_BYTES_MAX, "{}", job.data.len());
    assert_eq!(batch.blocks.len() + rest.len(), 2_000);
    assert!(batch.blocks.len() > 5, "{}", batch.blocks.len());
}

/// Takes a `trace` as the contract does; the leaves that it showed.
fn trace(l1: &mut Fake, job: &Job, account: B256) -> usize {
    assert!(job.data.len() <= CALL_BYTES_MAX && job.blobs.is_empty());
    let call = IRollupInbox::traceCall::abi_decode(&job.data).unwrap();
    let leaves = Leaf::decode_all(&call.leaves).unwrap();
    let reached = leaves.iter().fold(call.from, |inputs, leaf| leaf.extend(&inputs));
    let known = l1.traced.iter().any(|(name, _)| *name == call.anchor.traced);
    let anchored = if known { call.anchor.traced } else { account };
    assert!((known || call.anchor.traced.is_zero()) && reached == anchored, "the leaves lead to the anchor");
    l1.traced.push((call.from, leaves[0].height - 1));
    leaves.len()
}

#[test]
fn whoever_is_far_behind_traces_names_back_and_then_posts_up_to_them() {
    let blocks = 3 * far::TRACE_BLOCKS;
    for via in [Via::Calldata, Via::Blobs] {
        let chain = Chain::new((1..=blocks).map(|height| block(height, 40)).collect(), blocks + 1);
        let mut l1 = Fake::new(&chain, 0);
        for expected in [1, 2_048, 2_048] {
            let job = next(&chain, &l1, via, None).unwrap().unwrap();
            assert_eq!(trace(&mut l1, &job, chain.inputs(chain.height - 1)), expected);
        }
        let job = next(&chain, &l1, via, None).unwrap().unwrap();
        let (anchor, batch, rest) = match via {
            Via::Calldata => {
                let (batch, rest) = calldata(&job);
                (IRollupInbox::postCalldataCall::abi_decode(&job.data).unwrap().anchor, batch, rest)
            }
            Via::Blobs => {
                let call = IRollupInbox::postBlobsCall::abi_decode(&job.data).unwrap();
                let (batch, rest) = (Batch::from_blobs(&job.blobs).unwrap(), Leaf::decode_all(&call.rest).unwrap());
                (call.anchor, batch, rest)
            }
        };
        assert_eq!(anchor.traced, chain.inputs(far::TRACE_BLOCKS - 1));
        let reached = batch.extend(NAMESPACE, B256::ZERO);
        assert_eq!(rest.iter().fold(reached, |inputs, leaf| leaf.extend(&inputs)), anchor.traced);
        let last = batch.blocks.last().unwrap().height;
        assert_eq!(job.mark, if rest.is_empty() { far::TRACE_BLOCKS - 1 } else { last });
    }
}

#[test]
fn a_large_block_before_many_others_is_posted_up_to_a_name_of_its_own() {
    let blocks = (1..=2_000).map(|height| block(height, if height == 1 { 100 << 10 } else { 40 }));
    let chain = Chain::new(blocks.collect(), 2_001);
    let mut l1 = Fake::new(&chain, 0);
    let job = next(&chain, &l1, Via::Calldata, None).unwrap().unwrap();
    let rest = trace(&mut l1, &job, chain.inputs(2_000)) as u64;
    let job = next(&chain, &l1, Via::Calldata, None).unwrap().unwrap();
    assert!(job.data.len() <= CALL_BYTES_MAX);
    let (batch, leaves) = calldata(&job);
    assert_eq!((batch.blocks.len() as u64, leaves.len(), job.mark), (2_000 - rest, 0, 2_000 - rest));
    assert_eq!(batch.extend(NAMESPACE, B256::ZERO), chain.inputs(2_000 - rest));
    assert!(rest > 0 && rest < 1_999, "{rest}");
}

#[test]
fn blobs_hold_the_batch_and_the_call_its_leaves() {
    let chain = Chain::new((1..=5).map(|height| block(height, 60 << 10)).collect(), 8);
    let job = next(&chain, &Fake::new(&chain, 0), Via::Blobs, None).unwrap().unwrap();
    assert_eq!((job.blobs.len(), job.mark), (3, 7));
    let batch = Batch::from_blobs(&job.blobs).unwrap();
    assert_eq!(batch.blocks, chain.blocks);
    let call = IRollupInbox::postBlobsCall::abi_decode(&job.data).unwrap();
    assert_eq!((call.leaves.to_vec(), call.rest.len()), (batch.leaves(NAMESPACE), 0));
}

#[test]
fn silence_is_posted_only_when_it_is_asked_for() {
    let chain = Chain::new(vec![block(3, 9)], 80);
    let l1 = Fake::new(&chain, 5);
    assert_eq!(next(&chain, &l1, Via::Blobs, None), Ok(None));
    let job = next(&chain, &l1, Via::Blobs, Some(60)).unwrap().unwrap();
    let call = IRollupInbox::postCalldataCall::abi_decode(&job.data).unwrap();
    assert_eq!((call.batch.len(), call.rest.len(), job.blobs.len()), (0, 0, 0));
    assert_eq!(next(&chain, &Fake::new(&chain, 60), Via::Blobs, Some(60)), Ok(None), "covered");
}

#[test]
fn nothing_is_fetched_while_nothing_is_ordered() {
    let chain = Chain { oldest: (u64::MAX, true), ..Chain::new(vec![block(3, 9)], 80) };
    assert_eq!(next(&chain, &Fake::new(&chain, 5), Via::Calldata, None), Ok(None));
    assert!(next(&chain, &Fake::new(&chain, 5), Via::Calldata, Some(60)).unwrap().is_some());
}

#[test]
fn after_a_silence_longer_than_blocks_are_kept_the_next_one_is_posted() {
    let chain = Chain { oldest: (40, true), ..Chain::new(vec![block(3, 9), block(70, 9)], 80) };
    let job = next(&chain, &Fake::new(&chain, 5), Via::Calldata, None).unwrap().unwrap();
    let (batch, rest) = calldata(&job);
    assert_eq!((batch.blocks.as_slice(), rest.len(), job.mark), (&chain.blocks[1..], 0, 79));
}

#[test]
fn a_transaction_that_nobody_keeps_is_an_end_unless_somebody_was_not_heard() {
    let chain = Chain { oldest: (40, true), ..Chain::new(vec![block(3, 9), block(39, 9), block(70, 9)], 80) };
    let l1 = Fake::new(&chain, 5);
    let refused = next(&chain, &l1, Via::Calldata, None).unwrap_err();
    assert_eq!(refused, InboxError::Pruned { height: 5, oldest: 40 }.into());
    assert!(!refused.is_transient());
    let refused = next(&Chain { oldest: (40, false), ..chain.clone() }, &l1, Via::Calldata, None).unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    let job = next(&Chain { oldest: (39, true), ..chain.clone() }, &l1, Via::Calldata, None).unwrap().unwrap();
    assert_eq!(calldata(&job).0.blocks, chain.blocks[1..]);
}

#[test]
fn blocks_that_lead_elsewhere_and_other_networks_are_refused() {
    let chain = Chain::new(vec![block(3, 9)], 80);
    let lying = Chain { lies: true, ..chain.clone() };
    let refused = next(&lying, &Fake::new(&chain, 0), Via::Calldata, None);
    assert!(matches!(refused, Err(PlanError::Inbox(InboxError::Inputs { height: 79, .. }))), "{refused:?}");
    let there = B256::repeat_byte(8);
    let refused = next(&chain, &Fake { root: there, ..Fake::new(&chain, 0) }, Via::Calldata, None);
    let here = chain.checkpoint().root();
    assert_eq!(refused, Err(InboxError::Diverged { epoch: 10, there, here }.into()));
}

#[test]
fn a_rollup_of_another_namespace_or_mode_is_refused() {
    let chain = Chain::new(vec![block(3, 9)], 80);
    let id = U256::from(1);
    let refused = next(&chain, &Fake { namespace: 8, ..Fake::new(&chain, 0) }, Via::Calldata, None);
    assert_eq!(refused, Err(InboxError::Other { id, namespace: 8, mode: "data" }.into()));
    let refused = next(&chain, &Fake { mode: Mode::Zk, ..Fake::new(&chain, 0) }, Via::Calldata, None);
    assert_eq!(refused, Err(InboxError::Other { id, namespace: 7, mode: "proofs" }.into()));
    let refused = next(&chain, &Fake { mode: Mode::None, ..Fake::new(&chain, 0) }, Via::Calldata, None);
    assert_eq!(refused, Err(InboxError::Unknown(id).into()));
}

#[test]
fn a_block_that_no_batch_takes_is_named_with_the_limit() {
    let chain = Chain::new(vec![block(3, 200 << 10)], 80);
    let refused = next(&chain, &Fake::new(&chain, 0), Via::Calldata, None);
    assert!(matches!(refused, Err(PlanError::Inbox(InboxError::TooLarge { height: 3, .. }))), "{refused:?}");
    assert!(next(&chain, &Fake::new(&chain, 0), Via::Blobs, None).unwrap().is_some(), "blobs hold it");
}

#[test]
fn blocks_before_one_that_no_batch_takes_are_posted() {
    let chain = Chain::new(vec![block(3, 9), block(4, 200 << 10), block(5, 9)], 80);
    let job = next(&chain, &Fake::new(&chain, 0), Via::Calldata, None).unwrap().unwrap();
    let (batch, rest) = calldata(&job);
    assert_eq!((batch.blocks.as_slice(), rest.len(), job.mark), (&chain.blocks[..1], 2, 3));
    let refused = next(&chain, &Fake::new(&chain, 3), Via::Calldata, None);
    assert!(matches!(refused, Err(PlanError::Inbox(InboxError::TooLarge { height: 4, .. }))), "{refused:?}");
}

#[test]
fn a_block_as_large_as_the_largest_quota_fits() {
    for via in [Via::Calldata, Via::Blobs] {
        // A quota counts 16 bytes of a namespace and 4 of each transaction.
        let chain = Chain::new(vec![block(3, via.quota_max() - 16 - 4)], 80);
        assert!(next(&chain, &Fake::new(&chain, 0), via, None).unwrap().is_some());
    }
}

#[test]
fn a_state_is_posted_with_its_anchor_once_that_is_final() {
    let chain = Chain::new(vec![block(3, 9)], 80);
    let mut proven = Proven {
        height: 80,
        epoch: 10,
        state_root: B256::repeat_byte(6),
        state_diff: Bytes::from_static(b"diff"),
        proof: Bytes::from_static(b"proof"),
    };
    let post = |proven: &Proven, covered: u64| {
        let batches = Batches::new(chain.clone(), U256::from(1), Mail::State(proven.clone()), None);
        ready(batches.next(&Fake { mode: Mode::Zk, ..Fake::new(&chain, covered) }, &settings()))
    };
    let job = post(&proven, 0).unwrap().unwrap();
    let call = IRollupInbox::postProofCall::abi_decode(&job.data).unwrap();
    assert_eq!((call.newStateRoot, call.stateDiff, job.mark), (proven.state_root, proven.state_diff.clone(), 79));
    assert_eq!(call.anchor.checkpoint.height, 80);
    assert_eq!(post(&proven, 79), Ok(None), "the inbox has it");
    proven.height = 8;
    assert_eq!(post(&proven, 8), Ok(None), "and more");
}

#[test]
fn a_proof_that_is_false_is_an_end_and_a_batch_that_comes_late_is_none() {
    let chain = Chain::new(vec![], 80);
    let batches = Batches::new(chain, U256::from(1), Mail::Data(Via::Calldata), None);
    let refused = batches.refusal(&IRollupInbox::ProofFalse {}.abi_encode());
    assert_eq!(refused, Some(PlanError::Inbox(InboxError::ProofFalse)));
    assert!(!refused.unwrap().is_transient());
    let poster = IRollupInbox::NotPoster { id: U256::from(1), caller: CLIENT, poster: INBOX }.abi_encode();
    assert_eq!(batches.refusal(&poster), Some(InboxError::NotPoster { caller: CLIENT, poster: INBOX }.into()));
    let moved = IRollupInbox::InputsMismatch { reached: B256::ZERO, committed: B256::ZERO }.abi_encode();
    assert!(batches.refusal(&moved).is_none() && !batches.is_known(&moved), "the inbox moved on: tried again");
    assert!(batches.is_known(&IRollupInbox::NothingNew { height: 7 }.abi_encode()));
    assert!(batches.refusal(&[1, 2]).is_none());
}
