//! What happens to the network, one thing after the other, while transactions come in.

use super::fleet::{Fleet, Kind};
use super::switch::{Switch, Weather};
use crate::process::run;
use eyre::{Result, ensure, eyre};
use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// Blocks that must become final while something is wrong that must not stop the network.
const BLOCKS: u64 = 20;
/// Time in which a network without a quorum must make no block: several times of what a view takes to fail.
const STANDSTILL: Duration = Duration::from_secs(8);
/// Most blocks that may still become final when a quorum is lost, as their votes were sent before.
const LATE_BLOCKS_MAX: u64 = 2;
/// How wrong a clock may be, in seconds, so that its validator still takes part: less than a block's time may be ahead.
const CLOCK_SECONDS_NEAR: i64 = 1;
/// How wrong a clock must not be, in seconds: other validators do not talk to whoever is so far off.
const CLOCK_SECONDS_FAR: i64 = 300;
/// Size of the disk that becomes full.
const DISK: &str = "size=256m";
/// File that fills it.
const BALLAST: &str = "ballast";
/// Bytes written at a time to fill it.
const BALLAST_BYTES: usize = 1 << 16;

/// A scenario: its name, whether the short run has it, and what it does. Afterwards everything must be well again
/// within [`super::fleet::PATIENCE`].
pub type Scenario = (&'static str, bool, fn(&mut World) -> Result<()>);

/// What a scenario acts on.
pub struct World<'a> {
    /// The nodes.
    pub fleet: &'a mut Fleet,
    /// The network between them.
    pub switch: &'a Switch,
    /// Hosts that are free for new nodes.
    pub spare: Vec<u8>,
}

/// All scenarios in their order.
pub const SCENARIOS: [Scenario; 11] = [
    ("kill -9 and restart", true, kill_and_restart),
    ("kill -9 of all", true, kill_all),
    ("partition without a quorum", true, partition),
    ("isolate each leader", true, isolate_each),
    ("200 ms latency", false, latency),
    ("5 % loss", true, loss),
    ("clock ahead and behind", false, clocks),
    ("disk full", true, disk_full),
    ("state of a validator lost", false, lost_state),
    ("new node from a checkpoint", true, from_checkpoint),
    ("new validator from a checkpoint", false, validator_from_checkpoint),
];

impl World<'_> {
    fn weather(&self, change: impl FnOnce(&mut Weather)) {
        let mut weather = Weather::default();
        change(&mut weather);
        self.switch.set(weather);
    }

    fn well(&self) {
        self.switch.set(Weather::default());
    }

    /// Ends what a scenario that failed has left behind, so that the next one begins with a network that is whole.
    pub fn restore(&mut self) {
        self.well();
        for node in &mut self.fleet.nodes {
            // Where there is none, nothing is to be removed.
            let _ = fs::remove_file(node.state.join(BALLAST));
            if node.clock != 0 {
                node.kill();
                node.clock = 0;
            }
        }
    }
}

/// As many validators as may be absent die; the others go on; the dead ones come back and catch up.
fn kill_and_restart(world: &mut World) -> Result<()> {
    for place in 0..world.fleet.faults() {
        world.fleet.nodes[place].kill();
    }
    world.fleet.advance(BLOCKS)?;
    world.fleet.start_all()?;
    world.fleet.advance(BLOCKS)
}

/// Everything dies at once, as in a power cut, twice.
fn kill_all(world: &mut World) -> Result<()> {
    for _ in 0..2 {
        world.fleet.nodes.iter_mut().for_each(super::fleet::Node::kill);
        world.fleet.start_all()?;
        world.fleet.advance(BLOCKS)?;
    }
    Ok(())
}

/// Two halves, none of which has a quorum: no blocks; then they go on together.
fn partition(world: &mut World) -> Result<()> {
    let validators = world.fleet.validators();
    let half = validators.len() / 2;
    world.weather(|weather| {
        let hosts = validators[..half].iter().map(|place| world.fleet.nodes[*place].host);
        weather.sides.extend(hosts.map(|host| (host, 1)));
    });
    let before = world.fleet.highest();
    std::thread::sleep(STANDSTILL);
    let after = world.fleet.highest();
    ensure!(after <= before + LATE_BLOCKS_MAX, "without a quorum the chain went from {before} to {after}");
    ensure!(world.switch.counts().cut > 0, "the switch has cut nothing");
    world.well();
    world.fleet.advance(BLOCKS)
}

