//! The limits of a server by name, see [`crate::settings`].

use super::RpcLimits;
use crate::settings::{Setting, SettingError, count, set};
use crate::{LOG_BLOCKS_MAX, LOG_RESULTS_MAX, PROOF_SLOTS_MAX};
use std::time::Duration;

impl RpcLimits {
    /// Every limit that can be set.
    pub fn settings() -> &'static [Setting<Self>] {
        SETTINGS
    }

    /// Sets the limit `key` to a whole number, written in decimal; `_` between digits is ignored.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        set("rpc", SETTINGS, self, key, value)
    }
}

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

macro_rules! millis {
    ($key:literal, $field:ident, $max:expr, $about:expr, $beyond:expr) => {
        Setting {
            key: $key,
            min: 1,
            max: $max,
            about: $about,
            beyond: $beyond,
            get: |limits| limits.$field.as_millis() as u64,
            set: |limits, value| limits.$field = Duration::from_millis(value),
        }
    };
}

const SETTINGS: &[Setting<RpcLimits>] = &[
    count!(request_bytes, KIB, GIB, "largest HTTP request body", "HTTP 413, error -32007"),
    count!(websocket_bytes, KIB, GIB, "largest WebSocket message", "error -32007, then the socket closes"),
    count!(requests_bytes, KIB, 4 * GIB - 1, "requests held at a time, all connections", "HTTP 503, error -32009"),
    count!(response_bytes, KIB, GIB, "largest response, batch or not", "error -32008"),
    count!(responses_bytes, KIB, 4 * GIB - 1, "responses held until they are taken", "HTTP 503, error -32009"),
    count!(
        pushes_bytes,
        KIB,
        4 * GIB - 1,
        "notifications held until they are taken",
        "they wait, then the subscription ends"
    ),
    count!(batch_calls, 1, 100_000, "calls in one batch", "error -32010 for the whole batch"),
    millis!("batch_time_millis", batch_time, DAY_MILLIS, "time of one batch", "error -32005 for the rest of it"),
    count!(connections, 1, 1_000_000, "open connections", "the one idle for longest is closed"),
    millis!("idle_time_millis", idle_time, DAY_MILLIS, "idle time of an HTTP connection", "it is closed"),
    millis!("stall_time_millis", stall_time, DAY_MILLIS, "time in which a slow reader takes nothing", "it is cut off"),
    count!(calls_per_connection, 1, 65_536, "messages of one WebSocket in progress", "no further one is read"),
    count!(subscriptions_per_connection, 0, 65_536, "subscriptions of one WebSocket", "error -32006"),
    count!(filters, 0, 1_000_000, "filters, all callers", "error -32005"),
    count!(filters_per_connection, 0, 1_000_000, "filters made over one connection", "error -32005"),
    count!(filter_values, 1, 100_000_000, "addresses and topics in filters and log subscriptions", "error -32005"),
    millis!(
        "filter_idle_time_millis",
        filter_idle_time,
        DAY_MILLIS,
        "time without a poll",
        "error -32000, filter not found"
    ),
    count!(log_blocks, 1, LOG_BLOCKS_MAX, "blocks in one log query", "error -32005"),
    count!(log_results, 1, LOG_RESULTS_MAX as u64, "logs found by one query", "error -32005"),
    count!(call_gas, 21_000, 1 << 40, "gas of one eth_call, or of one eth_simulateV1", "out of gas"),
    millis!("call_time_millis", call_time, DAY_MILLIS, "time of one call, proof or log query", "error -32000"),
    count!(executions, 1, 1_024, "heavy calls at a time", "they wait, then error -32009"),
    count!(fee_history_blocks, 1, 100_000, "blocks in one fee history", "fewer blocks are answered"),
    count!(proof_slots, 1, PROOF_SLOTS_MAX as u64, "slots in one proof", "error -32005"),
    count!(trace_bytes, KIB, GIB, "memory for the trace of one request", "error -32005"),
    count!(trace_blocks, 1, 100_000, "blocks one trace_filter spans, one ots_ search runs again", "error -32005"),
    count!(trace_results, 1, 1_000_000, "traces one trace_filter returns", "error -32005"),
    count!(trace_calls, 1, 10_000, "calls in one trace_callMany", "error -32005"),
    count!(page_size, 1, 10_000, "transactions on one page of ots_", "error -32005"),
    millis!("send_sync_time_millis", send_sync_time, DAY_MILLIS, "wait of eth_sendRawTransactionSync", "error 4"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_range_and_every_end_of_a_range_is_kept() {
        for setting in SETTINGS {
            let default = setting.value(&RpcLimits::default());
            assert!((setting.min..=setting.max).contains(&default), "{setting:?}: {default}");
            for value in [setting.min, setting.max] {
                let mut limits = RpcLimits::default();
                limits.set(setting.key, &value.to_string()).unwrap();
                assert_eq!(setting.value(&limits), value, "{setting:?}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_range() {
        let mut limits = RpcLimits::default();
        assert_eq!(limits.set("log_rows", "1"), Err(SettingError::Unknown { table: "rpc", key: "log_rows".into() }));
        for bad in ["", "-1", "many", "1.5"] {
            assert!(matches!(limits.set("filters", bad), Err(SettingError::Number { key: "filters", .. })), "{bad}");
        }
        let error = limits.set("log_blocks", "0").unwrap_err().to_string();
        assert_eq!(error, format!("rpc limit log_blocks is 0, expected 1 to {LOG_BLOCKS_MAX}"));
        assert!(limits.set("log_blocks", &(LOG_BLOCKS_MAX + 1).to_string()).is_err());
        assert_eq!(limits, RpcLimits::default());
        limits.set("batch_time_millis", "1_500").unwrap();
        assert_eq!(limits.batch_time, Duration::from_millis(1_500));
    }

    #[test]
    fn every_limit_can_be_set() {
        // A field that no setting reaches would keep its value here.
        let mut limits = RpcLimits::default();
        for setting in SETTINGS {
            let other = if setting.value(&limits) == setting.min { setting.max } else { setting.min };
            limits.set(setting.key, &other.to_string()).unwrap();
        }
        let before = format!("{:?}", RpcLimits::default());
        let pairs = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
        for (before, after) in pairs(&before).into_iter().zip(pairs(&format!("{limits:?}"))) {
            assert_ne!(before, after);
        }
    }
}
