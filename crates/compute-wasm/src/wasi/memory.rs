//! Reading and writing the guest's memory: every address comes from the guest, so every access is checked.

use super::abi::Errno;
use super::{Answer, Call};

/// Most buffers of one read or write.
const BUFFERS_MAX: u32 = 1024;
/// Longest path in bytes.
pub(super) const PATH_BYTES_MAX: u32 = 4096;

/// A stretch of guest memory: address and length.
pub(super) type Buffer = (u32, u32);

impl Call<'_> {
    /// The bytes at `address`, or a fault number.
    pub(super) fn bytes(&self, (address, len): Buffer) -> Answer<&[u8]> {
        let start = address as usize;
        let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
        Ok(self.memory.get(start..end).ok_or(Errno::Fault)?)
    }

    /// Copies `bytes` to `address`, paid for.
    pub(super) fn put(&mut self, address: u32, bytes: &[u8]) -> Answer {
        self.charge(bytes.len() as u64)?;
        let start = address as usize;
        let end = start.checked_add(bytes.len()).ok_or(Errno::Fault)?;
        self.memory.get_mut(start..end).ok_or(Errno::Fault)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a little-endian number.
    pub(super) fn put_u32(&mut self, address: u32, value: u32) -> Answer {
        self.put(address, &value.to_le_bytes())
    }

    /// Writes a little-endian number.
    pub(super) fn put_u64(&mut self, address: u32, value: u64) -> Answer {
        self.put(address, &value.to_le_bytes())
    }

    /// Reads a little-endian number.
    pub(super) fn get_u32(&self, address: u32) -> Answer<u32> {
        Ok(u32::from_le_bytes(self.bytes((address, 4))?.try_into().expect("four bytes were asked for")))
    }

    /// A path: UTF-8 without NUL, at most [`PATH_BYTES_MAX`] bytes.
    pub(super) fn path(&mut self, path: Buffer) -> Answer<String> {
        if path.1 > PATH_BYTES_MAX {
            return Err(Errno::NameTooLong.into());
        }
        self.charge(path.1.into())?;
        let text = std::str::from_utf8(self.bytes(path)?).map_err(|_| Errno::IllegalText)?;
        if text.contains('\0') { Err(Errno::IllegalText.into()) } else { Ok(text.into()) }
    }

    /// The list of buffers at `list`, each within the memory.
    pub(super) fn buffers(&mut self, list: u32, count: u32) -> Answer<Vec<Buffer>> {
        if count > BUFFERS_MAX {
            return Err(Errno::Invalid.into());
        }
        self.charge(u64::from(count) * 8)?;
        let at = |i: u32| list.checked_add(i * 8).ok_or(Errno::Fault);
        let mut buffers = Vec::with_capacity(count as usize);
        for i in 0..count {
            let address = at(i)?;
            let buffer = (self.get_u32(address)?, self.get_u32(address.checked_add(4).ok_or(Errno::Fault)?)?);
            self.bytes(buffer)?;
            buffers.push(buffer);
        }
        Ok(buffers)
    }
}

/// Bytes of all `buffers` together; they may overlap, so this may be more than the memory has.
pub(super) fn total(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|(_, len)| u64::from(*len)).sum()
}
