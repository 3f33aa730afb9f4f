//! What is written to the log: changes of small files.

use bytes::BufMut as _;

const CREATE: u8 = 1;
const WRITE: u8 = 2;
const RESIZE: u8 = 3;
const REMOVE: u8 = 4;

/// A change of one file, which has a number for as long as it exists.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Create { file: u64, version: u16, partition: &'a str, name: &'a [u8] },
    Write { file: u64, offset: u64, bytes: &'a [u8] },
    Resize { file: u64, length: u64 },
    Remove { file: u64 },
}

impl<'a> Record<'a> {
    pub fn encode(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Create { file, version, partition, name } => {
                to.put_u8(CREATE);
                to.put_u64(file);
                to.put_u16(version);
                put_bytes(to, partition.as_bytes());
                put_bytes(to, name);
            }
            Self::Write { file, offset, bytes } => {
                to.put_u8(WRITE);
                to.put_u64(file);
                to.put_u64(offset);
                put_bytes(to, bytes);
            }
            Self::Resize { file, length } => {
                to.put_u8(RESIZE);
                to.put_u64(file);
                to.put_u64(length);
            }
            Self::Remove { file } => {
                to.put_u8(REMOVE);
                to.put_u64(file);
            }
        }
    }

    /// The next record of `from`, which is moved behind it; `None` if there is none.
    pub fn decode(from: &mut &'a [u8]) -> Option<Self> {
        let kind = take::<1>(from)?[0];
        let file = u64::from_be_bytes(*take(from)?);
        Some(match kind {
            CREATE => {
                let version = u16::from_be_bytes(*take(from)?);
                let partition = std::str::from_utf8(take_bytes(from)?).ok()?;
                Self::Create { file, version, partition, name: take_bytes(from)? }
            }
            WRITE => Self::Write { file, offset: u64::from_be_bytes(*take(from)?), bytes: take_bytes(from)? },
            RESIZE => Self::Resize { file, length: u64::from_be_bytes(*take(from)?) },
            REMOVE => Self::Remove { file },
            _ => return None,
        })
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.put_u32(u32::try_from(bytes.len()).expect("a small file is far below 4 GiB"));
    to.put_slice(bytes);
}

fn take<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(taken)
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(*take(from)?) as usize;
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_written_and_never_past_the_end() {
        let records = [
            Record::Create { file: 1, version: 2, partition: "simplex", name: b"\0\x01" },
            Record::Write { file: 1, offset: 4, bytes: b"vote" },
            Record::Resize { file: 1, length: 6 },
            Record::Remove { file: 1 },
        ];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(&mut bytes));
        let mut rest = &bytes[..];
        for record in &records {
            assert_eq!(Record::decode(&mut rest).as_ref(), Some(record));
        }
        assert_eq!(Record::decode(&mut rest), None);
        for length in 0..bytes.len() {
            let mut cut = &bytes[..length];
            while Record::decode(&mut cut).is_some() {}
        }
        assert_eq!(Record::decode(&mut &[9, 0, 0, 0, 0, 0, 0, 0, 0][..]), None);
    }
}
