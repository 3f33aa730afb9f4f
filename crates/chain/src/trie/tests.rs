//! The oracle is a full rebuild with `alloy_trie::HashBuilder`.

use super::*;
use alloy_primitives::{Bytes, keccak256, map::HashMap};
use alloy_trie::{HashBuilder, proof::verify_proof};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Nodes in memory, as the store keeps them.
#[derive(Default)]
pub(super) struct Memory(pub(super) HashMap<Nibbles, Vec<u8>>);

impl NodeSource for &Memory {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.0.get(path).cloned())
    }
}

pub(super) type Update = (B256, Option<Vec<u8>>);

/// A trie with the full set of its values beside it.
pub(super) struct Checked {
    pub(super) memory: Memory,
    pub(super) root: B256,
    pub(super) values: BTreeMap<B256, Vec<u8>>,
}

impl Checked {
    pub(super) fn new() -> Self {
        Self { memory: Memory::default(), root: EMPTY_ROOT_HASH, values: BTreeMap::new() }
    }

    pub(super) fn apply(&mut self, updates: &[Update]) {
        let mut trie = Trie::open(&self.memory, self.root);
        trie.update(updates.to_vec()).unwrap();
        for (key, value) in updates {
            match value {
                Some(value) => self.values.insert(*key, value.clone()),
                None => self.values.remove(key),
            };
        }
        let changes = trie.commit();
        self.root = changes.root;
        for (path, node) in changes.nodes {
            match node {
                Some(node) => self.memory.0.insert(path, node),
                None => self.memory.0.remove(&path),
            };
        }
    }

