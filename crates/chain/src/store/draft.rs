//! A chain file in the making: it has another name until it is whole, so what was interrupted is never opened.

use super::{FILE, begin, open_failed, pages};
use crate::ChainError;
use redb::Database;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A file that becomes the chain of its directory when it is finished.
pub(super) struct Draft {
    dir: PathBuf,
    path: PathBuf,
    database: Database,
}

impl Draft {
    /// An empty database beside the place of the chain; removes one that was left unfinished.
    pub(super) fn begin(dir: &Path, cache_bytes: usize) -> Result<Self, ChainError> {
        let path = dir.join(format!("{FILE}.new"));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ChainError::Io { path, source });
            }
            _ => {}
        }
        let pages = pages::Pages::create(&path).map_err(|source| ChainError::Io { path: path.clone(), source })?;
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(pages::SharedPages::new(pages))
            .map_err(|error| open_failed(dir, &path, error))?;
        Ok(Self { dir: dir.into(), path, database })
    }

    /// Where to write.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Gives the file its name, replacing another one there; it is on disk when this returns.
    pub(super) fn finish(self) -> Result<(), ChainError> {
        let Self { dir, path, database } = self;
        // Whatever was written must be durable before the name says so.
        begin(&database)?.commit()?;
        drop(database);
        let chain = dir.join(FILE);
        let renamed = fs::rename(&path, &chain).and_then(|()| File::open(&dir)?.sync_all());
        renamed.map_err(|source| ChainError::Io { path: chain, source })
    }

    /// Removes the file.
    pub(super) fn discard(self) {
        let Self { path, database, .. } = self;
        drop(database);
        // What cannot be removed is removed by the next attempt.
        let _ = fs::remove_file(path);
    }
}
