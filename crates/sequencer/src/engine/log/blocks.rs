//! Files of blocks on a real disk: their long writes go around the page cache.
//!
//! `DIRECTORY/PARTITION/NAME`, the name in hexadecimal digits. A file is what was written to it and nothing else.

use crate::direct::Direct;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A file that is open. It is locked, so that nobody opens it twice.
#[derive(Debug)]
pub(super) struct BlockFile {
    file: File,
    direct: Option<Direct>,
}

/// Opens or creates a file, durably, and returns its length; `None` if it is open already.
pub(super) fn open(directory: &Path, partition: &str, name: &[u8]) -> io::Result<Option<(BlockFile, u64)>> {
    let folder = directory.join(partition);
    fs::create_dir_all(&folder)?;
    let path = path(&folder, name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        locked => locked?,
    }
    // Also if it is there already: whoever made it may have been killed before this.
    file.sync_all()?;
    [Some(folder.as_path()), Some(directory), directory.parent()].into_iter().flatten().try_for_each(sync)?;
    let length = file.metadata()?.len();
    Ok(Some((BlockFile { file, direct: Direct::open(&path) }, length)))
}

/// Removes a file or a partition, durably. `None` if there is none.
pub(super) fn remove(directory: &Path, partition: &str, name: Option<&[u8]>) -> io::Result<Option<()>> {
    let folder = directory.join(partition);
    let (removed, changed) = match name {
        Some(name) => (fs::remove_file(path(&folder, name)), folder.as_path()),
        None => (fs::remove_dir_all(&folder), directory),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        removed => removed.and_then(|()| sync(changed)).map(Some),
    }
}

/// Names of the files of a partition, in order. `None` if there is no such partition.
pub(super) fn scan(directory: &Path, partition: &str) -> io::Result<Option<Vec<Vec<u8>>>> {
    let entries = match fs::read_dir(directory.join(partition)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not ours is left alone.
        names.extend(entry?.file_name().to_str().and_then(|name| hex::decode(name).ok()));
    }
    names.sort();
    Ok(Some(names))
}

impl BlockFile {
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match &self.direct {
            Some(direct) => direct.write(offset, bytes, |offset, bytes| self.file.write_all_at(bytes, offset)),
            None => self.file.write_all_at(bytes, offset),
        }
    }

    pub fn resize(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn path(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(hex::encode(name))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_was_written_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("blocks");
        let (file, length) = open(&root, "verified", b"\x01").unwrap().unwrap();
        assert_eq!(length, 0);
        assert!(open(&root, "verified", b"\x01").unwrap().is_none(), "it is open");
        let mut expected = Vec::new();
        for (seed, bytes) in [7, 100_000, 1 << 20, 3, (2 << 20) + 4_097].into_iter().enumerate() {
            let data: Vec<u8> = (0..bytes).map(|i| (i * 31 + seed) as u8).collect();
            file.write(expected.len() as u64, &data).unwrap();
            expected.extend(data);
        }
        file.sync().unwrap();
        assert!(file.read(0, expected.len()).unwrap() == expected);
        assert_eq!(file.read(100, 50).unwrap(), expected[100..150]);
        assert_eq!(file.read(expected.len() as u64 - 1, 2).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.resize(200_000).unwrap();
        file.write(199_999, &[9; 70_000]).unwrap();
        drop(file);
        let (file, length) = open(&root, "verified", b"\x01").unwrap().unwrap();
        expected.truncate(199_999);
        expected.resize(269_999, 9);
        assert_eq!(length, expected.len() as u64);
        assert!(file.read(0, expected.len()).unwrap() == expected);
    }

    #[test]
    fn files_are_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("blocks");
        assert_eq!(scan(&root, "verified").unwrap(), None);
        assert_eq!(remove(&root, "verified", None).unwrap(), None);
        for name in [2_u8, 1] {
            open(&root, "verified", &[name]).unwrap().unwrap();
        }
        fs::write(root.join("verified").join("notes.txt"), "of somebody else").unwrap();
        assert_eq!(scan(&root, "verified").unwrap(), Some(vec![vec![1], vec![2]]));
        assert_eq!(remove(&root, "verified", Some(&[1])).unwrap(), Some(()));
        assert_eq!(remove(&root, "verified", Some(&[1])).unwrap(), None);
        assert_eq!(remove(&root, "verified", None).unwrap(), Some(()));
        assert_eq!(scan(&root, "verified").unwrap(), None);
    }
}
