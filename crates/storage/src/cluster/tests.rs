//! Files survive the loss, damage, slowness and lies of as many nodes as the code allows, and no more.

mod network;

use super::*;
use crate::block::Block;
use crate::catalogue::Stored;
use crate::testing::{archive, content, import};
use futures::{StreamExt, TryStreamExt, stream};
use network::{Mood, Network};
use protocol::content::raw_cid;
use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// Stores a file as the SDK would; returns its root and blocks.
async fn put(cluster: &Cluster, bytes: &[u8]) -> (Stored, Vec<Block>) {
    let (imported, blocks) = import(bytes);
    let stored = cluster.put_car(upload(archive(&imported.root, &blocks))).await.unwrap();
    assert_eq!((stored.root, stored.bytes), (imported.root, imported.dag_bytes));
    (stored, blocks)
}

fn upload(car: Vec<u8>) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send {
    let car = Bytes::from(car);
    let parts: Vec<_> =
        (0..car.len()).step_by(100_000).map(|at| Ok(car.slice(at..car.len().min(at + 100_000)))).collect();
    stream::iter(parts)
}

async fn get(cluster: &Cluster, root: &Cid) -> Result<Vec<u8>, ClusterError> {
    let file = cluster.unixfs(root, None).await?;
    Ok(file
        .stream
        .try_fold(Vec::new(), |mut out, part| async move {
            out.extend(part);
            Ok(out)
        })
        .await?)
}

#[tokio::test]
async fn every_size_round_trips() {
    let network = Network::new(8);
    let cluster = network.gateway();
    for size in [0, 1, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 20 * MIB] {
        let bytes = content("cluster", size);
        let (stored, _) = put(&cluster, &bytes).await;
        assert_eq!((stored.k, stored.n, stored.unplaced), (4, 8, 0));
        assert_eq!(stored.segments as usize, stored.bytes.div_ceil(16 * MIB as u64).max(1) as usize);
        // Another gateway has nothing in its caches.
        assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes, "{size} bytes");
    }
    assert_eq!(cluster.files_count().unwrap(), 9);
}

#[tokio::test]
async fn codes_follow_the_number_of_nodes() {
    for (nodes, k, n) in [(1, 1, 1), (2, 1, 2), (3, 1, 3), (5, 2, 5), (8, 4, 8), (12, 4, 8)] {
        let network = Network::new(nodes);
        let bytes = content("codes", 3 * MIB);
        let (stored, _) = put(&network.gateway(), &bytes).await;
        assert_eq!((stored.k, stored.n), (k, n), "{nodes} nodes");
        assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes, "{nodes} nodes");
    }
}

#[tokio::test]
async fn shards_of_a_segment_stand_on_distinct_nodes() {
    let network = Network::new(12);
    let cluster = network.gateway();
    let (stored, _) = put(&cluster, &content("distinct", 20 * MIB)).await;
    let health = cluster.health(&stored.root).await.unwrap();
    assert_eq!((health.shards_healthy(), stored.shards()), (16, 16));
    for segment in &health.segments {
        let mut holders: Vec<_> = segment.holders.iter().flatten().collect();
        holders.sort();
        holders.dedup();
        assert_eq!(holders.len(), 8);
    }
}

#[tokio::test]
async fn half_of_the_nodes_are_enough_and_one_less_is_not() {
    let network = Network::new(8);
    let bytes = content("loss", 18 * MIB);
    let (stored, _) = put(&network.gateway(), &bytes).await;
    (0..4).for_each(|i| network.set(i, Mood::Down));
    assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes);

    let reader = network.gateway();
    network.set(4, Mood::Down);
    reader.file(&stored.root).await.unwrap_err();
    network.set(4, Mood::Good);
    reader.file(&stored.root).await.unwrap();
    network.set(4, Mood::Down);
    reader.forget_segments();
    let error = get(&reader, &stored.root).await.unwrap_err();
    // The root block is the last one of a file, and so in its second segment.
    let silent = network.addresses(0..5).join(", ");
    let expected =
        format!("segment 1 of {}: 3 of 8 shards reachable, 4 needed; nodes not answering: {silent}", stored.root);
    assert_eq!(error.to_string(), expected);
    assert!(error.is_temporary() && !error.is_unknown());

    network.set(4, Mood::Good);
    assert!(get(&reader, &stored.root).await.unwrap() == bytes, "back as soon as the node is");
}

