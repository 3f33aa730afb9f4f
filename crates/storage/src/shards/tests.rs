//! What was acknowledged stays, what is damaged is found, and nothing grows beyond its limits.

use super::*;
use crate::manifest::{BlockRecord, Segment};
use crate::testing::content;
use protocol::content::raw_cid;

const PLENTY: u64 = 1 << 30;

fn shard(seed: &str, bytes: usize) -> (B256, Vec<u8>) {
    let bytes = content(seed, bytes);
    (sha256(&bytes), bytes)
}

fn manifest(root: &str) -> Manifest {
    let blocks = ["leaf", root].map(|t| BlockRecord { cid: raw_cid(t.as_bytes()), bytes: 4 });
    let segment = Segment { blocks: blocks.to_vec(), shards: vec![B256::ZERO; 2] };
    Manifest { root: raw_cid(root.as_bytes()), k: 1, n: 2, segments: vec![segment] }
}

#[test]
fn shards_come_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (id, bytes) = shard("a", 5000);
    let manifest = manifest("root");
    let usage = {
        let store = ShardStore::open(dir.path(), PLENTY).unwrap();
        assert!(!store.has(&id).unwrap());
        store.put(&id, &bytes).unwrap();
        store.put_manifest(&manifest.root, &manifest.encode()).unwrap();
        store.usage()
    };
    let used_bytes = 5000 + manifest.encode().len() as u64;
    assert_eq!(usage, Usage { used_bytes, capacity_bytes: PLENTY, shards: 1, damaged: 0 });
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    assert_eq!(store.usage(), usage);
    assert_eq!(store.get(&id).unwrap().unwrap(), bytes);
    assert_eq!(store.list(), [id]);
    assert_eq!(store.manifests(&manifest.root).unwrap(), [manifest.encode()]);
}

#[test]
fn a_shard_is_kept_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    let (id, bytes) = shard("a", 100);
    store.put(&id, &bytes).unwrap();
    store.put(&id, &bytes).unwrap();
    assert_eq!((store.usage().used_bytes, store.usage().shards), (100, 1));
    assert!(store.delete(&id).unwrap());
    assert!(!store.delete(&id).unwrap());
    assert_eq!((store.usage().used_bytes, store.usage().shards), (0, 0));
}

#[test]
fn the_same_shard_from_many_writers_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    let (id, bytes) = shard("many", 10_000);
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| store.put(&id, &bytes).unwrap()))));
    assert_eq!((store.usage().used_bytes, store.usage().shards), (10_000, 1));
    assert_eq!(store.accounts.lock().reserved, 0);
}

#[test]
fn bytes_under_a_foreign_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    let (id, _) = shard("a", 10);
    assert!(matches!(store.put(&id, b"else"), Err(StoreError::Mismatch { bytes: 4, .. })));
    let large = vec![0; SHARD_BYTES_MAX + 1];
    assert!(matches!(store.put(&sha256(&large), &large), Err(StoreError::TooLarge { .. })));
    assert_eq!(store.usage().shards, 0);
}

#[test]
fn capacity_is_kept_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let store = ShardStore::open(dir.path(), 1000).unwrap();
    let (a, a_bytes) = shard("a", 600);
    let (b, b_bytes) = shard("b", 401);
    let (c, c_bytes) = shard("c", 400);
    store.put(&a, &a_bytes).unwrap();
    let error = store.put(&b, &b_bytes).unwrap_err();
    assert_eq!(error.to_string(), "401 bytes do not fit: 600 of 1000 bytes are used");
    store.put(&c, &c_bytes).unwrap();
    store.put(&a, &a_bytes).expect("a shard that is there needs no room");
    assert!(store.put_manifest(&manifest("root").root, &manifest("root").encode()).is_err());
    store.delete(&a).unwrap();
    store.put(&b, &b_bytes).unwrap();
}

fn path_of(dir: &Path, id: &B256) -> PathBuf {
    let name = format!("{id:x}");
    dir.join("shards").join(&name[..2]).join(name)
}

#[test]
fn a_damaged_shard_is_missing_until_it_is_put_again() {
    type Damage = fn(&Path, Vec<u8>) -> io::Result<()>;
    let damages: [(&str, Damage); 5] = [
        ("flipped bit", |path, mut bytes| {
            bytes[99] ^= 4;
            fs::write(path, bytes)
        }),
        ("truncated", |path, bytes| fs::write(path, &bytes[..50])),
        ("emptied", |path, _| fs::write(path, [])),
        ("grown", |path, bytes| fs::write(path, [bytes, vec![0]].concat())),
        ("vanished", |path, _| fs::remove_file(path)),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let store = ShardStore::open(dir.path(), PLENTY).unwrap();
        let (id, bytes) = shard("a", 100);
        store.put(&id, &bytes).unwrap();
        damage(&path_of(dir.path(), &id), bytes.clone()).unwrap();
        assert_eq!(store.get(&id).unwrap(), None, "{name}");
        assert_eq!(store.usage().damaged, 1, "{name}");
        let aside = dir.path().join("quarantine").join(format!("{id:x}")).exists();
        assert_eq!(aside, name != "vanished", "{name}");
        store.put(&id, &bytes).unwrap();
        assert_eq!(store.get(&id).unwrap().unwrap(), bytes, "{name}");
        assert_eq!(store.usage().shards, 1, "{name}");
    }
}

