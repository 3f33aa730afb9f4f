//! The seam between ordering and execution: the sequencer's [`Application`] over the settlement chain.
//!
//! Namespace 1 is executed: the proposer puts the resulting EVM header into the block as its commitment, and every
//! other validator executes the same transactions before it votes. All other namespaces pass through as they are, as far
//! as their [policy](crate::policy) goes. A
//! bundle has at most one transaction in namespace 1, since the chain orders by price; it waits, whole, until that one
//! is executed.
//!
//! Envelopes of the encrypted lane are ordered and not executed. What was opened of them stands in namespace 1 once more,
//! before all other transactions, and is executed there ([`chain::Front`]), so that whoever follows the chain needs
//! neither keys nor envelopes.
//!
//! Evidence in namespace 0 is executed, too: the block's header names whom it convicts, and their stake is slashed before
//! the first transaction. In turn the stake that the chain has after a block says who votes and who has a seat.

use crate::lane;
use crate::policy;
use crate::validators::{self, Registry};
use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use chain::{BlockAttributes, Chain, ChainError, Offenders};
use parking_lot::Mutex;
use proof::checkpoint::ValidatorSet;
use proof::lane::is_envelope;
use protocol::network::{LanePolicy, Network, Validator};
use sequencer::lane::Front;
use sequencer::{
    Application, Block, Content, Hash, Offender, Proposal, Propose, System, Transaction, transaction_hash,
};
use std::sync::Arc;

/// Namespace of the settlement chain.
pub const SETTLEMENT: u64 = 1;

/// Executions of one proposal: one more each time that the chain's order does not fit the bundles.
const EXECUTIONS_MAX: usize = 3;

/// The settlement chain as the sequencer's application.
pub struct Settlement {
    chain: Chain,
    genesis: Bytes,
    /// Whether envelopes stand in the namespace.
    sealed: bool,
    registry: Registry,
    /// Why the stake after a block is not known here; nothing more is taken then.
    unknown: Mutex<Option<String>>,
}

impl Settlement {
    /// Orders for `chain`, whose network this is.
    ///
    /// # Errors
    /// When the chain cannot read its own block 0.
    pub fn new(chain: Chain, network: &Network) -> Result<Self, ChainError> {
        let (_, header) = chain.header_by_number(0)?.ok_or(ChainError::UnknownBlock { number: 0, head: 0 })?;
        let registry = Registry::new(chain.clone(), network);
        let sealed = lane::policy(network, SETTLEMENT) != LanePolicy::Fcfs;
        Ok(Self { chain, genesis: alloy_rlp::encode(header).into(), sealed, registry, unknown: Mutex::new(None) })
    }

