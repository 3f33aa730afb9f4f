//! Files that are not what they should be: refused with block, field and values, and everything before them kept.

use crate::fixtures::{blocks, folder, import, open};
use alloy_consensus::{Block, Header, TxEnvelope};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_rlp::Decodable;
use chain::{
    BlockAttributes, BlockStream, Chain, ChainConfig, ChainError, EthereumGenesis, GenesisError, GenesisSpec,
    ImportError, InvalidBlock,
};
use serde_json::{Value, json};
use std::io::Cursor;

/// The field an import is refused for.
fn refused_field(error: ImportError, at: u64) -> &'static str {
    match error {
        ImportError::Refused { number, reason: InvalidBlock::Field { field, expected, got } } => {
            assert_eq!(number, at);
            assert_ne!(expected, got);
            field
        }
        other => panic!("block {at}: {other:?}"),
    }
}

fn changed(block: &[u8], change: impl FnOnce(&mut Block<TxEnvelope>)) -> Vec<u8> {
    let mut block = Block::<TxEnvelope>::decode(&mut &*block).unwrap();
    change(&mut block);
    alloy_rlp::encode(block)
}

type Change = (&'static str, fn(&mut Header));

/// One change of each header field, by the name under which it is refused.
const CHANGES: [Change; 20] = [
    ("parent_hash", |header| header.parent_hash = B256::ZERO),
    ("ommers_hash", |header| header.ommers_hash = B256::ZERO),
    ("state_root", |header| header.state_root = B256::ZERO),
    ("transactions_root", |header| header.transactions_root = B256::ZERO),
    ("receipts_root", |header| header.receipts_root = B256::ZERO),
    ("logs_bloom", |header| header.logs_bloom = Bloom::repeat_byte(1)),
    ("difficulty", |header| header.difficulty += U256::from(1)),
    ("gas_limit", |header| header.gas_limit *= 2),
    ("gas_used", |header| header.gas_used += 1),
    ("gas_used", |header| header.gas_used = u64::MAX),
    ("timestamp", |header| header.timestamp = 0),
    ("extra_data", |header| header.extra_data = Bytes::from(vec![0; 33])),
    ("nonce", |header| header.nonce = B64::repeat_byte(1)),
    ("base_fee_per_gas", |header| header.base_fee_per_gas = header.base_fee_per_gas.map(|fee| fee + 1)),
    ("withdrawals_root", |header| header.withdrawals_root = Some(B256::ZERO)),
    ("blob_gas_used", |header| header.blob_gas_used = Some(131_072 * 20)),
    ("excess_blob_gas", |header| header.excess_blob_gas = Some(u64::MAX)),
    ("requests_hash", |header| header.requests_hash = Some(B256::ZERO)),
    ("base_fee_per_gas", |header| header.base_fee_per_gas = Some(0)),
    ("parent_beacon_block_root", |header| header.parent_beacon_block_root = None),
];

#[test]
fn a_block_with_any_wrong_field_is_refused_by_its_name_and_the_head_stays() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks(&folder);
    let chain = open(&folder, dir.path());
    let last = blocks.len() - 1;
    import(&chain, &blocks[..last]).unwrap();
    for (field, change) in CHANGES {
        let wrong = changed(&blocks[last], |block| change(&mut block.header));
        // A header without a field that later ones follow cannot even be written.
        if field != "parent_beacon_block_root" {
            assert_eq!(refused_field(chain.import(&wrong).unwrap_err(), last as u64 + 1), field);
        } else {
            assert!(chain.import(&wrong).is_err());
        }
        assert_eq!(chain.head().number(), last as u64, "{field}");
    }
    // A field that nothing can check changes what contracts see, and the state or the hash with it.
    let wrong = changed(&blocks[last], |block| block.header.beneficiary = Address::repeat_byte(1));
    assert!(chain.import(&wrong).is_err());
    let wrong = changed(&blocks[last], |block| block.body.transactions.truncate(1));
    assert_eq!(refused_field(chain.import(&wrong).unwrap_err(), last as u64 + 1), "transactions_root");
    import(&chain, &blocks).unwrap();
}

