//! The little of protocol buffers that dag-pb and UnixFS need: varints and length-delimited fields.
//!
//! Source: protobuf encoding, wire types 0 and 2. Groups and fixed-width fields do not occur in these formats.

/// Appends an unsigned LEB128 varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends field `number` as a varint.
pub(crate) fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends field `number` as length-delimited bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a varint of at most ten bytes that fits 64 bits; returns it and the rest.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if i == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

/// One field of a message.
pub(crate) enum Field<'a> {
    /// Wire type 0.
    Uint(u32, u64),
    /// Wire type 2.
    Bytes(u32, &'a [u8]),
}

/// Reads the next field; `None` when the bytes end early or use another wire type.
pub(crate) fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0)?;
    match tag & 7 {
        0 => varint(rest).map(|(value, rest)| (Field::Uint(number, value), rest)),
        2 => {
            let (len, rest) = varint(rest)?;
            let len = usize::try_from(len).ok().filter(|len| *len <= rest.len())?;
            let (bytes, rest) = rest.split_at(len);
            Some((Field::Bytes(number, bytes), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(value: u64, tail: Vec<u8>) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            out.extend(&tail);
            prop_assert_eq!(varint(&out), Some((value, &tail[..])));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while let Some((_, next)) = field(rest) {
                prop_assert!(next.len() < rest.len());
                rest = next;
            }
        }
    }

    #[test]
    fn varint_beyond_64_bits_is_refused() {
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some((u64::MAX, &[][..])));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
        assert_eq!(varint(&[0x80; 11]), None);
        assert_eq!(varint(&[0x80]), None);
    }
}
