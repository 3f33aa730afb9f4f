//! Archives are written as others read them, and read within limits whatever they contain.

use super::*;
use crate::block::{Block, BlockError};
use crate::testing::{Memory, archive, content, import, testdata};
use crate::unixfs;
use futures::TryStreamExt;
use proptest::prelude::*;
use protocol::content::{RAW, cid_of_digest, raw_cid, sha256};
use std::sync::Arc;

const MIB: usize = 1024 * 1024;

fn decode(bytes: &[u8], step: usize) -> Result<(Vec<Cid>, Vec<Block>), CarError> {
    let mut decoder = CarDecoder::new();
    let (mut roots, mut blocks) = (Vec::new(), Vec::new());
    for part in bytes.chunks(step) {
        decoder.push(part);
        while let Some(item) = decoder.next_item()? {
            match item {
                CarItem::Header(found) => roots = found,
                CarItem::Block(block) => blocks.push(block),
            }
        }
    }
    decoder.finish().map(|()| (roots, blocks))
}

async fn written(root: Cid, memory: Memory) -> Result<Vec<u8>, WalkError> {
    let stream = car_stream(root, Arc::new(memory)).await?;
    stream
        .try_fold(Vec::new(), |mut out, part| async move {
            out.extend(part);
            Ok(out)
        })
        .await
}

fn memory(blocks: &[Block]) -> Memory {
    let mut memory = Memory::default();
    blocks.iter().cloned().for_each(|block| memory.insert(block));
    memory
}

#[test]
fn the_header_is_the_one_of_the_specification() {
    let root = raw_cid(b"");
    let expected = "3aa265726f6f747381d82a582500015512 20e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 6776657273696f6e01";
    assert_eq!(hex::encode(header(&root)), expected.replace(' ', ""));
}

#[test]
fn any_cut_of_the_bytes_gives_the_same_blocks() {
    let (imported, blocks) = import(&content("car", 2 * MIB + 5));
    let car = archive(&imported.root, &blocks);
    for step in [1000, 4096, MIB, car.len()] {
        assert_eq!(decode(&car, step).unwrap(), (vec![imported.root], blocks.clone()), "step {step}");
    }
    let small = import(b"small");
    let car = archive(&small.0.root, &small.1);
    assert_eq!(decode(&car, 1).unwrap().1, small.1);
}

#[test]
fn an_archive_is_as_long_as_foretold() {
    let (imported, blocks) = import(&content("length", 2 * MIB));
    let sections: u64 = blocks.iter().map(|b| section_bytes(&b.cid, b.bytes.len())).sum();
    let car = archive(&imported.root, &blocks);
    assert_eq!(car.len() as u64, header(&imported.root).len() as u64 + sections);
}

#[test]
fn a_cut_archive_is_refused_at_every_byte() {
    let (imported, blocks) = import(b"some text");
    let car = archive(&imported.root, &blocks);
    let header = header(&imported.root).len();
    assert!(matches!(decode(&[], 1), Err(CarError::Empty)));
    for end in (1..car.len()).filter(|end| *end != header) {
        assert!(matches!(decode(&car[..end], 64), Err(CarError::Truncated { .. })), "cut at {end}");
    }
    assert!(decode(&car[..header], 64).unwrap().1.is_empty(), "an archive may have no blocks");
}

