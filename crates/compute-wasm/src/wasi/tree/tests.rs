//! Promises of the tree: nothing leads out of it, it is bounded, and it looks the same everywhere.

use super::*;
use proptest::prelude::*;

fn empty() -> Tree {
    Tree::new(&[], 100, 4).unwrap()
}

fn with_inputs(mounts: &[&str]) -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    let inputs: Vec<(String, PathBuf)> = mounts
        .iter()
        .enumerate()
        .map(|(i, mount)| {
            let path = folder.path().join(i.to_string());
            std::fs::write(&path, format!("content of {mount}")).unwrap();
            (mount.to_string(), path)
        })
        .collect();
    let tree = Tree::new(&inputs, 100, 4).unwrap();
    (folder, tree)
}

fn create(tree: &mut Tree, path: &str, folder: bool) -> Result<NodeId, Errno> {
    let place = tree.find(OUT, path)?;
    tree.create(&place, folder).map_err(|fault| match fault {
        Fault::Errno(errno) => errno,
        Fault::Stop(stop) => panic!("{stop}"),
    })
}

fn rename(tree: &mut Tree, from: &str, to: &str) -> Result<(), Errno> {
    let (from, to) = (tree.find(OUT, from)?, tree.find(OUT, to)?);
    tree.rename(&from, &to)
}

fn names(tree: &Tree, folder: NodeId) -> Vec<String> {
    tree.list(folder, 0).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn write(tree: &mut Tree, node: NodeId, offset: Option<u64>, bytes: &[u8]) -> Result<u64, String> {
    tree.write_at(node, offset, bytes).map_err(|fault| match fault {
        Fault::Errno(errno) => format!("{errno:?}"),
        Fault::Stop(stop) => stop.to_string(),
    })
}

#[test]
fn no_path_leads_above_its_folder() {
    let (_folder, tree) = with_inputs(&["a/b/c.csv"]);
    for path in ["..", "../out", "a/../..", "a/../../out", "./.././x", "a/b/../../../x"] {
        assert_eq!(tree.find(IN, path), Err(Errno::NotCapable), "{path}");
    }
    assert_eq!(tree.find(IN, "/etc/passwd"), Err(Errno::NotCapable));
    assert!(tree.find(IN, "a/b/../b/c.csv").unwrap().node.is_some());
    let below = tree.find(IN, "a").unwrap().node.unwrap();
    assert_eq!(tree.find(below, ".."), Err(Errno::NotCapable), "not even to the folder above, from below");
}

#[test]
fn inputs_are_read_only_and_whole() {
    let (_folder, mut tree) = with_inputs(&["x.csv", "sub/y.csv"]);
    let node = tree.find(IN, "sub/y.csv").unwrap().node.unwrap();
    let mut buffer = [0; 64];
    assert!(tree.read_at(node, 0, &mut buffer).is_ok_and(|read| &buffer[..read] == b"content of sub/y.csv"));
    assert!(tree.read_at(node, 8, &mut buffer[..2]).is_ok_and(|read| read == 2));
    assert!(tree.read_at(node, 1000, &mut buffer).is_ok_and(|read| read == 0));
    assert!(!tree.is_writable(node));
    let place = tree.find(IN, "x.csv").unwrap();
    assert_eq!(tree.remove(&place, false), Err(Errno::ReadOnly));
    let fresh = tree.find(IN, "new").unwrap();
    assert!(matches!(tree.create(&fresh, false), Err(Fault::Errno(Errno::ReadOnly))));
    let out = tree.find(OUT, "stolen").unwrap();
    assert_eq!(tree.rename(&place, &out), Err(Errno::ReadOnly));
}

#[test]
fn an_input_that_shrank_is_the_hosts_fault() {
    let (folder, mut tree) = with_inputs(&["x"]);
    std::fs::write(folder.path().join("0"), b"").unwrap();
    let node = tree.find(IN, "x").unwrap().node.unwrap();
    assert!(matches!(tree.read_at(node, 0, &mut [0; 4]), Err(Fault::Stop(Stop::Host(_)))));
}

#[test]
fn mounts_must_be_free_plain_paths_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, b"").unwrap();
    let tree = |mounts: &[(&str, &PathBuf)]| {
        let mounts: Vec<_> = mounts.iter().map(|(mount, path)| (mount.to_string(), (*path).clone())).collect();
        Tree::new(&mounts, 0, 0)
    };
    assert!(tree(&[("a", &file), ("b/a", &file)]).is_ok());
    for mount in ["", "..", "a/../b", "/a", "a/", "a\0"] {
        assert!(matches!(tree(&[(mount, &file)]), Err(ExecutorError::Setup(_))), "{mount:?}");
    }
    assert!(matches!(tree(&[("a", &file), ("a", &file)]), Err(ExecutorError::Setup(_))));
    assert!(matches!(tree(&[("a", &file), ("a/b", &file)]), Err(ExecutorError::Setup(_))));
    assert!(matches!(tree(&[("a", &folder.path().to_path_buf())]), Err(ExecutorError::Setup(_))));
    assert!(matches!(tree(&[("a", &folder.path().join("none"))]), Err(ExecutorError::File { .. })));
}