#[tokio::test]
async fn unknown_is_told_from_unavailable() {
    let network = Network::new(8);
    let cluster = network.gateway();
    let cid = raw_cid(b"never stored");
    let error = cluster.block(&cid).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{cid} is not stored in this network"));
    assert!(error.is_unknown() && !error.is_temporary());

    (0..4).for_each(|i| network.set(i, Mood::Down));
    assert!(cluster.block(&cid).await.unwrap_err().is_unknown(), "a manifest would be on one of the others");
    network.set(4, Mood::Down);
    let error = cluster.block(&cid).await.unwrap_err();
    let silent = network.addresses(0..5).join(", ");
    assert_eq!(error.to_string(), format!("{cid} was not found; nodes not answering: {silent}"));
    assert!(error.is_temporary() && !error.is_unknown());

    let cbor = protocol::content::cid_of_digest(0x71, protocol::content::sha256(b"x"));
    assert!(matches!(cluster.block(&cbor).await, Err(ClusterError::Block(BlockError::Codec { codec: 0x71, .. }))));
}

#[tokio::test]
async fn a_fresh_gateway_serves_every_block() {
    let network = Network::new(8);
    let (stored, blocks) = put(&network.gateway(), &content("fresh", 3 * MIB)).await;
    for block in &blocks {
        let fresh = network.gateway();
        assert_eq!(fresh.block(&block.cid).await.unwrap(), block.bytes, "{}", block.cid);
        let known = fresh.files(10).unwrap().len();
        assert_eq!(known, usize::from(block.cid == stored.root), "only a root makes a file");
    }
    let fresh = network.gateway();
    assert_eq!(Stored { stored_at: stored.stored_at, ..fresh.file(&stored.root).await.unwrap() }, stored);
    // What was learned stays, even when the manifests cannot be asked for any more.
    (0..8).for_each(|i| network.set(i, Mood::Down));
    assert_eq!(fresh.files(10).unwrap()[0].root, stored.root);
}

#[tokio::test]
async fn an_index_survives_a_restart() {
    let network = Network::new(8);
    let index = tempfile::tempdir().unwrap();
    let path = index.path().join("index.redb");
    let (stored, _) = put(&network.gateway_at(&path), b"kept").await;
    let again = network.gateway_at(&path);
    assert_eq!(again.files(10).unwrap(), [stored]);
    assert!(matches!(
        Cluster::open(&path, network.nodes(), network::config(), network::clock()),
        Err(ClusterError::Catalogue(crate::catalogue::CatalogueError::InUse { .. }))
    ));
    assert_eq!(get(&again, &stored.root).await.unwrap(), b"kept");
}

#[tokio::test]
async fn archives_and_ranges_are_served() {
    let network = Network::new(8);
    let cluster = network.gateway();
    let bytes = content("serve", 3 * MIB);
    let (stored, blocks) = put(&cluster, &bytes).await;
    let car = cluster.car(&stored.root).await.unwrap();
    let car = car
        .try_fold(Vec::new(), |mut out, part| async move {
            out.extend(part);
            Ok(out)
        })
        .await
        .unwrap();
    let order = [3, 0, 1, 2].map(|i: usize| blocks[i].clone());
    assert!(car == archive(&stored.root, &order));
    let middle = cluster.unixfs(&stored.root, Some(MIB as u64 - 3..MIB as u64 + 4)).await.unwrap();
    assert_eq!(middle.size, 3 * MIB as u64);
    let parts: Vec<Bytes> = middle.stream.try_collect().await.unwrap();
    assert_eq!(parts.concat(), bytes[MIB - 3..MIB + 4]);
    assert!(cluster.car(&raw_cid(b"none")).await.err().unwrap().is_unknown());
    assert!(cluster.unixfs(&raw_cid(b"none"), None).await.err().unwrap().is_unknown());
}

