//! From the bytes of a message to the answer: calls, notifications, batches, and everything malformed.
//!
//! A panic in a method is a bug, but it must stay one answer: it is caught, logged, and told as an internal error.
//! Source: JSON-RPC 2.0.

use super::connection::Connection;
use super::limits::RpcLimits;
use super::node::Node;
use super::params;
use super::submit;
use alloy_primitives::hex;
use futures::FutureExt;
use jsonrpsee::core::id_providers::RandomStringIdProvider;
use jsonrpsee::core::server::{
    BatchResponseBuilder, BoundedSubscriptions, MethodCallback, SubscriptionState, helpers::prepare_error,
};
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::types::error::{
    ErrorCode, INVALID_PARAMS_CODE, METHOD_NOT_FOUND_CODE, reject_too_big_batch_request, reject_too_many_subscriptions,
};
use jsonrpsee::types::{
    ErrorObject, ErrorObjectOwned, Id, InvalidRequest, Notification, Params, Request, SubscriptionId,
};
use jsonrpsee::{Extensions, MethodResponse, MethodSink, Methods};
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

/// Error code of a request that goes beyond a limit (EIP-1474).
pub(super) const LIMIT_CODE: i32 = -32005;
/// Error code of a subscription where none can be served, as other clients answer it.
const NO_NOTIFICATIONS_CODE: i32 = -32001;

/// Characters of the name of an unknown method that its error repeats.
const METHOD_NAME_CHARS_MAX: usize = 100;

/// The methods behind a server.
pub(super) struct Dispatcher {
    methods: Methods,
    limits: Arc<RpcLimits>,
    node: Option<Arc<Node>>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) connection: Arc<Connection>,
    /// How to push to it; only over a WebSocket.
    pub(super) pushes: Option<Pushes>,
}

/// The way to push to a WebSocket, and how many subscriptions it has left.
#[derive(Clone, Debug)]
pub(super) struct Pushes {
    pub(super) sink: MethodSink,
    pub(super) subscriptions: BoundedSubscriptions,
}

impl Dispatcher {
    pub(super) fn new(methods: Methods, limits: Arc<RpcLimits>) -> Self {
        Self { methods, limits, node: None }
    }

