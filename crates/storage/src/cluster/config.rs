//! What an operator may set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Gives Unix seconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that reads `f`.
    pub fn new(f: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// Unix seconds now.
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Settings of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Shards of a segment when there are enough nodes (1..=255): `n = min(shards_max, nodes)`, `k = max(1, n / 2)`.
    pub shards_max: usize,
    /// Time for one request to a node.
    pub request_timeout: Duration,
    /// Time for one request to a node that failed lately.
    pub suspect_timeout: Duration,
    /// How long a node that failed is asked last.
    pub suspect_for: Duration,
    /// Silence after which a read asks one more node.
    pub hedge_after: Duration,
    /// Memory for segments that were read, in bytes.
    pub cache_bytes: usize,
    /// Memory for manifests, in bytes of their encoding.
    pub manifest_cache_bytes: usize,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            shards_max: 8,
            request_timeout: Duration::from_secs(15),
            suspect_timeout: Duration::from_secs(2),
            suspect_for: Duration::from_secs(20),
            hedge_after: Duration::from_millis(250),
            cache_bytes: 64 * 1024 * 1024,
            manifest_cache_bytes: 16 * 1024 * 1024,
        }
    }
}

impl ClusterConfig {
    /// The code `(k, n)` for a number of nodes; at least `(1, 1)`.
    pub fn code(&self, nodes: usize) -> (usize, usize) {
        let n = nodes.clamp(1, self.shards_max.clamp(1, crate::erasure::N_MAX));
        ((n / 2).clamp(1, crate::erasure::K_MAX), n)
    }
}

/// Shards of a segment that must be durable before it counts as stored.
pub(super) fn shards_to_acknowledge(k: usize, n: usize) -> usize {
    k + (n - k).div_ceil(2)
}

/// Nodes that must keep a manifest before it counts as stored.
pub(super) fn manifests_to_acknowledge(k: usize, n: usize) -> usize {
    n - k + 1
}