    pub(super) fn oracle(&self) -> B256 {
        let mut builder = HashBuilder::default();
        for (key, value) in &self.values {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        builder.root()
    }

    /// A trie built at once must have the same root and leave the same nodes.
    pub(super) fn check(&self) {
        assert_eq!(self.root, self.oracle());
        let mut fresh = Self::new();
        fresh.apply(&self.values.iter().map(|(key, value)| (*key, Some(value.clone()))).collect::<Vec<_>>());
        assert_eq!(fresh.root, self.root);
        assert_eq!(fresh.memory.0, self.memory.0, "stored nodes depend on the history");
    }

    pub(super) fn check_proof(&self, key: &B256) {
        let proof: Vec<Bytes> = prove(&&self.memory, self.root, key).unwrap();
        verify_proof(self.root, Nibbles::unpack(key), self.values.get(key).cloned(), &proof).unwrap();
    }
}

/// Keys that share long prefixes and end alike, so that extensions, deep branches and embedded nodes appear.
fn close_key() -> impl Strategy<Value = B256> {
    let byte = || prop::sample::select(vec![0u8, 1, 0x10, 0x11]);
    (byte(), byte(), byte(), byte()).prop_map(|(a, b, c, d)| {
        let mut key = B256::ZERO;
        (key[0], key[15], key[30], key[31]) = (a, b, c, d);
        key
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    // RLP strings: one byte, and longer than a hash.
    prop_oneof![
        (1u8..0x80).prop_map(|byte| vec![byte]),
        (1u8..0x80).prop_map(|byte| alloy_rlp::encode([byte; 40].as_slice()))
    ]
}

fn updates(key: impl Strategy<Value = B256>) -> impl Strategy<Value = Vec<Vec<Update>>> {
    let update = (key, prop::option::weighted(0.6, value()));
    prop::collection::vec(prop::collection::vec(update, 0..40), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn updates_give_the_root_of_a_rebuild_for_close_keys(batches in updates(close_key())) {
        let mut trie = Checked::new();
        for batch in batches {
            trie.apply(&batch);
            trie.check();
        }
    }

    #[test]
    fn updates_give_the_root_of_a_rebuild_for_hashed_keys(batches in updates((0u8..64).prop_map(|key| keccak256([key])))) {
        let mut trie = Checked::new();
        for batch in batches {
            trie.apply(&batch);
            trie.check();
        }
    }

    #[test]
    fn presence_and_absence_can_be_proven(batches in updates(close_key()), absent in close_key()) {
        let mut trie = Checked::new();
        batches.iter().for_each(|batch| trie.apply(batch));
        trie.check_proof(&absent);
        trie.check_proof(&keccak256(absent));
        trie.values.keys().for_each(|key| trie.check_proof(key));
    }
}

#[test]
fn a_batch_that_is_hashed_in_parallel_gives_the_same_root() {
    let mut trie = Checked::new();
    let key = |i: u32| keccak256(i.to_be_bytes());
    trie.apply(&(0..1_000).map(|i| (key(i), Some(vec![7]))).collect::<Vec<_>>());
    trie.check();
    trie.apply(&(500..1_000).map(|i| (key(i), None)).collect::<Vec<_>>());
    trie.check();
}

#[test]
fn removing_everything_leaves_nothing() {
    let mut trie = Checked::new();
    let keys: Vec<_> = (0u8..50).map(|i| keccak256([i])).collect();
    trie.apply(&keys.iter().map(|key| (*key, Some(vec![1]))).collect::<Vec<_>>());
    trie.apply(&keys.iter().map(|key| (*key, None)).collect::<Vec<_>>());
    assert_eq!(trie.root, EMPTY_ROOT_HASH);
    assert!(trie.memory.0.is_empty());
}

#[test]
fn a_branch_with_one_child_left_merges_with_it() {
    // Two leaves below a common prefix, and a third elsewhere: taking one leaf away folds branch and extension.
    let key = |first: u8, last: u8| {
        let mut key = B256::ZERO;
        (key[0], key[31]) = (first, last);
        key
    };
    let mut trie = Checked::new();
    let put = |key| (key, Some(vec![1]));
    trie.apply(&[put(key(1, 0)), put(key(1, 1)), put(key(2, 0))]);
    trie.check();
    trie.apply(&[(key(1, 1), None)]);
    trie.check();
    trie.apply(&[(key(2, 0), None)]);
    trie.check();
    assert_eq!(trie.memory.0.len(), 1, "one leaf at the root");
}

#[test]
fn an_update_that_changes_nothing_keeps_the_root() {
    let mut trie = Checked::new();
    trie.apply(&[(keccak256([1]), Some(vec![1])), (keccak256([2]), Some(vec![2]))]);
    let root = trie.root;
    trie.apply(&[(keccak256([3]), None), (keccak256([1]), Some(vec![1]))]);
    assert_eq!(trie.root, root);
    trie.apply(&[]);
    assert_eq!(trie.root, root);
    trie.check();
}

#[test]
fn a_missing_node_is_an_error_that_names_its_path() {
    let mut trie = Checked::new();
    trie.apply(&(0u8..50).map(|i| (keccak256([i]), Some(vec![i; 40]))).collect::<Vec<_>>());
    let (path, key) = trie.values.keys().map(|key| (Nibbles::unpack(key).slice(..1), *key)).next().unwrap();
    trie.memory.0.remove(&path).unwrap();
    let mut damaged = Trie::open(&trie.memory, trie.root);
    let error = damaged.insert(&key, vec![1]).unwrap_err();
    assert!(matches!(&error, ChainError::MissingNode { path, .. } if path.len() == 1), "{error}");
    assert!(matches!(prove(&&trie.memory, trie.root, &key), Err(ChainError::MissingNode { .. })));
}

#[test]
fn a_damaged_node_is_an_error_not_a_panic() {
    for garbage in [vec![], vec![0x80], vec![0xc0], vec![0xff; 8], vec![0xc2, 0x80, 0x80]] {
        assert!(matches!(Node::decode(&garbage), Err(ChainError::Decode { what: "trie node", .. })), "{garbage:?}");
    }
}

/// `ethereum/tests` TrieTests. Files named `secure` hash their keys, as the state does. In the others keys are taken as
/// they are; where one is a prefix of another the case is skipped: a branch of this trie never holds a value, because
/// the keys of a state trie have one length.
#[test]
fn published_trie_vectors_give_their_roots() {
    let folder = crate::test_support::testdata().join("ethereum/TrieTests");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is absent", folder.display());
        return;
    };
    let (mut passed, mut skipped) = (0, 0);
    for file in files.map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().to_lowercase();
        let cases: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for (case, content) in &cases {
            let Some(root) = content["root"].as_str() else {
                println!("skipped {name} {case}: it is about iteration and names no root");
                skipped += 1;
                continue;
            };
            let (updates, root) = (raw_updates(&content["in"]), root.parse().unwrap());
            if name.contains("secure") {
                check_hashed(&format!("{name} {case}"), &updates, root);
            } else if updates.iter().any(|(key, _)| updates.iter().any(|(other, _)| is_prefix(key, other))) {
                println!("skipped {name} {case}: one of its keys is a prefix of another");
                skipped += 1;
                continue;
            } else {
                check_plain(&format!("{name} {case}"), &updates, root);
            }
            passed += 1;
        }
    }
    println!("{passed} passed, {skipped} skipped");
    assert!(passed > 0);
}

type RawUpdate = (Vec<u8>, Option<Vec<u8>>);

fn raw_updates(pairs: &serde_json::Value) -> Vec<RawUpdate> {
    let update = |key: &str, value: &serde_json::Value| (bytes(key), value.as_str().map(bytes));
    match pairs {
        serde_json::Value::Array(pairs) => {
            pairs.iter().map(|pair| update(pair[0].as_str().unwrap(), &pair[1])).collect()
        }
        pairs => pairs.as_object().unwrap().iter().map(|(key, value)| update(key, value)).collect(),
    }
}

fn is_prefix(key: &[u8], other: &[u8]) -> bool {
    key.len() < other.len() && other.starts_with(key)
}

fn check_hashed(name: &str, updates: &[RawUpdate], root: B256) {
    let updates: Vec<Update> = updates.iter().map(|(key, value)| (keccak256(key), value.clone())).collect();
    let mut at_once = Checked::new();
    at_once.apply(&updates);
    assert_eq!(at_once.root, root, "{name} at once");
    let mut one_by_one = Checked::new();
    updates.iter().for_each(|update| one_by_one.apply(std::slice::from_ref(update)));
    assert_eq!(one_by_one.root, root, "{name} one by one");
    at_once.check();
    one_by_one.check();
}

fn check_plain(name: &str, updates: &[RawUpdate], root: B256) {
    let memory = Memory::default();
    let mut trie = Trie::open(&memory, EMPTY_ROOT_HASH);
    for (key, value) in updates {
        let (key, link) = (Nibbles::unpack(key), std::mem::take(&mut trie.root));
        trie.root = match value {
            Some(value) => trie.insert_at(link, Nibbles::new(), key, value.clone()).unwrap(),
            None => trie.remove_at(link, Nibbles::new(), key).unwrap(),
        };
    }
    assert_eq!(trie.commit().root, root, "{name}");
}

/// Hex where marked as such, else text.
fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap(),
        None => text.as_bytes().to_vec(),
    }
}

