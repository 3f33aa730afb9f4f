//! Several byte strings in one body: each is its length (4 bytes, big endian) and its bytes; the end is the end.

use axum::body::Bytes;

/// Most manifests in one answer; a node that keeps more leaves the later ones out.
pub(crate) const FRAMES_MAX: usize = 1024;
/// Most bytes of one answer; a node leaves out what does not fit.
pub(crate) const FRAMES_BYTES_MAX: usize = 64 << 20;
const LENGTH_BYTES: usize = 4;

/// Writes as many of `parts` as the limits allow.
pub(crate) fn encode(parts: &[Bytes]) -> Bytes {
    let mut out = Vec::new();
    for part in parts.iter().take(FRAMES_MAX) {
        let Ok(length) = u32::try_from(part.len()) else { continue };
        if out.len() + LENGTH_BYTES + part.len() <= FRAMES_BYTES_MAX {
            out.extend(length.to_be_bytes());
            out.extend_from_slice(part);
        }
    }
    out.into()
}

/// Reads what [`encode`] wrote; `None` for anything else.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Vec<Bytes>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, _) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
        let end = LENGTH_BYTES.checked_add(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if parts.len() == FRAMES_MAX || bytes.len() < end {
            return None;
        }
        parts.push(bytes.slice(LENGTH_BYTES..end));
        bytes = bytes.slice(end..);
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for parts in
            [vec![], vec![Bytes::new()], vec![Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"bc")]]
        {
            assert_eq!(decode(encode(&parts)), Some(parts));
        }
    }

    #[test]
    fn a_cut_or_lying_body_is_refused() {
        let whole = encode(&[Bytes::from_static(b"abc")]);
        for end in 1..whole.len() {
            assert_eq!(decode(whole.slice(..end)), None, "{end} bytes");
        }
        assert_eq!(decode(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1])), None);
    }

    #[test]
    fn too_many_parts_are_left_out_and_refused() {
        let many = vec![Bytes::new(); FRAMES_MAX + 1];
        assert_eq!(decode(encode(&many)).unwrap().len(), FRAMES_MAX);
        assert_eq!(decode(vec![0; (FRAMES_MAX + 1) * LENGTH_BYTES].into()), None);
    }
}
