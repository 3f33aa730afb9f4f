//! Logs of a call as `eth_simulateV1` shows them: those the contracts emitted and, if wanted, one for each transfer of
//! coin, in the order in which they happened. What a reverted frame emitted is gone.
//!
//! The logs of transfers are shown and nothing else: neither receipts nor bloom know them. Each log keeps the position it
//! took when it was emitted, so that a reverted one leaves a gap, as in other clients.

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, address, b256};
use revm::context_interface::{ContextTr, JournalTr};
use revm::inspector::Inspector;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome};

/// Contract that seems to emit the logs of transfers.
pub(super) const EMITTER: Address = address!("0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// `Transfer(address,address,uint256)` of ERC-20.
const TRANSFER: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Collects the logs of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    with_transfers: bool,
    logs: Vec<(u64, Log)>,
    /// Position of the next log in its block.
    next: u64,
    /// Number of logs at the start of each open frame.
    frames: Vec<usize>,
}

impl Logs {
    pub(super) fn new(with_transfers: bool, next: u64) -> Self {
        Self { with_transfers, next, ..Default::default() }
    }

    /// The logs with their positions, which are then forgotten, and the position that comes next.
    pub(super) fn take(&mut self) -> (Vec<(u64, Log)>, u64) {
        self.frames.clear();
        (std::mem::take(&mut self.logs), self.next)
    }

    fn push(&mut self, log: Log) {
        self.logs.push((self.next, log));
        self.next += 1;
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if !self.with_transfers || value.is_zero() {
            return;
        }
        let topics = vec![TRANSFER, from.into_word(), to.into_word()];
        let data = Bytes::from(B256::from(value));
        self.push(Log { address: EMITTER, data: LogData::new_unchecked(topics, data) });
    }

    fn open(&mut self) {
        self.frames.push(self.logs.len());
    }

    fn close(&mut self, succeeded: bool) {
        let start = self.frames.pop().unwrap_or_default();
        if !succeeded {
            self.logs.truncate(start);
        }
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Logs {
    fn log(&mut self, _: &mut CTX, log: Log) {
        self.push(log);
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.open();
        if let Some(value) = inputs.transfer_value() {
            self.transfer(inputs.transfer_from(), inputs.transfer_to(), value);
        }
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.close(outcome.result.is_ok());
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.open();
        if let Ok(caller) = context.journal_mut().load_account(inputs.caller()) {
            let created = inputs.created_address(caller.data.info.nonce);
            self.transfer(inputs.caller(), created, inputs.value());
        }
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.close(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reverted_frame_takes_its_logs_with_it() {
        let mut logs = Logs::new(true, 5);
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        logs.open();
        logs.transfer(one, two, U256::from(1));
        logs.open();
        logs.transfer(two, one, U256::from(2));
        logs.close(false);
        logs.transfer(one, two, U256::from(3));
        logs.close(true);
        let (taken, next) = logs.take();
        let values: Vec<_> = taken.iter().map(|(position, log)| (*position, log.data.data[31])).collect();
        assert_eq!((values, next), (vec![(5, 1), (7, 3)], 8));
        assert!(logs.take().0.is_empty());
    }

    #[test]
    fn nothing_is_shown_of_transfers_without_value_or_wish() {
        let mut logs = Logs::new(true, 0);
        logs.transfer(Address::ZERO, Address::ZERO, U256::ZERO);
        assert!(logs.take().0.is_empty());
        let mut silent = Logs::new(false, 0);
        silent.transfer(Address::ZERO, Address::ZERO, U256::ONE);
        assert!(silent.take().0.is_empty());
    }
}
