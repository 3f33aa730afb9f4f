use super::*;
use commonware_runtime::Runner as _;
use commonware_runtime::deterministic::{Checkpoint, Context, Runner};
use proptest::prelude::*;

const VOTES: &str = "v-simplex";
const INDEX: &str = "v-marshal-cache-cache-0-verified-key";
const CERTIFICATES: &str = "v-marshal-cache-cache-0-finalizations-value";
const BLOCKS: &str = "v-marshal-cache-cache-0-verified-value";

type Done<T> = futures::future::BoxFuture<'static, T>;

/// Runs `work` with the log on the disk that a crash left, and crashes.
fn life<T: Send + 'static>(
    disk: Option<Checkpoint>,
    work: impl FnOnce(Context, Logged<Context>) -> Done<T> + Send + 'static,
) -> (T, Option<Checkpoint>) {
    let runner = disk.map_or_else(Runner::default, Runner::from);
    let (done, disk) = runner.start_and_recover(|context| async move {
        let log = Logged::open(context.child("log"), "v-", None).await.expect("the log opens");
        work(context, log).await
    });
    (done, Some(disk))
}

async fn content(log: &Logged<Context>, partition: &str, name: &[u8]) -> Vec<u8> {
    let (blob, length) = log.open(partition, name).await.expect("open");
    blob.read_at(0, length as usize, ReadOptions::default()).await.expect("read").coalesce().as_ref().to_vec()
}

#[test]
fn each_partition_of_the_engine_is_kept_as_it_must_be() {
    let kind = |partition: &str| Kind::of(partition, "v-");
    let logged = Kind::Logged { removes_later: false };
    assert_eq!(kind("v-simplex"), Kind::Logged { removes_later: true });
    assert_eq!(kind("v-simplex-3"), Kind::Logged { removes_later: true });
    assert_eq!(kind("v-marshal-application-metadata"), logged);
    assert_eq!(kind("v-marshal-cache-metadata"), logged);
    assert_eq!(kind("v-marshal-cache-cache-7-notarized-metadata"), logged);
    assert_eq!(kind("v-marshal-cache-cache-7-notarizations-metadata"), Kind::Volatile);
    assert_eq!((kind(INDEX), kind(CERTIFICATES), kind(BLOCKS)), (logged, Kind::Volatile, Kind::Blocks));
    assert_eq!(kind("v-away"), Kind::Own);
}

#[test]
fn what_was_synced_survives_a_crash_and_certificates_do_not() {
    let ((), disk) = life(None, |_, log| {
        Box::pin(async move {
            let (votes, length) = log.open(VOTES, b"1").await.unwrap();
            assert_eq!(length, 0);
            votes.write_at(0, b"notarize".to_vec(), WriteOptions::SYNC).await.unwrap();
            votes.write_at(8, b" finalize".to_vec(), WriteOptions::default()).await.unwrap();
            let (index, _) = log.open(INDEX, b"1").await.unwrap();
            index.write_at(0, b"index".to_vec(), WriteOptions::default()).await.unwrap();
            index.resize(3).await.unwrap();
            index.start_sync().await.await.unwrap();
            votes.write_at(0, b"lost".to_vec(), WriteOptions::default()).await.unwrap();
            for partition in [CERTIFICATES, BLOCKS] {
                let (file, _) = log.open(partition, b"1").await.unwrap();
                file.write_at(0, b"bytes".to_vec(), WriteOptions::SYNC).await.unwrap();
            }
        })
    });
    let ((), _) = life(disk, |context, log| {
        Box::pin(async move {
            assert_eq!(content(&log, VOTES, b"1").await, b"notarize finalize");
            assert_eq!(content(&log, INDEX, b"1").await, b"ind");
            assert!(matches!(log.scan(CERTIFICATES).await, Err(Error::PartitionMissing(_))));
            assert_eq!(content(&log, BLOCKS, b"1").await, b"bytes");
            assert!(matches!(context.scan(VOTES).await, Err(Error::PartitionMissing(_))), "no file of its own");
        })
    });
}