#[test]
fn proof_of_work_blocks_with_wrong_difficulty_ommers_or_fork_fields_are_refused() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks(&folder);
    let chain = open(&folder, dir.path());
    for (index, block) in blocks.iter().enumerate() {
        let number = index as u64 + 1;
        let decoded = Block::<TxEnvelope>::decode(&mut block.as_slice()).unwrap();
        if !decoded.header.difficulty.is_zero() {
            let early = changed(block, |block| block.header.base_fee_per_gas = Some(7));
            assert_eq!(refused_field(chain.import(&early).unwrap_err(), number), "base_fee_per_gas");
            let easy = changed(block, |block| block.header.difficulty = U256::from(131_071));
            assert_eq!(refused_field(chain.import(&easy).unwrap_err(), number), "difficulty");
        }
        if !decoded.body.ommers.is_empty() {
            let twice = changed(block, |block| {
                block.body.ommers.push(block.body.ommers[0].clone());
                block.header.ommers_hash = block.body.calculate_ommers_root();
            });
            assert_eq!(refused_field(chain.import(&twice).unwrap_err(), number), "ommers");
            let stranger = changed(block, |block| {
                block.body.ommers[0].parent_hash = B256::ZERO;
                block.header.ommers_hash = block.body.calculate_ommers_root();
            });
            assert_eq!(refused_field(chain.import(&stranger).unwrap_err(), number), "ommers");
        }
        chain.import(block).unwrap();
    }
}

#[test]
fn blocks_of_another_chain_and_gaps_are_refused() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks(&folder);
    let chain = open(&folder, dir.path());
    let gap = chain.import(&blocks[1]).unwrap_err();
    assert!(matches!(gap, ImportError::Gap { number: 2, head: 0 }), "{gap}");
    import(&chain, &blocks[..3]).unwrap();
    let fork = changed(&blocks[1], |block| block.header.extra_data = Bytes::from_static(b"fork"));
    assert_eq!(refused_field(chain.import(&fork).unwrap_err(), 2), "hash");
}

#[test]
fn a_file_cut_anywhere_or_filled_with_garbage_is_an_error_and_keeps_what_came_before() {
    let Some(folder) = folder("execution-apis") else { return };
    let (blocks, file) = (blocks(&folder), std::fs::read(folder.join("chain.rlp")).unwrap());
    let first = blocks[0].len();
    for cut in 1..first {
        let mut stream = BlockStream::new(Cursor::new(&file[..cut]));
        let error = stream.next_block().unwrap_err();
        assert!(matches!(error, ImportError::Decode { offset: 0, .. }), "{cut}: {error}");
    }
    let mut stream = BlockStream::new(Cursor::new(&file[..first + 7]));
    assert_eq!(stream.next_block().unwrap().unwrap(), blocks[0]);
    assert!(matches!(stream.next_block(), Err(ImportError::Decode { offset, .. }) if offset == first as u64));

    let dir = tempfile::tempdir().unwrap();
    let chain = open(&folder, dir.path());
    for garbage in [&[][..], &[0x80], &[0xc0], &[0xc1, 0xc0], &[0xf8, 0x00], &[0xff; 64], &file[..first - 1]] {
        assert!(chain.import(garbage).is_err(), "{garbage:?}");
    }
    // The seal is not checked, and a miner is free in time and gas limit, so a change of these alone gives another block
    // that is valid.
    let seal = [&[0xa0][..], &[0; 32], &[0x88], &[0; 8]].concat();
    let seal_at = blocks[0].windows(seal.len()).position(|bytes| bytes == seal).expect("an empty seal");
    let (mix, nonce) = (seal_at + 1..seal_at + 33, seal_at + 34..seal_at + 42);
    let (gas_limit, time) = (seal_at - 8..seal_at - 6, seal_at - 2..seal_at - 1);
    let free = [mix, nonce, gas_limit, time];
    for at in (0..first).filter(|at| !free.iter().any(|range| range.contains(at))) {
        let mut damaged = blocks[0].clone();
        damaged[at] ^= 0x55;
        assert!(chain.import(&damaged).is_err(), "byte {at} was changed and nobody noticed");
    }
    assert_eq!(chain.head().number(), 0);
}

