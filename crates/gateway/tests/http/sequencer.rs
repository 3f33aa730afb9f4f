//! The API of a validator: submissions and their states, namespaces with proofs, streams, Espresso's shapes.

use crate::nodes::{REFUSED, Seat, transaction_hash};
use crate::site::{listener, problem};
use axum::body::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use gateway::{ServeLimits, Server, ValidatorConfig, serve, validator_router};
use protocol::api::{
    BlockHeader, BlockShard, NamespaceBlock, NamespacePage, SubmissionAnswer, SubmissionReceipt, SubmissionState,
    SubmissionStatus, SubmitBatchResponse,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Message;

struct Site {
    _server: Server,
    seat: Arc<Seat>,
    address: String,
}

impl Site {
    async fn new() -> Self {
        Self::with(ValidatorConfig::default()).await
    }

    async fn with(config: ValidatorConfig) -> Self {
        let seat = Arc::new(Seat::default());
        let server = serve(listener().await, validator_router(seat.clone(), config), ServeLimits::node()).unwrap();
        let address = server.local_addr().to_string();
        Self { _server: server, seat, address }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}{path}", self.address)).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        reqwest::Client::new().post(format!("http://{}{path}", self.address)).json(body).send().await.unwrap()
    }

    async fn post_bytes(&self, path: &str, body: Vec<u8>, accept: &str) -> reqwest::Response {
        let request = reqwest::Client::new().post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/octet-stream").header("accept", accept);
        request.body(body).send().await.unwrap()
    }

    async fn socket(
        &self,
        path: &str,
    ) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
        tokio_tungstenite::connect_async(format!("ws://{}{path}", self.address)).await.unwrap().0
    }
}

