use super::*;
use crate::{
    Chain, ChainConfig,
    test_support::{deployer, genesis},
};
use alloy_primitives::{address, bytes};

const CONTRACT: Address = address!("0x00000000000000000000000000000000000c0de1");

fn open(spec: &GenesisSpec) -> Result<(tempfile::TempDir, Chain), ChainError> {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), spec, ChainConfig::default())?;
    Ok((dir, chain))
}

fn with_contract(creation_code: Bytes, init_calls: Vec<Bytes>) -> GenesisSpec {
    let mut spec = genesis();
    spec.predeploys.push(Predeploy { name: "Probe".into(), address: CONTRACT, creation_code, init_calls });
    spec
}

#[test]
fn a_constructor_runs_at_its_final_address_and_its_storage_stays() {
    // sstore(1, address()); sstore(2, caller()); return one byte of code
    let creation = bytes!("306001553360025560015ff3");
    let (_dir, chain) = open(&with_contract(creation, Vec::new())).unwrap();
    let state = chain.state(0).unwrap();
    assert_eq!(state.storage(CONTRACT, U256::from(1)).unwrap(), U256::from_be_slice(CONTRACT.as_slice()));
    let caller = U256::from_be_slice(eip4788::SYSTEM_ADDRESS.as_slice());
    assert_eq!(state.storage(CONTRACT, U256::from(2)).unwrap(), caller);
    assert_eq!(state.code(CONTRACT).unwrap().original_bytes(), bytes!("00"));
    assert_eq!(state.nonce(CONTRACT).unwrap(), 1);
    assert_eq!(state.nonce(eip4788::SYSTEM_ADDRESS).unwrap(), 0);
}

#[test]
fn initial_calls_run_after_all_constructors() {
    // sstore(calldata[0], 1)
    let runtime = bytes!("60015f355500");
    let call = Bytes::copy_from_slice(&U256::from(5).to_be_bytes::<32>());
    let (_dir, chain) = open(&with_contract(deployer(&runtime), vec![call])).unwrap();
    assert_eq!(chain.state(0).unwrap().storage(CONTRACT, U256::from(5)).unwrap(), U256::from(1));
}

#[test]
fn a_contract_that_fails_is_named() {
    let revert = bytes!("5f5ffd");
    let empty = bytes!("5f5ff3");
    // Returns 24,577 bytes.
    let large = bytes!("6160015ff3");
    for (creation, calls) in
        [(revert.clone(), vec![]), (empty, vec![]), (large, vec![]), (deployer(&revert), vec![Bytes::new()])]
    {
        let error = open(&with_contract(creation, calls)).err().unwrap();
        assert!(
            matches!(&error, ChainError::Genesis { contract, address: CONTRACT, .. } if contract == "Probe"),
            "{error}"
        );
    }
}

#[test]
fn every_part_of_the_specification_changes_the_genesis_hash() {
    let hash = |spec: &GenesisSpec| open(spec).unwrap().1.genesis_hash();
    let base = genesis();
    let mut richer = base.clone();
    richer.alloc.insert(CONTRACT, U256::from(1));
    let variants = [
        GenesisSpec { timestamp: base.timestamp + 1, ..base.clone() },
        GenesisSpec { gas_limit: base.gas_limit + 1, ..base.clone() },
        with_contract(deployer(&[0]), Vec::new()),
        richer,
    ];
    assert_eq!(hash(&base), hash(&genesis()));
    assert!(variants.iter().all(|variant| hash(variant) != hash(&base)));
}

#[test]
fn a_supply_beyond_256_bits_is_refused() {
    let mut spec = genesis();
    spec.alloc.insert(CONTRACT, U256::MAX);
    assert!(matches!(open(&spec), Err(ChainError::GenesisSupply)));
}

#[test]
fn the_real_system_contracts_can_be_deployed() {
    let spec = GenesisSpec { predeploys: crate::predeploys::system_contracts(CONTRACT), ..genesis() };
    let (_dir, chain) = open(&spec).unwrap();
    let state = chain.state(0).unwrap();
    for (name, address) in protocol::abi::CONTRACTS {
        assert!(!state.code(address).unwrap().is_empty(), "{name}");
    }
    chain.verify_supply().unwrap();
    let head = chain.head();
    let attributes = crate::test_support::attributes(&head);
    let block = chain.propose(head.hash, attributes, &[]).unwrap();
    chain.finalize(block.hash).unwrap();
}
