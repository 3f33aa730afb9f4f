//! Submit, and learn what became of it.

use super::api::submission_service_server::SubmissionService;
use super::api::{
    GetSubmissionRequest, ListSubmissionsRequest, ListSubmissionsResponse, Submission, SubmissionReceipt,
    SubmitBatchRequest, SubmitBatchResponse, SubmitBundleRequest, SubmitRequest, WatchSubmissionRequest,
};
use super::stream::{Answers, Place};
use super::{Service, convert};
use crate::backend;
use crate::config::WAIT_MILLIS_MAX;
use crate::problem::{ProblemResponse, Reply, bad_request};
use crate::validator::Node;
use crate::validator::streams::IDLE_TIMEOUT;
use crate::validator::submit::{check_batch, check_hashes, check_lifetime};
use alloy_primitives::B256;
use protocol::api::{SubmissionState, SubmissionStatus};
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl SubmissionService for Service {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmissionReceipt>, Status> {
        let SubmitRequest { transaction, lifetime } = request.into_inner();
        self.call(async {
            let submission = convert::transaction(transaction)?;
            Ok(convert::receipt(self.0.accept(submission, check_lifetime(lifetime)?).await?))
        })
        .await
    }

    async fn submit_batch(
        &self,
        request: Request<SubmitBatchRequest>,
    ) -> Result<Response<SubmitBatchResponse>, Status> {
        self.call(batch(&self.0, request.into_inner())).await
    }

    async fn submit_bundle(
        &self,
        request: Request<SubmitBundleRequest>,
    ) -> Result<Response<SubmissionReceipt>, Status> {
        let SubmitBundleRequest { transactions, lifetime } = request.into_inner();
        self.call(async {
            let bundle = backend::Submission::Bundle(convert::transactions(transactions));
            Ok(convert::receipt(self.0.accept(bundle, check_lifetime(lifetime)?).await?))
        })
        .await
    }

    type SubmitStreamStream = Answers<SubmitBatchResponse>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<SubmitBatchRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let place = Place::take(self, &request)?;
        let node = self.0.clone();
        Ok(place.answer(request.into_inner(), move |mut batches| {
            let node = node.clone();
            async move {
                let Some(asked) = next(&mut batches).await? else { return Ok(None) };
                Ok(Some((batch(&node, asked).await?, batches)))
            }
        }))
    }

    async fn get_submission(&self, request: Request<GetSubmissionRequest>) -> Result<Response<Submission>, Status> {
        let GetSubmissionRequest { hash, until, wait_millis } = request.into_inner();
        self.call(async {
            if wait_millis > WAIT_MILLIS_MAX {
                return Err(bad_request("wait_millis", wait_millis, format!("0 to {WAIT_MILLIS_MAX}")).into());
            }
            let (hash, goal) = (convert::hash(&hash)?, convert::goal(until)?);
            Ok(convert::submission(self.0.wait_for(hash, goal, Duration::from_millis(wait_millis)).await?))
        })
        .await
    }

    async fn list_submissions(
        &self,
        request: Request<ListSubmissionsRequest>,
    ) -> Result<Response<ListSubmissionsResponse>, Status> {
        let ListSubmissionsRequest { hashes } = request.into_inner();
        self.call(async {
            check_hashes(hashes.len())?;
            let hashes = hashes.iter().map(|hash| convert::hash(hash)).collect::<Reply<_>>()?;
            let found = self.0.backend.statuses(hashes).await?;
            Ok(ListSubmissionsResponse { submissions: found.into_iter().map(convert::submission).collect() })
        })
        .await
    }

    type WatchSubmissionStream = Answers<Submission>;

    async fn watch_submission(
        &self,
        request: Request<WatchSubmissionRequest>,
    ) -> Result<Response<Self::WatchSubmissionStream>, Status> {
        let place = Place::take(self, &request)?;
        let hash = convert::hash(&request.into_inner().hash).map_err(|problem| convert::status(problem.0))?;
        let node = self.0.clone();
        Ok(place.answer(None, move |told| {
            let node = node.clone();
            async move {
                let found = changed(&node, hash, told).await?;
                Ok(found.map(|found| (convert::submission(found.clone()), Some(found.state))))
            }
        }))
    }
}

async fn batch(node: &Node, asked: SubmitBatchRequest) -> Reply<SubmitBatchResponse> {
    let lifetime = check_lifetime(asked.lifetime)?;
    let transactions = convert::transactions(asked.transactions);
    check_batch(&transactions)?;
    let submissions = transactions.into_iter().map(|(n, payload)| backend::Submission::Transaction(n, payload));
    Ok(convert::answers(node.accept_all(submissions.collect(), lifetime).await.map_err(ProblemResponse)?))
}

/// The next batch of a stream; a client that stays silent for too long has left.
async fn next(batches: &mut Streaming<SubmitBatchRequest>) -> Reply<Option<SubmitBatchRequest>> {
    match tokio::time::timeout(IDLE_TIMEOUT, batches.message()).await {
        Ok(Ok(batch)) => Ok(batch),
        Ok(Err(error)) => Err(bad_request("batch", error.message(), "a SubmitBatchRequest of at most 20 MiB").into()),
        Err(_) => Ok(None),
    }
}

/// Waits until a submission is in another state than was `told`; `None` after its last one.
async fn changed(node: &Node, hash: B256, told: Option<SubmissionState>) -> Reply<Option<SubmissionStatus>> {
    if told.is_some_and(|told| told.has_reached(SubmissionState::Finalized)) {
        return Ok(None);
    }
    loop {
        let found = node.backend.statuses(vec![hash]).await?.pop().unwrap_or_default();
        if told != Some(found.state) {
            return Ok(Some(found));
        }
        node.backend.height_above(found.final_height).await?;
    }
}