#[test]
fn a_scrub_finds_exactly_the_damaged_shards() {
    let dir = tempfile::tempdir().unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    let shards: Vec<_> = (0..40).map(|i| shard(&format!("scrub {i}"), 64)).collect();
    shards.iter().for_each(|(id, bytes)| store.put(id, bytes).unwrap());
    let mut damaged: Vec<B256> = shards.iter().step_by(2).map(|(id, _)| *id).collect();
    damaged.iter().for_each(|id| fs::write(path_of(dir.path(), id), b"rot").unwrap());
    damaged.sort();
    assert_eq!(store.scrub().unwrap(), ScrubReport { checked: 40, damaged });
    assert_eq!(store.scrub().unwrap(), ScrubReport { checked: 20, damaged: vec![] });
    assert_eq!((store.usage().shards, store.usage().used_bytes), (20, 20 * 64));
    let kept = fs::read_dir(dir.path().join("quarantine")).unwrap().count();
    assert_eq!(kept, QUARANTINE_FILES_MAX, "older damaged shards are not kept for ever");
}

#[test]
fn a_write_that_was_cut_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(ShardStore::open(dir.path(), PLENTY).unwrap());
    fs::write(dir.path().join("incoming/17"), b"half a sha").unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    assert_eq!(store.usage().used_bytes, 0);
    assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (id, bytes) = shard("a", 10);
    ShardStore::open(dir.path(), PLENTY).unwrap().put(&id, &bytes).unwrap();
    fs::write(dir.path().join("shards/README"), b"hello").unwrap();
    let neighbour = path_of(dir.path(), &id).with_file_name("notes.txt");
    fs::write(&neighbour, b"hello").unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    assert_eq!(store.list(), [id]);
    assert_eq!(store.scrub().unwrap().checked, 1);
    assert!(neighbour.exists());
}

#[test]
fn two_stores_cannot_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = ShardStore::open(dir.path(), PLENTY).unwrap();
    let error = ShardStore::open(dir.path(), PLENTY).err().unwrap();
    assert_eq!(error.to_string(), format!("{} is in use by another process", dir.path().display()));
    drop(first);
    assert!(ShardStore::open(dir.path(), PLENTY).is_ok());
}

#[test]
fn manifests_are_checked_and_found_by_any_block() {
    let dir = tempfile::tempdir().unwrap();
    let store = ShardStore::open(dir.path(), PLENTY).unwrap();
    let (one, two) = (manifest("one"), manifest("two"));
    store.put_manifest(&one.root, &one.encode()).unwrap();
    store.put_manifest(&two.root, &two.encode()).unwrap();
    store.put_manifest(&two.root, &two.encode()).unwrap();
    assert_eq!(store.manifests(&one.root).unwrap(), [one.encode()]);
    assert_eq!(store.manifests(&raw_cid(b"leaf")).unwrap().len(), 2);
    assert!(store.manifests(&raw_cid(b"none")).unwrap().is_empty());
    assert_eq!(store.usage().used_bytes, (one.encode().len() + two.encode().len()) as u64);
    assert!(matches!(store.put_manifest(&one.root, b"junk"), Err(StoreError::Manifest(_))));
    assert!(matches!(store.put_manifest(&one.root, &two.encode()), Err(StoreError::OtherRoot { .. })));
}

/// Set for the process that is killed: the directory it writes to.
const VICTIM_DIR: &str = "KUMO_STORAGE_TEST_VICTIM_DIR";

#[test]
fn acknowledged_shards_survive_a_kill() {
    if let Some(dir) = std::env::var_os(VICTIM_DIR) {
        return write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        acknowledged.extend(kill_after(dir.path(), round * 5));
        let store = ShardStore::open(dir.path(), PLENTY).unwrap();
        for id in &acknowledged {
            assert!(store.has(id).unwrap(), "{id} was acknowledged before kill {round}");
        }
        assert!(store.scrub().unwrap().damaged.is_empty());
        assert_eq!(store.manifests(&raw_cid(b"leaf")).unwrap().len(), 1);
        assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }
}

/// Runs this test again in another process, kills that one after `lines` acknowledgements, and returns them.
fn kill_after(dir: &Path, lines: usize) -> Vec<B256> {
    use std::io::BufRead;
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "shards::tests::acknowledged_shards_survive_a_kill"])
        .env(VICTIM_DIR, dir)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let out = io::BufReader::new(victim.stdout.take().unwrap());
    let ids = out.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("kept ")?.parse().ok()).take(lines);
    let ids: Vec<B256> = ids.collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(ids.len(), lines);
    ids
}

fn write_until_killed(dir: &Path) {
    let store = ShardStore::open(dir, PLENTY).unwrap();
    store.put_manifest(&manifest("root").root, &manifest("root").encode()).unwrap();
    for i in 0..100_000 {
        let (id, bytes) = shard(&format!("{} {i}", std::process::id()), 20_000);
        store.put(&id, &bytes).unwrap();
        println!("kept {id}");
    }
}