/// Seats lead in turns, so each is isolated while it leads some views: the others must go on without it.
fn isolate_each(world: &mut World) -> Result<()> {
    let validators = world.fleet.validators();
    let views = validators.len() as u64 + 1;
    for place in validators {
        let host = world.fleet.nodes[place].host;
        world.weather(|weather| weather.sides.extend([(host, 1)]));
        world.fleet.advance(views)?;
    }
    world.well();
    Ok(())
}

fn latency(world: &mut World) -> Result<()> {
    world.weather(|weather| weather.delay = Duration::from_millis(200));
    world.fleet.advance(BLOCKS)?;
    world.well();
    Ok(())
}

fn loss(world: &mut World) -> Result<()> {
    world.weather(|weather| weather.loss_per_mille = 50);
    let before = world.switch.counts().lost;
    world.fleet.advance(BLOCKS)?;
    ensure!(world.switch.counts().lost > before, "the switch has lost nothing");
    world.well();
    Ok(())
}

/// One validator lives in the future and in the past, a little and far, and is then told the time. With a clock that is a little wrong
/// it goes on with the others; far off it is like one that is away, and the others go on.
fn clocks(world: &mut World) -> Result<()> {
    let (near, far) = (CLOCK_SECONDS_NEAR, CLOCK_SECONDS_FAR);
    for seconds in [near, -near, far, -far, 0] {
        let node = &mut world.fleet.nodes[0];
        node.kill();
        node.clock = seconds;
        world.fleet.start(0)?;
        world.fleet.advance(BLOCKS)?;
        let target = world.fleet.highest();
        let node = &world.fleet.nodes[0];
        if seconds.abs() <= near {
            world.fleet.eventually(&format!("the validator that is {seconds} s ahead follows"), || {
                Ok(node.height()? >= target)
            })?;
        }
    }
    Ok(())
}

/// The disk of one validator fills up. It must say so and stop, the others go on, and it goes on when there is room.
fn disk_full(world: &mut World) -> Result<()> {
    let place = *world.fleet.validators().last().ok_or_else(|| eyre!("no validators"))?;
    let state = small_disk(world, place)?;
    world.fleet.start(place)?;
    world.fleet.advance(BLOCKS)?;
    let ballast = state.join(BALLAST);
    fill(&ballast)?;
    let node = &mut world.fleet.nodes[place];
    let begin = Instant::now();
    let ended = loop {
        if let Some(how) = node.ended(Duration::from_millis(500))? {
            break how;
        }
        // Whatever it frees itself is taken from it, too.
        fill(&ballast)?;
        ensure!(begin.elapsed() < 4 * super::fleet::PATIENCE, "a validator without disk goes on: {}", node.tail());
    };
    ensure!(ended == "failure", "it must not end as if all were well");
    let words = node.tail();
    ensure!(words.contains("No space left"), "it does not say that the disk is full: {words}");
    world.fleet.advance(BLOCKS)?;
    fs::remove_file(&ballast)?;
    world.fleet.start(place)?;
    world.fleet.advance(BLOCKS)
}

/// Moves a stopped node's directory to a small disk of its own.
fn small_disk(world: &mut World, place: usize) -> Result<std::path::PathBuf> {
    let node = &mut world.fleet.nodes[place];
    node.kill();
    let small = node.state.with_extension("small");
    fs::create_dir_all(&small)?;
    run(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&small))?;
    run(Command::new("cp").arg("-a").arg(node.state.join(".")).arg(&small))?;
    node.state = small.clone();
    Ok(small)
}

/// Writes until there is no room.
fn fill(path: &std::path::Path) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    for size in [BALLAST_BYTES, 4_096, 1] {
        let zeros = vec![0; size];
        while file.write_all(&zeros).is_ok() {}
    }
    Ok(())
}

