//! What one RPC node gives to its callers at most.

use crate::LOG_RESULTS_MAX;
use std::time::Duration;

/// Limits of an RPC server; [`Default`] is for a public node of a few cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Largest HTTP request body, in bytes. Default 5 MiB.
    pub request_bytes: u32,
    /// Largest WebSocket message, in bytes. Default 1 MiB.
    pub websocket_bytes: u32,
    /// Bytes of requests held at a time, over all connections, at most 4 GiB. Default 256 MiB.
    pub requests_bytes: usize,
    /// Largest response, batch or not, in bytes. Default 32 MiB, enough for a full block with its transactions.
    pub response_bytes: u32,
    /// Bytes of responses held until their callers take them, over all connections, at most 4 GiB. Default 512 MiB.
    pub responses_bytes: usize,
    /// Bytes of notifications that wait for their subscribers, over all connections, at most 4 GiB; beside them a
    /// connection holds the one it is being sent and the one after it. Default 256 MiB.
    pub pushes_bytes: usize,
    /// Most calls in one batch. Default 1,000.
    pub batch_calls: u32,
    /// A batch that runs longer answers the rest of its calls with an error. Default 30 s.
    pub batch_time: Duration,
    /// Most open connections. Beyond it the one that was idle longest is closed, so that idle ones never lock others
    /// out. Default 12,000; the process needs as many file descriptors.
    pub connections: usize,
    /// A connection without a WebSocket that was served nothing for this long is closed. Default 60 s.
    pub idle_time: Duration,
    /// A connection that takes no byte of its response for this long is closed. Default 30 s.
    pub stall_time: Duration,
    /// Messages of one WebSocket that may wait for their answer to be taken (a batch counts once); no further one is
    /// read before. Default 64.
    pub calls_per_connection: u32,
    /// Subscriptions of one WebSocket. Default 32.
    pub subscriptions_per_connection: u32,
    /// Filters over all callers. Default 10,000.
    pub filters: usize,
    /// Filters that one connection may have made and not ended. Default 1,000.
    pub filters_per_connection: usize,
    /// Addresses and topics that all filters and all subscriptions to logs name together. Default 1,000,000, some
    /// 100 MiB.
    pub filter_values: usize,
    /// A filter that nobody polls for this long is removed. Default 5 minutes.
    pub filter_idle_time: Duration,
    /// Most blocks one log query may span. Default 10,000. At most [`crate::LOG_BLOCKS_MAX`].
    pub log_blocks: u64,
    /// Most logs one query may find. Default 10,000, which is also the most: [`crate::LOG_RESULTS_MAX`].
    pub log_results: usize,
    /// Most gas a simulated call may use. Default 50,000,000.
    pub call_gas: u64,
    /// A simulated call or log query that takes longer is answered with an error. Default 10 s.
    pub call_time: Duration,
    /// Heavy calls (execution, proofs, log queries) that run at a time. Default: the number of cores, 2..=64.
    pub executions: usize,
    /// Most blocks in one fee history. Default 1,024.
    pub fee_history_blocks: u64,
    /// Most storage slots in one proof. Default 1,024.
    pub proof_slots: usize,
    /// Memory one request may use for what tracers keep, in bytes; each execution slot may use it at a time. Default
    /// 64 MiB, which is some 60,000 calls or 170,000 opcodes of a `vmTrace`.
    pub trace_bytes: usize,
    /// Most blocks one `trace_filter` may span, and most blocks with transactions that a search of `ots_` may run
    /// again. Default 1,000.
    pub trace_blocks: u64,
    /// Most traces `trace_filter` may return. Default 10,000.
    pub trace_results: usize,
    /// Most calls in one `trace_callMany`. Default 100.
    pub trace_calls: usize,
    /// Most transactions on one page of `ots_`. Default 100.
    pub page_size: usize,
    /// Longest wait of `eth_sendRawTransactionSync`. Default 60 s.
    pub send_sync_time: Duration,
}

impl Default for RpcLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            request_bytes: 5 << 20,
            websocket_bytes: 1 << 20,
            requests_bytes: 256 << 20,
            response_bytes: 32 << 20,
            responses_bytes: 512 << 20,
            pushes_bytes: 256 << 20,
            batch_calls: 1_000,
            batch_time: Duration::from_secs(30),
            connections: 12_000,
            idle_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(30),
            calls_per_connection: 64,
            subscriptions_per_connection: 32,
            filters: 10_000,
            filters_per_connection: 1_000,
            filter_values: 1_000_000,
            filter_idle_time: Duration::from_secs(300),
            log_blocks: 10_000,
            log_results: LOG_RESULTS_MAX,
            call_gas: 50_000_000,
            call_time: Duration::from_secs(10),
            executions: cores.clamp(2, 64),
            fee_history_blocks: 1_024,
            proof_slots: 1_024,
            trace_bytes: 64 << 20,
            trace_blocks: 1_000,
            trace_results: 10_000,
            trace_calls: 100,
            page_size: 100,
            send_sync_time: Duration::from_secs(60),
        }
    }
}
