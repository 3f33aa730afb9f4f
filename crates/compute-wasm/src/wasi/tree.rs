//! The files of a guest: inputs below one root, outputs in memory below the other.
//!
//! Numbers of files are given in the order in which they appear, and folders list in that order too, so listings are
//! the same everywhere and stay right while entries are removed. Names are plain: never empty, `.`, `..`, and without
//! `/`, `\` and NUL, so that outputs can be written to a folder of the host as they are. There are no links.

use super::Fault;
use super::abi::{Errno, FileKind};
use crate::guest::Stop;
use compute::executor::ExecutorError;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Number of a file, also its inode.
pub(crate) type NodeId = u64;

/// The folder of inputs.
pub(crate) const IN: NodeId = 1;
/// The folder of outputs.
pub(crate) const OUT: NodeId = 2;
/// Position of the first entry of a folder in listings, after `.` and `..`.
const FIRST_COOKIE: u64 = 3;
/// Longest name of a file in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Most folders on the way to a file.
const DEPTH_MAX: usize = 32;

enum Kind {
    Folder { entries: BTreeMap<String, Entry>, next_cookie: u64, parent: NodeId },
    Input { file: File, path: PathBuf, size: u64 },
    Output(Vec<u8>),
}

#[derive(Clone, Copy)]
struct Entry {
    node: NodeId,
    /// Position in listings; never given twice in a folder.
    cookie: u64,
}

struct Node {
    kind: Kind,
    /// Whether a folder names it.
    linked: bool,
    /// Descriptors that hold it.
    holders: u32,
}

/// All files of a guest.
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next_node: NodeId,
    output_bytes: u64,
    output_bytes_max: u64,
    outputs: u32,
    outputs_max: u32,
}

/// Where a path leads: a folder, the last name in it, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: NodeId,
    /// `None` if the path ends in `.` or `..`: then `node` is the folder itself.
    pub(crate) name: Option<String>,
    pub(crate) node: Option<NodeId>,
    /// The path ends in `/`: only a folder will do.
    pub(crate) folder_only: bool,
}

/// What a listing says of one entry.
pub(crate) struct Listed {
    pub(crate) next: u64,
    pub(crate) node: NodeId,
    pub(crate) kind: FileKind,
    pub(crate) name: String,
}

impl Tree {
    /// A tree with the given inputs and nothing below `/out`.
    pub(crate) fn new(
        inputs: &[(String, PathBuf)],
        output_bytes_max: u64,
        outputs_max: u32,
    ) -> Result<Self, ExecutorError> {
        let nodes = HashMap::new();
        let mut tree = Self { nodes, next_node: IN, output_bytes: 0, output_bytes_max, outputs: 0, outputs_max };
        for root in [IN, OUT] {
            tree.add_node(empty_folder(root));
            tree.hold(root);
        }
        let mut sorted: Vec<&(String, PathBuf)> = inputs.iter().collect();
        sorted.sort();
        for (mount, path) in sorted {
            tree.add_input(mount, path)?;
        }
        Ok(tree)
    }

    fn add_input(&mut self, mount: &str, path: &PathBuf) -> Result<(), ExecutorError> {
        let refused = |_| ExecutorError::Setup(format!("mount {mount:?} is not a free plain path"));
        let unread = |source| ExecutorError::File { action: "read", path: path.clone(), source };
        let file = File::open(path).map_err(unread)?;
        let facts = file.metadata().map_err(unread)?;
        if !facts.is_file() {
            return Err(ExecutorError::Setup(format!("input {} is not a file", path.display())));
        }
        let mut folder = IN;
        let mut parts: Vec<&str> = mount.split('/').collect();
        let name = parts.pop().expect("a text has at least one part");
        for part in parts {
            folder = match self.child(folder, part).map_err(refused)? {
                Some(child) => child,
                None => {
                    let child = self.add_node(empty_folder(folder));
                    self.link(folder, part, child).map_err(refused)?;
                    child
                }
            };
        }
        let node = self.add_node(Kind::Input { file, path: path.clone(), size: facts.len() });
        self.link(folder, name, node).map_err(refused)
    }

