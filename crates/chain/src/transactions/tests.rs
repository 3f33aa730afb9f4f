use super::*;
use crate::test_support::{CHAIN_ID, deployer, signed, signer, transfer};
use alloy_consensus::{SignableTransaction, TxEip4844, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Signature, TxKind, U256};

fn senders() -> Senders {
    Senders::new(CHAIN_ID)
}

fn legacy(chain_id: Option<u64>) -> TxLegacy {
    TxLegacy { chain_id, gas_price: 1, gas_limit: 21_000, to: TxKind::Call(Address::ZERO), ..Default::default() }
}

#[test]
fn the_sender_is_the_signer_also_the_second_time() {
    let senders = senders();
    for encoded in [signed(1, transfer(0, Address::ZERO, 1)), signed(1, legacy(Some(CHAIN_ID)))] {
        for _ in 0..2 {
            assert_eq!(senders.recover(&encoded).unwrap().signer(), signer(1).address());
        }
    }
}

#[test]
fn a_batch_keeps_its_order() {
    let batch: Vec<_> = (1..=4).map(|number| signed(number, transfer(0, Address::ZERO, 1))).collect();
    let recovered: Vec<_> = senders().recover_all(&batch).into_iter().map(|item| item.unwrap().signer()).collect();
    assert_eq!(recovered, (1..=4).map(|number| signer(number).address()).collect::<Vec<_>>());
}

#[test]
fn transactions_of_other_chains_and_of_every_chain_are_refused() {
    let other = transfer(0, Address::ZERO, 1);
    let error = senders().recover(&signed(1, alloy_consensus::TxEip1559 { chain_id: 1, ..other })).unwrap_err();
    assert_eq!(error, InvalidTransaction::ChainId { got: 1, expected: CHAIN_ID });
    assert_eq!(senders().recover(&signed(1, legacy(None))).unwrap_err(), InvalidTransaction::Unprotected);
}

#[test]
fn blob_transactions_are_refused() {
    let blob = TxEip4844 { chain_id: CHAIN_ID, blob_versioned_hashes: vec![B256::ZERO], ..Default::default() };
    let encoded = signed(1, blob);
    assert_eq!(senders().recover(&encoded).unwrap_err(), InvalidTransaction::Blob);
}

#[test]
fn gas_and_length_are_limited() {
    let with_gas = |gas_limit| signed(1, alloy_consensus::TxEip1559 { gas_limit, ..transfer(0, Address::ZERO, 1) });
    assert!(senders().recover(&with_gas(TRANSACTION_GAS_MAX)).is_ok());
    let error = senders().recover(&with_gas(TRANSACTION_GAS_MAX + 1)).unwrap_err();
    assert_eq!(error, InvalidTransaction::Gas { gas: TRANSACTION_GAS_MAX + 1, max: TRANSACTION_GAS_MAX });
    let long = Bytes::from(vec![0; TRANSACTION_BYTES_MAX + 1]);
    let error = senders().recover(&long).unwrap_err();
    assert_eq!(error, InvalidTransaction::Size { bytes: TRANSACTION_BYTES_MAX + 1, max: TRANSACTION_BYTES_MAX });
}

#[test]
fn the_malleable_twin_of_a_signature_is_refused() {
    let mut transaction = transfer(0, Address::ZERO, 1);
    let signature = signer(1).sign_transaction_sync(&mut transaction).unwrap();
    let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().unwrap();
    let twin = Signature::new(signature.r(), order - signature.s(), !signature.v());
    let encoded = TxEnvelope::from(transaction.into_signed(twin)).encoded_2718();
    assert!(matches!(senders().recover(&encoded), Err(InvalidTransaction::Signature(_))));
}

#[test]
fn garbage_is_refused_without_a_panic() {
    let valid = signed(1, transfer(0, Address::ZERO, 1));
    for length in 0..valid.len() {
        assert!(matches!(senders().recover(&valid[..length]), Err(InvalidTransaction::Decode(_))), "{length}");
    }
    let longer = [valid.as_ref(), &[0]].concat();
    assert!(matches!(senders().recover(&longer), Err(InvalidTransaction::Decode(_))));
    assert!(matches!(senders().recover(&deployer(&[0])), Err(InvalidTransaction::Decode(_))));
}

#[test]
fn the_length_of_a_block_is_that_of_its_rlp() {
    let transactions: Vec<_> =
        (0..3).map(|nonce| decode_exact(&signed(1, transfer(nonce, Address::ZERO, 1))).unwrap()).collect();
    let header = Header { withdrawals_root: Some(B256::ZERO), base_fee_per_gas: Some(1), ..Default::default() };
    let body = alloy_consensus::BlockBody {
        transactions: transactions.clone(),
        ommers: Vec::new(),
        withdrawals: Some(Default::default()),
    };
    let block = alloy_consensus::Block { header: header.clone(), body };
    assert_eq!(
        block_rlp_length(&header, &transactions, &[], Some(&Default::default())),
        alloy_rlp::encode(&block).len()
    );
}
