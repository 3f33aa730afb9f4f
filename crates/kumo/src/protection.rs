//! What a validator's key has signed: when its record may begin, and how it moves to another directory.
//!
//! The record is made once, for a key that has never signed: `kumo init` and `kumo dev` leave a mark beside a new key,
//! and the first start makes the record and removes the mark. From then on a directory without its record is refused,
//! whatever else is in it, since nobody can tell a lost record from one that was never made.

use crate::roles::validator::KEY_FILE;
use eyre::{Context, Result, bail, ensure};
use sequencer::guard::{Guard, IMPORT_BYTES_MAX, Imported, JournalError, genesis_of};
use sequencer::unused_mark;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// File in a validator's directory that records what its vote key has signed.
pub const GUARD_FILE: &str = "signing.guard";

/// Opens the record of the validator in `dir`, or makes it if the key is new.
///
/// # Errors
/// When it is missing and the key may have signed, or it is damaged, in use or of another network.
pub fn open(dir: &Path, genesis: [u8; 32]) -> Result<Guard> {
    let path = dir.join(GUARD_FILE);
    let mark = unused_mark(&dir.join(KEY_FILE));
    let guard = match Guard::open(&path, genesis) {
        Ok(guard) => guard,
        Err(JournalError::Missing { .. }) if mark.exists() => Guard::create(&path, genesis)?,
        Err(JournalError::Missing { .. }) => bail!(
            "{} is missing, and the key in {} may have signed votes that it must never contradict: put the file back, \
             or import what was signed, `kumo node slashing-protection import --dir {} FILE`",
            path.display(),
            dir.join(KEY_FILE).display(),
            dir.display()
        ),
        Err(error) => return Err(error.into()),
    };
    remove_mark(&mark)?;
    Ok(guard)
}

/// From now on the key may sign, so its record may not begin empty again.
fn remove_mark(mark: &Path) -> Result<()> {
    if !mark.exists() {
        return Ok(());
    }
    fs::remove_file(mark).wrap_err_with(|| format!("cannot remove {}", mark.display()))?;
    let dir = mark.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).wrap_err_with(|| format!("cannot write {}", dir.display()))
}

/// Writes what the key in `dir` has signed to a new file, in the interchange format of EIP-3076.
///
/// # Errors
/// When there is no record, the validator runs, or the file exists.
pub fn export(dir: &Path, out: &Path) -> Result<PathBuf> {
    let path = dir.join(GUARD_FILE);
    let guard = Guard::open(&path, Guard::genesis_in(&path)?)?;
    let mut file = File::options().write(true).create_new(true).open(out);
    let write = |file: &mut File| file.write_all(guard.export().as_bytes()).and_then(|()| file.sync_all());
    let written = file.as_mut().map_err(|error| error.kind().into()).and_then(write);
    written.wrap_err_with(|| format!("cannot write {}", out.display()))?;
    Ok(path)
}

/// Adds what an interchange file says was signed to the record in `dir`, which is made if there is none.
///
/// # Errors
/// When the file is none, or of another network than the record, or the validator runs; then nothing has changed.
pub fn import(dir: &Path, file: &Path) -> Result<Imported> {
    ensure!(dir.is_dir(), "{} is no directory of a validator", dir.display());
    let mut json = Vec::new();
    let opened = File::open(file).and_then(|opened| opened.take(IMPORT_BYTES_MAX as u64 + 1).read_to_end(&mut json));
    opened.wrap_err_with(|| format!("cannot read {}", file.display()))?;
    let wrong = || format!("{} is not taken over", file.display());
    let path = dir.join(GUARD_FILE);
    let guard = match Guard::genesis_in(&path) {
        Ok(genesis) => Guard::open(&path, genesis)?,
        Err(JournalError::Missing { .. }) => Guard::create(&path, genesis_of(&json).wrap_err_with(wrong)?)?,
        Err(error) => return Err(error.into()),
    };
    let imported = guard.import(&json).wrap_err_with(wrong)?;
    remove_mark(&unused_mark(&dir.join(KEY_FILE)))?;
    Ok(imported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sequencer::ValidatorKeys;
    use sequencer::guard::Attestation;

    const GENESIS: [u8; 32] = [7; 32];

    fn vote(source: u64, target: u64) -> Attestation {
        Attestation { source, target, root: Some([target as u8; 32]) }
    }

    #[test]
    fn a_record_begins_once_for_a_key_and_never_again() {
        let dir = tempfile::tempdir().unwrap();
        ValidatorKeys::generate().store(&dir.path().join(KEY_FILE)).unwrap();
        drop(open(dir.path(), GENESIS).unwrap());
        drop(open(dir.path(), GENESIS).unwrap());
        fs::remove_file(dir.path().join(GUARD_FILE)).unwrap();
        let error = open(dir.path(), GENESIS).unwrap_err().to_string();
        assert!(error.contains(GUARD_FILE) && error.contains("slashing-protection import"), "{error}");
    }

    #[test]
    fn a_key_that_was_copied_without_its_record_is_refused() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        ValidatorKeys::generate().store(&old.path().join(KEY_FILE)).unwrap();
        fs::copy(old.path().join(KEY_FILE), new.path().join(KEY_FILE)).unwrap();
        assert!(open(new.path(), GENESIS).is_err());
        open(old.path(), GENESIS).unwrap();
    }

    #[test]
    fn what_was_exported_forbids_elsewhere_what_it_forbade() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = [1; 96];
        ValidatorKeys::generate().store(&old.path().join(KEY_FILE)).unwrap();
        let guard = open(old.path(), GENESIS).unwrap();
        guard.sign_attestation(&key, vote(1, 5), || ()).unwrap();
        let file = old.path().join("signed.json");
        let running = export(old.path(), &file).unwrap_err().to_string();
        assert!(running.contains("another process"), "{running}");
        drop(guard);
        export(old.path(), &file).unwrap();
        assert!(export(old.path(), &file).is_err(), "an export overwrites nothing");

        assert_eq!(import(new.path(), &file).unwrap(), Imported { keys: 1, attestations: 1, blocks: 0 });
        assert_eq!(import(new.path(), &file).unwrap(), Imported { keys: 1, ..Imported::default() });
        let guard = open(new.path(), GENESIS).unwrap();
        assert!(guard.sign_attestation(&key, vote(2, 4), || ()).is_err());
        guard.sign_attestation(&key, vote(5, 6), || ()).unwrap();
        assert!(open(new.path(), [8; 32]).is_err(), "it is of one network");
    }

    #[test]
    fn a_file_that_is_none_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("junk");
        fs::write(&file, "{}").unwrap();
        let error = import(dir.path(), &file).unwrap_err().to_string();
        assert!(error.contains("junk") && !dir.path().join(GUARD_FILE).exists(), "{error}");
    }
}
