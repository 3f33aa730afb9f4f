//! Files of every size become the DAGs that other implementations build, and come back whole.

use super::*;
use crate::block::Block;
use crate::testing::{KeyStream, Memory, content, import, testdata};
use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;
use protocol::content::{DAG_PB, cid_of_digest, raw_cid, sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

const MIB: usize = 1024 * 1024;

/// One line of the table of CID profiles.
struct Vector {
    profile: Profile,
    bytes: u64,
    seed: String,
    cid: Cid,
}

fn vectors(table: &str) -> Vec<Vector> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let [profile, bytes, seed, cid] = line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
            let profile = Profile::named(profile).unwrap_or_else(|| panic!("unknown profile {profile}"));
            Vector { profile, bytes: bytes.parse().unwrap(), seed: seed.into(), cid: cid.parse().unwrap() }
        })
        .collect()
}

/// Imports `sizes` prefixes of one key stream in one pass; only the importers are in memory.
fn roots(profile: Profile, seed: &str, sizes: &[u64]) -> Vec<Cid> {
    let mut stream = KeyStream::new(seed);
    let mut importers: Vec<_> = sizes.iter().map(|size| (Importer::new(profile), *size)).collect();
    let mut at = 0;
    while at < *sizes.iter().max().unwrap() {
        let bytes = if seed == "-" { b"hello world".to_vec() } else { stream.take(MIB) };
        for (importer, size) in &mut importers {
            let take = size.saturating_sub(at).min(bytes.len() as u64) as usize;
            importer.push(&bytes[..take], &mut |_| {});
        }
        at += bytes.len() as u64;
    }
    importers.into_iter().map(|(importer, _)| importer.finish(&mut |_| {}).root).collect()
}

#[test]
fn cids_are_those_of_the_published_profiles() {
    let Some(path) = testdata("ipfs/cid-profiles.tsv") else { return };
    let table = std::fs::read_to_string(path).unwrap();
    let mut groups: BTreeMap<(String, String), Vec<Vector>> = BTreeMap::new();
    for vector in vectors(&table) {
        groups.entry((format!("{:?}", vector.profile), vector.seed.clone())).or_default().push(vector);
    }
    let mut passed = 0;
    for group in groups.values() {
        let sizes: Vec<u64> = group.iter().map(|v| v.bytes).collect();
        for (vector, root) in group.iter().zip(roots(group[0].profile, &group[0].seed, &sizes)) {
            assert_eq!(root, vector.cid, "{} bytes of {}", vector.bytes, vector.seed);
            passed += 1;
        }
    }
    println!("{passed} profile vectors passed");
    assert!(passed > 0, "the table has vectors");
}

#[test]
fn an_empty_file_is_one_empty_raw_block() {
    let (imported, blocks) = import(b"");
    assert_eq!(imported.root.to_string(), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    assert_eq!((imported.file_bytes, imported.dag_bytes, blocks.len()), (0, 0, 1));
}

#[test]
fn the_cut_of_the_input_does_not_matter() {
    let bytes = content("cut", 3 * MIB + 17);
    let whole = import(&bytes).0;
    for step in [1000, MIB - 1, MIB, MIB + 1, 2 * MIB] {
        let mut importer = Importer::default();
        bytes.chunks(step).for_each(|part| importer.push(part, &mut |_| {}));
        assert_eq!(importer.finish(&mut |_| {}), whole, "step {step}");
    }
}

#[test]
fn the_sink_gets_children_before_their_parents_and_the_root_last() {
    let (imported, blocks) = import(&content("order", 3 * MIB));
    assert_eq!(blocks.last().unwrap().cid, imported.root);
    assert_eq!(imported.blocks, 4);
    assert_eq!(imported.dag_bytes, blocks.iter().map(|b| b.bytes.len() as u64).sum::<u64>());
}

#[test]
fn memory_is_bounded_by_the_links_of_one_path() {
    let profile = Profile::V1_2025;
    let mut importer = Importer::new(profile);
    let mut blocks = 0;
    let chunk = vec![7; MIB];
    for _ in 0..1500 {
        importer.push(&chunk, &mut |_| blocks += 1);
    }
    // 1499 leaves are sealed, 1024 of them already below a node that is sealed too.
    assert_eq!(blocks, 1500);
}

fn source(blocks: &[Block]) -> Arc<Memory> {
    let mut memory = Memory::default();
    blocks.iter().cloned().for_each(|block| memory.insert(block));
    Arc::new(memory)
}

async fn collect(stream: ByteStream) -> Result<Vec<u8>, ReadError> {
    stream
        .try_fold(Vec::new(), |mut out, part| async move {
            out.extend(part);
            Ok(out)
        })
        .await
}

#[tokio::test]
async fn every_size_round_trips() {
    for size in [0, 1, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 20 * MIB] {
        let bytes = content("round trip", size);
        let (imported, blocks) = import(&bytes);
        let file = read(source(&blocks), imported.root, None).await.unwrap();
        assert_eq!(file.size, size as u64);
        assert!(collect(file.stream).await.unwrap() == bytes, "{size} bytes");
    }
}

#[tokio::test]
async fn ranges_give_exactly_the_bytes_asked_for() {
    let bytes = content("range", 5 * MIB + 123);
    let (imported, blocks) = import(&bytes);
    let size = bytes.len() as u64;
    let mib = MIB as u64;
    for range in [0..0, 0..1, 5..mib, mib - 1..mib + 1, mib..2 * mib, 3..size, size - 1..size, size..size, 0..u64::MAX]
    {
        let file = read(source(&blocks), imported.root, Some(range.clone())).await.unwrap();
        let expected = &bytes[range.start as usize..range.end.min(size) as usize];
        assert_eq!(file.range, range.start..range.end.min(size));
        assert!(collect(file.stream).await.unwrap() == expected, "{range:?}");
    }
}

#[tokio::test]
async fn a_range_asks_only_for_the_blocks_it_needs() {
    let (imported, blocks) = import(&content("few blocks", 6 * MIB));
    let needed = [blocks[2].clone(), blocks[6].clone()];
    let mib = MIB as u64;
    let file = read(source(&needed), imported.root, Some(2 * mib..3 * mib)).await.unwrap();
    assert_eq!(collect(file.stream).await.unwrap(), blocks[2].bytes);
}

#[tokio::test]
async fn a_missing_block_ends_the_stream_with_its_cid() {
    let (imported, mut blocks) = import(&content("missing", 3 * MIB));
    let lost = blocks.remove(1).cid;
    let mut stream = read(source(&blocks), imported.root, None).await.unwrap().stream;
    assert!(stream.next().await.unwrap().is_ok());
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), format!("{lost} is not stored here"));
}

