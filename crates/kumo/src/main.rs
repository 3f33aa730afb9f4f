//! The `kumo` program: reads the command line and the environment, and starts what they ask for.

use clap::Parser as _;
use cli::{Context, Exit, Failure, Output};
use eyre::Report;
use kumo::args::{
    Arguments, Command, ConfigArguments, ConfigCommand, ConfigShowArguments, DemoArguments, DevArguments,
    InitArguments, NodeArguments, NodeCommand, NodeWords, Ports, ProtectionCommand,
};
use kumo::chain::ChainCommand;
use kumo::dev::DevNetwork;
use kumo::locate::{self, Environment};
use kumo::roles::Running;
use kumo::roles::imported::Served;
use kumo::settings::{Settings, Shown, Sources};
use kumo::{bridge, da, demo, doctor, node, protection, stake, validator_snapshot};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Open files that a node with many clients needs; the system's hard limit may be lower.
const OPEN_FILES: u64 = 65_536;

/// Blocks are made of many small allocations that one thread makes and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(&arguments);
    let open_files = gateway::server::raise_open_files(OPEN_FILES);
    tracing::debug!(?open_files, "limit of open files");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let (what, kept) = in_case(&arguments.command);
            return fail(Output::Text, what, kept, &Report::new(error).wrap_err("cannot start threads"));
        }
    };
    let code = runtime.block_on(run(arguments));
    // What still runs in the background has been told to stop; a stuck thread must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}

async fn run(arguments: Arguments) -> ExitCode {
    let Arguments { global, command } = arguments;
    let environment = Environment::read();
    let output = global.output;
    let (what, kept) = in_case(&command);
    let done = match command {
        Command::User(command) => return user(command, global, &environment).await,
        Command::Demo(arguments) => run_demo(arguments, output).await,
        Command::Dev(arguments) => run_dev(arguments, output, &environment).await,
        Command::Init(arguments) => run_init(&arguments, output),
        Command::Config(ConfigCommand::Show(arguments)) => show_config(&arguments, output, &environment),
        Command::Node(words) => match words.command {
            Some(NodeCommand::SlashingProtection(command)) => run_protection(&command, output),
            Some(NodeCommand::Keys(words)) => stake::make_keys(&words.dir).and_then(|done| show(done, output)),
            Some(NodeCommand::Snapshot(command)) => {
                let network = locate::network(global.network.as_deref(), &environment);
                let done = network.and_then(|network| validator_snapshot::run(&command, &network));
                done.and_then(|done| show(done, output))
            }
            None => run_role(words.node, global.network.as_deref(), &environment).await,
        },
        Command::Bridge(command) => match locate::network(global.network.as_deref(), &environment) {
            Ok(network) => bridge::run(&command, &network, output).await.and_then(|text| {
                print(&text)?;
                Ok(ExitCode::SUCCESS)
            }),
            Err(error) => Err(error),
        },
        Command::Stake(command) => {
            let network = locate::network(global.network.as_deref(), &environment);
            let done = async { stake::run(command, &network?).await }.await;
            done.and_then(|done| show(done, output))
        }
        Command::Da(command) => match locate::network(global.network.as_deref(), &environment) {
            Ok(network) => da::run(command, &network).await.and_then(|found| {
                let code = show((found.text, found.json), output)?;
                Ok(if found.ok { code } else { Exit::Failure.into() })
            }),
            Err(error) => Err(error),
        },
        Command::Chain(command) => run_chain(command, output).await,
        Command::Doctor => run_doctor(locate::network(global.network.as_deref(), &environment), output).await,
    };
    done.unwrap_or_else(|error| fail(output, what, kept, &error))
}

/// What to say of a command that fails: what did not happen, and what is still there.
fn in_case(command: &Command) -> (&'static str, &'static str) {
    match command {
        Command::Chain(_) => (
            "the work on the chain did not end well",
            "nothing was lost: what was on disk, and what was imported, stays",
        ),
        Command::Bridge(_) => {
            ("the command did not end well", "what the detail names was sent to the L1, and nothing else")
        }
        Command::Da(_) => ("nothing can be said about the data", "nothing changed"),
        Command::Config(_) => ("the settings cannot be used", "nothing changed"),
        Command::Doctor => ("the check did not end", "nothing changed"),
        Command::Stake(_) => ("the validator was not changed", "a transaction that was sent may still be included"),
        Command::Node(NodeWords { command: Some(NodeCommand::Keys(_)), .. }) => {
            ("there are no new keys", "keys that were there are as they were")
        }
        Command::Node(NodeWords { command: Some(NodeCommand::Snapshot(_)), .. }) => {
            ("there is no snapshot, or nothing was made from it", "nothing was lost: directories are as they were")
        }
        Command::Node(words) if words.command.is_some() => {
            ("the record of signatures is as it was", "nothing changed; do not start a validator without its record")
        }
        _ => ("the node could not run", "nothing was lost: state directories are as they were"),
    }
}

