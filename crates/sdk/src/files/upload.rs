//! From a file to a CAR archive: encrypt, chunk, address, in one pass and with bounded memory.
//!
//! A CAR begins with its root, which is known last. Every root here has the same length (CIDv1, SHA-256), so the header
//! is written over its own place at the end.

use super::{FileKey, FilesError, Protection, Scratch};
use bytes::Bytes;
use cid::Cid;
use protocol::content::raw_cid;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use storage::block::Block;
use storage::car;
use storage::crypt::{Encryptor, OsRandom, PublicKey};
use storage::unixfs::{Importer, Profile};

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Where the plaintext comes from.
pub(super) enum Source {
    File(PathBuf),
    Bytes(Bytes),
}

/// An archive ready to be sent.
pub(super) struct Built {
    pub(super) cid: Cid,
    pub(super) file_bytes: u64,
    pub(super) key: Option<FileKey>,
    pub(super) car: Scratch,
}

/// Builds the archive in a scratch file in `folder`.
pub(super) async fn build(source: Source, protection: &Protection, folder: &Path) -> Result<Built, FilesError> {
    let (key, encryptor) = match protection {
        Protection::Plain => (None, None),
        Protection::Encrypted(readers) => {
            let key = FileKey::random(&mut OsRandom);
            let readers: Vec<PublicKey> = readers.iter().map(|reader| PublicKey(reader.0)).collect();
            let encryptor = Encryptor::new(&key, &readers, &mut OsRandom).map_err(FilesError::Encrypt)?;
            (Some(key), Some(encryptor))
        }
    };
    let folder = folder.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let (car, file) = scratch(&folder)?;
        let (cid, file_bytes) = match source {
            Source::Bytes(bytes) => write_car(bytes.as_ref(), encryptor, file, car.path(), Path::new("memory"))?,
            Source::File(path) => {
                let source = File::open(&path).map_err(|e| io("read", &path, e))?;
                write_car(source, encryptor, file, car.path(), &path)?
            }
        };
        Ok(Built { cid, file_bytes, key, car })
    });
    work.await.expect("building an archive does not panic")
}

fn scratch(folder: &Path) -> Result<(Scratch, File), FilesError> {
    Scratch::create(folder).map_err(|e| io("create a scratch file in", folder, e))
}

fn write_car(
    mut source: impl Read,
    mut encryptor: Option<Encryptor>,
    file: File,
    car_path: &Path,
    source_path: &Path,
) -> Result<(Cid, u64), FilesError> {
    let mut out = Blocks { out: BufWriter::new(file), failed: None };
    // A place for the header; the root is not known yet, its length is.
    out.write(&car::header(&raw_cid(b"")));
    let mut importer = Importer::new(Profile::V1_2025);
    let mut buffer = vec![0; READ_BYTES];
    let mut file_bytes = 0;
    loop {
        let count = read_some(&mut source, &mut buffer).map_err(|e| io("read", source_path, e))?;
        if count == 0 {
            break;
        }
        file_bytes += count as u64;
        match &mut encryptor {
            Some(encryptor) => importer.push(&encryptor.push(&buffer[..count]), &mut |block| out.block(&block)),
            None => importer.push(&buffer[..count], &mut |block| out.block(&block)),
        }
        if out.failed.is_some() {
            break;
        }
    }
    if let Some(encryptor) = encryptor {
        importer.push(&encryptor.finish(), &mut |block| out.block(&block));
    }
    let root = importer.finish(&mut |block| out.block(&block)).root;
    out.finish(&root).map_err(|e| io("write", car_path, e))?;
    Ok((root, file_bytes))
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Sections on their way into the archive; the first failure is kept and ends the writing.
struct Blocks {
    out: BufWriter<File>,
    failed: Option<std::io::Error>,
}

impl Blocks {
    fn block(&mut self, block: &Block) {
        self.write(&car::section_prefix(&block.cid, block.bytes.len()));
        self.write(&block.bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(bytes).err();
        }
    }

    fn finish(mut self, root: &Cid) -> std::io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&car::header(root))?;
        self.out.flush()
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> FilesError {
    FilesError::Io { action, path: path.to_owned(), source }
}
