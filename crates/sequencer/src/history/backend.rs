//! The file of the history: long writes go around the page cache.
//!
//! A block is synced right after it was written and is seldom read from the file afterwards, so a copy of it in the page cache
//! costs processor time and memory for nothing. What is short, and everything where the file system cannot do otherwise,
//! goes through the page cache as usual.

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;

/// Writes of so many bytes and more go around the page cache.
const DIRECT_BYTES_MIN: usize = 64 * 1024;
/// What offset, length and memory of such a write are multiples of, on every disk.
const ALIGNMENT: usize = 4096;
/// Bytes written at a time.
const PART_BYTES: usize = 1024 * 1024;

/// A file, opened twice.
#[derive(Debug)]
pub(super) struct Backend {
    file: FileBackend,
    direct: Option<Direct>,
}

/// The way around the page cache.
#[derive(Debug)]
struct Direct {
    file: File,
    /// Aligned memory that parts are copied to.
    part: Mutex<Vec<u8>>,
}

impl Backend {
    /// Opens or creates a file.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file: FileBackend::new(file)?, direct: Direct::open(path) })
    }
}

impl Direct {
    #[cfg(target_os = "linux")]
    fn open(path: &Path) -> Option<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        // Refused by file systems that cannot do it.
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { file, part: Mutex::default() })
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_: &Path) -> Option<Self> {
        None
    }

    fn takes(&self, offset: u64, data: &[u8]) -> bool {
        data.len() >= DIRECT_BYTES_MIN
            && data.len().is_multiple_of(ALIGNMENT)
            && offset.is_multiple_of(ALIGNMENT as u64)
    }

    #[cfg(unix)]
    fn write(&self, mut offset: u64, data: &[u8]) -> io::Result<()> {
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
    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match &self.direct {
            Some(direct) if direct.takes(offset, data) => match direct.write(offset, data) {
                // A disk with larger blocks than any known one.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.file.write(offset, data),
                written => written,
            },
            _ => self.file.write(offset, data),
        }
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_writes_read_back_in_any_order() {
        let directory = tempfile::tempdir().unwrap();
        let backend = Backend::open(&directory.path().join("file")).unwrap();
        backend.set_len(8 << 20).unwrap();
        let pattern = |seed: usize, length: usize| (0..length).map(|i| (i * 31 + seed) as u8).collect::<Vec<_>>();
        let mut expected = vec![0; 8 << 20];
        let writes = [
            (0, 3 << 20),
            (4096, 512),
            (1 << 20, DIRECT_BYTES_MIN),
            ((1 << 20) + 512, DIRECT_BYTES_MIN),
            (4 << 20, PART_BYTES + ALIGNMENT),
            ((4 << 20) + 8192, DIRECT_BYTES_MIN + 1),
        ];
        for (seed, (offset, length)) in writes.into_iter().enumerate() {
            let data = pattern(seed, length);
            backend.write(offset as u64, &data).unwrap();
            expected[offset..offset + length].copy_from_slice(&data);
        }
        backend.sync_data().unwrap();
        let mut found = vec![0; expected.len()];
        backend.read(0, &mut found).unwrap();
        assert!(found == expected);
    }
}
