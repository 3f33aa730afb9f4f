//! A database file whose every page is checked when it is read from disk.
//!
//! redb keeps a checksum of each page but reads without comparing it, so a flipped bit could become a balance or hide
//! an account. This layer between redb and the file keeps a CRC-32 of each page, over its number and content, and a
//! page that does not match is an error that names the file: no damaged byte reaches the chain.
//!
//! ```text
//! file:  superblock │ sums of pages 0..1024 │ pages 0..1024 │ sums of pages 1024..2048 │ pages 1024..2048 │ …
//! ```
//!
//! The sums are written before the database's own header, which is page 0 and the only one rewritten in place (the
//! database checks it itself). So after `kill -9` every page that a header can reach has its sum. After a loss of power
//! the system may have written one without the other; the database then verifies all its pages by its own checksums
//! before it uses any, and what it read meanwhile is taken as written.

use parking_lot::Mutex;
use redb::StorageBackend;
use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// First bytes of the file: name and version of this layout.
pub(super) const MAGIC: &[u8; 16] = b"kumo pages v2\n\0\0";
/// Bytes per page, as in the database.
const PAGE_BYTES: usize = 4_096;
const PAGE: u64 = PAGE_BYTES as u64;
/// Bytes of one sum.
const SUM_BYTES: usize = 4;
/// Pages per group: as many as sums fit in one page.
const GROUP_PAGES: u64 = PAGE / SUM_BYTES as u64;
/// Pages of sums kept in memory (each is 4 KiB and covers 4 MiB of the file).
const GROUPS_MAX: usize = 2_048;
/// Where redb keeps the flag that it was not closed: behind its magic number of 9 bytes.
const REDB_FLAGS: usize = 9;
/// The flag.
const REDB_RECOVERY: u8 = 2;
/// How long a file that another process has is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The file behind the database.
#[derive(Debug)]
pub(super) struct Pages {
    path: PathBuf,
    file: File,
    sums: Mutex<HashMap<u64, Sums>>,
    /// Whether what is read is taken as written: while the database repairs itself.
    trusting: AtomicBool,
}

/// Sums of the pages of one group; 0 for a page that was never written.
#[derive(Debug)]
struct Sums {
    values: Box<[u32; GROUP_PAGES as usize]>,
    changed: bool,
}