    /// Takes runs of transactions in a batch to this node together, instead of one after the other.
    pub(super) fn with_node(self, node: Arc<Node>) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Answers a message; `None` if it asks for no answer.
    pub(super) async fn answer(&self, caller: &Caller, message: &[u8]) -> Option<Box<RawValue>> {
        let _call = caller.connection.begin();
        let answer = match message.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => self.batch(caller, message).await,
            _ => self.single(caller, message).await,
        };
        // A subscription has answered through the sink already, before its first push.
        (answer.is_method_call() || answer.is_batch()).then(|| answer.into_json())
    }

    async fn single(&self, caller: &Caller, message: &[u8]) -> MethodResponse {
        if let Ok(call) = serde_json::from_slice::<Request<'_>>(message) {
            return self.call(caller, call).await;
        }
        if is_notification(message) {
            return MethodResponse::notification();
        }
        let (id, code) = match (prepare_error(message), serde_json::from_slice::<&RawValue>(message)) {
            ((id, _), Ok(_)) => (id, ErrorCode::InvalidRequest),
            ((id, code), Err(_)) => (id, code),
        };
        MethodResponse::error(id, ErrorObject::from(code))
    }

    async fn batch(&self, caller: &Caller, message: &[u8]) -> MethodResponse {
        let Ok(entries) = serde_json::from_slice::<Vec<&RawValue>>(message) else {
            return MethodResponse::error(Id::Null, ErrorObject::from(ErrorCode::ParseError));
        };
        let limit = self.limits.batch_calls as usize;
        if entries.is_empty() {
            return MethodResponse::error(Id::Null, ErrorObject::from(ErrorCode::InvalidRequest));
        }
        if entries.len() > limit {
            return MethodResponse::error(Id::Null, reject_too_big_batch_request(limit));
        }
        // A subscription answers on its own, which a batch cannot wait for.
        let caller = Caller { pushes: None, ..caller.clone() };
        let deadline = Instant::now() + self.limits.batch_time;
        let mut answers = BatchResponseBuilder::new_with_limit(self.limits.response_bytes as usize);
        let mut rest = entries.as_slice();
        while let Some((entry, after)) = rest.split_first() {
            let (sent, answered) = match Instant::now() < deadline {
                true => self.transactions(rest).await,
                false => (0, Vec::new()),
            };
            let answer = match sent {
                0 => Vec::from_iter(self.entry(&caller, entry.get(), deadline).await),
                _ => answered,
            };
            rest = if sent == 0 { after } else { &rest[sent..] };
            for answer in answer {
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
        }
        match answers.is_empty() {
            true => MethodResponse::notification(),
            false => MethodResponse::from_batch(answers.finish()),
        }
    }

    /// Answers the calls at the beginning of `entries` that send transactions, if there are several.
    async fn transactions(&self, entries: &[&RawValue]) -> (usize, Vec<MethodResponse>) {
        let Some(node) = &self.node else { return (0, Vec::new()) };
        let calls = entries.iter().map_while(|entry| {
            let call = serde_json::from_str::<Request<'_>>(entry.get()).ok()?;
            Some((call.id.clone().into_owned(), submit::transaction_of(&call)?))
        });
        let (ids, raws): (Vec<Id<'static>>, Vec<_>) = calls.unzip();
        if ids.len() < 2 {
            return (0, Vec::new());
        }
        let limit = self.limits.response_bytes as usize;
        let outcomes = node.submit_all(raws).await;
        let answers = ids.into_iter().zip(outcomes).map(|(id, outcome)| submit::answer(id, outcome, limit));
        (entries.len().min(answers.len()), answers.collect())
    }

    async fn entry(&self, caller: &Caller, entry: &str, deadline: Instant) -> Option<MethodResponse> {
        if let Ok(call) = serde_json::from_str::<Request<'_>>(entry) {
            return Some(match Instant::now() < deadline {
                true => self.call(caller, call).await,
                false => MethodResponse::error(call.id, batch_timeout(&self.limits)),
            });
        }
        if is_notification(entry.as_bytes()) {
            return None;
        }
        let id = serde_json::from_str::<InvalidRequest<'_>>(entry).map_or(Id::Null, |invalid| invalid.id);
        Some(MethodResponse::error(id, ErrorObject::from(ErrorCode::InvalidRequest)))
    }

    async fn call(&self, caller: &Caller, call: Request<'_>) -> MethodResponse {
        let (id, method) = (call.id.clone().into_owned(), call.method.to_string());
        let params = call.params.clone();
        let running = AssertUnwindSafe(async { self.run(caller, call).await }).catch_unwind();
        let answer = running.await.unwrap_or_else(|_| {
            tracing::error!(method, "panic in a request handler");
            MethodResponse::error(id.clone(), ErrorObject::from(ErrorCode::InternalError))
        });
        // A subscription has answered through the sink, also where it refused.
        let explained = answer.is_method_call().then(|| params::explain(&method, params.as_deref(), &answer));
        match explained.flatten() {
            Some(message) => MethodResponse::error(id, ErrorObject::owned(INVALID_PARAMS_CODE, message, None::<()>)),
            None => answer,
        }
    }

    async fn run(&self, caller: &Caller, call: Request<'_>) -> MethodResponse {
        let Some(method) = self.methods.method(&call.method) else {
            let missing = no_method(&call.method);
            return MethodResponse::error(call.id, missing);
        };
        let (id, params) = (call.id, Params::new(call.params.as_ref().map(|params| params.get())));
        let (connection, limit) = (caller.connection.id(), self.limits.response_bytes as usize);
        let mut extensions = Extensions::new();
        extensions.insert(connection);
        match (method, &caller.pushes) {
            (MethodCallback::Sync(method), _) => method(id, params, limit, extensions),
            (MethodCallback::Async(method), _) => {
                method(id.into_owned(), params.into_owned(), connection, limit, extensions).await
            }
            (MethodCallback::Subscription(method), Some(pushes)) => {
                let Some(permit) = pushes.subscriptions.acquire() else {
                    return MethodResponse::error(id, reject_too_many_subscriptions(pushes.subscriptions.max()));
                };
                let state = SubscriptionState {
                    conn_id: connection,
                    id_provider: &SubscriptionIds,
                    subscription_permit: permit,
                };
                method(id, params, pushes.sink.clone(), state, extensions).await
            }
            (MethodCallback::Unsubscription(method), Some(_)) => method(id, params, connection, limit, extensions),
            (MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_), None) => {
                MethodResponse::error(id, no_notifications())
            }
        }
    }
}

