//! Final blocks.

use super::api::block_service_server::BlockService;
use super::api::{
    Block, BlockHeader, BlockShard, GetBlockRequest, GetHeaderRequest, GetShardRequest, ListBlocksRequest,
    ListBlocksResponse, StreamBlocksRequest,
};
use super::stream::{Answers, Place};
use super::{Service, convert};
use crate::problem::Reply;
use crate::validator::{BLOCKS_DEFAULT, BLOCKS_MAX, PAGE_BYTES_MAX, first, page_length, reach};
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl BlockService for Service {
    async fn get_block(&self, request: Request<GetBlockRequest>) -> Result<Response<Block>, Status> {
        let height = request.into_inner().height;
        self.call(async { Ok(convert::block(self.0.backend.block(height).await?)) }).await
    }

    async fn get_header(&self, request: Request<GetHeaderRequest>) -> Result<Response<BlockHeader>, Status> {
        let height = request.into_inner().height;
        self.call(async { Ok(convert::header(self.0.backend.header(height).await?)) }).await
    }

    async fn get_shard(&self, request: Request<GetShardRequest>) -> Result<Response<BlockShard>, Status> {
        let GetShardRequest { height, index } = request.into_inner();
        self.call(async { Ok(convert::shard(self.0.backend.shard(height, index).await?)) }).await
    }

    async fn list_blocks(&self, request: Request<ListBlocksRequest>) -> Result<Response<ListBlocksResponse>, Status> {
        let ListBlocksRequest { from, max } = request.into_inner();
        self.call(self.page(from, max)).await
    }

    type StreamBlocksStream = Answers<Block>;

    async fn stream_blocks(
        &self,
        request: Request<StreamBlocksRequest>,
    ) -> Result<Response<Self::StreamBlocksStream>, Status> {
        let place = Place::take(self, &request)?;
        let node = self.0.clone();
        Ok(place.answer(first(request.into_inner().from), move |height| {
            let node = node.clone();
            async move {
                reach(&node, height).await?;
                let block = convert::block(node.backend.block(height).await?);
                Ok(height.checked_add(1).map(|next| (block, next)))
            }
        }))
    }
}

impl Service {
    async fn page(&self, from: u64, max: u32) -> Reply<ListBlocksResponse> {
        let max = page_length(max, BLOCKS_MAX, BLOCKS_DEFAULT)?;
        let final_height = self.0.backend.status().await?.height;
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for height in (first(from)..=final_height).take(max) {
            let block = self.0.backend.block(height).await?;
            bytes += block.header.len() + block.certificate.len() + block.payload.len();
            if bytes > PAGE_BYTES_MAX && !blocks.is_empty() {
                break;
            }
            blocks.push(convert::block(block));
        }
        Ok(ListBlocksResponse { blocks, final_height })
    }
}
