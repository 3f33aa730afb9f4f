//! The table of open files.

use super::abi::{Errno, FD_APPEND};
use super::tree::{IN, NodeId, OUT};
use compute::executor::Stream;

/// Most descriptors open at a time.
const DESCRIPTORS_MAX: usize = 256;

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// Always at its end.
    Input,
    /// Standard output or error.
    Output(Stream),
    /// A folder; the ones that are open from the start have a name.
    Folder { node: NodeId, name: Option<&'static str> },
    /// A file.
    File { node: NodeId, offset: u64, access: Access },
}

/// What may be done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// As in [`super::abi::FD_FLAGS`].
    pub(crate) flags: u32,
}

impl Access {
    pub(crate) fn appends(self) -> bool {
        self.flags & FD_APPEND != 0
    }
}

/// Descriptors by number.
pub(crate) struct Descriptors(Vec<Option<Descriptor>>);

impl Descriptors {
    /// Standard streams at 0 to 2, `/in` at 3, `/out` at 4.
    pub(crate) fn new() -> Self {
        let open = [
            Descriptor::Input,
            Descriptor::Output(Stream::Stdout),
            Descriptor::Output(Stream::Stderr),
            Descriptor::Folder { node: IN, name: Some("/in") },
            Descriptor::Folder { node: OUT, name: Some("/out") },
        ];
        Self(open.map(Some).to_vec())
    }

    pub(crate) fn get(&self, fd: u32) -> Result<Descriptor, Errno> {
        self.0.get(fd as usize).copied().flatten().ok_or(Errno::BadFd)
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BadFd)
    }

    pub(crate) fn folder(&self, fd: u32) -> Result<NodeId, Errno> {
        match self.get(fd)? {
            Descriptor::Folder { node, .. } => Ok(node),
            _ => Err(Errno::NotFolder),
        }
    }

    /// Whether another descriptor can be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < DESCRIPTORS_MAX || self.0.contains(&None)
    }

    /// Takes the lowest free number.
    pub(crate) fn open(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let free = self.0.iter().position(Option::is_none);
        let fd = match free {
            Some(fd) => fd,
            None if self.0.len() < DESCRIPTORS_MAX => {
                self.0.push(None);
                self.0.len() - 1
            }
            None => return Err(Errno::TooManyOpen),
        };
        self.0[fd] = Some(descriptor);
        Ok(u32::try_from(fd).expect("descriptors are few"))
    }

    pub(crate) fn close(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BadFd)
    }

    /// Moves `from` over `to`; both must be open. Returns what was closed by that.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(to)?;
        self.get(from)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.close(from)?;
        Ok(self.0[to as usize].replace(moved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken_and_the_table_is_bounded() {
        let mut table = Descriptors::new();
        assert_eq!(table.open(Descriptor::Input), Ok(5));
        table.close(1).unwrap();
        assert_eq!(table.open(Descriptor::Input), Ok(1));
        for _ in 6..DESCRIPTORS_MAX {
            table.open(Descriptor::Input).unwrap();
        }
        assert!(!table.has_room());
        assert_eq!(table.open(Descriptor::Input), Err(Errno::TooManyOpen));
    }

    #[test]
    fn numbers_move_only_between_open_descriptors() {
        let mut table = Descriptors::new();
        assert_eq!(table.renumber(1, 9), Err(Errno::BadFd));
        assert_eq!(table.renumber(9, 1), Err(Errno::BadFd));
        assert_eq!(table.renumber(1, 1), Ok(None));
        assert_eq!(table.renumber(1, 2), Ok(Some(Descriptor::Output(Stream::Stderr))));
        assert_eq!(table.get(1), Err(Errno::BadFd));
        assert_eq!(table.get(2), Ok(Descriptor::Output(Stream::Stdout)));
    }
}
