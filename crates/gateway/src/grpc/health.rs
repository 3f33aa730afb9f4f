//! `grpc.health.v1`: a validator that cannot tell its own height serves nothing.

use super::stream::{Answers, Place};
use super::{Service, api};
use std::time::Duration;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Services that can be asked about; the empty name is all of them.
const NAMES: [&str; 5] = [
    "",
    <api::submission_service_server::SubmissionServiceServer<Service> as NamedService>::NAME,
    <api::block_service_server::BlockServiceServer<Service> as NamedService>::NAME,
    <api::namespace_service_server::NamespaceServiceServer<Service> as NamedService>::NAME,
    <api::finality_service_server::FinalityServiceServer<Service> as NamedService>::NAME,
];

#[tonic::async_trait]
impl Health for Service {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !NAMES.contains(&name.as_str()) {
            return Err(Status::not_found(format!("there is no service {name:?}; there are {NAMES:?}")));
        }
        Ok(Response::new(HealthCheckResponse { status: self.serving().await.into() }))
    }

    type WatchStream = Answers<HealthCheckResponse>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let place = Place::take(self, &request)?;
        let known = NAMES.contains(&request.into_inner().service.as_str());
        let service = self.clone();
        Ok(place.answer(None, move |told| {
            let service = service.clone();
            async move {
                let status = service.other_than(told, known).await;
                Ok(Some((HealthCheckResponse { status: status.into() }, Some(status))))
            }
        }))
    }
}

impl Service {
    async fn serving(&self) -> ServingStatus {
        match self.0.backend.status().await {
            Ok(_) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        }
    }

    async fn other_than(&self, told: Option<ServingStatus>, known: bool) -> ServingStatus {
        loop {
            let status = if known { self.serving().await } else { ServingStatus::ServiceUnknown };
            if told != Some(status) {
                return status;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