#[test]
fn outputs_are_bounded_in_bytes() {
    let mut tree = empty();
    let a = create(&mut tree, "a", false).unwrap();
    let b = create(&mut tree, "b", false).unwrap();
    assert_eq!(write(&mut tree, a, Some(0), &[1; 60]), Ok(60));
    assert_eq!(write(&mut tree, b, Some(30), &[2; 10]), Ok(40), "gaps count too");
    assert_eq!(write(&mut tree, a, None, &[3]), Err("guest is over its output limit".into()));
    assert_eq!(write(&mut tree, a, Some(10), &[3]), Ok(11), "overwriting is free");
    assert_eq!(write(&mut tree, a, Some(u64::MAX), &[3]), Err("TooBig".into()));
    assert_eq!(write(&mut tree, a, Some(u64::MAX - 1), &[3]), Err("guest is over its output limit".into()));
    let place = tree.find(OUT, "b").unwrap();
    tree.remove(&place, false).unwrap();
    assert_eq!(write(&mut tree, a, None, &[3; 40]), Ok(100), "what is removed makes room");
}

#[test]
fn outputs_are_bounded_in_number() {
    let mut tree = empty();
    for name in ["a", "b", "c", "d"] {
        create(&mut tree, name, name == "b").unwrap();
    }
    let place = tree.find(OUT, "e").unwrap();
    assert!(matches!(tree.create(&place, false), Err(Fault::Stop(Stop::Output))));
    let d = tree.find(OUT, "d").unwrap();
    tree.remove(&d, false).unwrap();
    assert!(create(&mut tree, "e", false).is_ok());
}

#[test]
fn folders_are_bounded_in_depth() {
    let mut tree = Tree::new(&[], 0, 1000).unwrap();
    let mut path = String::new();
    let deepest = loop {
        path += "d/";
        if let Err(errno) = create(&mut tree, &path, true) {
            break errno;
        }
    };
    assert_eq!(deepest, Errno::NameTooLong);
    assert_eq!(path.len() / 2, DEPTH_MAX);
    create(&mut tree, "e", true).unwrap();
    assert_eq!(rename(&mut tree, "d", "e/d"), Err(Errno::NameTooLong));
}

#[test]
fn listings_are_in_order_of_appearance_and_survive_removal() {
    let mut tree = Tree::new(&[], 0, 100).unwrap();
    for name in ["z", "a", "m"] {
        create(&mut tree, name, false).unwrap();
    }
    assert_eq!(names(&tree, OUT), [".", "..", "z", "a", "m"]);
    let first = tree.list(OUT, 2).unwrap().remove(0);
    let place = tree.find(OUT, &first.name).unwrap();
    tree.remove(&place, false).unwrap();
    let rest: Vec<String> = tree.list(OUT, first.next).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(rest, ["a", "m"]);
}

#[test]
fn a_removed_file_lives_until_its_last_holder_lets_go() {
    let mut tree = empty();
    let node = create(&mut tree, "a", false).unwrap();
    tree.hold(node);
    write(&mut tree, node, Some(0), &[1; 100]).unwrap();
    let place = tree.find(OUT, "a").unwrap();
    tree.remove(&place, false).unwrap();
    assert_eq!(tree.stat(node).1, 100);
    let other = create(&mut tree, "b", false).unwrap();
    assert!(write(&mut tree, other, Some(0), &[1]).is_err(), "its bytes still count");
    tree.let_go(node);
    assert_eq!(write(&mut tree, other, Some(0), &[1]), Ok(1));
}

#[test]
fn a_removed_folder_that_is_held_is_on_its_own() {
    let mut tree = empty();
    create(&mut tree, "a", true).unwrap();
    let inner = create(&mut tree, "a/b", true).unwrap();
    tree.hold(inner);
    for path in ["a/b", "a"] {
        let place = tree.find(OUT, path).unwrap();
        tree.remove(&place, true).unwrap();
    }
    assert_eq!(names(&tree, inner), [".", ".."]);
    let place = tree.find(inner, "x").unwrap();
    assert!(matches!(tree.create(&place, false), Err(Fault::Errno(Errno::NoEntry))));
    tree.let_go(inner);
}

