//! One namespace, with proofs.

use super::api::namespace_service_server::NamespaceService;
use super::api::{
    GetNamespaceRequest, ListNamespaceRequest, ListNamespaceResponse, NamespaceBlock, StreamNamespaceRequest,
};
use super::stream::{Answers, Place};
use super::{Service, convert};
use crate::validator::namespaces::{self, BLOCKS_DEFAULT, BLOCKS_MAX};
use crate::validator::{first, page_length, reach};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl NamespaceService for Service {
    async fn get_namespace(&self, request: Request<GetNamespaceRequest>) -> Result<Response<NamespaceBlock>, Status> {
        let GetNamespaceRequest { height, namespace } = request.into_inner();
        self.call(async { Ok(convert::namespace(self.0.backend.namespace(height, namespace).await?)) }).await
    }

    async fn list_namespace(
        &self,
        request: Request<ListNamespaceRequest>,
    ) -> Result<Response<ListNamespaceResponse>, Status> {
        let ListNamespaceRequest { namespace, from, max } = request.into_inner();
        self.call(async {
            let max = page_length(max, BLOCKS_MAX, BLOCKS_DEFAULT)?;
            let final_height = self.0.backend.status().await?.height;
            let blocks = namespaces::proofs(&self.0, namespace, first(from)..=final_height, max).await?;
            Ok(ListNamespaceResponse { blocks: blocks.into_iter().map(convert::namespace).collect(), final_height })
        })
        .await
    }

    type StreamNamespaceStream = Answers<NamespaceBlock>;

    async fn stream_namespace(
        &self,
        request: Request<StreamNamespaceRequest>,
    ) -> Result<Response<Self::StreamNamespaceStream>, Status> {
        let place = Place::take(self, &request)?;
        let StreamNamespaceRequest { namespace, from } = request.into_inner();
        let node = self.0.clone();
        Ok(place.answer(first(from), move |height| {
            let node = node.clone();
            async move {
                reach(&node, height).await?;
                let block = convert::namespace(node.backend.namespace(height, namespace).await?);
                Ok(height.checked_add(1).map(|next| (block, next)))
            }
        }))
    }
}
