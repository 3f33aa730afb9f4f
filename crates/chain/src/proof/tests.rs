use super::*;
use crate::test_support::{COUNTER_RUNTIME, TestChain, call, creation, deployer, signed, signer, transfer};
use alloy_primitives::Bytes;
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};

/// Checks a proof as a client would: against a state root it trusts.
fn verify(state_root: B256, proof: &EIP1186AccountProofResponse) {
    let account = TrieAccount::new(proof.nonce, proof.balance, proof.storage_hash, proof.code_hash);
    let expected = (account != TrieAccount::default()).then(|| alloy_rlp::encode(account));
    verify_proof(state_root, Nibbles::unpack(keccak256(proof.address)), expected, &proof.account_proof).unwrap();
    for slot in &proof.storage_proof {
        let key = Nibbles::unpack(keccak256(slot.key.as_b256()));
        let expected = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
        verify_proof(proof.storage_hash, key, expected, &slot.proof).unwrap();
    }
}

fn chain_with_counter() -> (TestChain, Address) {
    let test = TestChain::new();
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    let counter = signer(1).address().create(0);
    for nonce in 1..5 {
        test.advance(&[
            signed(1, call(nonce, counter, Bytes::new())),
            signed(2, transfer(nonce - 1, counter_peer(nonce), 1)),
        ]);
    }
    (test, counter)
}

fn counter_peer(nonce: u64) -> Address {
    Address::with_last_byte(nonce as u8)
}

#[test]
fn accounts_and_slots_are_proven_at_the_head_and_in_the_past() {
    let (test, counter) = chain_with_counter();
    let slots = [B256::ZERO, B256::with_last_byte(9)];
    for number in 0..=5 {
        let root = test.chain.block_by_number(number).unwrap().unwrap().header.state_root;
        let proof = test.chain.proof(number, counter, &slots).unwrap();
        verify(root, &proof);
        assert_eq!(proof.storage_proof[0].value, U256::from(number.saturating_sub(1)));
        assert_eq!(proof.storage_proof[1].value, U256::ZERO);
        verify(root, &test.chain.proof(number, signer(1).address(), &[]).unwrap());
    }
}

#[test]
fn an_account_that_does_not_exist_is_proven_absent() {
    let (test, _) = chain_with_counter();
    let proof = test.chain.proof(5, Address::repeat_byte(0x99), &[B256::ZERO]).unwrap();
    assert_eq!((proof.balance, proof.code_hash, proof.storage_hash), (U256::ZERO, KECCAK_EMPTY, EMPTY_ROOT_HASH));
    assert!(!proof.account_proof.is_empty() && proof.storage_proof[0].proof.is_empty());
    verify(test.chain.head().header.state_root, &proof);
}

#[test]
fn a_proof_does_not_fit_another_block() {
    let (test, counter) = chain_with_counter();
    let proof = test.chain.proof(5, counter, &[]).unwrap();
    let other = test.chain.block_by_number(4).unwrap().unwrap().header.state_root;
    let result = verify_proof(other, Nibbles::unpack(keccak256(counter)), None, &proof.account_proof);
    assert!(result.is_err());
}

#[test]
fn too_many_slots_are_refused() {
    let test = TestChain::new();
    let limit = vec![B256::ZERO; PROOF_SLOTS_MAX];
    assert!(test.chain.proof(0, Address::ZERO, &limit).is_ok());
    let beyond = vec![B256::ZERO; PROOF_SLOTS_MAX + 1];
    let error = test.chain.proof(0, Address::ZERO, &beyond).unwrap_err();
    assert!(matches!(error, ChainError::ProofSlots { asked: 1_025, max: 1_024 }), "{error}");
}

#[test]
fn blocks_beyond_the_head_have_no_proof() {
    let test = TestChain::new();
    assert!(matches!(test.chain.proof(1, Address::ZERO, &[]), Err(ChainError::UnknownBlock { number: 1, head: 0 })));
}