#[tokio::test]
async fn a_changed_block_is_never_handed_out() {
    let (imported, mut blocks) = import(&content("changed", 3 * MIB));
    let mut memory = (*source(&blocks)).clone();
    let changed = blocks.remove(1);
    let mut bytes = changed.bytes.to_vec();
    bytes[77] ^= 1;
    memory.insert(Block { cid: changed.cid, bytes: bytes.into() });
    let error = collect(read(Arc::new(memory), imported.root, None).await.unwrap().stream).await.unwrap_err();
    assert!(matches!(error, ReadError::Block(crate::BlockError::Mismatch { .. })), "{error}");
}

fn node(kind: Kind, data: &[u8], claimed: Option<u64>, children: &[(Cid, u64)]) -> Block {
    let block_sizes = children.iter().map(|(_, size)| *size).collect();
    let message = UnixFs { kind, data: Bytes::copy_from_slice(data), file_size: claimed, block_sizes };
    let links = children.iter().map(|(cid, size)| DagLink { cid: *cid, name: None, size: Some(*size) }).collect();
    let bytes = Bytes::from(DagNode { links, data: Some(message.encode().into()) }.encode());
    Block { cid: cid_of_digest(DAG_PB, sha256(&bytes)), bytes }
}

#[tokio::test]
async fn data_in_inner_nodes_comes_before_that_of_the_children() {
    let leaf = Block { cid: raw_cid(b"world"), bytes: Bytes::from_static(b"world") };
    let root = node(Kind::File, b"hello ", None, &[(leaf.cid, 5)]);
    let memory = source(&[leaf, root.clone()]);
    let file = read(memory.clone(), root.cid, None).await.unwrap();
    assert_eq!((file.size, collect(file.stream).await.unwrap()), (11, b"hello world".to_vec()));
    let part = read(memory, root.cid, Some(4..8)).await.unwrap();
    assert_eq!(collect(part.stream).await.unwrap(), b"o wo");
}

#[tokio::test]
async fn what_is_not_a_file_is_named() {
    for kind in [Kind::Directory, Kind::Symlink, Kind::Sharded, Kind::Metadata] {
        let root = node(kind, b"", None, &[]);
        let error = read(source(std::slice::from_ref(&root)), root.cid, None).await.err().unwrap();
        assert_eq!(error.to_string(), format!("{} is a {kind:?}, not a file", root.cid));
    }
}

#[tokio::test]
async fn sizes_that_contradict_each_other_are_refused() {
    let leaf = Block { cid: raw_cid(b"world"), bytes: Bytes::from_static(b"world") };
    let wrong_leaf = node(Kind::File, b"", None, &[(leaf.cid, 4)]);
    let memory = source(&[leaf.clone(), wrong_leaf.clone()]);
    let error = collect(read(memory, wrong_leaf.cid, None).await.unwrap().stream).await.unwrap_err();
    assert!(matches!(error, ReadError::Size { found: 5, claimed: 4, .. }), "{error}");

    let wrong_total = node(Kind::File, b"", Some(6), &[(leaf.cid, 5)]);
    let error = read(source(&[leaf.clone(), wrong_total.clone()]), wrong_total.cid, None).await.err().unwrap();
    assert!(matches!(error, ReadError::Size { found: 5, claimed: 6, .. }), "{error}");

    let inner = node(Kind::File, b"", None, &[(leaf.cid, 5)]);
    let wrong_inner = node(Kind::File, b"", None, &[(inner.cid, 7)]);
    let memory = source(&[leaf, inner, wrong_inner.clone()]);
    let error = collect(read(memory, wrong_inner.cid, None).await.unwrap().stream).await.unwrap_err();
    assert!(matches!(error, ReadError::Size { found: 5, claimed: 7, .. }), "{error}");

    let beyond = node(Kind::File, b"x", None, &[(raw_cid(b""), u64::MAX)]);
    let error = read(source(std::slice::from_ref(&beyond)), beyond.cid, None).await.err().unwrap();
    assert!(matches!(error, ReadError::Node { .. }), "{error}");
}

