//! Manifests are found by their blocks, once each, and survive what happens to a disk.

use super::*;
use crate::manifest::{BlockRecord, Segment};
use protocol::content::raw_cid;

fn manifest(root: &str, others: &[&str], salt: u8) -> Manifest {
    let blocks = others.iter().chain([&root]).map(|text| BlockRecord { cid: raw_cid(text.as_bytes()), bytes: 10 });
    let segment = Segment { blocks: blocks.collect(), shards: vec![B256::repeat_byte(salt); 2] };
    Manifest { root: raw_cid(root.as_bytes()), k: 1, n: 2, segments: vec![segment] }
}

fn digest(text: &str) -> B256 {
    sha256(text.as_bytes())
}

fn insert(catalogue: &Catalogue, manifest: &Manifest) -> B256 {
    let bytes = manifest.encode();
    catalogue.insert(manifest, &bytes).unwrap();
    manifest_id(&bytes)
}

#[test]
fn a_manifest_is_found_by_each_of_its_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&dir.path().join("c.redb")).unwrap();
    let one = insert(&catalogue, &manifest("one", &["shared", "own"], 1));
    let two = insert(&catalogue, &manifest("two", &["shared"], 2));
    let ids = |text| catalogue.containing(&digest(text)).unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids("own"), [one]);
    let mut both = [one, two];
    both.sort();
    assert_eq!(ids("shared"), both);
    assert!(ids("unknown").is_empty());
    assert_eq!(catalogue.of_root(&digest("two")).unwrap(), [two]);
    assert!(catalogue.of_root(&digest("shared")).unwrap().is_empty());
    assert_eq!(catalogue.containing(&digest("own")).unwrap()[0].1, Position { segment: 0, bytes: 10..20 });
}

#[test]
fn identical_manifests_are_kept_once_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&dir.path().join("c.redb")).unwrap();
    let manifest = manifest("one", &[], 1);
    let bytes = manifest.encode();
    assert!(catalogue.insert(&manifest, &bytes).unwrap());
    assert!(!catalogue.insert(&manifest, &bytes).unwrap());
    assert_eq!(catalogue.manifest_bytes().unwrap(), bytes.len() as u64);
    assert_eq!(catalogue.manifest(&manifest_id(&bytes)).unwrap().unwrap(), bytes);
}

#[test]
fn the_manifests_of_a_root_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&dir.path().join("c.redb")).unwrap();
    for salt in 0..MANIFESTS_PER_ROOT_MAX as u8 {
        insert(&catalogue, &manifest("one", &[], salt));
    }
    let beyond = manifest("one", &[], 99);
    let error = catalogue.insert(&beyond, &beyond.encode()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} has 8 manifests already, which is the limit", beyond.root));
    assert!(catalogue.insert(&manifest("two", &[], 99), &manifest("two", &[], 99).encode()).unwrap());
}

#[test]
fn files_survive_a_restart_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.redb");
    let file = |root: &str, stored_at| Stored::new(&manifest(root, &["leaf"], 1), B256::repeat_byte(5), stored_at, 3);
    {
        let catalogue = Catalogue::open(&path).unwrap();
        catalogue.record(&file("old", 10)).unwrap();
        catalogue.record(&file("new", 20)).unwrap();
    }
    let catalogue = Catalogue::open(&path).unwrap();
    assert_eq!(catalogue.files().unwrap(), [file("new", 20), file("old", 10)]);
    assert_eq!(catalogue.file(&digest("old")).unwrap(), Some(file("old", 10)));
    assert_eq!(catalogue.file(&digest("none")).unwrap(), None);
    assert_eq!(catalogue.files_count().unwrap(), 2);
    assert_eq!(file("old", 10).shards(), 2);
    assert_eq!(file("old", 10).bytes, 20);
}

#[test]
fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.redb");
    let _first = Catalogue::open(&path).unwrap();
    let error = Catalogue::open(&path).unwrap_err();
    assert!(matches!(error, CatalogueError::InUse { .. }), "{error}");
}

#[test]
fn a_file_cut_at_any_length_is_recovered_or_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.redb");
    insert(&Catalogue::open(&path).unwrap(), &manifest("one", &["leaf"], 1));
    let whole = std::fs::read(&path).unwrap();
    for part in 0..40 {
        let cut = &whole[..whole.len() * part / 40];
        std::fs::write(&path, cut).unwrap();
        let catalogue = Catalogue::open(&path).unwrap_or_else(|e| panic!("{} bytes: {e}", cut.len()));
        let id = insert(&catalogue, &manifest("two", &[], 2));
        assert_eq!(catalogue.of_root(&digest("two")).unwrap(), [id], "{} bytes", cut.len());
    }
    std::fs::write(&path, vec![0x5a; 100_000]).unwrap();
    assert!(Catalogue::open(&path).unwrap().files().unwrap().is_empty());
}
