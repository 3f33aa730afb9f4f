//! Limits of the three routers. Every one has a default that suits one machine.

use std::time::Duration;

/// Longest wait for a final block that `/seq/v1/finalized` accepts, in milliseconds.
pub(crate) const WAIT_MILLIS_MAX: u64 = 25_000;
/// Time that an answer without a stream may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A request that waits as long as it may is still answered.
const _: () = assert!(WAIT_MILLIS_MAX < REQUEST_TIMEOUT.as_millis() as u64);

/// Limits of [`crate::router`].
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Time until the head of an answer, for all routes but uploads and repairs; then 504. The body of a download or of
    /// an event stream may take longer.
    pub request_timeout: Duration,
    /// Time that an upload or a repair may take in all; then 504.
    pub upload_timeout: Duration,
    /// Longest silence of a client that is sending a body; then 408.
    pub body_stall: Duration,
    /// Largest CAR in bytes; then 413.
    pub car_bytes_max: u64,
    /// Largest JSON body in bytes; then 413.
    pub json_bytes_max: usize,
    /// Uploads and repairs at a time; then 503.
    pub uploads_max: usize,
    /// Event and log streams at a time; then 503.
    pub streams_max: usize,
    /// Pause after which a silent event stream carries a comment, so that middlemen keep it open.
    pub keep_alive: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            request_timeout: REQUEST_TIMEOUT,
            upload_timeout: Duration::from_secs(3600),
            body_stall: REQUEST_TIMEOUT,
            car_bytes_max: 4 << 30,
            json_bytes_max: 1 << 20,
            uploads_max: 64,
            streams_max: 4096,
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// Limits of [`crate::shard_router`].
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Time until an answer; then 504.
    pub request_timeout: Duration,
    /// Longest silence of a client that is sending a body; then 408.
    pub body_stall: Duration,
    /// Largest shard in bytes; then 413.
    pub shard_bytes_max: usize,
    /// Largest manifest in bytes; then 413.
    pub manifest_bytes_max: usize,
    /// Bodies read at a time; later ones wait, within the request timeout. This bounds memory.
    pub writes_max: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            request_timeout: REQUEST_TIMEOUT,
            body_stall: REQUEST_TIMEOUT,
            shard_bytes_max: 8 << 20,
            manifest_bytes_max: 8 << 20,
            writes_max: 32,
        }
    }
}

/// Limits of [`crate::validator_router`].
#[derive(Clone, Debug)]
pub struct ValidatorConfig {
    /// Time until an answer; then 504. Waiting for a block counts, so keep it above 25 seconds.
    pub request_timeout: Duration,
    /// Longest silence of a client that is sending a body; then 408.
    pub body_stall: Duration,
    /// Streams at a time; then 503.
    pub streams_max: usize,
}

impl Default for ValidatorConfig {
    fn default() -> Self {
        Self { request_timeout: REQUEST_TIMEOUT, body_stall: REQUEST_TIMEOUT, streams_max: 256 }
    }
}