#[tokio::test]
async fn storing_the_same_file_again_changes_nothing() {
    let network = Network::new(8);
    let bytes = content("again", 2 * MIB);
    let (first, _) = put(&network.gateway(), &bytes).await;
    let used = network.used();
    let (second, _) = put(&network.gateway(), &bytes).await;
    assert_eq!((first.manifest, network.used()), (second.manifest, used));
}

#[tokio::test]
async fn a_full_node_passes_its_shards_on() {
    let network = Network::new(10);
    network.set(2, Mood::Full);
    network.set(5, Mood::Full);
    let cluster = network.gateway();
    let bytes = content("spill", 18 * MIB);
    let (stored, _) = put(&cluster, &bytes).await;
    assert_eq!(stored.unplaced, 0);
    assert_eq!(cluster.health(&stored.root).await.unwrap().shards_healthy(), stored.shards());
    assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_file_is_accepted_with_half_of_its_redundancy_and_completed_later() {
    let network = Network::new(8);
    let cluster = network.gateway();
    network.set(1, Mood::Down);
    network.set(6, Mood::Full);
    let bytes = content("degraded", 2 * MIB);
    let (stored, _) = put(&cluster, &bytes).await;
    assert_eq!(stored.unplaced, 4, "two shards and two copies of the manifest");
    network.set(1, Mood::Good);
    network.set(6, Mood::Good);
    let reports = cluster.repair_degraded().await.unwrap();
    let report = reports[0].1.as_ref().unwrap();
    assert_eq!((report.checked, report.damaged, report.rebuilt, report.unplaced), (8, 2, 2, 0));
    assert_eq!(cluster.file(&stored.root).await.unwrap().unplaced, 0);
    assert!(cluster.repair_degraded().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_too_few_nodes_take_is_refused_with_their_reasons() {
    let network = Network::new(8);
    let cluster = network.gateway();
    network.set(0, Mood::Full);
    network.set(3, Mood::Down);
    network.set(7, Mood::Down);
    let (imported, blocks) = import(b"nowhere to go");
    let error = cluster.put_car(upload(archive(&imported.root, &blocks))).await.unwrap_err();
    let text = error.to_string();
    let start = format!("segment 0 of {}: 5 of 8 shards stored, 6 needed; ", imported.root);
    assert!(text.starts_with(&start), "{text}");
    assert!(text.contains(&format!("{} refused: full", network.address(0))), "{text}");
    assert!(text.contains(&format!("{} not answering: down", network.address(3))), "{text}");
    assert!(cluster.files(10).unwrap().is_empty());
    let nobody = Network::new(0).gateway();
    assert!(matches!(nobody.put_car(upload(vec![])).await, Err(ClusterError::NoNodes)));
    assert!(matches!(nobody.block(&imported.root).await, Err(ClusterError::NoNodes)), "not a claim that it is unknown");
}

#[tokio::test]
async fn broken_and_incomplete_uploads_are_refused() {
    let network = Network::new(4);
    let cluster = network.gateway();
    let (imported, blocks) = import(&content("broken", 3 * MIB));
    let root = imported.root;
    let refused = |car: Vec<u8>| {
        let cluster = cluster.clone();
        async move { cluster.put_car(upload(car)).await.unwrap_err().to_string() }
    };
    let lacking = |blocks: &[Block]| archive(&root, blocks);
    let without_leaf = [blocks[0].clone(), blocks[2].clone(), blocks[3].clone()];
    assert_eq!(refused(lacking(&without_leaf)).await, format!("archive of {root} lacks block {}", blocks[1].cid));
    assert_eq!(refused(lacking(&blocks[..3])).await, format!("archive of {root} lacks block {root}"));
    let whole = archive(&root, &blocks);
    let cut = refused(whole[..whole.len() - 5].to_vec()).await;
    assert_eq!(cut, format!("archive ends at byte {}, inside a section", whole.len() - 5));
    assert_eq!(refused(Vec::new()).await, "archive is empty");
    let no_roots = b"\x11\xa2\x65roots\x80\x67version\x01".to_vec();
    assert_eq!(refused(no_roots).await, "archive has 0 roots, exactly one is needed");
    let broken = stream::iter([Ok(Bytes::from(whole)), Err(std::io::Error::other("connection reset"))]);
    let error = cluster.put_car(broken).await.unwrap_err();
    assert_eq!(error.to_string(), "upload ended early: connection reset");
    assert!(cluster.files(10).unwrap().is_empty());
}

#[tokio::test]
async fn equal_blocks_are_stored_once() {
    let network = Network::new(8);
    let cluster = network.gateway();
    let bytes = vec![5; 40 * MIB];
    let (imported, blocks) = import(&bytes);
    let stored = cluster.put_car(upload(archive(&imported.root, &blocks))).await.unwrap();
    assert_eq!(stored.segments, 1);
    assert!(stored.bytes < 2 * MIB as u64);
    assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes);
}

#[tokio::test]
async fn damaged_and_lost_shards_are_found_and_rebuilt() {
    let network = Network::new(8);
    let cluster = network.gateway();
    let bytes = content("repair", 18 * MIB);
    let (stored, _) = put(&cluster, &bytes).await;
    network.damage_all_shards_of(3);
    network.delete_all_shards_of(5);
    let health = cluster.health(&stored.root).await.unwrap();
    assert_eq!((health.shards_healthy(), health.is_readable()), (12, true));
    assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes, "readable before the repair");
    let report = cluster.repair(&stored.root).await.unwrap();
    assert_eq!((report.checked, report.damaged, report.rebuilt, report.unplaced), (16, 4, 4, 0));
    assert_eq!(cluster.health(&stored.root).await.unwrap().shards_healthy(), 16);
    let report = cluster.repair(&stored.root).await.unwrap();
    assert_eq!((report.damaged, report.rebuilt), (0, 0));
}

#[tokio::test]
async fn a_repair_cannot_bring_back_what_is_lost_but_repairs_the_rest() {
    let network = Network::new(8);
    let cluster = network.gateway();
    let (lost, _) = put(&cluster, &content("lost", MIB)).await;
    (0..5).for_each(|i| network.delete_all_shards_of(i));
    let (kept, _) = put(&cluster, &content("kept", MIB)).await;
    network.delete_all_shards_of(6);
    let reports = cluster.repair_all().await.unwrap();
    let of = |root: Cid| &reports.iter().find(|(cid, _)| *cid == root).unwrap().1;
    let error = of(lost.root).as_ref().unwrap_err().to_string();
    assert_eq!(error, format!("segment 0 of {}: 2 of 8 shards reachable, 4 needed", lost.root));
    assert_eq!(of(kept.root).as_ref().unwrap().rebuilt, 1);
}

#[tokio::test]
async fn shards_of_a_node_that_left_move_to_the_others() {
    let mut network = Network::new(9);
    let cluster = network.gateway();
    let bytes = content("leave", 34 * MIB);
    let (stored, _) = put(&cluster, &bytes).await;
    let before = cluster.health(&stored.root).await.unwrap();
    let gone = before.segments[0].holders[0].unwrap();
    network.remove(gone);
    let report = cluster.repair(&stored.root).await.unwrap();
    let held = before.segments.iter().flat_map(|s| &s.holders).filter(|h| **h == Some(gone)).count() as u32;
    assert_eq!((report.damaged, report.rebuilt, report.unplaced), (held, held, 0));
    let after = cluster.health(&stored.root).await.unwrap();
    for (old, new) in before.segments.iter().zip(&after.segments) {
        let moved = old.holders.iter().zip(&new.holders).filter(|(a, b)| a != b && **a != Some(gone)).count();
        assert_eq!(moved, 0, "nothing else moves");
        let mut holders = new.holders.clone();
        holders.sort();
        holders.dedup();
        assert_eq!(holders.len(), 8, "still on distinct nodes");
    }
}

#[tokio::test]
async fn with_too_few_nodes_a_repair_gives_some_two_shards() {
    let mut network = Network::new(8);
    let cluster = network.gateway();
    let (stored, _) = put(&cluster, &content("few", MIB)).await;
    network.remove(network.address(0));
    network.remove(network.address(1));
    let report = cluster.repair(&stored.root).await.unwrap();
    assert_eq!((report.damaged, report.rebuilt, report.unplaced), (2, 2, 0));
    assert_eq!(cluster.health(&stored.root).await.unwrap().shards_healthy(), 8);
}

#[tokio::test]
async fn files_stay_readable_when_many_nodes_join() {
    let mut network = Network::new(4);
    let bytes = content("join", 2 * MIB);
    let (stored, _) = put(&network.gateway(), &bytes).await;
    (0..8).for_each(|_| network.add());
    let fresh = network.gateway();
    assert!(get(&fresh, &stored.root).await.unwrap() == bytes);
    assert_eq!(fresh.health(&stored.root).await.unwrap().shards_healthy(), stored.shards());
}

#[tokio::test]
async fn lying_nodes_are_outvoted_by_hashes() {
    let network = Network::new(8);
    let bytes = content("lies", 2 * MIB);
    let (stored, _) = put(&network.gateway(), &bytes).await;
    (2..6).for_each(|i| network.set(i, Mood::Lying));
    assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes);
    network.set(6, Mood::Lying);
    let error = get(&network.gateway(), &stored.root).await.unwrap_err().to_string();
    assert!(error.contains("3 of 8 shards reachable, 4 needed"), "{error}");
}

