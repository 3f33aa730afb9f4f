//! Questions to system contracts about the state after a block, final or not.

use crate::{Chain, ChainError, engine::Base, execute::Execution};
use alloy_primitives::{Address, B256, Bytes};

impl Chain {
    /// Calls `contract` as the system address in the state after the block `hash`, in that block's environment, with 30,000,000
    /// gas; nothing of it is kept. Whoever asks the same about the same block gets the same answer, on every node.
    ///
    /// Fails when the block is neither pending nor final, its state is no longer kept, or the contract refuses.
    pub fn call_after(&self, hash: B256, contract: Address, data: Bytes) -> Result<Bytes, ChainError> {
        let base = match self.base(hash) {
            Some(base) => base,
            None => self.final_base(hash)?,
        };
        let header = base.record.header.clone();
        Execution::bare(self.rules(), &base, header).call(contract, data)
    }

    fn final_base(&self, hash: B256) -> Result<Base, ChainError> {
        let record = self.block_by_hash(hash)?.ok_or(ChainError::NotPending(hash))?;
        let view = self.state(record.number())?;
        Ok(Base { record, view })
    }
}
