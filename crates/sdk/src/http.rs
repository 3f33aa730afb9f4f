//! What every HTTP conversation of the SDK shares: one client, bounded bodies, bounded retries.

use bytes::Bytes;
use std::time::Duration;

/// Longest wait for a TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to one request that is not a stream.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence in a streamed body; gateways send a heartbeat at least every 15 seconds.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Largest JSON body that is read, in bytes.
pub const JSON_BYTES_MAX: usize = 16 << 20;
/// Times that one request is sent before its failure is reported.
pub const TRIES_MAX: u32 = 5;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("transfer broke off")]
    Broken(#[from] reqwest::Error),
    /// More bytes than any honest answer has.
    #[error("answer is longer than {0} bytes")]
    TooLong(usize),
    /// Nothing arrived for too long.
    #[error("nothing arrived for {} s", SILENCE_MAX.as_secs())]
    Silent,
}

/// A client for `url` with the SDK's connection settings. It follows no proxy settings of the environment. For an
/// `https://` URL it trusts the authorities that the system trusts; on a system without any, each request fails and says so.
pub fn client(url: &str) -> reqwest::Client {
    let settings = || {
        let redirects = reqwest::redirect::Policy::none();
        reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().redirect(redirects)
    };
    let trusting = if is_https(url) { settings().build().ok() } else { None };
    // Reading the system's authorities costs milliseconds, and fails where there are none.
    trusting.unwrap_or_else(|| settings().tls_certs_only([]).build().expect("no option needs anything from the system"))
}

fn is_https(url: &str) -> bool {
    url.trim().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

/// The whole body, unless it is longer than `max` bytes.
pub async fn read_body(mut response: reqwest::Response, max: usize) -> Result<Bytes, BodyError> {
    let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 16) as usize);
    while let Some(chunk) = next_chunk(&mut response).await? {
        if body.len() + chunk.len() > max {
            return Err(BodyError::TooLong(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// The next piece of a body, `None` at its end.
pub async fn next_chunk(response: &mut reqwest::Response) -> Result<Option<Bytes>, BodyError> {
    let chunk = tokio::time::timeout(SILENCE_MAX, response.chunk()).await;
    Ok(chunk.map_err(|_| BodyError::Silent)??)
}

/// Whether sending the same request again at once may help: the connection was refused or broke. After a timeout it does
/// not: the peer had its time.
pub fn is_transient(error: &reqwest::Error) -> bool {
    (error.is_connect() || error.is_request()) && !error.is_timeout()
}

/// Whether an HTTP status means "not now".
pub fn is_busy(status: reqwest::StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Waits that double from 50 ms up to one second, at most [`TRIES_MAX`] tries in all.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Sleeps before the next try; `false` when there is none left.
    pub async fn wait(&mut self) -> bool {
        match self.next_delay() {
            Some(delay) => {
                tokio::time::sleep(delay).await;
                true
            }
            None => false,
        }
    }

    /// How long to wait before the next try, or `None` after the last one.
    pub fn next_delay(&mut self) -> Option<Duration> {
        self.tries += 1;
        (self.tries < TRIES_MAX).then(|| (BACKOFF_FIRST * (1 << (self.tries - 1).min(16))).min(BACKOFF_MAX))
    }
}

/// `url` without slashes at its end, so that paths can be appended.
pub fn trim_base(url: &str) -> String {
    url.trim().trim_end_matches('/').to_owned()
}

/// The innermost cause of an error: what a person can act on ("connection refused"), without the wrapping.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = std::iter::from_fn(|| backoff.next_delay()).map(|d| d.as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400]);
        assert_eq!(delays.len() as u32 + 1, TRIES_MAX);
    }

    #[test]
    fn bases_take_paths() {
        assert_eq!(trim_base("http://127.0.0.1:8080//"), "http://127.0.0.1:8080");
        assert_eq!(trim_base(" http://a/b "), "http://a/b");
    }
}