#[tokio::test]
async fn manifests_that_lead_nowhere_are_passed_over() {
    let network = Network::new(8);
    let bytes = content("false", MIB + 9);
    let (stored, blocks) = put(&network.gateway(), &bytes).await;
    let (other, _) = put(&network.gateway(), &content("other", 2 * MIB)).await;
    // A manifest that claims the blocks of the first file for the shards of the second.
    let good = network.manifest_of(&stored.root).await;
    let mut bad = network.manifest_of(&other.root).await;
    bad.root = good.root;
    bad.segments[0].blocks = good.segments[0].blocks.clone();
    let mut longer = bad.segments[0].blocks[0];
    longer.cid = raw_cid(b"fill");
    longer.bytes = (2 * MIB - MIB) as u32 - 9;
    bad.segments[0].blocks.push(longer);
    network.force_manifest(&bad).await;
    network.force_junk_manifests();
    for block in &blocks {
        let fresh = network.gateway();
        assert_eq!(fresh.block(&block.cid).await.unwrap(), block.bytes);
    }
    assert!(get(&network.gateway(), &stored.root).await.unwrap() == bytes);
}

#[tokio::test]
async fn only_a_false_manifest_is_no_way_to_a_block() {
    let network = Network::new(8);
    let (other, _) = put(&network.gateway(), &content("other", MIB)).await;
    let mut bad = network.manifest_of(&other.root).await;
    bad.root = raw_cid(b"wanted");
    bad.segments[0].blocks[0].cid = bad.root;
    network.force_manifest(&bad).await;
    let fresh = network.gateway();
    let error = fresh.block(&bad.root).await.unwrap_err();
    assert_eq!(error.to_string(), format!("manifest of {0} is false: segment 0 does not contain {0}", bad.root));
    assert!(fresh.files(10).unwrap().is_empty());
}

