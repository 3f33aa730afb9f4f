//! Server-sent events, read incrementally: bytes in, events out (WHATWG HTML, section 9.2).
//!
//! The parser holds at most one event, of at most [`EVENT_BYTES_MAX`] bytes; a longer one is an error, not memory.

/// Largest event, in bytes.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Position to resume after; sticks until the server sends another.
    pub id: String,
    /// Name; empty means `message`.
    pub name: String,
    /// Payload, lines joined by `\n`.
    pub data: String,
}

/// Why a stream is not one of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// The server never ends an event.
    #[error("event is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// Event streams are UTF-8.
    #[error("event is not UTF-8")]
    NotText,
}

/// Parser state between two pieces of a body.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes the next bytes; returns the events they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ => {
                    if self.line.len() + self.event.data.len() >= EVENT_BYTES_MAX {
                        return Err(SseError::TooLong);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(self.end_event());
        }
        let line = std::str::from_utf8(&line).map_err(|_| SseError::NotText)?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => self.event.name = value.to_owned(),
            "id" if !value.contains('\0') => self.event.id = value.to_owned(),
            // Comments (heartbeats), retry hints and unknown fields.
            _ => {}
        }
        Ok(None)
    }

    fn end_event(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        self.event.id.clone_from(&event.id);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nid: 7-1\nevent: job\ndata: {\"a\":\ndata: 1}\n\nretry: 5\n\ndata:x\r\n\r\nid:8-0\rdata\r\r";

    fn event(id: &str, name: &str, data: &str) -> Event {
        Event { id: id.into(), name: name.into(), data: data.into() }
    }

    fn expected() -> Vec<Event> {
        vec![event("7-1", "job", "{\"a\":\n1}"), event("7-1", "", "x"), event("8-0", "", "")]
    }

    #[test]
    fn events_are_read_with_sticky_ids() {
        assert_eq!(Parser::default().push(STREAM.as_bytes()), Ok(expected()));
    }

    #[test]
    fn it_does_not_matter_where_the_network_cuts() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let pieces = STREAM.as_bytes().chunks(size);
            let events: Vec<Event> = pieces.flat_map(|piece| parser.push(piece).unwrap()).collect();
            assert_eq!(events, expected(), "pieces of {size}");
        }
    }

    #[test]
    fn an_unfinished_event_is_not_reported() {
        assert_eq!(Parser::default().push(b"data: half\n"), Ok(vec![]));
    }

    #[test]
    fn endless_events_and_lines_are_refused() {
        let long = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(Parser::default().push(&long), Err(SseError::TooLong));
        let mut parser = Parser::default();
        let line = [b"data:".as_slice(), &[b'x'; 1024], b"\n"].concat();
        let outcome = (0..=EVENT_BYTES_MAX / 1024).find_map(|_| parser.push(&line).err());
        assert_eq!(outcome, Some(SseError::TooLong));
    }

    #[test]
    fn binary_is_refused() {
        assert_eq!(Parser::default().push(b"data: \xff\xfe\n\n"), Err(SseError::NotText));
    }
}