impl Pages {
    /// Takes the file for this process. Fails with [`io::ErrorKind::WouldBlock`] when another one has it, and with
    /// [`io::ErrorKind::InvalidData`] when it is no such file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let pages = Self::lock(path, File::options().read(true).write(true).open(path)?)?;
        let mut magic = [0; MAGIC.len()];
        pages.file.read_exact_at(&mut magic, 0)?;
        if magic != *MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin like a chain"));
        }
        let mut header = [0; REDB_FLAGS + 1];
        pages.read_at(0, &mut header)?;
        pages.trusting.store(header[REDB_FLAGS] & REDB_RECOVERY != 0, Ordering::Release);
        Ok(pages)
    }

    /// Makes an empty file; fails when there is one.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let pages = Self::lock(path, File::options().read(true).write(true).create_new(true).open(path)?)?;
        let mut superblock = [0; PAGE_BYTES];
        superblock[..MAGIC.len()].copy_from_slice(MAGIC);
        pages.file.write_all_at(&superblock, 0)?;
        Ok(pages)
    }

    fn lock(path: &Path, file: File) -> io::Result<Self> {
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A lock outlives its file in a process that was just forked, until that begins its program.
                Err(TryLockError::WouldBlock) if begin.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Self { path: path.into(), file, sums: Mutex::default(), trusting: AtomicBool::new(false) })
    }

    /// Fills `out` from `offset`, without a check.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        for (offset, range) in pieces(offset, out.len()) {
            self.file.read_exact_at(&mut out[range], place(offset))?;
        }
        Ok(())
    }

    /// Compares a page with its sum.
    fn check(&self, number: u64, page: &[u8]) -> io::Result<()> {
        let found = sum(number, page);
        self.with_sum(number, |stored| {
            if *stored == found || (*stored == 0 && page.iter().all(|byte| *byte == 0)) {
                return Ok(false);
            }
            if self.trusting.load(Ordering::Acquire) {
                *stored = found;
                return Ok(true);
            }
            let path = self.path.display();
            tracing::error!(file = %path, page = number, "the chain's file is damaged; it is not read any further");
            let text = format!("page {number} of {path} is damaged: its checksum is {found:08x}, not {stored:08x}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        })
    }

    /// Reads or changes the sum of a page; `access` says whether it changed.
    fn with_sum(&self, number: u64, access: impl FnOnce(&mut u32) -> io::Result<bool>) -> io::Result<()> {
        let mut sums = self.sums.lock();
        let group = number / GROUP_PAGES;
        if !sums.contains_key(&group) {
            if sums.len() >= GROUPS_MAX {
                self.write_sums(&mut sums)?;
                sums.clear();
            }
            sums.insert(group, self.load(group)?);
        }
        let sums = sums.get_mut(&group).expect("it was just inserted");
        sums.changed |= access(&mut sums.values[(number % GROUP_PAGES) as usize])?;
        Ok(())
    }

    fn load(&self, group: u64) -> io::Result<Sums> {
        let mut stored = [0; PAGE_BYTES];
        match self.file.read_exact_at(&mut stored, place_of_sums(group)) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        let mut values = Box::new([0; GROUP_PAGES as usize]);
        for (value, bytes) in values.iter_mut().zip(stored.as_chunks::<SUM_BYTES>().0) {
            *value = u32::from_le_bytes(*bytes);
        }
        Ok(Sums { values, changed: false })
    }

    fn write_sums(&self, sums: &mut HashMap<u64, Sums>) -> io::Result<()> {
        for (group, sums) in sums.iter_mut().filter(|(_, sums)| sums.changed) {
            let mut stored = [0; PAGE_BYTES];
            for (bytes, value) in stored.as_chunks_mut::<SUM_BYTES>().0.iter_mut().zip(&*sums.values) {
                *bytes = value.to_le_bytes();
            }
            self.file.write_all_at(&stored, place_of_sums(*group))?;
            sums.changed = false;
        }
        Ok(())
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        Ok(logical(self.file.metadata()?.len()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, out)?;
        if offset.is_multiple_of(PAGE) && out.len().is_multiple_of(PAGE_BYTES) {
            let pages = (offset / PAGE..).zip(out.chunks_exact(PAGE_BYTES));
            return pages.filter(|(number, _)| *number != 0).try_for_each(|(number, page)| self.check(number, page));
        }
        // Only the header is read in part; whatever else is, is read again in whole pages to be checked.
        let end = (offset + out.len() as u64).div_ceil(PAGE);
        let mut page = [0; PAGE_BYTES];
        for number in (offset / PAGE).max(1)..end {
            self.read_at(number * PAGE, &mut page)?;
            self.check(number, &page)?;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut sums = self.sums.lock();
        let pages = length.div_ceil(PAGE);
        if length < self.len()? {
            // What is cut off was never written, should the file grow again.
            self.write_sums(&mut sums)?;
            sums.clear();
            let kept = pages % GROUP_PAGES;
            if kept != 0 {
                let cleared = vec![0; PAGE_BYTES - kept as usize * SUM_BYTES];
                let place = place_of_sums(pages / GROUP_PAGES) + kept * SUM_BYTES as u64;
                self.file.write_all_at(&cleared, place)?;
            }
        }
        let end = if length == 0 { PAGE } else { place(length - 1) + 1 };
        self.file.set_len(end)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.write_sums(&mut self.sums.lock())?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset < PAGE {
            // The header makes the pages before it valid.
            self.write_sums(&mut self.sums.lock())?;
        }
        for (offset, range) in pieces(offset, data.len()) {
            self.file.write_all_at(&data[range], place(offset))?;
        }
        let aligned = offset.is_multiple_of(PAGE) && data.len().is_multiple_of(PAGE_BYTES);
        let mut partial = [0; PAGE_BYTES];
        for number in (offset / PAGE).max(1)..(offset + data.len() as u64).div_ceil(PAGE) {
            let page = if aligned {
                let begin = (number * PAGE - offset) as usize;
                &data[begin..begin + PAGE_BYTES]
            } else {
                self.read_at(number * PAGE, &mut partial)?;
                &partial[..]
            };
            let sum = sum(number, page);
            self.with_sum(number, |stored| Ok(std::mem::replace(stored, sum) != sum))?;
        }
        Ok(())
    }
}

/// A backend that is shared with the store, which ends the trust when the database is open.
#[derive(Clone, Debug)]
pub(super) struct SharedPages(std::sync::Arc<Pages>);

impl SharedPages {
    pub(super) fn new(pages: Pages) -> Self {
        Self(std::sync::Arc::new(pages))
    }

    /// From now on every page must match its sum.
    pub(super) fn distrust(&self) {
        self.0.trusting.store(false, Ordering::Release);
    }
}

impl StorageBackend for SharedPages {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// CRC-32 of a page and its number; never 0, which means "never written".
fn sum(number: u64, page: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(page);
    hasher.update(&number.to_le_bytes());
    hasher.finalize().max(1)
}

/// Where a byte of the database stands in the file.
fn place(offset: u64) -> u64 {
    let (page, within) = (offset / PAGE, offset % PAGE);
    place_of_sums(page / GROUP_PAGES) + PAGE * (1 + page % GROUP_PAGES) + within
}

/// Where the sums of a group stand in the file.
fn place_of_sums(group: u64) -> u64 {
    PAGE + group * (GROUP_PAGES + 1) * PAGE
}

/// Length of the database in a file of this length.
fn logical(length: u64) -> u64 {
    let rest = length.saturating_sub(PAGE);
    let group = (GROUP_PAGES + 1) * PAGE;
    rest / group * GROUP_PAGES * PAGE + (rest % group).saturating_sub(PAGE)
}

/// Cuts a range of the database where pages of sums lie between in the file.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let group = GROUP_PAGES * PAGE;
    let mut done = 0;
    std::iter::from_fn(move || {
        let begin = offset + done as u64;
        let size = usize::try_from(group - begin % group).map_or(length - done, |left| left.min(length - done));
        (size > 0).then(|| {
            done += size;
            (begin, done - size..done)
        })
    })
}

#[cfg(test)]
mod tests;