/// Whether a message that is no call asks for no answer. One with an id that cannot be one is not that.
fn is_notification(message: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Notification<'_, Option<&RawValue>>>(message).is_ok()
        && serde_json::from_slice::<Named<'_>>(message).is_ok_and(|named| named.id.is_none())
}

/// Names subscriptions as Ethereum clients expect them: hex with a prefix.
#[derive(Debug)]
struct SubscriptionIds;

impl IdProvider for SubscriptionIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        match RandomStringIdProvider::new(16).next_id() {
            SubscriptionId::Str(random) => SubscriptionId::Str(hex::encode_prefixed(random.as_bytes()).into()),
            number => number,
        }
    }
}

/// The answer to a message that is longer than `limit` bytes.
pub(super) fn too_large(limit: u32) -> Box<RawValue> {
    MethodResponse::error(Id::Null, jsonrpsee::types::error::reject_too_big_request(limit)).into_json()
}

/// The answer when there is no memory to hold requests or answers.
pub(super) fn busy() -> Box<RawValue> {
    let message = "this node holds as many requests and answers as it can, try again";
    let error = ErrorObject::owned(jsonrpsee::types::error::SERVER_IS_BUSY_CODE, message, None::<()>);
    MethodResponse::error(Id::Null, error).into_json()
}

/// In the words of other clients, because libraries match on them: without them ethers takes the failure for one of the
/// server, and does not do without the method.
fn no_method(name: &str) -> ErrorObjectOwned {
    let shown: String = name.chars().take(METHOD_NAME_CHARS_MAX).collect();
    let message = format!("the method {shown} does not exist/is not available");
    ErrorObject::owned(METHOD_NOT_FOUND_CODE, message, None::<()>)
}

fn no_notifications() -> ErrorObjectOwned {
    let message = "notifications not supported here, subscribe over a WebSocket and outside of a batch";
    ErrorObject::owned(NO_NOTIFICATIONS_CODE, message, None::<()>)
}

fn batch_timeout(limits: &RpcLimits) -> ErrorObjectOwned {
    let message = format!("batch ran longer than {} s, the limit; ask for less at once", limits.batch_time.as_secs());
    ErrorObject::owned(LIMIT_CODE, message, None::<()>)
}

#[cfg(test)]
mod tests {
    use super::super::connection::Connections;
    use super::*;
    use jsonrpsee::RpcModule;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn dispatcher(limits: RpcLimits) -> Dispatcher {
        let mut module = RpcModule::new(());
        module.register_method("fine", |_, (), _| true).unwrap();
        module.register_method("panic", |_, (), _| -> bool { panic!("on purpose") }).unwrap();
        module.register_subscription("sub", "note", "unsub", |_, _, _, _| async {}).unwrap();
        Dispatcher::new(module.into(), Arc::new(limits))
    }

    async fn ask(dispatcher: &Dispatcher, message: &str) -> Value {
        let caller = Caller { connection: Connections::new(1).open().unwrap().connection.clone(), pushes: None };
        match dispatcher.answer(&caller, message.as_bytes()).await {
            Some(answer) => serde_json::from_str(answer.get()).unwrap(),
            None => Value::Null,
        }
    }

    fn call(method: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": 7, "method": method})
    }