    /// Executes a block of somebody else.
    fn judge(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> Result<B256, String> {
        let is_sealed = |transaction: &Transaction| is_envelope(transaction.payload());
        if !self.sealed && block.payload.transactions(SETTLEMENT).iter().any(is_sealed) {
            return Err("it has an envelope, and the namespace has no encrypted lane".into());
        }
        self.catch_up(ancestors)?;
        // The header names its parent, and would be judged in that one's state.
        let (parent, claimed) = (self.parent(ancestors), parent_hash(&block.commitment)?);
        if claimed != parent {
            return Err(format!("its header continues {claimed}, the block before it is {parent}"));
        }
        self.permits(block)?;
        // Also when a block with this commitment was executed before: the transactions may be others.
        execute_after(&self.chain, block, front)
    }

    /// EVM hash of the last of these ancestors, which begin above the head of the chain.
    fn parent(&self, ancestors: &[Arc<Block>]) -> B256 {
        ancestors.last().map_or_else(|| self.chain.head().hash, |parent| block_hash(parent))
    }

    /// What the stake after a block says. A node that cannot tell, because the state is gone or its disk fails, must not go on
    /// with another answer than everybody else.
    fn told<T>(&self, block: &Block, answer: Result<Option<T>, ChainError>) -> Option<T> {
        answer.unwrap_or_else(|error| {
            let reason = format!("the stake after block {} cannot be read: {error}", block.height);
            tracing::error!(reason, "this validator stops");
            self.unknown.lock().get_or_insert(reason);
            None
        })
    }

    /// Executes those of `blocks` that the chain does not hold yet: after a restart, or when this validator missed a
    /// vote.
    fn catch_up(&self, blocks: &[Arc<Block>]) -> Result<(), String> {
        blocks.iter().try_for_each(|block| execute(&self.chain, block).map(|_| ()))
    }

    /// Whether the block has of each namespace only what its policy allows, in the state after its parent.
    fn permits(&self, block: &Block) -> Result<(), String> {
        let parent = parent_hash(&block.commitment)?;
        let state = self.chain.state_after(parent).ok_or_else(|| format!("no state after its parent {parent}"))?;
        policy::check(&state, block.payload.entries())
    }

    /// Executes what is due and what fits of the candidates, and takes with them what their bundles have in other
    /// namespaces. Envelopes come along in their order.
    fn choose(&self, request: Propose<'_>) -> Result<Proposal, ChainError> {
        let parent = block_hash(request.parent);
        let attributes = BlockAttributes {
            offenders: offenders(&self.chain, parent, request.offenders)?,
            timestamp: request.timestamp_millis / 1000,
            randomness: request.randomness.into(),
            parent_beacon_root: request.parent.digest().into(),
            beneficiary: protocol::abi::FEE_VAULT,
        };
        let mut content = request.candidates;
        let unsuitable = content.bundles_in(SETTLEMENT, 2);
        let mut rejected: Vec<Hash> = names(&content, &unsuitable).collect();
        content = content.without(&unsuitable);
        let state = self.chain.state_after(parent).ok_or(ChainError::NotPending(parent))?;
        let admitted = policy::admit(content, |namespace| policy::terms(&state, namespace))?;
        rejected.extend(admitted.rejected);
        content = admitted.content;
        let due: Vec<alloy_primitives::Bytes> = request.due.iter().map(|opened| opened.clone().into()).collect();
        let mut executions = 0;
        loop {
            executions += 1;
            let transactions = content.entry(SETTLEMENT).map_or(&[][..], |entry| entry.transactions());
            let (envelopes, plain): (Vec<usize>, Vec<usize>) =
                (0..transactions.len()).partition(|index| self.sealed && is_envelope(transactions[*index].payload()));
            let candidates: Vec<_> = plain.iter().map(|index| transactions[*index].payload().clone().into()).collect();
            let proposed = self.chain.propose_after(parent, attributes, &due, &candidates)?;
            let among = |chosen: &[usize]| chosen.iter().map(|index| plain[*index]).collect::<Vec<_>>();
            rejected.extend(rejections(&content, &among(&proposed.rejected)));
            let chosen = [envelopes, among(&proposed.included)].concat();
            content = match content.choose(SETTLEMENT, &chosen) {
                Ok(content) => {
                    let (taken, included) = (proposed.front.taken, proposed.front.included.len());
                    let front = proposed.front.included.iter().map(|number| request.due[*number].clone()).collect();
                    let content = content.with_front(SETTLEMENT, front);
                    let commitment = proposed.header_rlp.into();
                    return Ok(Proposal { content, commitment, rejected, taken, included });
                }
                Err(torn) if executions < EXECUTIONS_MAX => content.without(&torn.bundles),
                // Without any bundle there is nothing to tear.
                Err(_) => content.without(&content.bundles_in(SETTLEMENT, 1)),
            };
        }
    }
}

/// EVM block hash that a sequencer block commits to.
pub fn block_hash(block: &Block) -> B256 {
    keccak256(&block.commitment)
}

/// Executes a sequencer block on the state of its parent, unless that was done; returns the EVM block hash. The parent
/// must be the head or have been executed.
///
/// # Errors
/// When the block is not valid on its parent; the text says which field differs.
pub fn execute(chain: &Chain, block: &Block) -> Result<B256, String> {
    let hash = block_hash(block);
    if chain.is_pending(hash) || chain.head().hash == hash {
        return Ok(hash);
    }
    execute_after(chain, block, &Front::default())
}

/// The same, and the block must settle of what is due all that can be settled.
fn execute_after(chain: &Chain, block: &Block, front: &Front<'_>) -> Result<B256, String> {
    let parent = parent_hash(&block.commitment)?;
    let due: Vec<alloy_primitives::Bytes> = front.due.iter().map(|opened| opened.clone().into()).collect();
    let transactions = evm_bytes(block.payload.transactions(SETTLEMENT));
    let front = (&due[..], front.taken);
    let attributes = attributes(chain, parent, block).map_err(|e| e.to_string())?;
    chain.verify_after(parent, attributes, &block.commitment, front, &transactions).map_err(|e| e.to_string())
}

/// The numbers of these offenders in the registry; of whom it does not know there is no stake to slash.
fn offenders(chain: &Chain, parent: B256, offenders: &[Offender]) -> Result<Offenders, ChainError> {
    let numbers: Result<Vec<u64>, _> =
        offenders.iter().map(|offender| validators::number(chain, parent, offender)).collect();
    Ok(numbers?.into_iter().collect())
}

/// The parent hash inside an encoded header: its first field.
fn parent_hash(header: &[u8]) -> Result<B256, String> {
    use alloy_rlp::Decodable as _;
    let mut bytes = header;
    let list = alloy_rlp::Header::decode(&mut bytes).map_err(|e| format!("commitment is no header: {e}"))?;
    if !list.list {
        return Err("commitment is no header: not a list".into());
    }
    B256::decode(&mut bytes).map_err(|e| format!("commitment is no header: {e}"))
}

/// The transactions that are no envelopes, under the EVM crates' name; no byte is copied.
fn evm_bytes(transactions: &[Transaction]) -> Vec<alloy_primitives::Bytes> {
    let plain = transactions.iter().map(Transaction::payload).filter(|payload| !is_envelope(payload));
    plain.map(|payload| payload.clone().into()).collect()
}

/// Names of these bundles.
fn names<'a>(content: &'a Content, bundles: &'a [usize]) -> impl Iterator<Item = Hash> + 'a {
    bundles.iter().filter_map(|number| content.bundle_hash(&content.bundles[*number]))
}

/// Hashes of these settlement transactions, and the names of the bundles that they are in.
fn rejections(content: &Content, rejected: &[usize]) -> Vec<Hash> {
    let transactions = content.entry(SETTLEMENT).map_or(&[][..], |entry| entry.transactions());
    let hash = |index: &usize| transaction_hash(SETTLEMENT, transactions[*index].payload());
    let here = |number: &usize| {
        let mut positions = content.bundles[*number].positions.iter();
        positions.any(|p| p.namespace == SETTLEMENT && rejected.contains(&(p.index as usize)))
    };
    let bundles: Vec<usize> = content.bundles_in(SETTLEMENT, 1).into_iter().filter(here).collect();
    rejected.iter().map(hash).chain(names(content, &bundles)).collect()
}

fn attributes(chain: &Chain, parent: B256, block: &Block) -> Result<BlockAttributes, ChainError> {
    // What does not decode is refused by whoever judges it, and convicts nobody.
    let system = System::read(&block.payload).unwrap_or_default();
    Ok(BlockAttributes {
        offenders: offenders(chain, parent, &system.offenders())?,
        timestamp: block.timestamp_millis / 1000,
        randomness: block.randomness.into(),
        parent_beacon_root: block.parent.into(),
        beneficiary: protocol::abi::FEE_VAULT,
    })
}

impl Application for Settlement {
    fn genesis_commitment(&self) -> Bytes {
        self.genesis.clone()
    }

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        if let Err(error) = self.catch_up(request.ancestors) {
            tracing::error!(%error, height = request.height(), "cannot propose: an ancestor does not execute");
            return None;
        }
        let height = request.height();
        match self.choose(request) {
            Ok(proposal) => Some(proposal),
            Err(error) => {
                tracing::error!(%error, height, "cannot propose");
                None
            }
        }
    }

