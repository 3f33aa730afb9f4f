//! Filters that callers poll: what each has seen so far, and for how long nobody asked.
//!
//! Pure: the time is an argument. Ids are 128 unguessable bits, because a filter belongs to whoever knows its id.

use super::limits::RpcLimits;
use alloy_primitives::{U128, map::HashMap};
use alloy_rpc_types_eth::Filter;
use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Name of a filter.
pub(super) type FilterId = U128;

/// What a filter reports.
#[derive(Clone, Debug)]
pub(super) enum FilterKind {
    /// Logs that match; `next` is the first block not reported yet.
    Logs { filter: Box<Filter>, next: u64 },
    /// Hashes of blocks from `next` on.
    Blocks { next: u64 },
    /// Hashes of transactions the pool took in since `cursor`.
    Transactions { cursor: u64 },
}

/// Why there is no room for a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FiltersFull {
    /// Over all callers.
    #[error("all {0} filters of this node are in use, try again later")]
    Node(usize),
    /// Over one connection.
    #[error("this connection has made {0} filters, the limit; end some with eth_uninstallFilter")]
    Connection(usize),
    /// Of the addresses and topics that all of them name.
    #[error("all filters and subscriptions may name {0} addresses and topics together; name fewer, or try again later")]
    Values(usize),
}

/// All filters of a server.
#[derive(Debug)]
pub(super) struct Filters {
    limit: usize,
    limit_per_owner: usize,
    values: usize,
    room: Arc<Semaphore>,
    idle_time: Duration,
    names: RandomState,
    entries: Mutex<Entries>,
}

/// Room for the addresses and topics of a filter; given back when dropped.
pub(super) type Room = OwnedSemaphorePermit;

#[derive(Debug, Default)]
struct Entries {
    count: u64,
    open: HashMap<FilterId, Entry>,
    /// How many filters each connection has open.
    owned: HashMap<usize, usize>,
}

#[derive(Debug)]
struct Entry {
    kind: FilterKind,
    /// The connection that made it.
    owner: usize,
    polled_at: Instant,
    _room: Option<Room>,
}

impl Filters {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        // The range of the setting is far below what a semaphore counts.
        let values = limits.filter_values.min(Semaphore::MAX_PERMITS);
        Self {
            limit: limits.filters,
            limit_per_owner: limits.filters_per_connection,
            values,
            room: Arc::new(Semaphore::new(values)),
            idle_time: limits.filter_idle_time,
            names: RandomState::new(),
            entries: Mutex::default(),
        }
    }

    /// Room for what a filter names. Filters that nobody polls give theirs up if it takes that.
    pub(super) fn room_for(&self, filter: &Filter, now: Instant) -> Result<Room, FiltersFull> {
        let full = FiltersFull::Values(self.values);
        let named = filter.address.len() + filter.topics.iter().map(|topic| topic.len()).sum::<usize>();
        let named = u32::try_from(named).map_err(|_| full)?;
        let take = || self.room.clone().try_acquire_many_owned(named);
        take().or_else(|_| {
            self.remove_idle(now);
            take().map_err(|_| full)
        })
    }

    /// Adds a filter of the connection `owner`. Anybody may poll it who knows its id.
    pub(super) fn add(&self, owner: usize, kind: FilterKind, now: Instant) -> Result<FilterId, FiltersFull> {
        let _room = match &kind {
            FilterKind::Logs { filter, .. } => Some(self.room_for(filter, now)?),
            FilterKind::Blocks { .. } | FilterKind::Transactions { .. } => None,
        };
        let mut entries = self.entries.lock();
        if self.full(&entries, owner).is_err() {
            entries.remove_idle(now, self.idle_time);
        }
        self.full(&entries, owner)?;
        entries.count += 1;
        let id = self.name(entries.count);
        *entries.owned.entry(owner).or_default() += 1;
        entries.open.insert(id, Entry { kind, owner, polled_at: now, _room });
        Ok(id)
    }

    fn full(&self, entries: &Entries, owner: usize) -> Result<(), FiltersFull> {
        if entries.owned.get(&owner).is_some_and(|owned| *owned >= self.limit_per_owner) || self.limit_per_owner == 0 {
            return Err(FiltersFull::Connection(self.limit_per_owner));
        }
        if entries.open.len() >= self.limit {
            return Err(FiltersFull::Node(self.limit));
        }
        Ok(())
    }

    /// The filter, which counts as polled now.
    pub(super) fn get(&self, id: FilterId, now: Instant) -> Option<FilterKind> {
        let mut entries = self.entries.lock();
        entries.remove_idle_one(id, now, self.idle_time);
        let entry = entries.open.get_mut(&id)?;
        entry.polled_at = now;
        Some(entry.kind.clone())
    }

    /// Remembers what a filter has reported, unless it was removed meanwhile.
    pub(super) fn advance(&self, id: FilterId, kind: FilterKind) {
        if let Some(entry) = self.entries.lock().open.get_mut(&id) {
            entry.kind = kind;
        }
    }

    /// Removes a filter; `false` if there was none.
    pub(super) fn remove(&self, id: FilterId) -> bool {
        self.entries.lock().remove(id)
    }

    /// Removes all that nobody polled for too long.
    pub(super) fn remove_idle(&self, now: Instant) {
        self.entries.lock().remove_idle(now, self.idle_time);
    }

    fn name(&self, count: u64) -> FilterId {
        let [high, low] = [0u8, 1].map(|half| u128::from(self.names.hash_one((count, half))));
        FilterId::from((high << 64) | low)
    }
}