/// Logs go to stderr: warnings for a user's command, the course of things for a node, more with -v or `RUST_LOG`.
fn start_log(arguments: &Arguments) {
    let quiet = matches!(
        arguments.command,
        Command::User(_)
            | Command::Demo(_)
            | Command::Doctor
            | Command::Bridge(_)
            | Command::Init(_)
            | Command::Chain(_)
            | Command::Config(_)
            | Command::Da(_)
            | Command::Stake(_)
    ) || matches!(&arguments.command, Command::Node(words) if words.command.is_some());
    let ours = match (quiet, arguments.global.verbose) {
        (true, 0) => "error",
        (false, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let usual = format!(
        "error,kumo={ours},chain={ours},sequencer={ours},storage={ours},gateway={ours},sdk={ours},bridge_ethereum={ours}"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
}

async fn user(command: cli::Command, global: cli::Global, environment: &Environment) -> ExitCode {
    let network = locate::network(global.network.as_deref(), environment).map_err(|error| {
        Failure::new(Exit::Unavailable, format!("{error:#}"))
            .next("start a network with `kumo dev`, or name one with --network FILE")
    });
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    cli::run(command, Context { global, network, out: &mut out, err: &mut err }).await.into()
}

async fn run_demo(arguments: DemoArguments, output: Output) -> eyre::Result<ExitCode> {
    let settings = demo::Settings { ports_auto: arguments.ports == Ports::Auto, quiet: false };
    let (report, network) = tokio::select! {
        done = demo::run(settings) => done,
        () = interrupted() => return Ok(Exit::Interrupted.into()),
    };
    if output == Output::Json {
        print(&serde_json::to_string(&report)?)?;
    }
    let code = if report.ok { ExitCode::SUCCESS } else { Exit::Failure.into() };
    let Some(network) = network else { return Ok(code) };
    tell(&format!("gateway  {}\njson-rpc {}", network.network().gateway, network.network().rpc));
    if !arguments.exit {
        tell("the network stays up; Ctrl-C stops it and removes its directory");
        interrupted().await;
    }
    network.stop().await;
    Ok(code)
}

async fn run_dev(arguments: DevArguments, output: Output, environment: &Environment) -> eyre::Result<ExitCode> {
    let settings = settings(&arguments.config, environment)?;
    let network = DevNetwork::start(arguments.options(settings)).await?;
    let ended = async {
        network.ready().await?;
        if let Some(path) = environment.last_dev() {
            locate::write(&path, network.network())?;
        }
        // Last, because scripts wait for this file and then use whatever else there is.
        if let Some(path) = &arguments.config_out {
            locate::write(path, network.network())?;
        }
        announce(&network, output)
    };
    let outcome = tokio::select! {
        outcome = ended => Some(outcome),
        () = interrupted() => None,
    };
    if let Some(Ok(())) = outcome {
        interrupted().await;
    }
    tell("stopping");
    network.stop().await;
    outcome.unwrap_or(Ok(())).map(|()| ExitCode::SUCCESS)
}

fn announce(network: &DevNetwork, output: Output) -> eyre::Result<()> {
    let file = network.network();
    if output == Output::Json {
        return print(&serde_json::to_string(file)?);
    }
    let mut text = format!(
        "development network, chain {} (the keys of its accounts are public)\n  gateway   {}\n  json-rpc  {}\n  state     {}\n",
        file.chain_id,
        file.gateway,
        file.rpc,
        network.state().display()
    );
    for (index, account) in file.accounts.iter().enumerate() {
        text.push_str(&format!("  account {index} {}\n", account.address));
    }
    text.push_str("ready; Ctrl-C stops it");
    print(&text)
}

fn run_init(arguments: &InitArguments, output: Output) -> eyre::Result<ExitCode> {
    let plan = node::init(arguments)?;
    let file = plan.state.join("network.json");
    match output {
        Output::Json => {
            print(&serde_json::json!({ "network": file, "validators": plan.network.validators.len() }).to_string())?
        }
        Output::Text => print(&file.display().to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves the imported chain in the state directory, if there is one; otherwise plays the role in the network.
async fn run_role(
    arguments: NodeArguments,
    network: Option<&std::path::Path>,
    environment: &Environment,
) -> eyre::Result<ExitCode> {
    match start_imported(&arguments, environment).await? {
        Some(started) => run_imported(started, &arguments).await,
        None => run_node(arguments, locate::network(network, environment)?, environment).await,
    }
}

fn show((text, json): (String, serde_json::Value), output: Output) -> eyre::Result<ExitCode> {
    print(&if output == Output::Json { json.to_string() } else { text })?;
    Ok(ExitCode::SUCCESS)
}

fn run_protection(command: &ProtectionCommand, output: Output) -> eyre::Result<ExitCode> {
    let (json, text) = match command {
        ProtectionCommand::Export(words) => {
            protection::export(&words.dir, &words.file)?;
            let file = &words.file;
            (
                serde_json::json!({ "exported": file }),
                format!("exported to {}; do not start that validator again", file.display()),
            )
        }
        ProtectionCommand::Import(words) => {
            let new = protection::import(&words.dir, &words.file)?;
            let json = serde_json::json!({ "keys": new.keys, "attestations": new.attestations, "blocks": new.blocks });
            (
                json,
                format!("{} keys, {} votes and {} blocks that were not known", new.keys, new.attestations, new.blocks),
            )
        }
    };
    print(&if output == Output::Json { json.to_string() } else { text })?;
    Ok(ExitCode::SUCCESS)
}

async fn run_node(
    arguments: NodeArguments,
    network: protocol::network::Network,
    environment: &Environment,
) -> eyre::Result<ExitCode> {
    let settings = settings(&arguments.config, environment)?;
    let role = node::start(arguments, network, settings).await?;
    tell(&format!("{} runs; Ctrl-C stops it", role.name()));
    let failure = tokio::select! {
        reason = role.failed() => Some(reason),
        () = interrupted() => None,
    };
    role.stop().await;
    failure.map_or(Ok(ExitCode::SUCCESS), |reason| Err(Report::msg(reason)))
}

/// The settings that file, environment and flags make.
fn settings(flags: &ConfigArguments, environment: &Environment) -> eyre::Result<Settings> {
    Settings::read(&Sources {
        file: flags.config.clone().or_else(|| environment.config.clone()),
        environment: environment.limits.clone(),
        flags: flags.flags(),
    })
}

fn show_config(arguments: &ConfigShowArguments, output: Output, environment: &Environment) -> eyre::Result<ExitCode> {
    let shown = settings(&arguments.config, environment)?.show();
    if output == Output::Json {
        print(&serde_json::to_string(&shown)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for Shown { key, value, min, max, about, beyond, origin } in shown {
        let origin = if arguments.origin { format!("  from {origin}") } else { String::new() };
        print(&format!("{key} = {value}{origin}  # {min} to {max}: {about}; beyond: {beyond}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn start_imported(
    arguments: &NodeArguments,
    environment: &Environment,
) -> eyre::Result<Option<(Running, Served)>> {
    node::start_imported(arguments, settings(&arguments.config, environment)?).await
}

async fn run_imported(started: (Running, Served), arguments: &NodeArguments) -> eyre::Result<ExitCode> {
    let (role, served) = started;
    if let Some(path) = &arguments.config_out {
        locate::write_json(path, &served)?;
    }
    tell(&format!("imported chain {}, read-only\njson-rpc {}\nCtrl-C stops it", served.chain_id, served.rpc));
    interrupted().await;
    role.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// On a thread for blocking work; Ctrl-C ends it between two blocks or tests, as a crash would.
async fn run_chain(command: ChainCommand, output: Output) -> eyre::Result<ExitCode> {
    let work = tokio::task::spawn_blocking(move || kumo::chain::run(command, output));
    tokio::select! {
        done = work => done?,
        () = interrupted() => Ok(Exit::Interrupted.into()),
    }
}

async fn run_doctor(network: eyre::Result<protocol::network::Network>, output: Output) -> eyre::Result<ExitCode> {
    let checks = doctor::examine(network).await;
    let ok = checks.iter().all(|check| check.ok);
    match output {
        Output::Json => print(&serde_json::json!({ "ok": ok, "checks": checks }).to_string())?,
        Output::Text => {
            for check in &checks {
                print(&format!("{} {:<11} {}", if check.ok { "ok    " } else { "FAILED" }, check.name, check.detail))?;
            }
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { Exit::Failure.into() })
}

/// Ends with Ctrl-C, and with the signal that service managers send.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn print(text: &str) -> eyre::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Talk goes to stderr; a closed one stops nothing.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn fail(output: Output, what: &str, kept: &str, error: &Report) -> ExitCode {
    let failure = Failure::new(Exit::Failure, detail(error))
        .during(what)
        .money(kept)
        .next("correct what the detail names and start again");
    let _ = failure.write(output, &mut std::io::stderr());
    failure.exit.into()
}

/// The error and its causes, each said once: many an error repeats its cause in its own text.
fn detail(error: &Report) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let disk = || std::io::Error::other("disk full");
        let repeated = chain::ChainError::Io { path: "x".into(), source: disk() };
        let report = Report::new(repeated).wrap_err("cannot start rpc");
        assert_eq!(detail(&report), "cannot start rpc: cannot use x: disk full");
        assert_eq!(detail(&Report::new(disk()).wrap_err("cannot read y")), "cannot read y: disk full");
    }
}
