//! What is final, and what the stake has finalised.

use super::api::finality_service_server::FinalityService;
use super::api::{GetCheckpointRequest, GetStatusRequest, KeptCheckpoint, Status as NodeStatus};
use super::{Service, convert};
use crate::problem::bad_request;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl FinalityService for Service {
    async fn get_status(&self, _request: Request<GetStatusRequest>) -> Result<Response<NodeStatus>, Status> {
        self.call(async { Ok(convert::validator(self.0.backend.status().await?)) }).await
    }

    async fn get_checkpoint(&self, request: Request<GetCheckpointRequest>) -> Result<Response<KeptCheckpoint>, Status> {
        let epoch = request.into_inner().epoch;
        self.call(async {
            if epoch == Some(0) {
                return Err(bad_request("epoch", 0, "1 and above").into());
            }
            Ok(convert::kept(self.0.backend.checkpoint(epoch).await?))
        })
        .await
    }
}
