//! The API of a validator over gRPC, with the generated client on a real socket.

use crate::nodes::{REFUSED, Seat, transaction_hash};
use crate::site::listener;
use futures::{StreamExt as _, stream};
use gateway::grpc::api::block_service_client::BlockServiceClient;
use gateway::grpc::api::finality_service_client::FinalityServiceClient;
use gateway::grpc::api::namespace_service_client::NamespaceServiceClient;
use gateway::grpc::api::submission_service_client::SubmissionServiceClient;
use gateway::grpc::api::submit_batch_response::answer::Outcome;
use gateway::grpc::api::{self, SubmissionState, submission::Place};
use gateway::{ServeLimits, Server, ValidatorConfig, serve, validator_router};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http::Uri;
use tonic::{Code, Request};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServiceResponse};

type Http2 = Client<HttpConnector, Body>;

struct Site {
    server: Server,
    seat: Arc<Seat>,
}

impl Site {
    async fn new() -> Self {
        Self::with(ValidatorConfig::default()).await
    }

    async fn with(config: ValidatorConfig) -> Self {
        let seat = Arc::new(Seat::default());
        let server = serve(listener().await, validator_router(seat.clone(), config), ServeLimits::node()).unwrap();
        Self { server, seat }
    }

    fn channel(&self) -> (Http2, Uri) {
        let origin = format!("http://{}", self.server.local_addr()).parse().unwrap();
        (Client::builder(TokioExecutor::new()).http2_only(true).build_http(), origin)
    }

    fn submissions(&self) -> SubmissionServiceClient<Http2> {
        let (http, origin) = self.channel();
        SubmissionServiceClient::with_origin(http, origin)
    }

    fn blocks(&self) -> BlockServiceClient<Http2> {
        let (http, origin) = self.channel();
        BlockServiceClient::with_origin(http, origin)
    }

    fn namespaces(&self) -> NamespaceServiceClient<Http2> {
        let (http, origin) = self.channel();
        NamespaceServiceClient::with_origin(http, origin)
    }
}

fn transaction(payload: &'static [u8]) -> api::Transaction {
    api::Transaction { namespace: 7, payload: payload.into() }
}

fn single(payload: &'static [u8]) -> api::SubmitRequest {
    api::SubmitRequest { transaction: Some(transaction(payload)), lifetime: Some(9) }
}

fn batch(payloads: &[&'static [u8]]) -> api::SubmitBatchRequest {
    let transactions = payloads.iter().map(|payload| transaction(payload)).collect();
    api::SubmitBatchRequest { transactions, lifetime: None }
}

#[tokio::test]
async fn a_submission_is_answered_with_its_hash_and_a_refusal_with_a_code() {
    let site = Site::new().await;
    let mut client = site.submissions();
    let receipt = client.submit(single(b"hi")).await.unwrap().into_inner();
    assert_eq!((&receipt.hash[..], receipt.expires), (&transaction_hash(7, b"hi")[..], 3_000));
    assert_eq!(*site.seat.lifetimes.lock().unwrap(), [Some(9)]);
    let refused = client.submit(single(REFUSED)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "no room"));
    let empty = client.submit(api::SubmitRequest::default()).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument, "{}", empty.message());
    let never = client.submit(api::SubmitRequest { lifetime: Some(0), ..single(b"hi") }).await.unwrap_err();
    assert_eq!(never.code(), Code::InvalidArgument);
    let transactions = vec![transaction(b"first"), transaction(b"second")];
    let bundle = api::SubmitBundleRequest { transactions, lifetime: None };
    assert_eq!(client.submit_bundle(bundle).await.unwrap().into_inner().hash.len(), 32);
}

#[tokio::test]
async fn a_batch_and_a_stream_of_batches_are_answered_in_order() {
    let site = Site::new().await;
    let mut client = site.submissions();
    let outcome = |answer: &api::submit_batch_response::Answer| match answer.outcome.as_ref().unwrap() {
        Outcome::Accepted(receipt) => receipt.hash.to_vec(),
        Outcome::Refused(reason) => reason.clone().into_bytes(),
    };
    let answers = client.submit_batch(batch(&[b"a", REFUSED])).await.unwrap().into_inner().answers;
    let expected = [transaction_hash(7, b"a").to_vec(), b"no room".to_vec()];
    assert_eq!(answers.iter().map(outcome).collect::<Vec<_>>(), expected);
    let batches = stream::iter([batch(&[b"b"]), batch(&[b"c", b"d"]), batch(&[])]);
    let mut answers = client.submit_stream(batches).await.unwrap().into_inner();
    for payloads in [&[b"b"][..], &[b"c", b"d"]] {
        let told = answers.message().await.unwrap().unwrap().answers;
        let expected: Vec<_> = payloads.iter().map(|payload| transaction_hash(7, *payload).to_vec()).collect();
        assert_eq!(told.iter().map(outcome).collect::<Vec<_>>(), expected);
    }
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument, "a batch of nothing");
}

