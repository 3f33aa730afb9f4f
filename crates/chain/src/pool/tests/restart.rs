//! What survives the end of the process.

use super::*;
use crate::test_support::{TestChain, signed, transfer};

/// A chain, and where its pool keeps its journal.
struct Node {
    world: TestChain,
    path: std::path::PathBuf,
}

impl Node {
    fn new() -> Self {
        let world = TestChain::new();
        let path = world.dir.path().join("pool.journal");
        Self { world, path }
    }

    fn open(&self) -> Pool {
        Pool::open(&self.world.chain, PoolLimits::default(), &self.path).unwrap()
    }

    fn send(&self, pool: &Pool, raw: Bytes) -> Result<B256, PoolError> {
        let (mut admitted, _) = pool.admit(&self.world.chain, vec![pool.decode(raw)]).unwrap();
        admitted.pop().unwrap().map(|tx| tx.hash)
    }

    fn send_all(&self, pool: &Pool, nonces: std::ops::Range<u64>) {
        for nonce in nonces {
            self.send(pool, raw(1, nonce)).unwrap();
        }
    }
}

fn raw(account: u8, nonce: u64) -> Bytes {
    signed(account, transfer(nonce, Address::repeat_byte(7), 1))
}

fn hashes(pool: &Pool) -> Vec<B256> {
    let all = pool.content(None).into_iter().flat_map(|content| [content.pending, content.queued].concat());
    all.map(|tx| tx.hash).collect()
}

#[test]
fn what_was_taken_waits_again_after_a_restart() {
    let node = Node::new();
    let pool = node.open();
    for (account, nonce) in [(1, 0), (1, 1), (2, 3), (3, 0)] {
        node.send(&pool, raw(account, nonce)).unwrap();
    }
    let (before, status) = (hashes(&pool), pool.status());
    // The process ends without a word.
    std::mem::forget(pool);
    let pool = node.open();
    assert_eq!((hashes(&pool), pool.status()), (before, status));
    assert_eq!(pool.pending_nonce(&crate::test_support::signer(1).address(), 0), 2);
    // It is handed over again, but for what is behind a gap.
    assert_eq!(pool.take_due(HeadState::of(&node.world.chain.head())).len(), 3);
}

#[test]
fn what_was_mined_meanwhile_is_forgotten() {
    let node = Node::new();
    let pool = node.open();
    node.send_all(&pool, 0..2);
    drop(pool);
    node.world.advance(&[raw(1, 0)]);
    let pool = node.open();
    assert_eq!(pool.status(), (1, 0));
    assert_eq!(hashes(&pool), [alloy_primitives::keccak256(raw(1, 1))]);
}

#[test]
fn what_was_refused_after_all_does_not_come_back() {
    let node = Node::new();
    let pool = node.open();
    let hash = node.send(&pool, raw(1, 0)).unwrap();
    node.send(&pool, raw(2, 0)).unwrap();
    pool.remove(&hash);
    drop(pool);
    assert_eq!(node.open().status(), (1, 0));
}

#[test]
fn a_damaged_end_costs_only_what_stood_there() {
    for damage in
        [|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 3), |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1]
    {
        let node = Node::new();
        let pool = node.open();
        node.send_all(&pool, 0..3);
        drop(pool);
        let mut bytes = std::fs::read(&node.path).unwrap();
        damage(&mut bytes);
        std::fs::write(&node.path, bytes).unwrap();
        let pool = node.open();
        assert_eq!(pool.status(), (2, 0));
        // What comes now stands where it can be read.
        node.send(&pool, raw(1, 2)).unwrap();
        drop(pool);
        assert_eq!(node.open().status(), (3, 0));
    }
}

#[test]
fn a_file_of_another_chain_or_kind_is_refused() {
    let node = Node::new();
    drop(journal::Journal::open(&node.path, 1).unwrap());
    let error = Pool::open(&node.world.chain, PoolLimits::default(), &node.path).unwrap_err();
    assert!(matches!(error, JournalError::Chain { got: 1, .. }), "{error}");
    std::fs::write(&node.path, b"something else altogether").unwrap();
    let error = Pool::open(&node.world.chain, PoolLimits::default(), &node.path).unwrap_err();
    assert!(matches!(error, JournalError::Format { version: 1, .. }), "{error}");
}

#[test]
fn accounts_are_read_with_their_delegation() {
    let node = Node::new();
    let chain = &node.world.chain;
    let state = chain.state(0).unwrap();
    let account = AccountState::read(&state, crate::test_support::signer(1).address()).unwrap();
    assert_eq!((account.nonce, account.has_code, account.delegated), (0, false, false));
    let contract = AccountState::read(&state, protocol::abi::RANDOMNESS).unwrap();
    assert!(contract.has_code && !contract.delegated);
}

#[test]
fn a_block_that_arrives_between_reading_and_adding_is_no_failure() {
    let node = Node::new();
    let pool = node.open();
    node.world.advance(&[raw(1, 0)]);
    pool.follow(&node.world.chain, &[crate::test_support::signer(1).address()]).unwrap();
    let error = node.send(&pool, raw(1, 0)).unwrap_err();
    assert_eq!(error, PoolError::NonceTooLow { next: 1, nonce: 0 });
    node.send(&pool, raw(1, 1)).unwrap();
}
