//! What a validator acknowledges is ordered, whatever becomes of that validator.

use crate::http;
use crate::process::until;
use crate::processes::Fleet;
use alloy_primitives::B256;
use protocol::api::{NamespaceBlock, SubmissionReceipt, SubmissionState, SubmissionStatus};
use protocol::network::Network;
use serde_json::json;

const NAMESPACE: u64 = 4_242;

fn submit(network: &Network, seat: usize, payload: &[u8]) -> SubmissionReceipt {
    let body = json!({ "namespace": NAMESPACE, "payload": alloy_primitives::hex::encode_prefixed(payload) });
    let url = format!("{}/seq/v1/submit", network.validators[seat].api);
    let answer = http::post(&url, "application/json", body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_value(answer.json()).expect("a receipt")
}

fn status(network: &Network, seat: usize, hash: B256) -> Option<SubmissionStatus> {
    let url = format!("{}/seq/v1/submissions/{hash}", network.validators[seat].api);
    let answer = http::try_get(&url).ok().filter(|answer| answer.status == 200)?;
    serde_json::from_value(answer.json()).ok()
}

/// The state of a transaction once it is final.
fn final_at(network: &Network, seat: usize, hash: B256) -> SubmissionStatus {
    until(&format!("validator {seat} knows the transaction as final"), || {
        status(network, seat, hash).filter(|told| told.state == SubmissionState::Final)
    })
}

/// All transactions of the namespace in a block, for a reader that trusts the keys of the committee alone.
fn read(network: &Network, seat: usize, height: u64) -> Vec<Vec<u8>> {
    let url = format!("{}/seq/v1/blocks/{height}/namespaces/{NAMESPACE}", network.validators[seat].api);
    let told: NamespaceBlock = serde_json::from_value(http::get(&url).json()).expect("a namespace with its proof");
    let mut keys: Vec<B256> = network.validators.iter().map(|seat| seat.public_key.parse().expect("a key")).collect();
    keys.sort();
    let proof = proof::namespace::NamespaceProof::decode(&told.proof).expect("a proof");
    let claim = (&told.header[..], &told.certificate[..]);
    let (header, transactions) =
        proof::namespace::read((network.chain_id, &keys), claim, NAMESPACE, &proof).expect("it verifies");
    assert_eq!(header.height, height);
    transactions.iter().map(|transaction| transaction.to_vec()).collect()
}

#[test]
fn an_acknowledged_transaction_is_ordered_although_its_validator_was_killed() {
    let mut fleet = Fleet::made();
    let network = fleet.network.clone();
    // One of four orders nothing: what it acknowledges is on its disk alone when it is killed.
    fleet.launch("validator", 0);
    let lonely = until("validator 0 answers", || fleet.height(0).map(|_| submit(&network, 0, b"lonely")));
    fleet.kill("validator-0");

    fleet.launch("validator", 1);
    fleet.launch("validator", 2);
    let orphan = until("validator 1 answers", || fleet.height(1).map(|_| submit(&network, 1, b"orphan")));
    assert!(submit(&network, 1, b"orphan").known, "the same bytes are the same submission");
    until("validator 2 has it, too", || status(&network, 1, orphan.hash).filter(|told| told.copies == Some(2)));
    fleet.kill("validator-1");

    // Three of four order; the one that took the orphan stays away.
    fleet.launch("validator", 0);
    fleet.launch("validator", 3);
    for (hash, payload) in [(lonely.hash, b"lonely"), (orphan.hash, b"orphan")] {
        let told = final_at(&network, 3, hash);
        let height = told.height.expect("a final one has a height");
        assert!(read(&network, 3, height).iter().any(|transaction| transaction == payload));
        assert_eq!(final_at(&network, 0, hash).place, told.place);
    }
    fleet.launch("validator", 1);
    final_at(&network, 1, orphan.hash);
    let height = fleet.height(3).expect("validator 3 answers");
    let ordered: usize = (1..=height).map(|height| read(&network, 3, height).len()).sum();
    assert_eq!(ordered, 2, "each of them once");
}