impl Entries {
    fn remove(&mut self, id: FilterId) -> bool {
        let Some(entry) = self.open.remove(&id) else { return false };
        if let Some(owned) = self.owned.get_mut(&entry.owner) {
            *owned -= 1;
            if *owned == 0 {
                self.owned.remove(&entry.owner);
            }
        }
        true
    }

    fn remove_idle(&mut self, now: Instant, idle_time: Duration) {
        let idle = |entry: &Entry| now.saturating_duration_since(entry.polled_at) > idle_time;
        let ended: Vec<FilterId> = self.open.iter().filter(|(_, entry)| idle(entry)).map(|(id, _)| *id).collect();
        for id in ended {
            self.remove(id);
        }
    }

    fn remove_idle_one(&mut self, id: FilterId, now: Instant, idle_time: Duration) {
        let idle = |entry: &Entry| now.saturating_duration_since(entry.polled_at) > idle_time;
        if self.open.get(&id).is_some_and(idle) {
            self.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    const IDLE: Duration = Duration::from_secs(10);

    fn limited(filters: usize, filters_per_connection: usize) -> Filters {
        let filter_idle_time = IDLE;
        Filters::new(&RpcLimits { filters, filters_per_connection, filter_idle_time, ..Default::default() })
    }

    #[test]
    fn what_filters_name_is_bounded_and_idle_ones_give_it_up() {
        let filters = Filters::new(&RpcLimits { filter_values: 3, filter_idle_time: IDLE, ..Default::default() });
        let start = Instant::now();
        let of = |topics: u8| Filter::new().event_signature((0..topics).map(B256::repeat_byte).collect::<Vec<_>>());
        let logs = |topics| FilterKind::Logs { filter: Box::new(of(topics)), next: 0 };
        assert_eq!(filters.add(7, logs(4), start), Err(FiltersFull::Values(3)));
        let first = filters.add(7, logs(2), start).unwrap();
        let held = filters.room_for(&of(1), start).unwrap();
        assert_eq!(filters.add(8, logs(1), start), Err(FiltersFull::Values(3)));
        assert!(filters.add(8, logs(0), start).is_ok() && filters.add(8, blocks(0), start).is_ok());
        assert!(filters.remove(first));
        let second = filters.add(8, logs(2), start).unwrap();
        drop(held);
        let late = start + IDLE + Duration::from_millis(1);
        assert!(filters.add(9, logs(3), late).is_ok(), "the idle one is gone");
        assert!(!filters.remove(second));
    }

    fn blocks(next: u64) -> FilterKind {
        FilterKind::Blocks { next }
    }

    #[test]
    fn a_filter_lives_as_long_as_it_is_polled() {
        let (filters, start) = (limited(4, 4), Instant::now());
        let id = filters.add(7, blocks(1), start).unwrap();
        assert!(filters.get(id, start + IDLE).is_some());
        assert!(filters.get(id, start + IDLE * 2).is_some());
        assert!(filters.get(id, start + IDLE * 3 + Duration::from_millis(1)).is_none());
    }

    #[test]
    fn idle_filters_make_room_and_used_ones_do_not() {
        let (filters, start) = (limited(1, 1), Instant::now());
        let first = filters.add(7, blocks(1), start).unwrap();
        assert!(filters.add(7, blocks(1), start + IDLE).is_err());
        let second = filters.add(7, blocks(1), start + IDLE + Duration::from_millis(1)).unwrap();
        assert_ne!(first, second);
        assert!(!filters.remove(first));
        assert!(filters.remove(second));
    }

    #[test]
    fn one_connection_does_not_take_the_filters_of_all() {
        let (filters, start) = (limited(3, 2), Instant::now());
        let first = filters.add(7, blocks(1), start).unwrap();
        filters.add(7, blocks(1), start).unwrap();
        assert_eq!(filters.add(7, blocks(1), start), Err(FiltersFull::Connection(2)));
        assert!(filters.add(8, blocks(1), start).is_ok());
        assert_eq!(filters.add(9, blocks(1), start), Err(FiltersFull::Node(3)));
        assert!(filters.remove(first));
        assert!(filters.add(7, blocks(1), start).is_ok());
    }

    #[test]
    fn what_was_reported_is_remembered() {
        let (filters, start) = (limited(1, 1), Instant::now());
        let id = filters.add(7, blocks(1), start).unwrap();
        filters.advance(id, blocks(7));
        assert!(matches!(filters.get(id, start), Some(FilterKind::Blocks { next: 7 })));
    }

    #[test]
    fn ids_do_not_follow_each_other() {
        let (filters, start) = (limited(3, 3), Instant::now());
        let ids: Vec<u128> = (0..3).map(|_| filters.add(7, blocks(0), start).unwrap().to::<u128>()).collect();
        assert_ne!(ids[1].wrapping_sub(ids[0]), ids[2].wrapping_sub(ids[1]));
    }
}
