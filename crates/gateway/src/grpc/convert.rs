//! Values of the API as messages, and back.

use super::api::{self, submission, submit_batch_response as batch};
use crate::backend::{FinalBlock, Submission};
use crate::problem::{Reply, bad_request};
use alloy_primitives::B256;
use bytes::Bytes;
use protocol::api::{
    BlockHeader, BlockShard, CheckpointName, KeptCheckpoint, NamespaceBlock, Problem, SubmissionAnswer,
    SubmissionPlace, SubmissionReceipt, SubmissionState, SubmissionStatus, SubmitBatchResponse, ValidatorStatus,
};
use tonic::{Code, Status};

/// A problem as gRPC tells it; its advice follows the detail.
pub(super) fn status(problem: Problem) -> Status {
    let code = match problem.status {
        400 | 413 | 415 | 416 | 422 => Code::InvalidArgument,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        410 => Code::OutOfRange,
        409 => Code::FailedPrecondition,
        408 | 504 => Code::DeadlineExceeded,
        429 | 507 => Code::ResourceExhausted,
        501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        _ => Code::Internal,
    };
    let message = match problem.next {
        Some(next) => format!("{}; {next}", problem.detail),
        None => problem.detail,
    };
    Status::new(code, message)
}

/// A hash that a client sent.
pub(super) fn hash(bytes: &[u8]) -> Reply<B256> {
    let accepted = "32 bytes";
    B256::try_from(bytes).map_err(|_| bad_request("length of a hash", bytes.len(), accepted).into())
}

fn bytes(hash: B256) -> Bytes {
    Bytes::copy_from_slice(hash.as_slice())
}

/// Namespaces and payloads of transactions.
pub(super) fn transactions(transactions: Vec<api::Transaction>) -> Vec<(u64, Bytes)> {
    transactions.into_iter().map(|transaction| (transaction.namespace, transaction.payload)).collect()
}

/// The transaction of a request.
pub(super) fn transaction(transaction: Option<api::Transaction>) -> Reply<Submission> {
    let missing = || bad_request("transaction", "absent", "a namespace and a payload");
    let api::Transaction { namespace, payload } = transaction.ok_or_else(missing)?;
    Ok(Submission::Transaction(namespace, payload))
}

pub(super) fn receipt(receipt: SubmissionReceipt) -> api::SubmissionReceipt {
    api::SubmissionReceipt { hash: bytes(receipt.hash), expires: receipt.expires, known: receipt.known }
}

pub(super) fn answers(response: SubmitBatchResponse) -> api::SubmitBatchResponse {
    let answer = |answer| {
        let outcome = match answer {
            SubmissionAnswer::Accepted(accepted) => batch::answer::Outcome::Accepted(receipt(accepted)),
            SubmissionAnswer::Refused(reason) => batch::answer::Outcome::Refused(reason),
        };
        batch::Answer { outcome: Some(outcome) }
    };
    api::SubmitBatchResponse { answers: response.answers.into_iter().map(answer).collect() }
}

pub(super) fn state(state: SubmissionState) -> api::SubmissionState {
    match state {
        SubmissionState::Unknown => api::SubmissionState::Unknown,
        SubmissionState::Pending => api::SubmissionState::Pending,
        SubmissionState::Included => api::SubmissionState::Included,
        SubmissionState::Final => api::SubmissionState::Final,
        SubmissionState::Finalized => api::SubmissionState::Finalized,
        SubmissionState::Expired => api::SubmissionState::Expired,
        SubmissionState::Rejected => api::SubmissionState::Rejected,
    }
}

/// How far a client wants a submission to come.
pub(super) fn goal(asked: i32) -> Reply<SubmissionState> {
    match api::SubmissionState::try_from(asked) {
        Ok(api::SubmissionState::Included) => Ok(SubmissionState::Included),
        Ok(api::SubmissionState::Unspecified | api::SubmissionState::Final) => Ok(SubmissionState::Final),
        Ok(api::SubmissionState::Finalized) => Ok(SubmissionState::Finalized),
        _ => Err(bad_request("until", asked, "INCLUDED (3), FINAL (4), FINALIZED (5)").into()),
    }
}

pub(super) fn submission(found: SubmissionStatus) -> api::Submission {
    let place = |place| match place {
        SubmissionPlace::Transaction { namespace, index } => {
            submission::Place::Transaction(api::TransactionPlace { namespace, index })
        }
        SubmissionPlace::Bundle { number } => submission::Place::BundleNumber(number),
    };
    api::Submission {
        hash: bytes(found.hash),
        state: state(found.state).into(),
        height: found.height,
        place: found.place.map(place),
        expires: found.expires,
        copies: found.copies,
        final_height: found.final_height,
        finalized_height: found.finalized_height,
        since: found.since,
    }
}

pub(super) fn block(block: FinalBlock) -> api::Block {
    let namespaces = block.namespaces.into_iter();
    api::Block {
        height: block.height,
        view: block.view,
        timestamp_millis: block.timestamp_millis,
        digest: bytes(block.digest),
        parent: bytes(block.parent),
        namespaces_root: bytes(block.namespaces_root),
        erasure_root: bytes(block.erasure_root),
        header: block.header,
        certificate: block.certificate,
        namespaces: namespaces
            .map(|(namespace, payloads)| api::NamespaceTransactions { namespace, payloads })
            .collect(),
    }
}

pub(super) fn namespace(block: NamespaceBlock) -> api::NamespaceBlock {
    api::NamespaceBlock {
        height: block.height,
        header: block.header.0,
        certificate: block.certificate.0,
        proof: block.proof.0,
    }
}

pub(super) fn header(told: BlockHeader) -> api::BlockHeader {
    api::BlockHeader { height: told.height, header: told.header.0, certificate: told.certificate.0 }
}

pub(super) fn shard(told: BlockShard) -> api::BlockShard {
    api::BlockShard { height: told.height, proof: told.proof.0 }
}

pub(super) fn checkpoint(name: CheckpointName) -> api::CheckpointName {
    api::CheckpointName { epoch: name.epoch, height: name.height, root: bytes(name.root) }
}

pub(super) fn kept(kept: KeptCheckpoint) -> api::KeptCheckpoint {
    api::KeptCheckpoint { checkpoint: Some(checkpoint(kept.checkpoint)), kept: kept.kept.0 }
}

pub(super) fn validator(status: ValidatorStatus) -> api::Status {
    let finality = status.finality;
    api::Status {
        seat: status.seat,
        final_height: status.height,
        oldest_height: status.oldest_height,
        pending: status.pending,
        epoch: finality.epoch,
        epoch_blocks: finality.epoch_blocks,
        justified: Some(checkpoint(finality.justified)),
        finalized: Some(checkpoint(finality.finalized)),
    }
}
