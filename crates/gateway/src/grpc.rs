//! The API of a validator over gRPC: the same answers as `/seq/v1`, on the same port.
//!
//! Described by `proto/kumo/sequencer/v1/sequencer.proto`. Reflection (versions 1 and 1alpha) tells it to clients that do
//! not have it, and `grpc.health.v1` tells whether the validator answers. A call takes no longer than any other request.
//! A stream needs a place among the streams and prepares nothing before its client has taken what was sent.

mod blocks;
mod convert;
mod finality;
mod health;
mod namespaces;
mod stream;
mod submissions;

use crate::problem::Reply;
use crate::validator::Node;
use crate::validator::submit::BATCH_BODY_BYTES_MAX;
use axum::Router;
use convert::status;
use std::convert::Infallible;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response as HttpResponse};
use tonic::server::NamedService;
use tonic::{Response, Status};
use tonic_health::pb::health_server::HealthServer;

/// Messages, services and clients, as generated.
#[allow(missing_docs, clippy::all)]
pub mod api {
    tonic::include_proto!("kumo.sequencer.v1");
}

use api::block_service_server::BlockServiceServer;
use api::finality_service_server::FinalityServiceServer;
use api::namespace_service_server::NamespaceServiceServer;
use api::submission_service_server::SubmissionServiceServer;

/// The API's `FileDescriptorSet`, encoded.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sequencer.fds"));
/// Largest message that is read.
const REQUEST_BYTES_MAX: usize = 20 << 20;
/// Largest message that is sent: a page and the block that did not fit.
const RESPONSE_BYTES_MAX: usize = 32 << 20;

/// Each transaction of a batch has up to 16 bytes beside its payload and less in a binary batch.
const _: () = assert!(BATCH_BODY_BYTES_MAX + (8 << 20) < REQUEST_BYTES_MAX);

/// What all services answer from.
#[derive(Clone)]
struct Service(Node);

impl Service {
    /// Ends a call that takes too long, and says errors in gRPC's way.
    async fn call<T>(&self, answer: impl Future<Output = Reply<T>>) -> Result<Response<T>, Status> {
        let limit = self.0.config.request_timeout;
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(Response::new(answer)),
            Ok(Err(problem)) => Err(status(problem.0)),
            Err(_) => Err(status(crate::problem::timeout(limit))),
        }
    }
}

/// All services at their paths.
pub(crate) fn router(node: Node) -> Router {
    let service = Service(node);
    let limited = (REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX);
    macro_rules! limited {
        ($server:ident) => {
            $server::new(service.clone()).max_decoding_message_size(limited.0).max_encoding_message_size(limited.1)
        };
    }
    let router = at(Router::new(), limited!(SubmissionServiceServer));
    let router = at(router, limited!(BlockServiceServer));
    let router = at(router, limited!(NamespaceServiceServer));
    let router = at(router, limited!(FinalityServiceServer));
    let router = at(router, HealthServer::new(service));
    let v1 = reflection().build_v1().expect("the descriptors were compiled into this program");
    let v1alpha = reflection().build_v1alpha().expect("the descriptors were compiled into this program");
    at(at(router, v1), v1alpha)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Adds one generated server.
fn at<S>(router: Router, server: S) -> Router
where
    S: tower::Service<Request<axum::body::Body>, Response = HttpResponse<Body>, Error = Infallible>,
    S: NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    router.route_service(&format!("/{}/{{*method}}", S::NAME), server)
}