#[test]
fn a_file_is_open_once_and_read_after_it_was_removed() {
    life(None, |_, log| {
        Box::pin(async move {
            let (file, _) = log.open(VOTES, b"1").await.unwrap();
            assert!(matches!(log.open(VOTES, b"1").await, Err(Error::BlobAlreadyOpen(..))));
            file.write_at(0, b"vote".to_vec(), WriteOptions::SYNC).await.unwrap();
            assert!(matches!(log.remove(VOTES, Some(b"2")).await, Err(Error::BlobMissing(..))));
            log.remove(VOTES, Some(b"1")).await.unwrap();
            assert_eq!(log.scan(VOTES).await.unwrap(), Vec::<Vec<u8>>::new());
            let lost = file.write_at(0, b"lost".to_vec(), WriteOptions::SYNC).await;
            assert!(lost.is_err() && file.sync().await.is_err(), "it is nowhere");
            file.write_at(0, b"vote".to_vec(), WriteOptions::default()).await.unwrap();
            let read = file.read_at(1, 2, ReadOptions::default()).await.unwrap().coalesce();
            assert_eq!(read.as_ref(), b"ot");
            let beyond = file.read_at(3, 2, ReadOptions::default()).await;
            assert!(matches!(beyond, Err(Error::BlobInsufficientLength)));
            let huge = file.write_at(u64::MAX, b"x".to_vec(), WriteOptions::default()).await;
            assert!(matches!(huge, Err(Error::OffsetOverflow)));
            assert_eq!(log.open(VOTES, b"1").await.unwrap().1, 0, "another file");
            log.remove(VOTES, None).await.unwrap();
            assert!(matches!(log.remove(VOTES, None).await, Err(Error::PartitionMissing(_))));
        })
    });
}

#[test]
fn generations_follow_each_other_and_the_files_stay_short() {
    let (pages, page) = (4 * GENERATION_BYTES / 4096, vec![7_u8; 4096]);
    let (lengths, disk) = life(None, move |_, log| {
        Box::pin(async move {
            for number in 0..pages as u64 {
                let name = number.to_be_bytes();
                let (file, _) = log.open(VOTES, &name).await.unwrap();
                file.write_at(0, page.clone(), WriteOptions::SYNC).await.unwrap();
                if number >= 16 {
                    log.remove(VOTES, Some(&(number - 16).to_be_bytes())).await.unwrap();
                }
            }
            log.log.disk.lock().await.frames.bytes()
        })
    });
    assert!(lengths <= GENERATION_BYTES);
    life(disk, move |context, log| {
        Box::pin(async move {
            let names = log.scan(VOTES).await.unwrap();
            assert!((16..=17).contains(&names.len()), "{} files", names.len());
            for name in names {
                assert_eq!(content(&log, VOTES, &name).await, vec![7; 4096]);
            }
            drop(log);
            for name in context.scan("v-log").await.unwrap() {
                let bytes = read(&context, "v-log", &name).await.unwrap();
                assert!(bytes.len() <= GENERATION_BYTES + (1 << 16), "{} bytes", bytes.len());
            }
        })
    });
}

#[test]
fn what_was_put_away_takes_no_memory_and_comes_back() {
    let ((), disk) = life(None, |_, log| {
        Box::pin(async move {
            let (file, _) = log.open(VOTES, b"1").await.unwrap();
            file.write_at(0, b"vote".to_vec(), WriteOptions::SYNC).await.unwrap();
            drop(file);
            log.put_away(VOTES).await.unwrap();
            log.put_away("v-simplex-9").await.unwrap();
            assert!(log.log.state.lock().partitions.is_empty());
        })
    });
    let ((), disk) = life(disk, |context, log| {
        Box::pin(async move {
            assert!(log.log.state.lock().partitions.is_empty());
            assert_eq!(content(&log, VOTES, b"1").await, b"vote");
            assert!(context.scan("v-away").await.unwrap().is_empty());
        })
    });
    life(disk, |_, log| Box::pin(async move { assert_eq!(content(&log, VOTES, b"1").await, b"vote") }));
}

#[test]
fn a_damaged_log_is_not_begun_anew() {
    let ((), disk) = life(None, |context, log| {
        Box::pin(async move {
            let (file, _) = log.open(VOTES, b"1").await.unwrap();
            for _ in 0..3 {
                file.write_at(0, b"vote".to_vec(), WriteOptions::SYNC).await.unwrap();
            }
            drop(file);
            drop(log);
            // In the middle of the second of four frames, in the file that is written second.
            let (blob, _) = context.open("v-log", b"b").await.unwrap();
            blob.write_at(14 + 24 + 24 + 3, vec![0xff], WriteOptions::SYNC).await.unwrap();
        })
    });
    Runner::from(disk.unwrap()).start(|context| async move {
        assert!(matches!(Logged::open(context, "v-", None).await, Err(Error::PartitionCorrupt(_))));
    });
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, u8, Vec<u8>, bool),
    Resize(u8, u8),
    Remove(u8),
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..64_u8, prop::collection::vec(any::<u8>(), 0..80), any::<bool>())
            .prop_map(|(file, offset, bytes, sync)| Step::Write(file, offset, bytes, sync)),
        1 => (0..4_u8, 0..64_u8).prop_map(|(file, length)| Step::Resize(file, length)),
        1 => (0..4_u8).prop_map(Step::Remove),
        1 => Just(Step::Sync),
    ]
}

