//! A JSON-RPC client that costs next to nothing: one keep-alive connection, bodies made beforehand, no runtime.

use eyre::{Context as _, Result, bail, ensure, eyre};
use serde_json::{Value, json};
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Largest answer taken, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection to a JSON-RPC server.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).wrap_err_with(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Posts a body and returns the body of the answer.
    pub fn post(&mut self, body: &[u8]) -> Result<Vec<u8>> {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.write_all(head.as_bytes(), body)?;
        let head = self.head()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).map(str::trim);
        let length: usize = length.ok_or_else(|| eyre!("the answer names no length: {head}"))?.parse()?;
        ensure!(length <= ANSWER_BYTES_MAX, "the answer has {length} bytes, the limit is {ANSWER_BYTES_MAX}");
        ensure!(head.starts_with("http/1.1 200"), "the server refused: {head}");
        while self.unread.len() < length {
            self.receive()?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    /// Calls a method and returns its result.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.post(request.to_string().as_bytes())?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            error => bail!("{method}: {error}"),
        }
    }

    /// Calls a method whose result is a quantity.
    pub fn number(&mut self, method: &str, params: Value) -> Result<u64> {
        let result = self.call(method, params)?;
        let digits = result.as_str().and_then(|text| text.strip_prefix("0x"));
        u64::from_str_radix(digits.ok_or_else(|| eyre!("{method} answered {result}"))?, 16).map_err(Into::into)
    }

    fn write_all(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let written = self.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
        self.stream.write_all(&head[written.min(head.len())..])?;
        self.stream.write_all(&body[written.saturating_sub(head.len())..])?;
        Ok(())
    }

    /// The head of the answer, in lower case.
    fn head(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.unread.split_off(end + 4);
                let head = std::mem::replace(&mut self.unread, rest);
                return Ok(String::from_utf8_lossy(&head).to_lowercase());
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        let mut chunk = [0; 64 << 10];
        let read = self.stream.read(&mut chunk).wrap_err("no answer")?;
        ensure!(read > 0, "the server closed the connection");
        self.unread.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}
