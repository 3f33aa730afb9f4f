//! `cargo xtask net`: validators as processes on hosts of their own, and everything that can happen between and to them.
//!
//! | module | what it does |
//! |---|---|
//! | `hosts` | network namespaces with addresses, by iproute2 |
//! | `switch`, `frame` | passes packets between them, late or never |
//! | `fleet`, `load`, `http` | nodes as processes; transactions; asking nodes |
//! | `scenarios` | what happens |
//! | `checks` | what must be true afterwards |
//!
//! The program starts itself again in namespaces of its own for processes, mounts and the network. When that process ends, also by
//! `kill -9`, the kernel ends everything in it and removes every namespace, address and mount. Nothing leaves the machine, and nothing
//! outside is changed but the folder below the target directory.

mod checks;
mod fleet;
mod frame;
mod hosts;
mod http;
mod load;
mod scenarios;
mod switch;

use crate::process::{kumo, target_directory};
use clap::Args;
use eyre::{Context, Result, ensure, eyre};
use fleet::{Fleet, Kind};
use load::Load;
use scenarios::{SCENARIOS, Scenario, World};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Programs beside ours, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("cc", "gcc"),
    ("cp", "coreutils"),
    ("env", "coreutils"),
];
/// The first process of the new namespaces. A shell, as it ends when it is told to: then the kernel ends all others.
const FIRST: &str = r#"trap 'exit 130' INT TERM; "$@" & wait $!"#;

/// Options of `cargo xtask net`.
#[derive(Args)]
pub struct Options {
    /// Program to test; without it the release program is built
    #[arg(long, value_name = "PATH", overrides_with = "kumo")]
    kumo: Option<PathBuf>,
    /// Sizes of the networks, 4 to 16 validators each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "4,7", value_parser = clap::value_parser!(u8).range(4..=16))]
    validators: Vec<u8>,
    /// Only the scenarios whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only the first network and the scenarios of continuous integration
    #[arg(long)]
    short: bool,
    /// Set for the process in the new namespaces: the folder for everything
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

impl Options {
    fn takes(&self, (name, is_short, _): &Scenario) -> bool {
        let is_named = self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()));
        is_named && (*is_short || !self.short)
    }

    fn sizes(&self) -> &[u8] {
        if self.short { &self.validators[..1] } else { &self.validators }
    }
}

/// Builds the program, makes hosts, and runs all scenarios on networks of each size.
///
/// # Errors
/// When something is absent, or a scenario failed.
pub fn run(options: &Options) -> Result<()> {
    match &options.folder {
        Some(folder) => run_inside(options, folder),
        None => enter(options),
    }
}

