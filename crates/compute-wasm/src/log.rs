//! Standard output and error of a guest: kept whole within the limit, and passed on live as far as the reader keeps up.

use crate::guest::Stop;
use compute::executor::{LOG_CHUNK_BYTES_MAX, LogChunk, Stream};
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Pieces that wait for a slow reader; beyond them pieces of both streams are joined under the older one's name.
const WAITING_MAX: usize = 1024;

/// The log of one guest.
pub(crate) struct Log {
    bytes: Vec<u8>,
    bytes_max: u64,
    waiting: VecDeque<(Stream, Vec<u8>)>,
    reader: mpsc::Sender<LogChunk>,
}

impl Log {
    pub(crate) fn new(bytes_max: u64, reader: mpsc::Sender<LogChunk>) -> Self {
        Self { bytes: Vec::new(), bytes_max, waiting: VecDeque::new(), reader }
    }

    /// Appends; what fits of a piece that is too long is kept before the guest ends.
    pub(crate) fn write(&mut self, stream: Stream, piece: &[u8]) -> Result<(), Stop> {
        let room = self.bytes_max.saturating_sub(self.bytes.len() as u64);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
        self.bytes.extend_from_slice(&piece[..fits]);
        self.wait(stream, &piece[..fits]);
        self.pass_on();
        if fits < piece.len() { Err(Stop::Log) } else { Ok(()) }
    }

    /// The whole log, and what the reader has not taken yet.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<LogChunk>) {
        (self.bytes, self.waiting.into_iter().flat_map(|(stream, bytes)| chunks(stream, &bytes)).collect())
    }

    fn wait(&mut self, stream: Stream, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        let full = self.waiting.len() >= WAITING_MAX;
        match self.waiting.back_mut() {
            Some((last, bytes)) if full || *last == stream => bytes.extend_from_slice(piece),
            _ => self.waiting.push_back((stream, piece.to_vec())),
        }
    }

    fn pass_on(&mut self) {
        while let Some((stream, bytes)) = self.waiting.front_mut() {
            let rest = bytes.split_off(bytes.len().min(LOG_CHUNK_BYTES_MAX));
            match self.reader.try_send(LogChunk { stream: *stream, bytes: std::mem::take(bytes).into() }) {
                Ok(()) => *bytes = rest,
                Err(TrySendError::Full(chunk)) => {
                    *bytes = chunk.bytes.into();
                    bytes.extend(rest);
                    return;
                }
                Err(TrySendError::Closed(_)) => return self.waiting.clear(),
            }
            if bytes.is_empty() {
                self.waiting.pop_front();
            }
        }
    }
}

fn chunks(stream: Stream, bytes: &[u8]) -> Vec<LogChunk> {
    bytes.chunks(LOG_CHUNK_BYTES_MAX).map(|part| LogChunk { stream, bytes: part.to_vec().into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Stderr, Stdout};

    fn drain(reader: &mut mpsc::Receiver<LogChunk>) -> Vec<(Stream, Vec<u8>)> {
        std::iter::from_fn(|| reader.try_recv().ok()).map(|chunk| (chunk.stream, chunk.bytes.to_vec())).collect()
    }

    #[test]
    fn pieces_arrive_in_order() {
        let (sender, mut reader) = mpsc::channel(8);
        let mut log = Log::new(100, sender);
        log.write(Stdout, b"one").unwrap();
        log.write(Stderr, b"two").unwrap();
        assert_eq!(drain(&mut reader), [(Stdout, b"one".to_vec()), (Stderr, b"two".to_vec())]);
        assert_eq!(log.into_parts(), (b"onetwo".to_vec(), vec![]));
    }

    #[test]
    fn a_slow_reader_loses_nothing() {
        let (sender, mut reader) = mpsc::channel(1);
        let mut log = Log::new(1 << 20, sender);
        let long = vec![7; LOG_CHUNK_BYTES_MAX * 2 + 5];
        log.write(Stdout, &long).unwrap();
        log.write(Stdout, b"end").unwrap();
        log.write(Stderr, b"err").unwrap();
        let mut seen = drain(&mut reader);
        let (whole, rest) = log.into_parts();
        seen.extend(rest.into_iter().map(|chunk| (chunk.stream, chunk.bytes.to_vec())));
        assert!(seen.iter().all(|(_, bytes)| bytes.len() <= LOG_CHUNK_BYTES_MAX));
        assert_eq!(seen.concat_bytes(), whole);
        assert_eq!(seen.last(), Some(&(Stderr, b"err".to_vec())));
    }

    #[test]
    fn a_closed_reader_is_ignored_and_waiting_pieces_are_bounded() {
        let (sender, reader) = mpsc::channel(1);
        let mut log = Log::new(1 << 20, sender);
        for i in 0..4 * WAITING_MAX {
            log.write(if i % 2 == 0 { Stdout } else { Stderr }, b"x").unwrap();
        }
        assert!(log.waiting.len() <= WAITING_MAX);
        drop(reader);
        log.write(Stdout, b"x").unwrap();
        assert_eq!(log.into_parts().1, []);
    }

    #[test]
    fn the_first_byte_too_much_ends_the_guest() {
        let (sender, _reader) = mpsc::channel(8);
        let mut log = Log::new(4, sender);
        log.write(Stdout, b"abcd").unwrap();
        log.write(Stdout, b"").unwrap();
        assert!(matches!(log.write(Stderr, b"e"), Err(Stop::Log)));
        assert_eq!(log.into_parts().0, b"abcd");
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for [(Stream, Vec<u8>)] {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
        }
    }
}