/// A key made from a number, spread over the trie.
fn spread(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

#[test]
fn what_is_updated_in_parallel_is_the_same_trie() {
    let many = 4 * PARALLEL_UPDATES_MIN as u64;
    let mut checked = Checked::new();
    checked.apply(&(0..many).map(|key| (spread(key), Some(vec![1; 40]))).collect::<Vec<_>>());
    checked.check();
    // Half of it changes, a quarter goes, and one key is written twice: the last value stands.
    let mut updates: Vec<Update> = (0..many / 2).map(|key| (spread(key), Some(vec![2; 40]))).collect();
    updates.extend((many / 2..3 * many / 4).map(|key| (spread(key), None)));
    updates.push((spread(0), Some(vec![3; 40])));
    checked.apply(&updates);
    checked.check();
    assert_eq!(checked.values[&spread(0)], vec![3; 40]);
}

#[test]
fn a_trie_emptied_in_parallel_or_left_with_one_key_is_as_if_built_so() {
    let many = 2 * PARALLEL_UPDATES_MIN as u64;
    for left in [0, 1, 2] {
        let mut checked = Checked::new();
        checked.apply(&(0..many).map(|key| (spread(key), Some(vec![1; 40]))).collect::<Vec<_>>());
        checked.apply(&(left..many).map(|key| (spread(key), None)).collect::<Vec<_>>());
        checked.check();
        assert_eq!(checked.values.len() as u64, left);
    }
}