/// Starts this program again in namespaces of its own; returns only if that is not possible.
fn enter(options: &Options) -> Result<()> {
    ensure!(SCENARIOS.iter().any(|scenario| options.takes(scenario)), "no scenario is named {:?}", options.only);
    for (program, package) in PROGRAMS {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output()?;
        ensure!(found.status.success(), "{program} is not installed; on Debian: apt-get install {package}");
    }
    let kumo = kumo(options.kumo.as_deref())?;
    let folder = target_directory()?.join("net");
    if folder.exists() {
        fs::remove_dir_all(&folder).wrap_err_with(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", FIRST, "sh"]);
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    command.arg("--folder").arg(folder).arg("--kumo").arg(kumo);
    Err(eyre!(command.exec()).wrap_err("cannot start in namespaces of its own"))
}

/// One line of the table.
struct Outcome {
    name: &'static str,
    validators: u8,
    seconds: u64,
    heights: (u64, u64),
    acknowledged: usize,
    failure: Option<String>,
}

fn run_inside(options: &Options, folder: &Path) -> Result<()> {
    let kumo = options.kumo.as_deref().ok_or_else(|| eyre!("--folder is for the program itself"))?;
    let most = options.sizes().iter().copied().max().unwrap_or_default();
    // A host for each validator, one for the follower, two for nodes that come later.
    let switch = hosts::build(most + 3).wrap_err("cannot make hosts; the harness needs root, or user namespaces")?;
    let mut outcomes = vec![];
    for size in options.sizes() {
        let folder = folder.join(size.to_string());
        fs::create_dir_all(&folder)?;
        let mut fleet = Fleet::create(kumo, &folder, *size)?;
        fleet.start_all()?;
        fleet.advance(fleet::EPOCH_BLOCKS)?;
        outcomes.extend(run_scenarios(options, &mut fleet, &switch, *size));
    }
    report(&outcomes)
}

fn run_scenarios(options: &Options, fleet: &mut Fleet, switch: &switch::Switch, size: u8) -> Vec<Outcome> {
    let mut checked = 0;
    let mut outcomes = vec![];
    let mut world = World { fleet, switch, spare: vec![size + 3, size + 2] };
    for (round, scenario) in (0..).zip(SCENARIOS.iter().filter(|scenario| options.takes(scenario))) {
        let outcome = run_scenario(&mut world, scenario, size, round, &mut checked);
        println!("{}", line(&outcome));
        outcomes.push(outcome);
    }
    outcomes
}

fn run_scenario(world: &mut World, scenario: &Scenario, validators: u8, round: u64, checked: &mut u64) -> Outcome {
    let (name, _, happen) = scenario;
    let (begin, from) = (Instant::now(), world.fleet.highest());
    let is_validator = |node: &&fleet::Node| matches!(node.kind, Kind::Validator(_));
    let addresses: Vec<_> = world.fleet.nodes.iter().filter(is_validator).map(fleet::Node::address).collect();
    let load = Load::start(&addresses, round);
    let happened = happen(world);
    let acknowledged = load.stop();
    if happened.is_err() {
        world.restore();
    }
    let well = happened.and_then(|()| world.fleet.start_all()).and_then(|()| {
        ensure!(!acknowledged.is_empty(), "nothing was acknowledged, so nothing was tested");
        *checked = checks::check(world.fleet, *checked, &acknowledged)?;
        Ok(())
    });
    if well.is_err() {
        // Reported below; a node that cannot start fails the next scenario, too.
        let _ = world.fleet.start_all();
    }
    Outcome {
        name,
        validators,
        seconds: begin.elapsed().as_secs(),
        heights: (from, world.fleet.highest()),
        acknowledged: acknowledged.len(),
        failure: well.err().map(|error| format!("{error:#}")),
    }
}

fn line(outcome: &Outcome) -> String {
    let Outcome { name, validators, seconds, heights: (from, to), acknowledged, failure } = outcome;
    let word = if failure.is_none() { "ok" } else { "FAILED" };
    let reason = failure.as_ref().map(|reason| format!("\n    {reason}")).unwrap_or_default();
    format!(
        "net: {word:<6} {name:<28} {validators} validators  {seconds:>4} s  blocks {from} to {to}  {acknowledged} acknowledged{reason}"
    )
}

fn report(outcomes: &[Outcome]) -> Result<()> {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    println!("net: {} scenarios passed, {failed} failed", outcomes.len() - failed);
    ensure!(failed == 0, "{failed} scenarios failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &str) -> Options {
        Words::try_parse_from(format!("net {words}").split_whitespace()).unwrap().options
    }

    #[test]
    fn the_short_run_is_a_part_of_the_whole() {
        let count = |words| SCENARIOS.iter().filter(|scenario| options(words).takes(scenario)).count();
        assert_eq!(count(""), SCENARIOS.len());
        assert!((3..SCENARIOS.len()).contains(&count("--short")));
        assert_eq!(count("--only partition"), 1);
        assert_eq!((options("").sizes(), options("--short").sizes()), (&[4, 7][..], &[4][..]));
    }

    #[test]
    fn a_failure_is_counted_and_fails_the_command() {
        let outcome = |failure: Option<&str>| Outcome {
            name: "x",
            validators: 4,
            seconds: 1,
            heights: (0, 1),
            acknowledged: 1,
            failure: failure.map(str::to_owned),
        };
        report(&[outcome(None)]).unwrap();
        let failed = outcome(Some("why"));
        assert!(line(&failed).contains("FAILED") && line(&failed).ends_with("why"));
        assert!(report(&[outcome(None), failed]).is_err());
    }
}
