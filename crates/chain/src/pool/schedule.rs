//! When to look at a sender again, so that a block costs nothing for senders it does not concern.
//!
//! Every sender stands at most once in each of two orders: by the block at which something of it is to be handed over
//! again, and by the fee cap with which it waits for a lower base fee.

use super::queue::Queue;
use alloy_primitives::Address;
use std::collections::BTreeSet;

/// Senders by when they are due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    wakes: BTreeSet<(u64, Address)>,
    parked: BTreeSet<(u128, Address)>,
}

impl Schedule {
    /// Has `sender` looked at when the head is `at`, instead of when it was before.
    pub(super) fn wake(&mut self, sender: Address, queue: &mut Queue, at: Option<u64>) {
        if queue.wake == at {
            return;
        }
        if let Some(before) = std::mem::replace(&mut queue.wake, at) {
            self.wakes.remove(&(before, sender));
        }
        if let Some(at) = at {
            self.wakes.insert((at, sender));
        }
    }

    /// Has `sender` looked at when the base fee is not above `fee_cap`, instead of at what it was before.
    pub(super) fn park(&mut self, sender: Address, queue: &mut Queue, fee_cap: Option<u128>) {
        if queue.parked == fee_cap {
            return;
        }
        if let Some(before) = std::mem::replace(&mut queue.parked, fee_cap) {
            self.parked.remove(&(before, sender));
        }
        if let Some(fee_cap) = fee_cap {
            self.parked.insert((fee_cap, sender));
        }
    }

    /// Forgets a sender.
    pub(super) fn forget(&mut self, sender: Address, queue: &mut Queue) {
        self.wake(sender, queue, None);
        self.park(sender, queue, None);
    }

    /// A sender that is due: first who pays most of those the base fee held back, then who is due longest.
    pub(super) fn due(&self, number: u64, base_fee: u64) -> Option<Address> {
        let payable = self.parked.last().filter(|(fee_cap, _)| *fee_cap >= u128::from(base_fee));
        let late = || self.wakes.first().filter(|(at, _)| *at <= number).map(|(_, sender)| *sender);
        payable.map(|(_, sender)| *sender).or_else(late)
    }
}