fn frame(namespace: u64, payload: &[u8]) -> Vec<u8> {
    [&namespace.to_be_bytes()[..], &(payload.len() as u32).to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn a_submission_is_answered_with_its_hash_and_its_end() {
    let site = Site::new().await;
    let response = site.post("/seq/v1/submit?lifetime=9", &json!({ "namespace": 7, "payload": "0x6869" })).await;
    let receipt: SubmissionReceipt = response.json().await.unwrap();
    assert_eq!((receipt.hash, receipt.expires, receipt.known), (transaction_hash(7, b"hi"), 3_000, false));
    assert_eq!(*site.seat.lifetimes.lock().unwrap(), [Some(9)]);
    let refused = json!({ "namespace": 7, "payload": format!("0x{}", alloy_primitives::hex::encode(REFUSED)) });
    let response = site.post("/seq/v1/submit", &refused).await;
    assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (503, true));
}

#[tokio::test]
async fn a_transaction_of_one_mebibyte_is_taken_and_one_byte_more_is_not() {
    let site = Site::new().await;
    let of = |bytes: usize| json!({ "namespace": 7, "payload": format!("0x{}", "ab".repeat(bytes)) });
    assert_eq!(site.post("/seq/v1/submit", &of(1 << 20)).await.status(), 200);
    assert_eq!(site.post("/seq/v1/submit", &of((1 << 20) + 1)).await.status(), 413);
}

#[tokio::test]
async fn a_batch_as_json_and_as_bytes_is_answered_in_order() {
    let site = Site::new().await;
    let transactions = [(7, &b"a"[..]), (8, REFUSED), (7, b"b")];
    let asked: Vec<Value> = (transactions.iter())
        .map(|(n, p)| json!({ "namespace": n, "payload": format!("0x{}", alloy_primitives::hex::encode(p)) }))
        .collect();
    let binary: Vec<u8> = transactions.iter().flat_map(|(n, p)| frame(*n, p)).collect();
    let as_json = site.post("/seq/v1/submit-batch", &json!({ "transactions": asked, "lifetime": 5 })).await;
    let as_bytes = site.post_bytes("/seq/v1/submit-batch", binary.clone(), "application/json").await;
    for response in [as_json, as_bytes] {
        let SubmitBatchResponse { answers } = response.json().await.unwrap();
        let accepted = |answer: &SubmissionAnswer| match answer {
            SubmissionAnswer::Accepted(receipt) => Some(receipt.hash),
            SubmissionAnswer::Refused(reason) => {
                assert_eq!(reason, "no room");
                None
            }
        };
        let expected = [Some(transaction_hash(7, b"a")), None, Some(transaction_hash(7, b"b"))];
        assert_eq!(answers.iter().map(accepted).collect::<Vec<_>>(), expected);
    }
    let response = site.post_bytes("/seq/v1/submit-batch", binary, "application/octet-stream").await;
    let told = response.bytes().await.unwrap();
    assert_eq!((told.len(), told[0], told[41], told[82]), (3 * 41, 1, 0, 1));
    assert_eq!(told[1..33], transaction_hash(7, b"a")[..]);
    let cut = frame(7, b"abc")[..14].to_vec();
    assert_eq!(site.post_bytes("/seq/v1/submit-batch", cut, "*/*").await.status(), 400);
    assert_eq!(site.post_bytes("/seq/v1/submit-batch", vec![], "*/*").await.status(), 400);
}

#[tokio::test]
async fn evidence_is_taken_or_refused_with_a_reason() {
    let site = Site::new().await;
    let report = |bytes: Vec<u8>| site.post_bytes("/seq/v1/evidence", bytes, "*/*");
    assert_eq!(report(vec![1; 300]).await.status(), 200);
    assert_eq!(report(vec![2; 300]).await.status(), 422);
    assert_eq!(report(vec![1; 64 << 10]).await.status(), 200);
    assert_eq!(report(vec![1; (64 << 10) + 1]).await.status(), 413);
}

#[tokio::test]
async fn a_state_is_told_at_once_or_waited_for() {
    let site = Site::new().await;
    site.post("/seq/v1/submit", &json!({ "namespace": 7, "payload": "0x6869" })).await;
    let hash = transaction_hash(7, b"hi");
    let told: SubmissionStatus = site.get(&format!("/seq/v1/submissions/{hash}")).await.json().await.unwrap();
    assert_eq!((told.state, told.final_height), (SubmissionState::Pending, 0));
    let path = format!("/seq/v1/submissions/{hash}?until=final&wait=20000");
    let (waited, ()) = tokio::join!(site.get(&path), async { site.seat.order() });
    let told: SubmissionStatus = waited.json().await.unwrap();
    assert_eq!((told.state, told.height), (SubmissionState::Final, Some(1)));
    let many = site.post("/seq/v1/submissions", &json!({ "hashes": [hash, transaction_hash(7, b"no")] })).await;
    let many: Vec<SubmissionStatus> = many.json().await.unwrap();
    assert_eq!(
        many.iter().map(|told| told.state).collect::<Vec<_>>(),
        [SubmissionState::Final, SubmissionState::Unknown]
    );
    assert_eq!(site.get(&format!("/seq/v1/submissions/{hash}?until=soon")).await.status(), 400);
    assert_eq!(site.post("/seq/v1/submissions", &json!({ "hashes": [] })).await.status(), 400);
}

#[tokio::test]
async fn a_page_of_a_namespace_has_every_height_and_ends_where_it_is_final() {
    let site = Site::new().await;
    (0..3).for_each(|_| site.seat.order());
    let page: NamespacePage = site.get("/seq/v1/namespaces/7/blocks?from=2&max=9").await.json().await.unwrap();
    let heights: Vec<u64> = page.blocks.iter().map(|block| block.height).collect();
    assert_eq!((heights, page.height), (vec![2, 3], 3));
    assert_eq!(page.blocks[0].proof, b"2 7"[..]);
    let one: NamespaceBlock = site.get("/seq/v1/blocks/2/namespaces/7").await.json().await.unwrap();
    assert_eq!(one, page.blocks[0]);
    let page: NamespacePage = site.get("/seq/v1/namespaces/7/blocks?from=4&wait=1").await.json().await.unwrap();
    assert!(page.blocks.is_empty());
    assert_eq!(site.get("/seq/v1/namespaces/7/blocks?max=65").await.status(), 400);
    assert_eq!(site.get("/seq/v1/blocks/4/namespaces/7").await.status(), 404);
}

#[tokio::test]
async fn a_namespace_asks_what_it_owes_and_what_a_byte_costs() {
    let site = Site::new().await;
    site.seat.order();
    let account: Value = site.get("/seq/v1/namespaces/7/account").await.json().await.unwrap();
    assert_eq!((&account["namespace"], &account["height"], &account["base_fee"]), (&json!(7), &json!(1), &json!(5)));
    assert_eq!(account["owed"], json!(u128::MAX.to_string()), "no digit is lost");
    assert_eq!((account.get("since"), account.get("committed")), (None, None));
    let fee: Value = site.get("/seq/v1/namespaces/7/fee").await.json().await.unwrap();
    assert_eq!(fee, json!({ "namespace": 7, "height": 1, "base_fee": 5, "base_fee_min": 1, "target_bytes": 9 }));
    for path in ["/seq/v1/namespaces/x/account", "/seq/v1/namespaces/-1/fee", "/seq/v1/namespaces/7/fee?at=2"] {
        assert_eq!(site.get(path).await.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn headers_and_shards_are_told_and_what_is_pruned_is_gone() {
    let site = Site::new().await;
    (0..2).for_each(|_| site.seat.order());
    let header: BlockHeader = site.get("/seq/v1/blocks/2/header").await.json().await.unwrap();
    assert_eq!(
        (header.height, header.header.as_ref(), header.certificate.as_ref()),
        (2, &b"header"[..], &b"certificate"[..])
    );
    let shard: BlockShard = site.get("/seq/v1/blocks/1/shards/2").await.json().await.unwrap();
    assert_eq!((shard.height, shard.proof.as_ref()), (1, &[2; 9][..]));
    problem(site.get("/seq/v1/blocks/1/shards/3").await, 404, "not-found").await;
    problem(site.get("/seq/v1/blocks/1/shards/384").await, 400, "bad-request").await;
    problem(site.get("/seq/v1/blocks/1/shards/-1").await, 400, "bad-request").await;
    let gone = problem(site.get("/seq/v1/blocks/2/shards/0").await, 410, "gone").await;
    assert!(gone.contains("from height 7 on"), "{gone}");
}

#[tokio::test]
async fn a_socket_takes_batches_and_another_tells_of_blocks() {
    let site = Site::new().await;
    let mut submit = site.socket("/seq/v1/submit-stream").await;
    for payload in [b"a", b"b"] {
        submit.send(Message::Binary(frame(7, payload).into())).await.unwrap();
        let Message::Binary(answer) = submit.next().await.unwrap().unwrap() else { panic!("not bytes") };
        assert_eq!((answer.len(), &answer[1..33]), (41, &transaction_hash(7, payload)[..]));
    }
    let mut follow = site.socket("/v1/availability/stream/transactions/0/namespace/7").await;
    let mut proofs = site.socket("/seq/v1/namespaces/7/stream?from=1").await;
    site.seat.order();
    for (index, payload) in ["YQ==", "Yg=="].into_iter().enumerate() {
        let Message::Text(text) = follow.next().await.unwrap().unwrap() else { panic!("not text") };
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["transaction"], json!({ "namespace": 7, "payload": payload }));
        assert_eq!((&told["index"], &told["block_height"]), (&json!(index), &json!(1)));
    }
    let Message::Text(text) = proofs.next().await.unwrap().unwrap() else { panic!("not text") };
    assert_eq!(serde_json::from_str::<NamespaceBlock>(&text).unwrap().proof, b"1 7"[..]);
    submit.send(Message::Binary(Bytes::from_static(b"nonsense"))).await.unwrap();
    assert!(matches!(submit.next().await, Some(Ok(Message::Close(Some(_))))), "and is told why");
}

#[tokio::test]
async fn streams_are_bounded() {
    let site = Site::with(ValidatorConfig { streams_max: 1, ..ValidatorConfig::default() }).await;
    let _first = site.socket("/seq/v1/submit-stream").await;
    let second = tokio_tungstenite::connect_async(format!("ws://{}/seq/v1/submit-stream", site.address)).await;
    assert!(second.unwrap_err().to_string().contains("503"));
}

#[tokio::test]
async fn a_client_of_espresso_submits_and_reads_under_both_versions() {
    let site = Site::new().await;
    for version in ["v0", "v1"] {
        let asked = json!({ "namespace": 7, "payload": "aGk=" });
        let tagged: String = site.post(&format!("/{version}/submit/submit"), &asked).await.json().await.unwrap();
        site.seat.order();
        let count = site.json(&format!("/{version}/status/block-height")).await.as_u64().unwrap();
        let height = count - 1;
        let found = site.json(&format!("/{version}/availability/block/{height}/namespace/7")).await;
        assert_eq!(found["transactions"], json!([{ "namespace": 7, "payload": "aGk=" }]));
        assert_eq!(found["proof"]["Kumo"]["header"], "0x686561646572");
        let found = site.json(&format!("/{version}/availability/transaction/hash/{tagged}")).await;
        assert_eq!((&found["hash"], &found["index"]), (&json!(tagged), &json!(0)));
        let header = site.json(&format!("/{version}/availability/header/{height}")).await;
        assert_eq!((&header["fields"]["height"], &header["version"]["Version"]["minor"]), (&json!(height), &json!(3)));
        // One namespace, number 7, whose section has 10 bytes: count, end, two bytes.
        assert_eq!(header["fields"]["ns_table"]["bytes"], "AQAAAAcAAAAKAAAA");
        let payload = site.json(&format!("/{version}/availability/payload/{height}")).await;
        assert_eq!(payload["data"]["raw_payload"], "AQAAAAIAAABoaQ==");
        let block = site.json(&format!("/{version}/availability/block/{height}")).await;
        let hash = block["hash"].as_str().unwrap();
        assert_eq!(site.json(&format!("/{version}/availability/block/hash/{hash}")).await, block);
        let range = site.json(&format!("/{version}/availability/header/0/{count}")).await;
        assert_eq!(range.as_array().unwrap().len() as u64, count);
        let range = site.json(&format!("/{version}/availability/block/{height}/{count}/namespace/7")).await;
        assert_eq!(range[0]["transactions"].as_array().unwrap().len(), 1);
        for kind in ["leaf", "block/summary", "vid/common"] {
            site.json(&format!("/{version}/availability/{kind}/{height}")).await;
        }
        assert_eq!(site.json(&format!("/{version}/availability/transaction/{height}/0")).await["hash"], tagged);
    }
}

#[tokio::test]
async fn ranges_of_espresso_are_bounded_fail_at_once_and_errors_have_its_envelope() {
    let site = Site::new().await;
    site.seat.order();
    for (path, status) in [
        ("/v1/availability/header/0/501", 400),
        ("/v1/availability/block/0/101", 400),
        ("/v1/availability/header/0/3", 404),
        ("/v1/availability/header/x", 400),
        ("/v1/availability/block/2", 404),
        ("/v1/availability/block/hash/BLOCK~AAAA", 400),
        ("/v1/availability/transaction/1/0", 404),
    ] {
        let response = site.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        let told: Value = response.json().await.unwrap();
        assert_eq!(told["Custom"]["status"], status, "{path}");
        assert!(!told["Custom"]["message"].as_str().unwrap().is_empty());
    }
    let limits = site.json("/v0/availability/limits").await;
    assert_eq!(limits, json!({ "small_object_range_limit": 500, "large_object_range_limit": 100 }));
    let empty = site.post("/v1/submit/submit", &json!({ "namespace": 7, "payload": "" })).await;
    assert_eq!(empty.status(), 400);
}