#[test]
fn a_changed_block_is_refused_with_its_place() {
    let (imported, blocks) = import(b"some text");
    let mut car = archive(&imported.root, &blocks);
    *car.last_mut().unwrap() ^= 1;
    let at = header(&imported.root).len() as u64;
    let error = decode(&car, 64).unwrap_err();
    assert!(
        matches!(error, CarError::Block { at: found, source: BlockError::Mismatch { .. } } if found == at),
        "{error}"
    );
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_the_bytes_come() {
    let mut long_header = Vec::new();
    put_varint(&mut long_header, HEADER_BYTES_MAX as u64 + 1);
    assert!(matches!(decode(&long_header, 64), Err(CarError::Length { at: 0, bytes: 4097, max: 4096 })));

    let root = raw_cid(b"");
    let mut long_section = header(&root).to_vec();
    put_varint(&mut long_section, SECTION_BYTES_MAX as u64 + 1);
    assert!(matches!(decode(&long_section, 64), Err(CarError::Length { max: SECTION_BYTES_MAX, .. })));

    let endless = [&header(&root)[..], &[0xff; 5]].concat();
    assert!(matches!(decode(&endless, 64), Err(CarError::Length { bytes: u64::MAX, .. })));

    let bytes = vec![1; BLOCK_BYTES_MAX + 1];
    let large = archive(&raw_cid(&bytes), &[Block { cid: raw_cid(&bytes), bytes: bytes.into() }]);
    assert!(matches!(decode(&large, MIB), Err(CarError::Block { source: BlockError::TooLarge { .. }, .. })));
}

#[test]
fn headers_of_other_versions_and_shapes_are_refused() {
    let header = |body: &[u8]| [&[body.len() as u8], body].concat();
    let version2 = header(b"\xa2\x65roots\x80\x67version\x02");
    assert!(matches!(decode(&version2, 64), Err(CarError::Version(2))));
    // The first bytes of a CARv2 archive.
    assert!(matches!(decode(b"\x0a\xa1\x67version\x02", 64), Err(CarError::Version(2))));
    for (body, reason) in [
        (&b"\x80"[..], "header is not a map"),
        (b"\xa1\x65roots\x80", "version missing"),
        (b"\xa1\x67version\x01", "roots missing"),
        (b"\xa2\x65roots\x81\x01\x67version\x01", "root is not a CID"),
        (b"\xa2\x65roots\x80\x67version\x01\x00", "bytes after the header"),
        (b"\xff", "header is not CBOR"),
    ] {
        let error = decode(&header(body), 64).unwrap_err();
        assert_eq!(error.to_string(), format!("not a CARv1 archive: {reason}"));
    }
}

#[tokio::test]
async fn a_walk_is_depth_first_and_writes_each_block_once() {
    let repeated = vec![9; 3 * MIB];
    let (imported, blocks) = import(&repeated);
    assert_eq!(blocks.len(), 4, "three equal leaves and the root");
    let car = written(imported.root, memory(&blocks)).await.unwrap();
    let (roots, walked) = decode(&car, MIB).unwrap();
    assert_eq!(roots, vec![imported.root]);
    assert_eq!(walked, vec![blocks[3].clone(), blocks[0].clone()]);

    let (imported, blocks) = import(&content("walk", 3 * MIB));
    let walked = decode(&written(imported.root, memory(&blocks)).await.unwrap(), MIB).unwrap().1;
    let order = [3, 0, 1, 2].map(|i: usize| blocks[i].clone());
    assert_eq!(walked, order);
}

#[tokio::test]
async fn a_walk_stops_at_a_missing_block() {
    let (imported, mut blocks) = import(&content("walk", 3 * MIB));
    let lost = blocks.remove(2).cid;
    let error = written(imported.root, memory(&blocks)).await.unwrap_err();
    assert!(matches!(error, WalkError::Block(BlockError::Unknown { cid }) if cid == lost));
    let nowhere = written(raw_cid(b"nowhere"), Memory::default()).await.unwrap_err();
    assert!(matches!(nowhere, WalkError::Block(BlockError::Unknown { .. })));
}

#[tokio::test]
async fn published_archives_are_read_and_their_files_served() {
    let Some(folder) = testdata("ipfs/gateway-conformance") else { return };
    let (mut archives, mut skipped, mut files) = (0, 0, 0);
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "car") {
                match decode(&std::fs::read(&path).unwrap(), 64 * 1024) {
                    Ok((_, blocks)) => {
                        archives += 1;
                        files += served(&blocks).await;
                    }
                    // The suite also covers codecs and hashes that this network does not store.
                    Err(CarError::Block { source: BlockError::Codec { .. } | BlockError::Hash { .. }, .. }) => {
                        skipped += 1
                    }
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
    }
    println!("{archives} archives read, {skipped} with other codecs skipped, {files} files served");
    assert!(archives > 0 && files > 0);
}

/// Reads every complete file among `blocks`; returns how many there are.
async fn served(blocks: &[Block]) -> usize {
    let memory = Arc::new(memory(blocks));
    let mut files = 0;
    for block in blocks {
        let Ok(file) = unixfs::read(memory.clone(), block.cid, None).await else { continue };
        match file.stream.try_fold(0, |sum, part| async move { Ok(sum + part.len() as u64) }).await {
            Ok(bytes) => {
                assert_eq!(bytes, file.size, "{}", block.cid);
                files += 1;
            }
            // Some archives leave blocks out on purpose.
            Err(unixfs::ReadError::Block(BlockError::Unknown { .. })) => {}
            Err(error) => panic!("{}: {error}", block.cid),
        }
    }
    files
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>, step in 1usize..64) {
        let _ = decode(&bytes, step);
    }

    #[test]
    fn any_bytes_behind_a_good_header_are_decoded_without_panic(bytes: Vec<u8>, step in 1usize..64) {
        let _ = decode(&[&header(&raw_cid(b""))[..], &bytes].concat(), step);
    }

    #[test]
    fn archives_round_trip(parts: Vec<Vec<u8>>) {
        let blocks: Vec<Block> =
            parts.into_iter().map(|b| Block { cid: cid_of_digest(RAW, sha256(&b)), bytes: b.into() }).collect();
        let root = raw_cid(b"root");
        prop_assert_eq!(decode(&archive(&root, &blocks), 17).unwrap(), (vec![root], blocks));
    }
}
