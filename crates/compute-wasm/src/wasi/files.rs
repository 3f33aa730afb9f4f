//! The functions on open files: `fd_*`.

use super::abi::{self, Errno, FileKind};
use super::descriptors::{Access, Descriptor};
use super::memory::{Buffer, total};
use super::tree::NodeId;
use super::{Answer, Call};

impl Call<'_> {
    pub(super) fn fd_advise(&mut self, fd: u32, _offset: u64, _len: u64, _advice: u32) -> Answer {
        self.file(fd).map(drop)
    }

    pub(super) fn fd_allocate(&mut self, fd: u32, offset: u64, len: u64) -> Answer {
        let node = self.writable(fd)?;
        let end = offset.checked_add(len).filter(|_| len > 0).ok_or(Errno::Invalid)?;
        let size = self.guest.tree.stat(node).1;
        if end > size {
            self.charge(end - size)?;
            self.guest.tree.set_size(node, end)?;
        }
        Ok(())
    }

    pub(super) fn fd_close(&mut self, fd: u32) -> Answer {
        let closed = self.guest.descriptors.close(fd)?;
        self.released(closed);
        Ok(())
    }

    pub(super) fn fd_datasync(&mut self, fd: u32) -> Answer {
        self.fd_sync(fd)
    }

    pub(super) fn fd_sync(&mut self, fd: u32) -> Answer {
        Ok(self.guest.descriptors.get(fd).map(drop)?)
    }

    pub(super) fn fd_fdstat_get(&mut self, fd: u32, out: u32) -> Answer {
        let stat = match self.guest.descriptors.get(fd)? {
            Descriptor::Input => abi::fdstat(FileKind::Terminal, 0, abi::RIGHT_FD_READ),
            Descriptor::Output(_) => abi::fdstat(FileKind::Terminal, 0, abi::RIGHT_FD_WRITE),
            Descriptor::Folder { .. } => abi::fdstat(FileKind::Folder, 0, abi::RIGHTS_ALL & !abi::RIGHTS_OF_FILES),
            Descriptor::File { access, .. } => {
                let right = |has: bool, right: u64| if has { 0 } else { right };
                let missing = right(access.read, abi::RIGHT_FD_READ) | right(access.write, abi::RIGHT_FD_WRITE);
                abi::fdstat(FileKind::Regular, access.flags, abi::RIGHTS_ALL & !missing)
            }
        };
        self.put(out, &stat)
    }

    pub(super) fn fd_fdstat_set_flags(&mut self, fd: u32, flags: u32) -> Answer {
        if let Descriptor::File { access, .. } = self.guest.descriptors.get_mut(fd)? {
            access.flags = flags & abi::FD_FLAGS;
        }
        Ok(())
    }

    /// Rights can only be given up.
    pub(super) fn fd_fdstat_set_rights(&mut self, fd: u32, base: u64, _inheriting: u64) -> Answer {
        if let Descriptor::File { access, .. } = self.guest.descriptors.get_mut(fd)? {
            let kept = Access {
                read: base & abi::RIGHT_FD_READ != 0,
                write: base & abi::RIGHT_FD_WRITE != 0,
                flags: access.flags,
            };
            if (kept.read && !access.read) || (kept.write && !access.write) {
                return Err(Errno::NotCapable.into());
            }
            *access = kept;
        }
        Ok(())
    }

    pub(super) fn fd_filestat_get(&mut self, fd: u32, out: u32) -> Answer {
        let stat = match self.guest.descriptors.get(fd)? {
            Descriptor::Input | Descriptor::Output(_) => abi::filestat(0, FileKind::Terminal, 0),
            Descriptor::Folder { node, .. } | Descriptor::File { node, .. } => self.filestat(node),
        };
        self.put(out, &stat)
    }

    pub(super) fn filestat(&self, node: NodeId) -> [u8; 64] {
        let (kind, size) = self.guest.tree.stat(node);
        abi::filestat(node, kind, size)
    }

    pub(super) fn fd_filestat_set_size(&mut self, fd: u32, size: u64) -> Answer {
        let node = self.writable(fd)?;
        let before = self.guest.tree.stat(node).1;
        self.charge(size.saturating_sub(before))?;
        self.guest.tree.set_size(node, size)
    }

    /// Files have no times: setting them succeeds and changes nothing.
    pub(super) fn fd_filestat_set_times(&mut self, fd: u32, _accessed: u64, _modified: u64, which: u32) -> Answer {
        self.guest.descriptors.get(fd)?;
        check_times(which)
    }

    pub(super) fn fd_pread(&mut self, fd: u32, list: u32, count: u32, offset: u64, out: u32) -> Answer {
        let (node, _, access) = self.file(fd)?;
        if !access.read {
            return Err(Errno::BadFd.into());
        }
        let read = self.read_into(node, offset, list, count)?;
        self.put_u32(out, read)
    }

    pub(super) fn fd_prestat_get(&mut self, fd: u32, out: u32) -> Answer {
        let name = self.prestat_name(fd)?;
        let mut prestat = [0; 8];
        prestat[4..8].copy_from_slice(&(name.len() as u32).to_le_bytes());
        self.put(out, &prestat)
    }

    pub(super) fn fd_prestat_dir_name(&mut self, fd: u32, path: u32, len: u32) -> Answer {
        let name = self.prestat_name(fd)?;
        if (len as usize) < name.len() {
            return Err(Errno::NameTooLong.into());
        }
        self.put(path, name.as_bytes())
    }

    fn prestat_name(&self, fd: u32) -> Answer<&'static str> {
        match self.guest.descriptors.get(fd)? {
            Descriptor::Folder { name: Some(name), .. } => Ok(name),
            _ => Err(Errno::BadFd.into()),
        }
    }

    pub(super) fn fd_pwrite(&mut self, fd: u32, list: u32, count: u32, offset: u64, out: u32) -> Answer {
        let node = self.writable(fd)?;
        let bytes = self.gather(list, count)?;
        self.charge_gap(node, offset)?;
        self.guest.tree.write_at(node, Some(offset), &bytes)?;
        self.put_u32(out, bytes.len() as u32)
    }

    pub(super) fn fd_read(&mut self, fd: u32, list: u32, count: u32, out: u32) -> Answer {
        if self.guest.descriptors.get(fd)? == Descriptor::Input {
            return self.put_u32(out, 0);
        }
        let (node, offset, access) = self.file(fd)?;
        if !access.read {
            return Err(Errno::BadFd.into());
        }
        let read = self.read_into(node, offset, list, count)?;
        self.move_to(fd, offset + u64::from(read))?;
        self.put_u32(out, read)
    }

    pub(super) fn fd_readdir(&mut self, fd: u32, buffer: u32, len: u32, cookie: u64, out: u32) -> Answer {
        let folder = self.guest.descriptors.folder(fd)?;
        self.bytes((buffer, len))?;
        let entries = self.guest.tree.list(folder, cookie)?;
        self.charge(entries.len() as u64)?;
        let mut listing = Vec::new();
        for entry in entries {
            listing.extend(abi::entry(entry.next, entry.node, entry.kind, &entry.name));
            if listing.len() >= len as usize {
                break;
            }
        }
        // A cut entry at the end tells the guest that there is more.
        listing.truncate(len as usize);
        self.put(buffer, &listing)?;
        self.put_u32(out, listing.len() as u32)
    }

    pub(super) fn fd_renumber(&mut self, from: u32, to: u32) -> Answer {
        if let Some(closed) = self.guest.descriptors.renumber(from, to)? {
            self.released(closed);
        }
        Ok(())
    }

    pub(super) fn fd_seek(&mut self, fd: u32, delta: i64, whence: u32, out: u32) -> Answer {
        let (node, offset, _) = self.seekable(fd)?;
        let base = match whence {
            abi::SEEK_START => 0,
            abi::SEEK_CURRENT => offset,
            abi::SEEK_END => self.guest.tree.stat(node).1,
            _ => return Err(Errno::Invalid.into()),
        };
        let target = base.checked_add_signed(delta).filter(|at| i64::try_from(*at).is_ok()).ok_or(Errno::Invalid)?;
        self.move_to(fd, target)?;
        self.put_u64(out, target)
    }

    pub(super) fn fd_tell(&mut self, fd: u32, out: u32) -> Answer {
        let (_, offset, _) = self.seekable(fd)?;
        self.put_u64(out, offset)
    }

    pub(super) fn fd_write(&mut self, fd: u32, list: u32, count: u32, out: u32) -> Answer {
        let descriptor = self.guest.descriptors.get(fd)?;
        let Descriptor::Output(stream) = descriptor else {
            let node = self.writable(fd)?;
            let (_, offset, access) = self.file(fd)?;
            let bytes = self.gather(list, count)?;
            let offset = (!access.appends()).then_some(offset);
            self.charge_gap(node, offset.unwrap_or(0))?;
            let end = self.guest.tree.write_at(node, offset, &bytes)?;
            self.move_to(fd, end)?;
            return self.put_u32(out, bytes.len() as u32);
        };
        let bytes = self.gather(list, count)?;
        self.guest.log.write(stream, &bytes)?;
        self.put_u32(out, bytes.len() as u32)
    }

    /// File behind a descriptor, its position and what may be done with it.
    fn file(&self, fd: u32) -> Answer<(NodeId, u64, Access)> {
        match self.guest.descriptors.get(fd)? {
            Descriptor::File { node, offset, access } => Ok((node, offset, access)),
            Descriptor::Folder { .. } => Err(Errno::IsFolder.into()),
            Descriptor::Input | Descriptor::Output(_) => Err(Errno::BadFd.into()),
        }
    }

    fn seekable(&self, fd: u32) -> Answer<(NodeId, u64, Access)> {
        match self.guest.descriptors.get(fd)? {
            Descriptor::Input | Descriptor::Output(_) => Err(Errno::NotSeekable.into()),
            _ => self.file(fd),
        }
    }

    fn writable(&self, fd: u32) -> Answer<NodeId> {
        let (node, _, access) = self.file(fd)?;
        if access.write { Ok(node) } else { Err(Errno::BadFd.into()) }
    }

    fn move_to(&mut self, fd: u32, target: u64) -> Answer {
        if let Descriptor::File { offset, .. } = self.guest.descriptors.get_mut(fd)? {
            *offset = target;
        }
        Ok(())
    }

    fn released(&mut self, closed: Descriptor) {
        if let Descriptor::File { node, .. } | Descriptor::Folder { node, .. } = closed {
            self.guest.tree.let_go(node);
        }
    }

    /// Zeros between the end of a file and where something is written are work too.
    fn charge_gap(&mut self, node: NodeId, offset: u64) -> Answer {
        let size = self.guest.tree.stat(node).1;
        self.charge(offset.saturating_sub(size))
    }

    /// All bytes of a write, paid for before they are copied.
    fn gather(&mut self, list: u32, count: u32) -> Answer<Vec<u8>> {
        let buffers = self.buffers(list, count)?;
        let bytes = total(&buffers);
        self.charge(bytes)?;
        // No write that large can end within a limit on output or log, and the count must fit its 32 bits.
        let most = u64::from(u32::MAX).min(self.memory.len() as u64);
        if bytes > most {
            return Err(Errno::Invalid.into());
        }
        let mut gathered = Vec::with_capacity(bytes as usize);
        for buffer in buffers {
            gathered.extend_from_slice(self.bytes(buffer)?);
        }
        Ok(gathered)
    }

    /// Reads into buffer after buffer until the file or the buffers end; returns how many bytes.
    fn read_into(&mut self, node: NodeId, offset: u64, list: u32, count: u32) -> Answer<u32> {
        let buffers: Vec<Buffer> = self.buffers(list, count)?;
        let mut read = 0u32;
        for (address, len) in buffers {
            let room = len.min(u32::MAX - read);
            let at = offset.saturating_add(read.into());
            let left = self.guest.tree.stat(node).1.saturating_sub(at).min(room.into());
            self.charge(left)?;
            let start = address as usize;
            let target = &mut self.memory[start..start + room as usize];
            let part = self.guest.tree.read_at(node, at, target)?;
            read += part as u32;
            if part < len as usize {
                break;
            }
        }
        Ok(read)
    }
}

/// A time cannot be both given and now.
pub(super) fn check_times(which: u32) -> Answer {
    let both = |mask: u32| which & mask == mask;
    if both(abi::SET_ACCESSED) || both(abi::SET_MODIFIED) { Err(Errno::Invalid.into()) } else { Ok(()) }
}