/// What a validator executed is gone; what it ordered and signed is not.
fn lost_state(world: &mut World) -> Result<()> {
    let node = &mut world.fleet.nodes[0];
    node.kill();
    fs::remove_dir_all(node.state.join("chain"))?;
    world.fleet.start(0)?;
    world.fleet.advance(BLOCKS)
}

/// A node that was never there starts from a checkpoint that somebody trusts, in bad weather.
fn from_checkpoint(world: &mut World) -> Result<()> {
    let host = world.spare.pop().ok_or_else(|| eyre!("no host is free"))?;
    let (epoch, root) = world.fleet.nodes[0].finalized()?;
    ensure!(epoch > 0, "nothing is finalised yet");
    let state = world.fleet.nodes[0].state.with_file_name(format!("rpc-{host}"));
    let place = world.fleet.add(Kind::Rpc(Some(format!("{epoch}:{root}"))), host, state);
    world.weather(|weather| (weather.delay, weather.loss_per_mille) = (Duration::from_millis(20), 10));
    world.fleet.start(place)?;
    let target = world.fleet.highest();
    let node = &world.fleet.nodes[place];
    world.fleet.eventually("the new node has caught up", || Ok(node.height()? >= target))?;
    world.well();
    Ok(())
}

/// A validator that was never there begins with what another one keeps, at a checkpoint that somebody trusts. It stakes, gets a
/// seat, and is needed: as many of the others die as may be absent then.
fn validator_from_checkpoint(world: &mut World) -> Result<()> {
    let host = world.spare.pop().ok_or_else(|| eyre!("no host is free"))?;
    let fleet = &mut *world.fleet;
    let origin = *fleet.validators().last().ok_or_else(|| eyre!("no validators"))?;
    fleet.eventually("there are checkpoints", || Ok(fleet.nodes[0].finalized()?.0 >= 3))?;
    fleet.nodes[origin].stop()?;
    let state = fleet.nodes[0].state.with_file_name(format!("validator-of-host-{host}"));
    let folder = state.with_extension("snapshot");
    let place = fleet.add(Kind::Validator(None), host, state.clone());
    let (kept, state, folder) = (text(&fleet.nodes[origin].state)?, text(&state)?, text(&folder)?);
    let exported = fleet.command(place, &["node", "snapshot", "export", "--state", &kept, "--out", &folder])?;
    fleet.start(origin)?;
    let epoch = exported["checkpoint"]["epoch"].as_u64().ok_or_else(|| eyre!("no checkpoint in {exported}"))?;
    fleet.eventually("the checkpoint of the snapshot is finalised", || Ok(fleet.nodes[0].finalized()?.0 >= epoch))?;
    let trusted = super::http::get(fleet.nodes[0].address(), &format!("/seq/v1/checkpoint?epoch={epoch}"))?;
    let root = trusted["checkpoint"]["root"].as_str().ok_or_else(|| eyre!("no root in {trusted}"))?;
    fleet.command(place, &["node", "keys", "--dir", &state])?;
    let point = format!("{epoch}:{root}");
    let imported =
        fleet.command(place, &["node", "snapshot", "import", &folder, "--state", &state, "--checkpoint", &point])?;
    let first = imported["first"].as_u64().ok_or_else(|| eyre!("no first block in {imported}"))?;
    let node = &mut fleet.nodes[place];
    node.first = first;
    let (p2p, api) = (node.p2p().to_string(), format!("http://{}", node.address()));
    fleet.command(place, &["stake", "validator", "register", "--keys", &state, "--p2p", &p2p, "--api", &api])?;
    fleet.start(place)?;
    let node = &fleet.nodes[place];
    fleet.eventually("the new validator has a seat", || Ok(node.seat()?.is_some()))?;
    for other in 0..fleet.faults() {
        fleet.nodes[other].kill();
    }
    fleet.advance(BLOCKS)?;
    fleet.start_all()?;
    fleet.advance(BLOCKS)
}

fn text(path: &std::path::Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| eyre!("{} is no text", path.display()))
}
