//! Final blocks that come neither from consensus nor from its peers: from the API of another validator.
//!
//! A validator without a seat is connected to nobody until it is announced, and one that was away while committees came
//! and went may know no peer any more. Whoever runs it fetches what others serve and hands it in here; nothing is
//! believed but certificates. What is taken looks to the engine as if it had been there at its start.

use crate::block::Block;
use crate::certificate::Certificate;
use crate::committee::VerifyError;
use crate::committees::Schedule;
use crate::history::{History, HistoryError};
use crate::limits::COMMITTEE_MAX;
use crate::orderer::Core;
use protocol::api::CertifiedBlock;

/// Final blocks were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The validator has stopped.
    #[error("the validator has stopped")]
    Stopped,
    /// There is a gap before the block.
    #[error("block {given} cannot be taken, the next one is {wanted}")]
    Gap {
        /// Height of the block.
        given: u64,
        /// Height that is wanted.
        wanted: u64,
    },
    /// The block is not proven to be final, or does not follow.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The history cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The application refused a final block.
    #[error("{0}")]
    Application(String),
}

/// Verifies all blocks, makes them durable, and then hands them over. Blocks that are here already are passed over.
/// Blocks the thread.
pub(crate) fn take(core: &Core, history: &History, page: &[CertifiedBlock]) -> Result<(), TakeError> {
    let mut schedule = Schedule::clone(&core.committees.now());
    let first = core.next_height();
    let Some(mut parent) = history.block(first - 1)? else {
        return Err(TakeError::Gap { given: first, wanted: first - 1 });
    };
    let mut taken: Vec<Block> = Vec::new();
    for certified in page.iter().filter(|certified| certified.height >= first) {
        let wanted = parent.height + 1;
        if certified.height != wanted {
            return Err(TakeError::Gap { given: certified.height, wanted });
        }
        let block = schedule.verify_child(&parent, certified)?;
        schedule.apply(&block);
        keep(history, &block, certified);
        parent = block.clone();
        taken.push(block);
    }
    history.commit()?;
    taken.iter().try_for_each(|block| core.deliver(block).map_err(TakeError::Application))
}

/// Buffers a verified block, and its finalization if it has one of its own.
fn keep(history: &History, block: &Block, certified: &CertifiedBlock) {
    history.put_block(block.height, block.digest(), certified.block.0.clone());
    let certificate = Certificate::decode(certified.certificate.0.clone(), COMMITTEE_MAX);
    if let Ok(Certificate { descendants, finalization }) = certificate
        && descendants.is_empty()
    {
        history.put_certificate(block.height, commonware_codec::Encode::encode(&finalization));
    }
}
