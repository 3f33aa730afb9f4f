//! `kumo node`: one role as a process of its own; `kumo init`: the keys and the network file for several of them.

use crate::args::{BridgeArguments, InitArguments, NodeArguments, Ports, RoleName};
use crate::dev::plan::{self, Options, Plan, ake};
use crate::roles::validator::{ChainOptions, Place};
use crate::roles::{self, Running};
use crate::settings::Settings;
use eyre::{Result, bail, ensure, eyre};
use protocol::network::Network;
use protocol::units::ByteSize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Port of the JSON-RPC where nothing else is said.
const RPC_PORT: u16 = 8545;

/// Starts the role that the words ask for.
///
/// # Errors
/// When an argument of the role is missing or wrong, or the role cannot start.
pub async fn start(arguments: NodeArguments, network: Network, settings: Settings) -> Result<Running> {
    let NodeArguments { role: Some(role), state: Some(dir), seat, listen, .. } = arguments else {
        bail!("`kumo node` needs --role and --state; `kumo node --help` lists the roles");
    };
    ensure!(
        arguments.checkpoint.is_none() || role == RoleName::Rpc,
        "--checkpoint is for --role rpc: a validator has its own history, and executes all of it"
    );
    let stake = ake(arguments.stake);
    let chain = ChainOptions { retention: arguments.retention, ..arguments.chain.options() };
    let name = dir.file_name().map_or_else(|| "node".to_owned(), |n| n.to_string_lossy().into_owned());
    match role {
        RoleName::Validator => {
            let place = match (seat, arguments.p2p, listen) {
                (Some(seat), None, _) => Place::Seat(seat),
                (None, Some(p2p), Some(api)) => Place::Own { p2p, api },
                _ => bail!(
                    "--role validator needs --seat N, its place in the network file, or, if it is not there, --p2p IP:PORT \
                     for the other validators and --listen IP:PORT for its API"
                ),
            };
            roles::validator::start(roles::validator::Config { network, place, dir, shared: None, chain }).await
        }
        RoleName::Rpc => {
            let trusted = arguments.checkpoint;
            roles::rpc::start(roles::rpc::Config { network, dir, listen, settings, local: None, chain, trusted }).await
        }
        RoleName::Bridge => roles::bridge::start(bridge(*arguments.bridge, network, dir)?).await,
        RoleName::Gateway => roles::gateway::start(roles::gateway::Config { network, dir, listen }).await,
        RoleName::Storage => {
            let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
            let capacity_bytes = capacity(&arguments.capacity)?;
            let config = roles::storage::Config { network, dir, listen, capacity_bytes, stake, name };
            roles::storage::start(config).await
        }
        RoleName::Provider => {
            ensure!(arguments.slots != Some(0), "--slots 0: a provider runs at least 1 task at a time");
            let (slots, dishonest) = (arguments.slots, arguments.dishonest);
            roles::provider::start(roles::provider::Config { network, dir, slots, stake, dishonest, name }).await
        }
    }
}

/// What a bridge needs, if the words say it.
fn bridge(words: BridgeArguments, network: Network, dir: PathBuf) -> Result<roles::bridge::Config> {
    let fees = crate::bridge::fees(&words.fees);
    let (Some(l1), Some(chain_id), Some(contract), Some(key_file)) =
        (words.l1, words.l1_chain_id, words.contract, words.key_file)
    else {
        bail!("--role bridge needs --l1 URL, --l1-chain-id ID, --contract ADDRESS and --key-file FILE");
    };
    let settings = bridge_ethereum::Settings {
        chain_id,
        contract,
        confirmations: words.confirmations,
        epochs_min: words.epochs_min,
        fees,
        replace_millis: words.replace_millis,
        gas_max: words.gas_max,
    };
    let poll = Duration::from_millis(words.l1_poll_millis);
    Ok(roles::bridge::Config { network, dir, l1, key_file, settings, poll })
}

/// Serves the imported chain in the state directory, if the words ask for that: `None` otherwise.
///
/// # Errors
/// When the directory or the address cannot be used.
pub async fn start_imported(
    arguments: &NodeArguments,
    settings: Settings,
) -> Result<Option<(Running, roles::imported::Served)>> {
    let (Some(RoleName::Rpc), Some(dir)) = (arguments.role, &arguments.state) else {
        ensure!(arguments.config_out.is_none(), "--config-out is for --role rpc over an imported chain");
        return Ok(None);
    };
    let port = if arguments.ports == Ports::Auto { 0 } else { RPC_PORT };
    let listen = arguments.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)));
    let chain = arguments.chain.options();
    let started = roles::imported::start(dir, listen, settings.rpc, chain).await?;
    let wanted = arguments.config_out.is_none() && arguments.ports == Ports::Default;
    ensure!(
        started.is_some() || wanted,
        "--ports and --config-out are for an imported chain, and {} holds none; import one with `kumo chain import`",
        dir.display()
    );
    Ok(started)
}

fn capacity(text: &str) -> Result<u64> {
    let size: ByteSize = text.parse().map_err(|e| eyre!("--capacity {text:?}: {e}"))?;
    ensure!(size.0 > 0, "--capacity {text}: a storage node offers at least 1 byte");
    Ok(size.0)
}

/// Makes a development network without storage nodes and providers; they join by themselves.
///
/// # Errors
/// When the directory holds another network or cannot be written.
pub fn init(arguments: &InitArguments) -> Result<Plan> {
    let options = Options {
        state: Some(arguments.dir.clone()),
        ports_auto: arguments.ports == Ports::Auto,
        validators: arguments.validators,
        hosts: arguments.hosts.clone(),
        storage_nodes: 0,
        providers: 0,
        dishonest: 0,
        block_millis: arguments.block_millis,
        epoch_blocks: arguments.epoch_blocks,
        policies: crate::lane::policies(&arguments.policies),
        lane: arguments.lane,
        ..Options::default()
    };
    plan::Plan::prepare(&arguments.dir, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_needs_a_unit_that_is_known() {
        assert_eq!(capacity("10Gi").unwrap(), 10 << 30);
        for bad in ["10 potatoes", "", "-1Gi"] {
            let error = capacity(bad).unwrap_err().to_string();
            assert!(error.contains("--capacity") && error.contains(bad), "{error}");
        }
        assert!(capacity("0Ki").unwrap_err().to_string().contains("at least 1 byte"));
    }
}