/// Files as a map; what they are after each step.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is done, after a crash the files are as they were at a step at or after the last sync.
    #[test]
    fn a_crash_leaves_a_moment_at_or_after_the_last_sync(steps in prop::collection::vec(step(), 1..60)) {
        let ((moments, synced), disk) = life(None, move |_, log| {
            Box::pin(async move {
                let (mut model, mut moments, mut synced) = (Model::new(), vec![Model::new()], 0);
                for step in steps {
                    let mut is_synced = false;
                    match step {
                        Step::Write(file, offset, bytes, sync) => {
                            let (blob, _) = log.open(VOTES, &[file]).await.unwrap();
                            let (start, end) = (usize::from(offset), usize::from(offset) + bytes.len());
                            let content = model.entry(vec![file]).or_default();
                            if content.len() < end {
                                content.resize(end, 0);
                            }
                            content[start..end].copy_from_slice(&bytes);
                            is_synced = sync && !bytes.is_empty();
                            let options = if sync { WriteOptions::SYNC } else { WriteOptions::default() };
                            blob.write_at(offset.into(), bytes, options).await.unwrap();
                        }
                        Step::Resize(file, length) => {
                            let (blob, _) = log.open(VOTES, &[file]).await.unwrap();
                            model.entry(vec![file]).or_default().resize(length.into(), 0);
                            blob.resize(length.into()).await.unwrap();
                        }
                        Step::Remove(file) => {
                            let removed = log.remove(VOTES, Some(&[file])).await;
                            assert_eq!(removed.is_ok(), model.remove(&vec![file]).is_some());
                        }
                        Step::Sync => {
                            let (blob, _) = log.open(VOTES, &[0]).await.unwrap();
                            model.entry(vec![0]).or_default();
                            blob.sync().await.unwrap();
                            is_synced = true;
                        }
                    }
                    moments.push(model.clone());
                    if is_synced {
                        synced = moments.len() - 1;
                    }
                }
                (moments, synced)
            })
        });
        let (found, _) = life(disk, |_, log| {
            Box::pin(async move {
                let mut found = Model::new();
                for name in names(&log, VOTES).await.unwrap() {
                    found.insert(name.clone(), content(&log, VOTES, &name).await);
                }
                found
            })
        });
        prop_assert!(moments[synced..].contains(&found), "found {found:?}, synced {:?}", moments[synced]);
    }
}

#[test]
fn blocks_are_in_a_directory_if_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("blocks");
    let path = root.clone();
    Runner::default().start(|context| async move {
        let log = Logged::open(context.child("log"), "v-", Some(path)).await.unwrap();
        assert!(matches!(log.scan(BLOCKS).await, Err(Error::PartitionMissing(_))));
        let (file, _) = log.open(BLOCKS, b"1").await.unwrap();
        file.write_at(0, vec![7; 100_000], WriteOptions::SYNC).await.unwrap();
        drop(file);
        assert_eq!(log.scan(BLOCKS).await.unwrap(), [b"1"]);
        assert_eq!(content(&log, BLOCKS, b"1").await, vec![7; 100_000]);
        assert!(matches!(context.scan(BLOCKS).await, Err(Error::PartitionMissing(_))), "nowhere else");
        let (file, length) = log.open(BLOCKS, b"2").await.unwrap();
        assert_eq!(length, 0);
        assert!(matches!(log.open(BLOCKS, b"2").await, Err(Error::BlobAlreadyOpen(..))));
        file.write_at(0, vec![8; 70_001], WriteOptions::default()).await.unwrap();
        file.start_sync().await.await.unwrap();
        let beyond = file.read_at(70_000, 2, ReadOptions::default()).await;
        assert!(matches!(beyond, Err(Error::BlobInsufficientLength)));
        drop(file);
        log.remove(BLOCKS, Some(b"1")).await.unwrap();
        assert!(matches!(log.remove(BLOCKS, Some(b"1")).await, Err(Error::BlobMissing(..))));
        log.remove(BLOCKS, None).await.unwrap();
        assert!(matches!(log.scan(BLOCKS).await, Err(Error::PartitionMissing(_))));
    });
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0);
}