#[tokio::test]
async fn a_read_does_not_wait_for_slow_nodes() {
    let network = Network::new(8);
    let bytes = content("slow", MIB);
    let (stored, _) = put(&network.gateway(), &bytes).await;
    // Nobody gives up within this test, so only asking others in time brings the file.
    let patient = ClusterConfig { hedge_after: Duration::from_millis(5), ..patience(Duration::from_secs(3600)) };
    let reader = network.gateway_with(patient);
    reader.file(&stored.root).await.unwrap();
    reader.forget_segments();
    (0..4).for_each(|i| network.set(i, Mood::Silent));
    assert!(get(&reader, &stored.root).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_silent_node_is_given_up_and_left_alone_afterwards() {
    let network = Network::new(8);
    network.set(3, Mood::Silent);
    let cluster = network.gateway_with(patience(Duration::from_millis(100)));
    let (stored, _) = put(&cluster, &content("silent", MIB)).await;
    assert!(stored.unplaced > 0);
    let asked = network.requests(3);
    get(&cluster, &stored.root).await.unwrap();
    assert_eq!(network.requests(3), asked, "a read leaves a suspect alone while others answer");
    let up = |nodes: Vec<(Node, Option<ShardNodeInfo>)>| nodes.iter().filter(|(_, info)| info.is_some()).count();
    assert_eq!(up(cluster.probe().await), 7);
    network.set(3, Mood::Good);
    assert_eq!(up(cluster.probe().await), 8);
}

/// Settings with that much patience, and a memory of failures that outlasts the test.
fn patience(request_timeout: Duration) -> ClusterConfig {
    let suspect_for = Duration::from_secs(3600);
    ClusterConfig { request_timeout, suspect_timeout: request_timeout, suspect_for, ..network::config() }
}

#[tokio::test]
async fn many_readers_of_one_segment_fetch_it_once() {
    let network = Network::new(8);
    let (stored, blocks) = put(&network.gateway(), &content("readers", 6 * MIB)).await;
    let reader = network.gateway();
    reader.file(&stored.root).await.unwrap();
    reader.forget_segments();
    let before: usize = (0..8).map(|i| network.requests(i)).sum();
    let reads = blocks.iter().map(|block| reader.block(&block.cid));
    assert!(futures::future::join_all(reads).await.into_iter().all(|r| r.is_ok()));
    let after: usize = (0..8).map(|i| network.requests(i)).sum();
    assert!((4..=8).contains(&(after - before)), "{} requests for one segment", after - before);
}

#[tokio::test]
async fn memory_of_a_long_transfer_is_bounded() {
    // 96 MiB go up as a stream that is never held, and come down again; what counts is what is in flight.
    let network = Network::new(2);
    let cluster = network.gateway();
    let (imported, _) = import_sizes(96);
    let sections = stream::iter(0..97).map(move |i| Ok(section(i, 96)));
    let header = stream::iter([Ok(crate::car::header(&imported))]);
    let stored = cluster.put_car(header.chain(sections)).await.unwrap();
    assert_eq!((stored.segments, stored.k, stored.n), (7, 1, 2));
    let mut file = network.gateway().unixfs(&stored.root, None).await.unwrap();
    let mut at = 0;
    while let Some(part) = file.stream.next().await {
        assert!(part.unwrap() == leaf(at), "leaf {at}");
        at += 1;
    }
    assert_eq!(at, 96);
}

fn leaf(i: usize) -> Vec<u8> {
    let mut bytes = vec![0; MIB];
    bytes[..8].copy_from_slice(&(i as u64).to_le_bytes());
    bytes
}

fn import_sizes(leaves: usize) -> (Cid, Block) {
    let mut last = None;
    let mut importer = crate::unixfs::Importer::default();
    (0..leaves).for_each(|i| importer.push(&leaf(i), &mut |_| {}));
    let root = importer.finish(&mut |block| last = Some(block)).root;
    (root, last.unwrap())
}

fn section(i: usize, leaves: usize) -> Bytes {
    let block = if i < leaves {
        let bytes = Bytes::from(leaf(i));
        Block { cid: raw_cid(&bytes), bytes }
    } else {
        import_sizes(leaves).1
    };
    [crate::car::section_prefix(&block.cid, block.bytes.len()), block.bytes].concat().into()
}

#[test]
fn errors_name_only_so_many_nodes() {
    let silent = Silent((0..20).map(alloy_primitives::Address::with_last_byte).collect());
    let text = silent.to_string();
    assert!(text.starts_with("; nodes not answering: 0x0000"), "{text}");
    assert!(text.ends_with(" and 4 more"), "{text}");
    assert_eq!(Silent::default().to_string(), "");
}