#[test]
fn renaming_replaces_only_its_own_kind() {
    let mut tree = Tree::new(&[], 100, 100).unwrap();
    for (path, folder) in [("f", false), ("g", false), ("d", true), ("d/x", false), ("e", true)] {
        create(&mut tree, path, folder).unwrap();
    }
    assert_eq!(rename(&mut tree, "f", "d"), Err(Errno::IsFolder));
    assert_eq!(rename(&mut tree, "e", "f"), Err(Errno::NotFolder));
    assert_eq!(rename(&mut tree, "e", "d"), Err(Errno::NotEmpty));
    assert_eq!(rename(&mut tree, "d", "d/y"), Err(Errno::Invalid), "not into itself");
    assert_eq!(rename(&mut tree, "none", "y"), Err(Errno::NoEntry));
    assert_eq!(rename(&mut tree, "f", "f"), Ok(()));
    assert_eq!(rename(&mut tree, "f", "g"), Ok(()));
    assert_eq!(rename(&mut tree, "d", "e"), Ok(()));
    let paths: Vec<String> = tree.outputs().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["e/x", "g"]);
}

#[test]
fn removal_asks_for_the_right_kind() {
    let mut tree = empty();
    create(&mut tree, "f", false).unwrap();
    create(&mut tree, "d", true).unwrap();
    create(&mut tree, "d/x", false).unwrap();
    let remove = |tree: &mut Tree, path: &str, folder| {
        let place = tree.find(OUT, path).unwrap();
        tree.remove(&place, folder)
    };
    assert_eq!(remove(&mut tree, "f", true), Err(Errno::NotFolder));
    assert_eq!(remove(&mut tree, "f/", false), Err(Errno::NotFolder));
    assert_eq!(remove(&mut tree, "d", false), Err(Errno::IsFolder));
    assert_eq!(remove(&mut tree, "d", true), Err(Errno::NotEmpty));
    assert_eq!(remove(&mut tree, ".", true), Err(Errno::NotEmpty));
    assert_eq!(remove(&mut tree, "d/x", false), Ok(()));
    assert_eq!(remove(&mut tree, "d", true), Ok(()));
    assert_eq!(remove(&mut tree, "none", false), Err(Errno::NoEntry));
}

#[derive(Clone, Debug)]
enum Step {
    Create(String, bool),
    Remove(String, bool),
    Rename(String, String),
    Write(String, u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || "[ab]{1,2}(/[ab]){0,2}/?|\\.|a/\\.\\./b";
    prop_oneof![
        (path(), any::<bool>()).prop_map(|(path, folder)| Step::Create(path, folder)),
        (path(), any::<bool>()).prop_map(|(path, folder)| Step::Remove(path, folder)),
        (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        (path(), 0u64..80, 0usize..40).prop_map(|(path, offset, len)| Step::Write(path, offset, len)),
    ]
}

proptest! {
    #[test]
    fn whatever_a_guest_does_the_limits_hold(steps in proptest::collection::vec(step(), 0..60)) {
        let mut tree = Tree::new(&[], 100, 6).unwrap();
        for step in steps {
            match step {
                Step::Create(path, folder) => {
                    if let Ok(place) = tree.find(OUT, &path) {
                        let _ = tree.create(&place, folder);
                    }
                }
                Step::Remove(path, folder) => {
                    if let Ok(place) = tree.find(OUT, &path) {
                        let _ = tree.remove(&place, folder);
                    }
                }
                Step::Rename(from, to) => {
                    let _ = rename(&mut tree, &from, &to);
                }
                Step::Write(path, offset, len) => {
                    if let Ok(Place { node: Some(node), .. }) = tree.find(OUT, &path) {
                        let _ = tree.write_at(node, Some(offset), &vec![1; len]);
                    }
                }
            }
            let files = tree.outputs();
            let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
            prop_assert_eq!(bytes as u64, tree.output_bytes);
            prop_assert!(bytes <= 100);
            prop_assert!(files.iter().all(|(path, _)| path.split('/').all(|part| plain(part).is_ok())));
            prop_assert_eq!(tree.outputs as usize, tree.nodes.len() - 2);
            prop_assert!(tree.outputs <= 6);
        }
    }
}