    fn executes(&self) -> Option<u64> {
        Some(SETTLEMENT)
    }

    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool {
        self.verify_front(ancestors, block, &Front::default())
    }

    fn verify_front(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> bool {
        match self.judge(ancestors, block, front) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, height = block.height, "refused a block");
                false
            }
        }
    }

    fn candidate(&self, block: &Block) -> Option<ValidatorSet> {
        self.told(block, self.registry.candidate(block_hash(block)))
    }

    fn liable(&self, block: &Block, offender: &Offender) -> bool {
        let answer = self.registry.is_liable(block_hash(block), offender);
        self.told(block, answer.map(Some)).unwrap_or(false)
    }

    fn seats(&self, block: &Block) -> Option<Vec<Validator>> {
        self.told(block, self.registry.seats(block_hash(block)))
    }

    fn failed(&self) -> Option<String> {
        self.unknown.lock().clone()
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        if let Some(reason) = self.unknown.lock().clone() {
            return Err(reason);
        }
        let hash = execute(&self.chain, block)?;
        self.chain.finalize(hash).map(|_| ()).map_err(|e| e.to_string())
    }

    fn finalized_height(&self) -> u64 {
        self.chain.head().header.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::{self, tests::network};
    use chain::ChainConfig;
    use proof::checkpoint::{Evidence, Point, SignedVote, Vote, VoteKey, VoteSignature, Witness};
    use protocol::abi::{FEE_VAULT, IValidatorRegistry, VALIDATOR_REGISTRY};
    use sequencer::{Entry, Payload, SYSTEM, ValidatorKeys};
    use tempfile::TempDir;

    struct World {
        _dir: TempDir,
        chain: Chain,
        application: Settlement,
        genesis: Block,
    }

    impl World {
        fn new() -> Self {
            let (dir, network) = (tempfile::tempdir().unwrap(), network(3));
            let chain = Chain::open(dir.path(), &genesis::spec(&network).unwrap(), ChainConfig::default()).unwrap();
            let application = Settlement::new(chain.clone(), &network).unwrap();
            let genesis = Block::genesis(network.chain_id, 1_000, application.genesis_commitment());
            Self { _dir: dir, chain, application, genesis }
        }

        /// A child of `parent` with this in namespace 0, as its proposer builds it.
        fn child(&self, parent: &Block, system: &System) -> Block {
            let offenders = system.offenders();
            let request = Propose {
                ancestors: &[],
                parent,
                timestamp_millis: parent.timestamp_millis + 1_000,
                randomness: [7; 32],
                candidates: Content::default(),
                offenders: &offenders,
                due: &[],
            };
            let commitment = self.application.propose(request).unwrap().commitment;
            let entries = match system.is_empty() {
                true => vec![],
                false => vec![Entry::new(SYSTEM, system.encode())],
            };
            Block {
                parent: parent.digest(),
                height: parent.height + 1,
                timestamp_millis: parent.timestamp_millis + 1_000,
                randomness: [7; 32],
                payload: Payload::new(Content { entries, bundles: vec![] }).unwrap(),
                commitment,
                ..parent.clone()
            }
        }

        fn validator(&self, block: &Block, id: u64) -> IValidatorRegistry::Validator {
            use alloy_sol_types::SolCall as _;
            let call = IValidatorRegistry::validatorCall { id };
            let answer = self.chain.call_after(block_hash(block), VALIDATOR_REGISTRY, call.abi_encode().into());
            IValidatorRegistry::validatorCall::abi_decode_returns(&answer.unwrap()).unwrap()
        }
    }

    /// Who has seen the evidence before checks its signatures.
    fn evidence(seed: u64) -> System {
        let key = VoteKey::decode(&hex::decode(ValidatorKeys::from_seed(seed).vote_key()).unwrap()).unwrap();
        let point = |epoch, root| Point { epoch, root: B256::repeat_byte(root) };
        let signed = |root| SignedVote {
            vote: Vote { source: point(1, 1), target: point(2, root) },
            witness: Witness::Alone(VoteSignature([0xc0; 48])),
        };
        System { evidence: vec![Evidence { key, first: signed(2), second: signed(3) }], ..System::default() }
    }

    #[test]
    fn evidence_in_a_block_slashes_before_its_first_transaction() {
        let world = World::new();
        let block = world.child(&world.genesis, &evidence(1));
        assert_eq!(world.validator(&world.genesis, 2).state, IValidatorRegistry::State::Active);
        assert!(world.application.verify(&[], &block));
        let convicted = world.validator(&block, 2);
        assert_eq!(convicted.state, IValidatorRegistry::State::Slashed);
        assert_eq!((convicted.stake, convicted.slashed), (0, 1_001 * 10u128.pow(18)));
        // Another validator executes the same from nothing but the block.
        let other = World::new();
        assert!(other.application.verify(&[], &block));
        other.application.finalized(&block).unwrap();
        let vault = other.chain.state(1).unwrap().balance(FEE_VAULT).unwrap();
        assert_eq!(vault, crate::dev::plan::ake(1_001), "what was slashed is in the fee vault");
        other.chain.verify_supply().unwrap();
        assert_eq!(other.application.candidate(&block).unwrap().total(), 1_000 + 1_002);
        assert_eq!(other.application.seats(&block).unwrap().len(), 2);
        assert_eq!(other.application.candidate(&other.genesis).unwrap().total(), 3_003, "the past stays as it was");
    }

    #[test]
    fn a_consensus_key_stands_for_its_validator_until_it_is_slashed() {
        let world = World::new();
        let key = |seed| {
            let key = hex::decode(ValidatorKeys::from_seed(seed).public_key()).unwrap();
            Offender::Consensus(key.try_into().unwrap())
        };
        assert_eq!(validators::number(&world.chain, block_hash(&world.genesis), &key(2)).unwrap(), 3);
        assert!(world.application.liable(&world.genesis, &key(1)));
        assert!(!world.application.liable(&world.genesis, &key(99)), "a stranger has nothing to lose");
        let block = world.child(&world.genesis, &evidence(1));
        assert!(!world.application.liable(&block, &key(1)), "one conviction is all");
        let last = world.child(&block, &evidence(2));
        assert!(!world.application.liable(&last, &key(0)), "somebody must be left");
    }

    /// A block after `parent` with a header that continues another one.
    fn detached(world: &World, parent: &Block, continued: &Block) -> Block {
        let attributes = BlockAttributes {
            offenders: Offenders::default(),
            timestamp: (parent.timestamp_millis + 1_000) / 1_000,
            randomness: B256::repeat_byte(7),
            parent_beacon_root: parent.digest().into(),
            beneficiary: FEE_VAULT,
        };
        let proposed = world.chain.propose_after(block_hash(continued), attributes, &[], &[]).unwrap();
        Block {
            parent: parent.digest(),
            height: parent.height + 1,
            timestamp_millis: parent.timestamp_millis + 1_000,
            randomness: [7; 32],
            payload: Payload::default(),
            commitment: proposed.header_rlp.into(),
            ..parent.clone()
        }
    }

    #[test]
    fn a_header_that_does_not_continue_the_block_before_is_refused() {
        let world = World::new();
        let first = world.child(&world.genesis, &System::default());
        let ancestors = [Arc::new(first.clone())];
        assert!(world.application.verify(&[], &first));
        let good = detached(&world, &first, &first);
        assert!(world.application.verify(&ancestors, &good));
        let behind = detached(&world, &first, &world.genesis);
        assert!(!world.application.verify(&ancestors, &behind), "its header skips the block before it");
        let ahead = detached(&world, &world.genesis, &first);
        assert!(!world.application.verify(&[], &ahead), "its header continues one beside it");
        world.application.finalized(&first).unwrap();
        assert!(world.application.verify(&[], &good), "the block before it is final now");
    }

    #[test]
    fn a_block_that_hides_or_invents_a_conviction_is_refused() {
        let world = World::new();
        let with = world.child(&world.genesis, &evidence(1));
        let without = world.child(&world.genesis, &System::default());
        let hiding = Block { commitment: without.commitment.clone(), ..with.clone() };
        assert!(!world.application.verify(&[], &hiding));
        let inventing = Block { commitment: with.commitment, ..without };
        // A pending block with this header is known from its proposal, but not with these contents.
        assert!(!World::new().application.verify(&[], &inventing));
    }

    #[test]
    fn evidence_again_and_against_strangers_changes_nothing() {
        let world = World::new();
        let first = world.child(&world.genesis, &evidence(1));
        world.application.finalized(&first).unwrap();
        let again = world.child(&first, &evidence(1));
        world.application.finalized(&again).unwrap();
        assert_eq!(world.validator(&again, 2), world.validator(&first, 2));
        let stranger = world.child(&again, &evidence(99));
        world.application.finalized(&stranger).unwrap();
        assert_eq!(world.application.candidate(&stranger).unwrap().validators().len(), 2);
        world.chain.verify_supply().unwrap();
    }
}
