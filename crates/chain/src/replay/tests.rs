use super::*;
use crate::ChainConfig;
use crate::test_support::*;
use alloy_primitives::U256;

/// A chain with a counter made in block 1 and called in block 2 between two transfers.
fn counted(config: ChainConfig) -> (TestChain, Arc<BlockRecord>) {
    let world = TestChain::with(config);
    world.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    let counter = signer(1).address().create(0);
    let (_, block) = world.advance(&[
        signed(1, transfer(1, signer(9).address(), 5)),
        signed(2, call(0, counter, Default::default())),
        signed(3, transfer(0, signer(9).address(), 6)),
    ]);
    assert_eq!(block.transactions.len(), 3);
    (world, block)
}

#[test]
fn a_block_runs_again_to_the_same_header() {
    let (world, block) = counted(ChainConfig::default());
    // The tries of the past are not stored, so the end of a block needs one whose parent is the newest.
    let view = world.chain.provable_state(1).unwrap();
    let parent = world.chain.block_by_number(1).unwrap().unwrap();
    let mut replay = Replay::start(world.chain.rules(), Base { record: parent, view }, block.clone()).unwrap();
    (0..3).for_each(|index| replay.run(index).unwrap());
    assert_eq!(replay.finish().unwrap().state_root, block.header.state_root);
}

#[test]
fn the_state_between_two_transactions_is_what_the_first_left() {
    let (world, block) = counted(ChainConfig::default());
    let balance = |replay: &mut Replay| {
        revm::Database::basic(replay.state(), signer(9).address()).unwrap().unwrap_or_default().balance
    };
    let mut replay = world.chain.replay(block).unwrap();
    assert_eq!(balance(&mut replay), U256::ZERO);
    replay.run(0).unwrap();
    replay.run(1).unwrap();
    assert_eq!(balance(&mut replay), U256::from(5));
}

#[test]
fn a_different_outcome_is_an_error_and_no_trace() {
    let (world, block) = counted(ChainConfig::default());
    let mut other = (*block).clone();
    other.receipts.swap(1, 2);
    let mut replay = world.chain.replay(Arc::new(other)).unwrap();
    replay.run(0).unwrap();
    let error = replay.run(1).unwrap_err();
    assert!(matches!(error, ChainError::ReplayDiverged { number: 2, index: 1, what: "receipt", .. }), "{error}");
}

#[test]
fn genesis_and_pruned_parents_are_refused() {
    let (world, block) = counted(ChainConfig { history_blocks: Some(1), ..Default::default() });
    world.advance(&[]);
    world.advance(&[]);
    let error = world.chain.replay(block).map(|_| ()).unwrap_err();
    assert!(matches!(error, ChainError::Pruned { number: 1, .. }), "{error}");
    let genesis = world.chain.block_by_number(0).unwrap().unwrap();
    assert!(matches!(world.chain.replay(genesis).map(|_| ()), Err(ChainError::GenesisReplay)));
}