#[test]
fn a_claimed_length_costs_no_memory_until_the_bytes_are_there() {
    for claim in [[0xfb, 0xff, 0xff, 0xff, 0xff].as_slice(), &[0xff; 9], &[0xfa, 0xff, 0xff, 0xff]] {
        let error = BlockStream::new(Cursor::new(claim)).next_block().unwrap_err();
        assert!(matches!(error, ImportError::Decode { offset: 0, .. }), "{error}");
    }
    assert!(BlockStream::new(Cursor::new(&[])).next_block().unwrap().is_none());
    for strange in [[0x00], [0x7f], [0x80], [0xbf]] {
        assert!(BlockStream::new(Cursor::new(strange)).next_block().is_err());
    }
}

fn genesis_with(change: impl FnOnce(&mut Value)) -> Result<Chain, ChainError> {
    let mut genesis = json!({
        "config": {"chainId": 7, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
                   "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0,
                   "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0,
                   "cancunTime": 0, "pragueTime": 10, "osakaTime": 20},
        "gasLimit": "0x1c9c380", "difficulty": "0x0", "alloc": {}
    });
    change(&mut genesis);
    let genesis = EthereumGenesis::from_json(genesis.to_string().as_bytes())?;
    let dir = tempfile::tempdir().unwrap();
    Chain::open_ethereum(dir.path(), &genesis, ChainConfig::default())
}

#[test]
fn a_genesis_with_unknown_or_misplaced_forks_is_refused_by_name() {
    assert_eq!(genesis_with(|_| ()).unwrap().chain_id(), 7);
    let refused = |change: fn(&mut Value)| match genesis_with(change) {
        Err(ChainError::ImportedGenesis(error)) => error,
        other => panic!("{other:?}"),
    };
    let named = |name: &str| GenesisError::UnknownFork(name.into());
    assert_eq!(refused(|genesis| genesis["config"]["amsterdamTime"] = json!(30)), named("amsterdamTime"));
    assert_eq!(refused(|genesis| genesis["config"]["verkleTime"] = json!(30)), named("verkleTime"));
    assert_eq!(
        refused(|genesis| genesis["config"]["osakaTime"] = json!(5)),
        GenesisError::ForkOrder { fork: "osakaTime", at: 5, before: "pragueTime", needs: 10 }
    );
    assert_eq!(
        refused(|genesis| genesis["config"]["cancunTime"] = json!(null)),
        GenesisError::ForkMissing { fork: "pragueTime", needs: "cancunTime" }
    );
    assert_eq!(
        refused(|genesis| genesis["config"]["bpo1Time"] = json!(30)),
        GenesisError::BlobSchedule { fork: "bpo1" }
    );
    assert_eq!(refused(|genesis| genesis["config"]["clique"] = json!({})), GenesisError::Consensus);
    assert!(matches!(
        refused(|genesis| genesis["gasLimit"] = json!("0xffffffffffffffff")),
        GenesisError::Field { field: "gasLimit", .. }
    ));
    assert!(matches!(EthereumGenesis::from_json(b"{"), Err(GenesisError::Json(_))));
}

#[test]
fn an_imported_chain_and_one_of_kumo_are_never_taken_for_each_other() {
    let Some(folder) = folder("execution-apis") else { return };
    let imported = tempfile::tempdir().unwrap();
    let chain = open(&folder, imported.path());
    let attributes = BlockAttributes { timestamp: 1, ..Default::default() };
    let error = chain.propose(chain.head().hash, attributes, &[]).unwrap_err();
    assert!(matches!(error, ChainError::Imported), "{error}");
    assert!(chain.verify(chain.head().hash, attributes, &[], &[]).is_err());
    drop(chain);
    let spec = GenesisSpec { chain_id: 5886, gas_limit: 30_000_000, ..Default::default() };
    assert!(matches!(
        Chain::open(imported.path(), &spec, ChainConfig::default()),
        Err(ChainError::OtherChainId { expected: 5886, .. })
    ));

    let own = tempfile::tempdir().unwrap();
    let chain = Chain::open(own.path(), &spec, ChainConfig::default()).unwrap();
    assert!(chain.import(&blocks(&folder)[0]).is_err());
    drop(chain);
    assert!(Chain::open_imported(own.path(), ChainConfig::default()).unwrap().is_none());
    assert!(Chain::open_imported(&own.path().join("absent"), ChainConfig::default()).unwrap().is_none());
}
