//! The functions on paths: `path_*`. Every path is relative to an open folder and never leads above it.

use super::abi::{self, Errno, FileKind};
use super::descriptors::{Access, Descriptor};
use super::files::check_times;
use super::tree::{NodeId, Place};
use super::{Answer, Call};

impl Call<'_> {
    pub(super) fn path_create_directory(&mut self, fd: u32, path: u32, len: u32) -> Answer {
        let place = self.place(fd, path, len)?;
        self.guest.tree.create(&place, true).map(drop)
    }

    pub(super) fn path_filestat_get(&mut self, fd: u32, _flags: u32, path: u32, len: u32, out: u32) -> Answer {
        let node = self.existing(fd, path, len)?;
        let stat = self.filestat(node);
        self.put(out, &stat)
    }

    /// Files have no times: setting them succeeds and changes nothing.
    #[allow(clippy::too_many_arguments, reason = "the signature is WASI's")]
    pub(super) fn path_filestat_set_times(
        &mut self,
        fd: u32,
        _flags: u32,
        path: u32,
        len: u32,
        _accessed: u64,
        _modified: u64,
        which: u32,
    ) -> Answer {
        self.existing(fd, path, len)?;
        check_times(which)
    }

    /// There are no hard links.
    #[allow(clippy::too_many_arguments, reason = "the signature is WASI's")]
    pub(super) fn path_link(
        &mut self,
        fd: u32,
        _flags: u32,
        path: u32,
        len: u32,
        to_fd: u32,
        to: u32,
        to_len: u32,
    ) -> Answer {
        self.place(fd, path, len)?;
        self.place(to_fd, to, to_len)?;
        Err(Errno::NotSupported.into())
    }

    #[allow(clippy::too_many_arguments, reason = "the signature is WASI's")]
    pub(super) fn path_open(
        &mut self,
        fd: u32,
        _lookup: u32,
        path: u32,
        len: u32,
        oflags: u32,
        rights: u64,
        _inheriting: u64,
        flags: u32,
        out: u32,
    ) -> Answer {
        let place = self.place(fd, path, len)?;
        if !self.guest.descriptors.has_room() {
            return Err(Errno::TooManyOpen.into());
        }
        self.bytes((out, 4))?;
        let access = Access {
            read: rights & abi::RIGHT_FD_READ != 0,
            write: rights & abi::RIGHT_FD_WRITE != 0,
            flags: flags & abi::FD_FLAGS,
        };
        let node = self.open_node(&place, oflags, access)?;
        let descriptor = match self.guest.tree.stat(node).0 {
            FileKind::Folder => Descriptor::Folder { node, name: None },
            _ => Descriptor::File { node, offset: 0, access },
        };
        let opened = self.guest.descriptors.open(descriptor)?;
        self.guest.tree.hold(node);
        self.put_u32(out, opened)
    }

    /// The file that `path_open` means, made or cut if asked for.
    fn open_node(&mut self, place: &Place, oflags: u32, access: Access) -> Answer<NodeId> {
        let asks = |flag: u32| oflags & flag != 0;
        let tree = &mut self.guest.tree;
        let Some(node) = place.node else {
            if !asks(abi::OPEN_CREATE) {
                return Err(Errno::NoEntry.into());
            }
            if place.folder_only || asks(abi::OPEN_FOLDER) {
                return Err(Errno::Invalid.into());
            }
            return tree.create(place, false);
        };
        if asks(abi::OPEN_CREATE) && asks(abi::OPEN_EXCLUSIVE) {
            return Err(Errno::Exists.into());
        }
        let is_folder = tree.stat(node).0 == FileKind::Folder;
        if (place.folder_only || asks(abi::OPEN_FOLDER)) && !is_folder {
            return Err(Errno::NotFolder.into());
        }
        if is_folder && (access.write || asks(abi::OPEN_TRUNCATE) || asks(abi::OPEN_CREATE)) {
            return Err(Errno::IsFolder.into());
        }
        if (access.write || asks(abi::OPEN_TRUNCATE)) && !tree.is_writable(node) {
            return Err(Errno::ReadOnly.into());
        }
        if asks(abi::OPEN_TRUNCATE) {
            tree.set_size(node, 0)?;
        }
        Ok(node)
    }

    /// There are no symbolic links to read.
    pub(super) fn path_readlink(
        &mut self,
        fd: u32,
        path: u32,
        len: u32,
        _buffer: u32,
        _room: u32,
        _out: u32,
    ) -> Answer {
        self.existing(fd, path, len)?;
        Err(Errno::Invalid.into())
    }

    pub(super) fn path_remove_directory(&mut self, fd: u32, path: u32, len: u32) -> Answer {
        let place = self.place(fd, path, len)?;
        Ok(self.guest.tree.remove(&place, true)?)
    }

    pub(super) fn path_rename(&mut self, fd: u32, path: u32, len: u32, to_fd: u32, to: u32, to_len: u32) -> Answer {
        let from = self.place(fd, path, len)?;
        let to = self.place(to_fd, to, to_len)?;
        Ok(self.guest.tree.rename(&from, &to)?)
    }

    /// There are no symbolic links.
    pub(super) fn path_symlink(&mut self, _target: u32, _target_len: u32, fd: u32, path: u32, len: u32) -> Answer {
        self.place(fd, path, len)?;
        Err(Errno::NotSupported.into())
    }

    pub(super) fn path_unlink_file(&mut self, fd: u32, path: u32, len: u32) -> Answer {
        let place = self.place(fd, path, len)?;
        Ok(self.guest.tree.remove(&place, false)?)
    }

    fn place(&mut self, fd: u32, path: u32, len: u32) -> Answer<Place> {
        let folder = self.guest.descriptors.folder(fd)?;
        let path = self.path((path, len))?;
        Ok(self.guest.tree.find(folder, &path)?)
    }

    fn existing(&mut self, fd: u32, path: u32, len: u32) -> Answer<NodeId> {
        let place = self.place(fd, path, len)?;
        let node = place.node.ok_or(Errno::NoEntry)?;
        if place.folder_only && self.guest.tree.stat(node).0 != FileKind::Folder {
            return Err(Errno::NotFolder.into());
        }
        Ok(node)
    }
}
