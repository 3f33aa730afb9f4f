//! As much of an HTTP client as the harness needs: one request a connection (RFC 1945), with a time limit and bounded answers.

use eyre::{Context, Result, bail, ensure, eyre};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time for connecting, and for each wait for bytes.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Gets JSON.
///
/// # Errors
/// When the server does not answer, or with anything but success.
pub fn get(address: SocketAddr, path: &str) -> Result<Value> {
    ask(address, &format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n"))
}

/// Posts JSON and reads the answer.
///
/// # Errors
/// As [`get`].
pub fn post(address: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json");
    ask(address, &format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// Result of a JSON-RPC method.
///
/// # Errors
/// As [`get`], and when the method fails.
pub fn call(address: SocketAddr, method: &str, parameters: Value) -> Result<Value> {
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
    let mut answer = post(address, "/", &body)?;
    ensure!(answer["error"].is_null(), "{method} of {address}: {}", answer["error"]);
    Ok(answer["result"].take())
}

fn ask(address: SocketAddr, request: &str) -> Result<Value> {
    let line = request.lines().next().unwrap_or_default();
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().wrap_err_with(|| format!("{address}: {line}"))?;
    parse(&answer).wrap_err_with(|| format!("{address}: {line}"))
}

fn parse(answer: &[u8]) -> Result<Value> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| eyre!("no answer of HTTP"))?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("status {status}: {}", String::from_utf8_lossy(&body[..body.len().min(400)]));
    }
    Ok(serde_json::from_slice(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_body_if_it_is_a_success() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n[1]").unwrap(), serde_json::json!([1]));
        let refused = parse(b"HTTP/1.1 507 Insufficient Storage\r\n\r\nno room").unwrap_err().to_string();
        assert_eq!(refused, "status 507: no room");
        assert!(parse(b"HTTP/1.0 200 OK\r\n").is_err());
    }
}
