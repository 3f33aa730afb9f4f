//! Why a directory cannot be written to: what a library that only says "write failed" leaves out.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Bytes that are written to find out: as much as one record of the largest block may need.
const PROBE_BYTES: usize = 16 << 20;
/// Bytes of one write.
const PIECE_BYTES: usize = 1 << 16;
/// File that is written, and removed at once.
const PROBE: &str = "probe.tmp";

/// Writes to a file in `directory`, syncs it and removes it again.
///
/// # Errors
/// What the system says, for example that no space is left, that a quota is used up, or that the disk is read-only.
pub(crate) fn check(directory: &Path) -> io::Result<()> {
    let path = directory.join(PROBE);
    let written = write(&path);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let piece = vec![0; PIECE_BYTES];
    for _ in 0..PROBE_BYTES / PIECE_BYTES {
        file.write_all(&piece)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_room_is_well_and_left_as_it_was() {
        let directory = tempfile::tempdir().expect("directory");
        check(directory.path()).expect("there is room");
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 0);
    }

    #[test]
    fn what_the_system_says_is_told() {
        let directory = tempfile::tempdir().expect("directory");
        let gone = directory.path().join("gone");
        assert_eq!(check(&gone).expect_err("no directory").kind(), io::ErrorKind::NotFound);
        // A device that is always full stands where the file would be.
        std::os::unix::fs::symlink("/dev/full", directory.path().join(PROBE)).expect("link");
        assert_eq!(check(directory.path()).expect_err("full").kind(), io::ErrorKind::StorageFull);
    }
}
