//! Reading fields from the front of untrusted bytes.

use alloy_primitives::{B256, Bytes};

/// The bytes that are not read yet. Every read is `None` past the end.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn word(&mut self) -> Option<B256> {
        self.array().map(B256::new)
    }

    /// `count` words, allocated only if they are there.
    pub fn words(&mut self, count: usize) -> Option<Vec<B256>> {
        let bytes = self.slice(count.checked_mul(32)?)?;
        Some(bytes.chunks_exact(32).map(B256::from_slice).collect())
    }

    pub fn bytes(&mut self, length: usize) -> Option<Bytes> {
        self.slice(length).map(Bytes::copy_from_slice)
    }

    /// `value` if nothing is left.
    pub fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
