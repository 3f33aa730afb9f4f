//! What is pruned, when, and what that leaves.

use crate::cluster::{CHAIN_ID, Cluster, PATIENCE, Recorder, wait_for};
use sequencer::limits::KEPT_BLOCKS_MIN;
use sequencer::{Application, Block, FinalizedError, OrderOnly, Proposal, Propose, Sequencer, StartError};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks of these tests are older at once.
const WINDOW: Duration = Duration::from_millis(1);

/// Waits until blocks below `oldest` are pruned.
fn wait_until_pruned(sequencer: &Sequencer, oldest: u64) {
    let begin = Instant::now();
    while sequencer.oldest() < oldest {
        assert!(begin.elapsed() < PATIENCE, "oldest {} at height {}", sequencer.oldest(), sequencer.height());
        wait_for(sequencer, sequencer.height() + 1);
    }
}

/// Everything from the oldest height on is whole, of everything below there is a proven header, and asking for more names
/// the oldest.
fn check(cluster: &Cluster, sequencer: &Sequencer) {
    let keys: Vec<[u8; 32]> = {
        let mut keys: Vec<[u8; 32]> = (cluster.committee.validators().iter())
            .map(|validator| hex::decode(&validator.public_key).unwrap().try_into().unwrap())
            .collect();
        keys.sort_unstable();
        keys
    };
    let keys: Vec<_> = keys.into_iter().map(Into::into).collect();
    let oldest = sequencer.oldest();
    assert!(oldest + KEPT_BLOCKS_MIN <= sequencer.height() + 1, "the newest ones stay");
    assert_eq!(sequencer.status().oldest_height, oldest);
    let mut parent = sequencer.genesis().unwrap().digest();
    for height in 1..oldest {
        let (header, certificate) = sequencer.header(height).unwrap().unwrap();
        let verified = proof::certificate::verify(CHAIN_ID, &keys, &header.encode(), &certificate).unwrap();
        assert_eq!((verified.height, verified.parent.0), (height, parent));
        parent = header.digest();
        let refused = [sequencer.block(height).err(), sequencer.finalized(height, 1).err()];
        for error in refused {
            match error {
                Some(FinalizedError::Pruned { height: named, oldest: told }) => {
                    assert!(named == height && told >= oldest);
                }
                other => panic!("block {height}: {other:?}"),
            }
        }
        assert_eq!(sequencer.height_of(&parent).unwrap(), Some(height));
    }
    // More may be pruned meanwhile, but not the newest ones.
    let (block, _) = sequencer.block(sequencer.height()).unwrap().unwrap();
    assert_eq!(sequencer.header(block.height).unwrap().unwrap().0, block.header());
    assert!(sequencer.header(sequencer.height() + 1_000).unwrap().is_none());
    assert!(sequencer.header(0).unwrap().is_none());
}

#[test]
fn old_blocks_are_pruned_to_their_headers_and_the_network_goes_on_after_a_restart() {
    let mut cluster = Cluster::new(1, 0);
    cluster.retention = Some(WINDOW);
    cluster.start_seat(0);
    wait_until_pruned(cluster.seat(0), 20);
    check(&cluster, cluster.seat(0));
    let (oldest, height) = (cluster.seat(0).oldest(), cluster.seat(0).height());
    cluster.stop_all();
    cluster.start_seat(0);
    assert!(cluster.seat(0).oldest() >= oldest);
    wait_until_pruned(cluster.seat(0), oldest + 20);
    assert!(cluster.seat(0).height() > height);
    check(&cluster, cluster.seat(0));
    cluster.stop_all();

    // What follows from pruned blocks and is lost is not made up.
    let accounts = cluster.directory(0).join("accounts.kept");
    let kept = fs::read(&accounts).unwrap();
    fs::remove_file(&accounts).unwrap();
    let error = cluster.try_start(0).err().unwrap();
    assert!(matches!(error, StartError::Pruned { what: "what namespaces owe", height: 1, .. }), "{error}");
    fs::write(&accounts, kept).unwrap();
    let recorder = std::mem::replace(&mut cluster.recorders[0], Arc::new(Recorder::default()));
    let error = cluster.try_start(0).err().unwrap();
    assert!(matches!(error, StartError::Pruned { what: "the application", height: 1, .. }), "{error}");
    cluster.recorders[0] = recorder;
    cluster.start_seat(0);
    cluster.wait_for(height + 10);
}

#[test]
fn nothing_is_pruned_that_is_young_or_without_a_window() {
    let mut cluster = Cluster::new(1, 0);
    cluster.retention = Some(Duration::from_secs(3_600));
    cluster.start_seat(0);
    cluster.wait_for(KEPT_BLOCKS_MIN + 100);
    assert_eq!(cluster.seat(0).oldest(), 1);
    cluster.stop_all();
    cluster.retention = None;
    cluster.start_seat(0);
    let height = cluster.seat(0).height() + 40;
    cluster.wait_for(height);
    assert_eq!((cluster.seat(0).oldest(), cluster.follow(0, 1).len() as u64 >= height), (1, true));
}

const KILLED_DIRECTORY: &str = "SEQUENCER_TEST_RETENTION";

/// An application that keeps its height in a file.
struct Durable {
    ordered: OrderOnly,
    file: PathBuf,
}

impl Durable {
    fn new(file: PathBuf) -> Arc<Self> {
        Arc::new(Self { ordered: OrderOnly::default(), file })
    }
}

impl Application for Durable {
    fn genesis_commitment(&self) -> bytes::Bytes {
        // As the cluster's.
        bytes::Bytes::from(0u64.to_be_bytes().to_vec())
    }

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        self.ordered.propose(request)
    }

    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool {
        self.ordered.verify(ancestors, block)
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        fs::write(&self.file, block.height.to_string()).map_err(|error| error.to_string())
    }

    fn finalized_height(&self) -> u64 {
        fs::read_to_string(&self.file).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

fn durable(root: PathBuf) -> (Cluster, Sequencer) {
    let mut cluster = Cluster::single_in(root.clone(), 0);
    cluster.retention = Some(WINDOW);
    let sequencer = Sequencer::start(cluster.config(0), Durable::new(root.join("height"))).unwrap();
    (cluster, sequencer)
}

/// Runs a validator for ever and prints what it prunes, until the test that started the process kills it.
#[test]
#[ignore = "the body of the process that the next test kills"]
fn pruning_process_to_be_killed() {
    let Some(root) = std::env::var_os(KILLED_DIRECTORY) else { return };
    let (_cluster, sequencer) = durable(root.into());
    for height in sequencer.height() + 1.. {
        wait_for(&sequencer, height);
        writeln!(std::io::stdout(), "oldest {}", sequencer.oldest()).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_while_it_prunes_goes_on_pruning() {
    let root = tempfile::tempdir().unwrap();
    let mut before = 1;
    for run in 0..3 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["retention::pruning_process_to_be_killed", "--exact", "--ignored", "--nocapture"])
            .env(KILLED_DIRECTORY, root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let told =
            lines.filter_map(|line| line.unwrap().split_once("oldest ").map(|(_, oldest)| oldest.parse().unwrap()));
        let oldest: u64 = told.into_iter().find(|oldest: &u64| *oldest > before + 1).unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(oldest > before, "run {run}");
        before = oldest;
    }
    let (cluster, sequencer) = durable(root.path().to_owned());
    assert!(sequencer.oldest() >= before);
    check(&cluster, &sequencer);
    sequencer.stop_blocking();
}