#[tokio::test]
async fn a_tree_beyond_the_depth_limit_is_refused() {
    let mut blocks = vec![node(Kind::File, b"x", None, &[])];
    for _ in 0..DEPTH_MAX {
        blocks.push(node(Kind::File, b"", None, &[(blocks.last().unwrap().cid, 1)]));
    }
    let at_limit = blocks[DEPTH_MAX - 1].cid;
    assert_eq!(collect(read(source(&blocks), at_limit, None).await.unwrap().stream).await.unwrap(), b"x");
    let beyond = blocks[DEPTH_MAX].cid;
    let error = collect(read(source(&blocks), beyond, None).await.unwrap().stream).await.unwrap_err();
    assert!(matches!(error, ReadError::Depth { .. }), "{error}");
}

#[tokio::test]
async fn empty_parts_cost_nothing() {
    // Every level doubles the paths; a reader that followed empty parts would need 2^15 steps.
    let mut child = node(Kind::File, b"", None, &[]);
    let mut blocks = vec![child.clone()];
    for _ in 0..15 {
        child = node(Kind::File, b"", None, &[(child.cid, 0), (child.cid, 0)]);
        blocks.push(child.clone());
    }
    let only_root = source(&blocks[15..]);
    assert_eq!(collect(read(only_root, child.cid, None).await.unwrap().stream).await.unwrap(), b"");
}

#[test]
fn nodes_are_encoded_as_by_an_independent_implementation() {
    let (_, blocks) = import(&content("oracle", 3 * MIB));
    let root = blocks.last().unwrap();
    let ours = DagNode::decode(&root.bytes).unwrap();
    let theirs = ipld_dagpb::PbNode::from_bytes(root.bytes.clone()).unwrap();
    assert_eq!(ours.links.len(), theirs.links.len());
    for (a, b) in ours.links.iter().zip(&theirs.links) {
        assert_eq!((a.cid, &a.name, a.size), (b.cid, &b.name, b.size));
    }
    assert_eq!(theirs.into_bytes(), root.bytes);
    assert_eq!(ours.encode(), root.bytes);
}

#[test]
fn published_dag_pb_nodes_round_trip() {
    let Some(folder) = testdata("ipfs/codec-fixtures") else { return };
    let (mut passed, mut skipped) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|e| e.path().is_dir()) {
        for file in std::fs::read_dir(entry.path()).unwrap().flatten() {
            if file.path().extension().is_none_or(|ext| ext != "dag-pb") {
                skipped += 1;
                continue;
            }
            let bytes = Bytes::from(std::fs::read(file.path()).unwrap());
            let node = DagNode::decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.path().display()));
            assert_eq!(node.encode(), bytes, "{}", file.path().display());
            passed += 1;
        }
    }
    println!("{passed} dag-pb fixtures passed, {skipped} of other codecs skipped");
}

#[test]
fn broken_nodes_are_refused_by_reason() {
    let link = b"\x12\x02\x0a\x00";
    let cases: [(&[u8], NodeError); 6] = [
        (b"\x0a\x01", NodeError::DagPb("broken field")),
        (b"\x0a\x00\x0a\x00", NodeError::DagPb("data twice")),
        (b"\x1a\x00", NodeError::DagPb("unknown field")),
        (link, NodeError::DagPb("link with a broken CID")),
        (b"\x12\x00", NodeError::DagPb("link without a CID")),
        (b"\x12\x02\x20\x01", NodeError::DagPb("unknown or repeated field in a link")),
    ];
    for (bytes, error) in cases {
        assert_eq!(DagNode::decode(&Bytes::copy_from_slice(bytes)), Err(error), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let _ = UnixFs::decode(&bytes);
        if let Ok(node) = DagNode::decode(&bytes) {
            let _ = node.data.as_ref().map(UnixFs::decode);
        }
    }

    #[test]
    fn a_changed_node_is_read_or_refused_without_panic(at in 0usize..200, value: u8) {
        let (_, blocks) = import(&vec![3; 3 * MIB]);
        let mut bytes = blocks.last().unwrap().bytes.to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        let bytes = Bytes::from(bytes);
        let changed = Block { cid: cid_of_digest(DAG_PB, sha256(&bytes)), bytes };
        let mut blocks = blocks;
        blocks.push(changed.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let Ok(file) = read(source(&blocks), changed.cid, None).await else { return };
            if let Ok(bytes) = collect(file.stream).await {
                assert_eq!(bytes.len() as u64, file.size);
            }
        });
    }
}
