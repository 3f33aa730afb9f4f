//! The file of the history: long writes go around the page cache (see [`crate::direct`]).

use crate::direct::Direct;
use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;

/// A file, opened twice.
#[derive(Debug)]
pub(super) struct Backend {
    file: FileBackend,
    direct: Option<Direct>,
}

impl Backend {
    /// Opens or creates a file.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file: FileBackend::new(file)?, direct: Direct::open(path) })
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
            Some(direct) => direct.write(offset, data, |offset, data| self.file.write(offset, data)),
            None => self.file.write(offset, data),
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
    use crate::direct::{ALIGNMENT, DIRECT_BYTES_MIN, PART_BYTES};

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