#[tokio::test]
async fn messages_are_bounded() {
    let site = Site::new().await;
    let payload = bytes::Bytes::from(vec![1; 1 << 20]);
    let of = |count| api::SubmitBatchRequest {
        transactions: vec![api::Transaction { namespace: 7, payload: payload.clone() }; count],
        lifetime: None,
    };
    let mut client = site.submissions();
    assert_eq!(client.submit_batch(of(8)).await.unwrap().into_inner().answers.len(), 8);
    assert_eq!(client.submit_batch(of(9)).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(client.submit_batch(of(21)).await.unwrap_err().code(), Code::OutOfRange);
    let hashes = |count| api::ListSubmissionsRequest { hashes: vec![vec![0; 32].into(); count] };
    assert_eq!(client.list_submissions(hashes(1_024)).await.unwrap().into_inner().submissions.len(), 1_024);
    assert_eq!(client.list_submissions(hashes(1_025)).await.unwrap_err().code(), Code::InvalidArgument);
    let short = api::ListSubmissionsRequest { hashes: vec![vec![0; 31].into()] };
    assert_eq!(client.list_submissions(short).await.unwrap_err().code(), Code::InvalidArgument);
    let page = site.blocks().list_blocks(api::ListBlocksRequest { from: 1, max: 257 }).await;
    assert_eq!(page.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_state_is_waited_for_and_watched() {
    let site = Site::new().await;
    let mut client = site.submissions();
    let hash = client.submit(single(b"hi")).await.unwrap().into_inner().hash;
    let mut watched = client.watch_submission(api::WatchSubmissionRequest { hash: hash.clone() }).await.unwrap();
    let first = watched.get_mut().message().await.unwrap().unwrap();
    assert_eq!(first.state(), SubmissionState::Pending);
    let until = SubmissionState::Final.into();
    let ask = api::GetSubmissionRequest { hash: hash.clone(), until, wait_millis: 20_000 };
    let (waited, ()) = tokio::join!(client.get_submission(ask), async { site.seat.order() });
    let told = waited.unwrap().into_inner();
    assert_eq!((told.state(), told.height), (SubmissionState::Final, Some(1)));
    let place = Place::Transaction(api::TransactionPlace { namespace: 7, index: 0 });
    assert_eq!(told.place, Some(place));
    let second = watched.get_mut().message().await.unwrap().unwrap();
    assert_eq!(second.state(), SubmissionState::Final);
    let late = api::GetSubmissionRequest { hash, until, wait_millis: 25_001 };
    assert_eq!(client.get_submission(late).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn blocks_and_namespaces_are_told_one_by_one_in_pages_and_in_streams() {
    let site = Site::new().await;
    site.submissions().submit(single(b"hi")).await.unwrap();
    (0..3).for_each(|_| site.seat.order());
    let mut blocks = site.blocks();
    let block = blocks.get_block(api::GetBlockRequest { height: 1 }).await.unwrap().into_inner();
    assert_eq!((block.height, block.digest.len()), (1, 32));
    let found = (block.namespaces[0].namespace, &block.namespaces[0].payloads[0][..]);
    assert_eq!(found, (7, &b"hi"[..]));
    let absent = blocks.get_block(api::GetBlockRequest { height: 9 }).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    let header = blocks.get_header(api::GetHeaderRequest { height: 2 }).await.unwrap().into_inner();
    assert_eq!((header.height, &header.header[..], &header.certificate[..]), (2, &b"header"[..], &b"certificate"[..]));
    let shard = blocks.get_shard(api::GetShardRequest { height: 1, index: 2 }).await.unwrap().into_inner();
    assert_eq!(shard.proof[..], [2; 9]);
    let pruned = blocks.get_shard(api::GetShardRequest { height: 2, index: 0 }).await.unwrap_err();
    assert_eq!(pruned.code(), Code::OutOfRange);
    assert!(pruned.message().contains("from height 7 on"), "{pruned}");
    let page = blocks.list_blocks(api::ListBlocksRequest { from: 2, max: 0 }).await.unwrap().into_inner();
    assert_eq!(page.blocks.iter().map(|block| block.height).collect::<Vec<_>>(), [2, 3]);
    let mut streamed = blocks.stream_blocks(api::StreamBlocksRequest { from: 3 }).await.unwrap().into_inner();
    assert_eq!(streamed.message().await.unwrap().unwrap().height, 3);
    site.seat.order();
    assert_eq!(streamed.message().await.unwrap().unwrap().height, 4);

    let mut namespaces = site.namespaces();
    let one = namespaces.get_namespace(api::GetNamespaceRequest { height: 2, namespace: 7 }).await.unwrap();
    assert_eq!(one.into_inner().proof, b"2 7"[..]);
    let ask = api::ListNamespaceRequest { namespace: 7, from: 0, max: 3 };
    let page = namespaces.list_namespace(ask).await.unwrap().into_inner();
    assert_eq!((page.blocks.len(), page.blocks[0].height, page.final_height), (3, 1, 4));
    let ask = api::StreamNamespaceRequest { namespace: 7, from: 4 };
    let mut streamed = namespaces.stream_namespace(ask).await.unwrap().into_inner();
    assert_eq!(streamed.message().await.unwrap().unwrap().proof, b"4 7"[..]);
}

#[tokio::test]
async fn finality_health_and_the_description_are_told() {
    let site = Site::new().await;
    let (http, origin) = site.channel();
    let mut finality = FinalityServiceClient::with_origin(http, origin);
    assert_eq!(finality.get_status(api::GetStatusRequest {}).await.unwrap().into_inner().seat, Some(2));
    let kept = finality.get_checkpoint(api::GetCheckpointRequest { epoch: None }).await.unwrap().into_inner();
    assert_eq!((kept.checkpoint.unwrap().height, &kept.kept[..]), (96, &[7; 5][..]));
    let genesis = finality.get_checkpoint(api::GetCheckpointRequest { epoch: Some(0) }).await.unwrap_err();
    assert_eq!(genesis.code(), Code::InvalidArgument);

    let (http, origin) = site.channel();
    let mut health = HealthClient::with_origin(http, origin);
    for service in ["", "kumo.sequencer.v1.BlockService"] {
        let ask = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(ask).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let unknown = HealthCheckRequest { service: "kumo.Unknown".to_owned() };
    assert_eq!(health.check(unknown.clone()).await.unwrap_err().code(), Code::NotFound);
    let watched = health.watch(unknown).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(watched.status(), ServingStatus::ServiceUnknown);

    let (http, origin) = site.channel();
    let mut reflection = ServerReflectionClient::with_origin(http, origin);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let ask = stream::iter([ServerReflectionRequest { message_request, ..Default::default() }]);
    let mut answers = reflection.server_reflection_info(Request::new(ask)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("not a list of services")
    };
    let mut names: Vec<String> = listed.service.into_iter().map(|ServiceResponse { name }| name).collect();
    names.retain(|name| name.starts_with("kumo."));
    names.sort();
    let expected = ["BlockService", "FinalityService", "NamespaceService", "SubmissionService"];
    assert_eq!(names, expected.map(|name| format!("kumo.sequencer.v1.{name}")));
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_server() {
    let site = Site::with(ValidatorConfig { streams_max: 1, ..ValidatorConfig::default() }).await;
    let mut blocks = site.blocks();
    let ask = api::StreamBlocksRequest { from: 1 };
    let first = blocks.stream_blocks(ask).await.unwrap().into_inner();
    assert_eq!(blocks.stream_blocks(ask).await.unwrap_err().code(), Code::Unavailable);
    drop(first);
    // The place is free when the server has heard of it.
    let mut second = loop {
        match blocks.stream_blocks(ask).await {
            Ok(stream) => break stream.into_inner(),
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
        tokio::task::yield_now().await;
    };
    let (ended, ()) = tokio::join!(second.next(), site.server.stop());
    assert!(ended.is_none(), "{ended:?}");
}
