//! Scratch files: for this user only, and gone when they are dropped.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Names tried before giving up; one is enough unless the randomness is broken.
const NAMES_MAX: usize = 8;

/// A file that is removed on drop, unless [`Self::persist`] gives it a name.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    /// Creates an empty file in `folder`, open for reading and writing.
    pub fn create(folder: &Path) -> Result<(Self, File)> {
        for _ in 0..NAMES_MAX {
            let mut name = [0; 8];
            getrandom::fill(&mut name).map_err(|e| Error::other(e.to_string()))?;
            let path = folder.join(format!(".kumo-{}.part", hex::encode(name)));
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.open(&path) {
                Ok(file) => return Ok((Self { path, kept: false }, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it the file `path`, in one step; an existing file is replaced.
    pub fn persist(mut self, path: &Path) -> Result<()> {
        std::fs::rename(&self.path, path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // It may be gone already with its folder; there is nobody to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