    /// Follows `path` from `start`, never above it.
    pub(crate) fn find(&self, start: NodeId, path: &str) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::NoEntry);
        }
        if path.starts_with('/') {
            return Err(Errno::NotCapable);
        }
        self.entries(start)?;
        let mut way = vec![start];
        let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
        let folder_only =
            path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..") || path == "." || path == "..";
        while let Some(part) = parts.next() {
            if part == ".." {
                way.pop();
                way.last().ok_or(Errno::NotCapable)?;
                continue;
            }
            let folder = *way.last().expect("an empty way has been refused");
            let node = self.child(folder, part)?;
            if parts.peek().is_none() {
                return Ok(Place { folder, name: Some(part.into()), node, folder_only });
            }
            let node = node.ok_or(Errno::NoEntry)?;
            self.entries(node)?;
            way.push(node);
            if way.len() > DEPTH_MAX {
                return Err(Errno::NameTooLong);
            }
        }
        let folder = *way.last().expect("an empty way has been refused");
        Ok(Place { folder, name: None, node: Some(folder), folder_only: true })
    }

    /// Kind and size of a file.
    pub(crate) fn stat(&self, node: NodeId) -> (FileKind, u64) {
        match &self.node(node).kind {
            Kind::Folder { .. } => (FileKind::Folder, 0),
            Kind::Input { size, .. } => (FileKind::Regular, *size),
            Kind::Output(bytes) => (FileKind::Regular, bytes.len() as u64),
        }
    }

    /// Whether a file may be written.
    pub(crate) fn is_writable(&self, node: NodeId) -> bool {
        match &self.node(node).kind {
            Kind::Folder { .. } => self.root(node) == OUT,
            Kind::Input { .. } => false,
            Kind::Output(_) => true,
        }
    }

    /// Makes an empty file or folder.
    pub(crate) fn create(&mut self, place: &Place, folder: bool) -> Result<NodeId, Fault> {
        let name = place.name.as_deref().ok_or(Errno::Exists)?;
        if place.node.is_some() {
            return Err(Errno::Exists.into());
        }
        self.check_writable(place.folder)?;
        self.check_depth(place.folder)?;
        if self.outputs >= self.outputs_max {
            return Err(Stop::Output.into());
        }
        plain(name)?;
        let node = self.add_node(if folder { empty_folder(place.folder) } else { Kind::Output(Vec::new()) });
        self.outputs += 1;
        self.link(place.folder, name, node)?;
        Ok(node)
    }

    /// Removes a file, or a folder that is empty.
    pub(crate) fn remove(&mut self, place: &Place, folder: bool) -> Result<(), Errno> {
        let node = place.node.ok_or(Errno::NoEntry)?;
        self.check_writable(place.folder)?;
        match (&self.node(node).kind, folder) {
            (Kind::Folder { entries, .. }, true) if !entries.is_empty() => return Err(Errno::NotEmpty),
            (Kind::Folder { .. }, false) => return Err(Errno::IsFolder),
            (Kind::Input { .. } | Kind::Output(_), true) => return Err(Errno::NotFolder),
            (Kind::Input { .. } | Kind::Output(_), false) if place.folder_only => return Err(Errno::NotFolder),
            _ => {}
        }
        let name = place.name.as_deref().ok_or(Errno::Invalid)?;
        self.unlink(place.folder, name);
        Ok(())
    }

    /// Moves a file or folder, replacing a file or an empty folder of the same kind.
    pub(crate) fn rename(&mut self, from: &Place, to: &Place) -> Result<(), Errno> {
        let node = from.node.ok_or(Errno::NoEntry)?;
        self.check_writable(from.folder)?;
        if self.root(to.folder) != OUT {
            return Err(Errno::OtherDevice);
        }
        let (Some(from_name), Some(to_name)) = (from.name.as_deref(), to.name.as_deref()) else {
            return Err(Errno::Invalid);
        };
        if to.node == Some(node) {
            return Ok(());
        }
        plain(to_name)?;
        let is_folder = self.entries(node).is_ok();
        if !is_folder && (from.folder_only || to.folder_only) {
            return Err(Errno::NotFolder);
        }
        if is_folder && self.is_within(to.folder, node) {
            return Err(Errno::Invalid);
        }
        self.check_depth(to.folder)?;
        if is_folder && self.height(node) + self.depth(to.folder) > DEPTH_MAX {
            return Err(Errno::NameTooLong);
        }
        if let Some(replaced) = to.node {
            match (self.entries(replaced), is_folder) {
                (Ok(entries), true) if !entries.is_empty() => return Err(Errno::NotEmpty),
                (Ok(_), false) => return Err(Errno::IsFolder),
                (Err(_), true) => return Err(Errno::NotFolder),
                _ => {}
            }
            self.unlink(to.folder, to_name);
        }
        self.node_mut(node).holders += 1;
        self.unlink(from.folder, from_name);
        self.link(to.folder, to_name, node)?;
        self.node_mut(node).holders -= 1;
        if let Kind::Folder { parent, .. } = &mut self.node_mut(node).kind {
            *parent = to.folder;
        }
        Ok(())
    }

    /// Entries of a folder after position `cookie`, in the order in which they appeared.
    pub(crate) fn list(&self, folder: NodeId, cookie: u64) -> Result<Vec<Listed>, Errno> {
        let Kind::Folder { entries, parent, .. } = &self.node(folder).kind else { return Err(Errno::NotFolder) };
        let dots = [(".", 1, folder), ("..", 2, *parent)].map(|(name, cookie, node)| (name, Entry { node, cookie }));
        let named = entries.iter().map(|(name, entry)| (name.as_str(), *entry));
        let mut listed: Vec<Listed> = dots
            .into_iter()
            .chain(named)
            .filter(|(_, entry)| entry.cookie > cookie)
            .map(|(name, entry)| {
                let Entry { node, cookie } = entry;
                Listed { next: cookie, node, kind: self.stat(node).0, name: name.into() }
            })
            .collect();
        listed.sort_by_key(|entry| entry.next);
        Ok(listed)
    }

    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    pub(crate) fn read_at(&mut self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        match &mut self.node_mut(node).kind {
            Kind::Folder { .. } => Err(Errno::IsFolder.into()),
            Kind::Output(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let len = buffer.len().min(bytes.len() - start);
                buffer[..len].copy_from_slice(&bytes[start..start + len]);
                Ok(len)
            }
            Kind::Input { file, path, size } => {
                let left = size.saturating_sub(offset);
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                // The size was fixed at the start: a file that has become shorter since is the host's fault.
                let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut buffer[..len]));
                read.map_err(|source| Stop::Host(ExecutorError::File { action: "read", path: path.clone(), source }))?;
                Ok(len)
            }
        }
    }

    /// Writes `bytes` at `offset` (at the end if `None`), filling a gap with zeros; returns the position after them.
    pub(crate) fn write_at(&mut self, node: NodeId, offset: Option<u64>, bytes: &[u8]) -> Result<u64, Fault> {
        let size = self.stat(node).1;
        let offset = offset.unwrap_or(size);
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::TooBig)?;
        if end > size && !bytes.is_empty() {
            self.set_size(node, end)?;
        }
        let Kind::Output(content) = &mut self.node_mut(node).kind else { return Err(Errno::BadFd.into()) };
        if !bytes.is_empty() {
            let start = usize::try_from(offset).map_err(|_| Errno::TooBig)?;
            content[start..start + bytes.len()].copy_from_slice(bytes);
        }
        Ok(end)
    }

    /// Cuts a file or fills it up with zeros, within the limit of all outputs.
    pub(crate) fn set_size(&mut self, node: NodeId, size: u64) -> Result<(), Fault> {
        let Kind::Output(bytes) = &mut self.node_mut(node).kind else { return Err(Errno::Invalid.into()) };
        let before = bytes.len() as u64;
        let total = (self.output_bytes - before).checked_add(size).ok_or(Stop::Output)?;
        if total > self.output_bytes_max {
            return Err(Stop::Output.into());
        }
        self.output_bytes = total;
        let Kind::Output(bytes) = &mut self.node_mut(node).kind else { return Err(Errno::Invalid.into()) };
        let size = usize::try_from(size).map_err(|_| Errno::TooBig)?;
        let no_memory = |_| Stop::Host(ExecutorError::Host(format!("no memory for {size} bytes of output")));
        bytes.try_reserve(size.saturating_sub(bytes.len())).map_err(no_memory)?;
        bytes.resize(size, 0);
        Ok(())
    }

    /// A descriptor holds the file from now on.
    pub(crate) fn hold(&mut self, node: NodeId) {
        self.node_mut(node).holders += 1;
    }

    /// A descriptor lets go of the file, which vanishes if no folder names it.
    pub(crate) fn let_go(&mut self, node: NodeId) {
        self.node_mut(node).holders -= 1;
        self.forget_if_free(node);
    }

    /// Files below `/out` with their paths, sorted by path.
    pub(crate) fn outputs(&self) -> Vec<(String, &[u8])> {
        let mut files = Vec::new();
        self.collect(OUT, "", &mut files);
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files
    }

    fn collect<'a>(&'a self, folder: NodeId, prefix: &str, files: &mut Vec<(String, &'a [u8])>) {
        let Ok(entries) = self.entries(folder) else { return };
        for (name, entry) in entries {
            match &self.node(entry.node).kind {
                Kind::Output(bytes) => files.push((format!("{prefix}{name}"), bytes)),
                Kind::Folder { .. } => self.collect(entry.node, &format!("{prefix}{name}/"), files),
                Kind::Input { .. } => {}
            }
        }
    }

    fn node(&self, node: NodeId) -> &Node {
        self.nodes.get(&node).expect("a node lives as long as a folder or a descriptor names it")
    }

    fn node_mut(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("a node lives as long as a folder or a descriptor names it")
    }

    /// Numbers are never used again, so that an inode names one file only.
    fn add_node(&mut self, kind: Kind) -> NodeId {
        let node = self.next_node;
        self.next_node += 1;
        self.nodes.insert(node, Node { kind, linked: true, holders: 0 });
        node
    }

    fn entries(&self, node: NodeId) -> Result<&BTreeMap<String, Entry>, Errno> {
        match &self.node(node).kind {
            Kind::Folder { entries, .. } => Ok(entries),
            _ => Err(Errno::NotFolder),
        }
    }

    fn child(&self, folder: NodeId, name: &str) -> Result<Option<NodeId>, Errno> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        Ok(self.entries(folder)?.get(name).map(|entry| entry.node))
    }

    fn link(&mut self, folder: NodeId, name: &str, node: NodeId) -> Result<(), Errno> {
        plain(name)?;
        let Kind::Folder { entries, next_cookie, .. } = &mut self.node_mut(folder).kind else {
            return Err(Errno::NotFolder);
        };
        if entries.contains_key(name) {
            return Err(Errno::Exists);
        }
        entries.insert(name.into(), Entry { node, cookie: *next_cookie });
        *next_cookie += 1;
        self.node_mut(node).linked = true;
        Ok(())
    }

    fn unlink(&mut self, folder: NodeId, name: &str) {
        let Kind::Folder { entries, .. } = &mut self.node_mut(folder).kind else { return };
        let Some(Entry { node, .. }) = entries.remove(name) else { return };
        let removed = self.node_mut(node);
        removed.linked = false;
        // A folder that a descriptor still holds is on its own from now on: the one above it may go before it does.
        if let Kind::Folder { parent, .. } = &mut removed.kind {
            *parent = node;
        }
        self.forget_if_free(node);
    }

    fn forget_if_free(&mut self, node: NodeId) {
        let Node { linked, holders, .. } = self.node(node);
        if *linked || *holders > 0 {
            return;
        }
        if let Some(Node { kind: Kind::Output(bytes), .. }) = self.nodes.remove(&node) {
            self.output_bytes -= bytes.len() as u64;
        }
        self.outputs -= 1;
    }

    fn root(&self, node: NodeId) -> NodeId {
        self.way(node).last().expect("every node has a root")
    }

    fn is_within(&self, node: NodeId, folder: NodeId) -> bool {
        self.way(node).any(|above| above == folder)
    }

    fn depth(&self, folder: NodeId) -> usize {
        self.way(folder).count()
    }

    fn height(&self, node: NodeId) -> usize {
        let below =
            |entries: &BTreeMap<String, Entry>| entries.values().map(|e| self.height(e.node)).max().unwrap_or(0);
        1 + self.entries(node).map_or(0, below)
    }

    /// The folder and all above it.
    fn way(&self, folder: NodeId) -> impl Iterator<Item = NodeId> {
        let above = |node: &NodeId| match &self.node(*node).kind {
            Kind::Folder { parent, .. } if parent != node => Some(*parent),
            _ => None,
        };
        std::iter::successors(Some(folder), above)
    }

    fn check_writable(&self, folder: NodeId) -> Result<(), Errno> {
        match (self.node(folder).linked, self.root(folder)) {
            (false, _) => Err(Errno::NoEntry),
            (_, OUT) => Ok(()),
            _ => Err(Errno::ReadOnly),
        }
    }

    fn check_depth(&self, folder: NodeId) -> Result<(), Errno> {
        if self.depth(folder) >= DEPTH_MAX { Err(Errno::NameTooLong) } else { Ok(()) }
    }
}

fn empty_folder(parent: NodeId) -> Kind {
    Kind::Folder { entries: BTreeMap::new(), next_cookie: FIRST_COOKIE, parent }
}

fn plain(name: &str) -> Result<(), Errno> {
    match name {
        "" | "." | ".." => Err(Errno::Invalid),
        _ if name.len() > NAME_BYTES_MAX => Err(Errno::NameTooLong),
        _ if name.contains(['/', '\\', '\0']) => Err(Errno::Invalid),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
