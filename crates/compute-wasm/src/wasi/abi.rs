//! Numbers of WASI preview 1.

/// Error numbers that are given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    BadFd = 8,
    Exists = 20,
    Fault = 21,
    TooBig = 22,
    IllegalText = 25,
    Invalid = 28,
    IsFolder = 31,
    TooManyOpen = 33,
    NameTooLong = 37,
    NoEntry = 44,
    NotFolder = 54,
    NotEmpty = 55,
    NotSupported = 58,
    ReadOnly = 69,
    NotSeekable = 70,
    OtherDevice = 75,
    NotCapable = 76,
}

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileKind {
    Terminal = 2,
    Folder = 3,
    Regular = 4,
}

pub(crate) const RIGHT_FD_READ: u64 = 1 << 1;
pub(crate) const RIGHT_FD_WRITE: u64 = 1 << 6;
/// Every right but the two of sockets.
pub(crate) const RIGHTS_ALL: u64 = (1 << 28) - 1;
/// Rights that only files have: reading, writing, seeking, sizes, and waiting for these.
pub(crate) const RIGHTS_OF_FILES: u64 =
    1 | RIGHT_FD_READ | 1 << 2 | 1 << 5 | RIGHT_FD_WRITE | 1 << 8 | 1 << 22 | 1 << 27;

pub(crate) const OPEN_CREATE: u32 = 1;
pub(crate) const OPEN_FOLDER: u32 = 2;
pub(crate) const OPEN_EXCLUSIVE: u32 = 4;
pub(crate) const OPEN_TRUNCATE: u32 = 8;

pub(crate) const FD_APPEND: u32 = 1;
/// Append, and the flags about blocking and syncing, which are remembered and mean nothing here.
pub(crate) const FD_FLAGS: u32 = 0b11111;

/// Access time: given, or now.
pub(crate) const SET_ACCESSED: u32 = 0b0011;
/// Modification time: given, or now.
pub(crate) const SET_MODIFIED: u32 = 0b1100;

pub(crate) const SEEK_START: u32 = 0;
pub(crate) const SEEK_CURRENT: u32 = 1;
pub(crate) const SEEK_END: u32 = 2;

/// Bytes of a directory entry before its name.
pub(crate) const ENTRY_BYTES: usize = 24;
/// Bytes of a subscription.
pub(crate) const SUBSCRIPTION_BYTES: u32 = 48;
/// Bytes of an event.
pub(crate) const EVENT_BYTES: u32 = 32;

/// `fdstat`.
pub(crate) fn fdstat(kind: FileKind, flags: u32, rights: u64) -> [u8; 24] {
    let mut out = [0; 24];
    out[0] = kind as u8;
    out[2..4].copy_from_slice(&(flags as u16).to_le_bytes());
    out[8..16].copy_from_slice(&rights.to_le_bytes());
    out[16..24].copy_from_slice(&RIGHTS_ALL.to_le_bytes());
    out
}

/// `filestat` with all times zero.
pub(crate) fn filestat(inode: u64, kind: FileKind, size: u64) -> [u8; 64] {
    let mut out = [0; 64];
    out[8..16].copy_from_slice(&inode.to_le_bytes());
    out[16] = kind as u8;
    out[24..32].copy_from_slice(&1u64.to_le_bytes());
    out[32..40].copy_from_slice(&size.to_le_bytes());
    out
}

/// `dirent` with its name.
pub(crate) fn entry(next: u64, inode: u64, kind: FileKind, name: &str) -> Vec<u8> {
    let mut out = vec![0; ENTRY_BYTES];
    out[0..8].copy_from_slice(&next.to_le_bytes());
    out[8..16].copy_from_slice(&inode.to_le_bytes());
    out[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
    out[20] = kind as u8;
    out.extend(name.as_bytes());
    out
}

/// `event` without an error.
pub(crate) fn event(userdata: u64, kind: u8, bytes: u64) -> [u8; EVENT_BYTES as usize] {
    let mut out = [0; EVENT_BYTES as usize];
    out[0..8].copy_from_slice(&userdata.to_le_bytes());
    out[10] = kind;
    out[16..24].copy_from_slice(&bytes.to_le_bytes());
    out
}