    #[tokio::test]
    async fn a_panic_is_one_internal_error() {
        let dispatcher = dispatcher(RpcLimits::default());
        let answer = ask(&dispatcher, &call("panic").to_string()).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32603), &json!(7)));
        assert_eq!(ask(&dispatcher, &call("fine").to_string()).await["result"], true);
    }

    #[tokio::test]
    async fn a_panic_in_a_batch_leaves_the_other_answers() {
        let batch = json!([call("fine"), call("panic"), call("fine"), 5, {"id": 8}]);
        let answers = ask(&dispatcher(RpcLimits::default()), &batch.to_string()).await;
        assert_eq!(answers[0]["result"], true);
        assert_eq!(answers[1]["error"]["code"], -32603);
        assert_eq!(answers[2]["result"], true);
        assert_eq!(answers[3]["error"]["code"], -32600);
        assert_eq!((&answers[4]["error"]["code"], &answers[4]["id"]), (&json!(-32600), &json!(8)));
    }

    #[tokio::test]
    async fn a_batch_out_of_time_says_so() {
        let limits = RpcLimits { batch_time: Duration::ZERO, ..Default::default() };
        let answers = ask(&dispatcher(limits), &json!([call("fine")]).to_string()).await;
        assert_eq!(answers[0]["error"]["code"], LIMIT_CODE);
    }

    #[tokio::test]
    async fn notifications_get_no_answer() {
        let dispatcher = dispatcher(RpcLimits::default());
        let notification = json!({"jsonrpc": "2.0", "method": "panic"});
        assert_eq!(ask(&dispatcher, &notification.to_string()).await, Value::Null);
        assert_eq!(ask(&dispatcher, &json!([notification, notification]).to_string()).await, Value::Null);
    }

    #[tokio::test]
    async fn a_call_whose_id_cannot_be_one_is_no_notification() {
        let dispatcher = dispatcher(RpcLimits::default());
        for id in [json!([1]), json!({"a": 1}), json!(true), json!(1.5)] {
            let call = json!({"jsonrpc": "2.0", "id": id, "method": "fine"});
            assert_eq!(ask(&dispatcher, &call.to_string()).await["error"]["code"], -32600, "{id}");
            assert_eq!(ask(&dispatcher, &json!([call]).to_string()).await[0]["error"]["code"], -32600, "{id}");
        }
    }

    #[tokio::test]
    async fn an_unknown_method_is_named_within_bounds() {
        let dispatcher = dispatcher(RpcLimits::default());
        let error = ask(&dispatcher, &call("anvil_nodeInfo").to_string()).await["error"].clone();
        let message = "the method anvil_nodeInfo does not exist/is not available";
        assert_eq!((&error["code"], &error["message"]), (&json!(-32601), &json!(message)));
        let error = ask(&dispatcher, &call(&"ü".repeat(9_999)).to_string()).await["error"].clone();
        assert!(error["message"].as_str().unwrap().chars().count() < 2 * METHOD_NAME_CHARS_MAX);
    }

    #[tokio::test]
    async fn subscriptions_need_a_way_to_push() {
        let dispatcher = dispatcher(RpcLimits::default());
        for method in ["sub", "unsub"] {
            assert_eq!(ask(&dispatcher, &call(method).to_string()).await["error"]["code"], NO_NOTIFICATIONS_CODE);
        }
    }

    #[tokio::test]
    async fn what_is_json_but_no_call_is_an_invalid_request() {
        let dispatcher = dispatcher(RpcLimits::default());
        for (message, code) in
            [("{}", -32600), ("5", -32600), ("\"x\"", -32600), ("", -32700), ("x", -32700), ("{", -32700)]
        {
            assert_eq!(ask(&dispatcher, message).await["error"]["code"], code, "{message}");
        }
    }

    #[test]
    fn subscription_ids_are_prefixed_hex_and_differ() {
        let ids = [SubscriptionIds.next_id(), SubscriptionIds.next_id()];
        assert_ne!(ids[0], ids[1]);
        assert!(matches!(&ids[0], SubscriptionId::Str(id) if id.starts_with("0x") && id.len() == 34));
    }
}
