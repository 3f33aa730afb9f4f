//! Writes around the page cache.
//!
//! A block is synced right after it was written and is seldom read from the file afterwards, so a copy of it in the page cache
//! costs processor time and memory for nothing. What is short, and everything where the file system cannot do otherwise,
//! goes through the page cache as usual.

use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::Path;

/// Writes of so many bytes and more go around the page cache.
pub(crate) const DIRECT_BYTES_MIN: usize = 64 * 1024;
/// What offset, length and memory of such a write are multiples of, on every disk.
pub(crate) const ALIGNMENT: usize = 4096;
/// Bytes written at a time.
pub(crate) const PART_BYTES: usize = 1024 * 1024;

/// The way around the page cache to one file.
#[derive(Debug)]
pub(crate) struct Direct {
    file: File,
    /// Aligned memory that parts are copied to.
    part: Mutex<Vec<u8>>,
}

impl Direct {
    /// `None` where the file system cannot do it.
    #[cfg(target_os = "linux")]
    pub fn open(path: &Path) -> Option<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { file, part: Mutex::default() })
    }

    /// `None` where the file system cannot do it.
    #[cfg(not(target_os = "linux"))]
    pub fn open(_: &Path) -> Option<Self> {
        None
    }

    /// Writes `data`: what is long and aligned of it around the page cache, the rest with `short`.
    pub fn write(&self, offset: u64, data: &[u8], short: impl Fn(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(long) = aligned(offset, data.len()) else { return short(offset, data) };
        let (start, end) = (offset + long.start as u64, offset + long.end as u64);
        match self.write_aligned(start, &data[long.clone()]) {
            // A disk with larger blocks than any known one.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return short(offset, data),
            written => written?,
        }
        for (offset, data) in [(offset, &data[..long.start]), (end, &data[long.end..])] {
            if !data.is_empty() {
                short(offset, data)?;
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn write_aligned(&self, mut offset: u64, data: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let mut part = self.part.lock();
        part.resize(PART_BYTES + ALIGNMENT, 0);
        let start = part.as_ptr().align_offset(ALIGNMENT);
        for from in data.chunks(PART_BYTES) {
            let aligned = &mut part[start..start + from.len()];
            aligned.copy_from_slice(from);
            self.file.write_all_at(aligned, offset)?;
            offset += from.len() as u64;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn write_aligned(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// The part of a write that begins and ends where it may, if it is long.
fn aligned(offset: u64, length: usize) -> Option<Range<usize>> {
    let start = (offset.next_multiple_of(ALIGNMENT as u64) - offset) as usize;
    let long = length.checked_sub(start)? / ALIGNMENT * ALIGNMENT;
    (long >= DIRECT_BYTES_MIN).then_some(start..start + long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_long_and_aligned_goes_around_the_page_cache() {
        assert_eq!(aligned(0, DIRECT_BYTES_MIN), Some(0..DIRECT_BYTES_MIN));
        assert_eq!(aligned(4096, DIRECT_BYTES_MIN - 1), None);
        assert_eq!(aligned(1, DIRECT_BYTES_MIN), None);
        assert_eq!(aligned(1, DIRECT_BYTES_MIN + 4095), Some(4095..DIRECT_BYTES_MIN + 4095));
        assert_eq!(aligned(4097, 1 << 20), Some(4095..4095 + (1 << 20) - 4096));
        assert_eq!(aligned(4095, 0), None);
    }
}
