//! What a validator must not lose while keys are made, in files that only it may read.
//!
//! ```text
//! lane/<round>/seed      what its own dealing is drawn from: 32 bytes
//! lane/<round>/<dealer>  what a dealer sent it: commitment ‖ share; acknowledged only when it is on the disk
//! lane/<round>/share     its share of the key that the round made
//! ```
//! A file is there in whole or not at all. When a share is on the disk, what it was made from is removed, and when another
//! committee holds the key, the share as well.

use super::ceremony::member;
use crate::limits::COMMITTEE_MAX;
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a file.
const FILE_BYTES_MAX: u64 = super::actor::LANE_MESSAGE_BYTES_MAX as u64;
const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIRECTORY: u32 = 0o700;
const SEED: &str = "seed";
const SHARE: &str = "share";

/// The directory.
pub(crate) struct Vault(PathBuf);

impl Vault {
    /// Made when something is kept.
    pub const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The seed of the own dealing: the one that was kept, or now `make`.
    pub fn seed(&self, round: u64, make: impl FnOnce() -> [u8; 32]) -> io::Result<[u8; 32]> {
        if let Some(kept) = self.read(round, SEED)? {
            return kept.as_ref().try_into().map_err(|_| damaged(&self.file(round, SEED)));
        }
        let seed = make();
        self.write(round, SEED, &seed)?;
        Ok(seed)
    }

    /// Keeps what a dealer sent.
    pub fn keep_dealing(&self, round: u64, dealer: &PublicKey, bytes: &[u8]) -> io::Result<()> {
        self.write(round, &hex::encode(dealer), bytes)
    }

    /// What was kept of dealers.
    pub fn dealings(&self, round: u64) -> io::Result<Vec<(PublicKey, Bytes)>> {
        let mut kept = Vec::new();
        for name in names(&self.directory(round))? {
            let dealer = hex::decode(&name).ok().and_then(|bytes| member(&bytes));
            if let (Some(dealer), true) = (dealer, kept.len() < COMMITTEE_MAX)
                && let Some(bytes) = self.read(round, &name)?
            {
                kept.push((dealer, bytes));
            }
        }
        Ok(kept)
    }

    /// Keeps the share, and then nothing that it was made from.
    pub fn keep_share(&self, round: u64, share: &[u8]) -> io::Result<()> {
        self.write(round, SHARE, share)?;
        let directory = self.directory(round);
        for name in names(&directory)?.into_iter().filter(|name| name != SHARE) {
            fs::remove_file(directory.join(name))?;
        }
        Ok(())
    }

    pub fn share(&self, round: u64) -> io::Result<Option<Bytes>> {
        self.read(round, SHARE)
    }

    /// Removes everything of rounds before `first`.
    pub fn forget(&self, first: u64) -> io::Result<()> {
        let rounds = names(&self.0)?.into_iter().filter_map(|name| name.parse::<u64>().ok());
        rounds.filter(|round| *round < first).try_for_each(|round| fs::remove_dir_all(self.directory(round)))
    }

    fn directory(&self, round: u64) -> PathBuf {
        self.0.join(round.to_string())
    }

    fn file(&self, round: u64, name: &str) -> PathBuf {
        self.directory(round).join(name)
    }

    fn read(&self, round: u64, name: &str) -> io::Result<Option<Bytes>> {
        let path = self.file(round, name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let text = format!("{} has mode {mode:o}, but only its owner may have access (600)", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes.into()))
    }

    /// A file that is there when this returns, whatever happens then.
    fn write(&self, round: u64, name: &str, bytes: &[u8]) -> io::Result<()> {
        let directory = self.directory(round);
        if !directory.is_dir() {
            DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIRECTORY).create(&directory)?;
            sync(&self.0)?;
            self.0.parent().map_or(Ok(()), sync)?;
        }
        let new = directory.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(name))?;
        sync(&directory)
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn damaged(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()))
}

/// Names in a directory, in their order; none if there is no directory.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let mut names: Vec<String> = names.filter_map(|name: io::Result<_>| name.transpose()).collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::keys;
    use commonware_cryptography::Signer as _;

    fn dealer(seat: u64) -> PublicKey {
        keys(seat).consensus.public_key()
    }

    #[test]
    fn what_is_kept_is_read_again_and_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let vault = Vault::new(directory.path().join("lane"));
        assert_eq!(vault.seed(3, || [7; 32]).unwrap(), [7; 32]);
        assert_eq!(vault.seed(3, || [8; 32]).unwrap(), [7; 32], "the first one stays");
        for seat in [1, 2] {
            vault.keep_dealing(3, &dealer(seat), &[seat as u8]).unwrap();
        }
        // As a crash leaves it.
        fs::write(directory.path().join("lane/3/abc.new"), b"half").unwrap();
        let mut kept = vec![(dealer(1), Bytes::from_static(&[1])), (dealer(2), Bytes::from_static(&[2]))];
        kept.sort();
        assert_eq!(vault.dealings(3).unwrap(), kept);
        assert_eq!(vault.share(3).unwrap(), None);
        for name in names(&directory.path().join("lane/3")).unwrap().iter().filter(|name| !name.ends_with(".new")) {
            let mode = fs::metadata(directory.path().join("lane/3").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::set_permissions(directory.path().join("lane/3/seed"), fs::Permissions::from_mode(0o640)).unwrap();
        let error = vault.seed(3, || [9; 32]).unwrap_err().to_string();
        assert!(error.contains("mode 640"), "{error}");
    }

    #[test]
    fn a_share_replaces_what_it_was_made_from_and_goes_with_its_round() {
        let directory = tempfile::tempdir().unwrap();
        let vault = Vault::new(directory.path().join("lane"));
        vault.seed(1, || [7; 32]).unwrap();
        vault.keep_dealing(1, &dealer(1), b"dealing").unwrap();
        vault.keep_share(1, b"share").unwrap();
        assert_eq!(names(&directory.path().join("lane/1")).unwrap(), ["share"]);
        vault.keep_share(2, b"next").unwrap();
        vault.forget(2).unwrap();
        assert_eq!(vault.share(1).unwrap(), None);
        assert_eq!(vault.share(2).unwrap().as_deref(), Some(&b"next"[..]));
    }
}
