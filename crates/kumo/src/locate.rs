//! Which network a command talks to: flag, environment, or the last `kumo dev` of this user, in that order.
//!
//! This module and `main` are the only places that read the environment.

use crate::settings::Table;
use eyre::{Context, Result, bail, eyre};
use protocol::network::Network;
use std::path::{Path, PathBuf};

/// Largest network file read, in bytes; a real one is a few KiB.
const NETWORK_FILE_BYTES_MAX: u64 = 1 << 20;

/// What the environment says; read once, so that tests need no process-wide state.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KUMO_NETWORK`: path of a network file.
    pub network: Option<PathBuf>,
    /// `KUMO_GATEWAY`: URL of a gateway.
    pub gateway: Option<String>,
    /// `KUMO_RPC`: URL of a JSON-RPC.
    pub rpc: Option<String>,
    /// `KUMO_CONFIG`: path of a configuration file.
    pub config: Option<PathBuf>,
    /// `KUMO_RPC_…`, `KUMO_POOL_…`: limits of the JSON-RPC and the pool, by name.
    pub limits: Vec<(String, String)>,
    /// Where the pointer to the last `kumo dev` is kept.
    pub state_home: Option<PathBuf>,
}

impl Environment {
    /// Reads the process environment.
    pub fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let home = text("HOME").map(PathBuf::from);
        Self {
            network: text("KUMO_NETWORK").map(PathBuf::from),
            gateway: text("KUMO_GATEWAY"),
            rpc: text("KUMO_RPC"),
            config: text("KUMO_CONFIG").map(PathBuf::from),
            limits: limits(),
            state_home: text("XDG_STATE_HOME").map(PathBuf::from).or_else(|| home.map(|h| h.join(".local/state"))),
        }
    }

    /// The file in which `kumo dev` leaves its network for later commands.
    pub fn last_dev(&self) -> Option<PathBuf> {
        self.state_home.as_ref().map(|home| home.join("kumo/last-dev.json"))
    }
}

/// The variables that set a limit, in order of their names; an empty one sets nothing.
fn limits() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    let is_ours = |name: &str| Table::ALL.iter().any(|table| name.starts_with(table.prefix()));
    let ours = std::env::vars_os().filter_map(text).filter(|(name, _)| is_ours(name));
    let mut found: Vec<_> = ours.filter(|(_, value)| !value.is_empty()).collect();
    found.sort_unstable();
    found
}

/// The network to use. `flag` is `--network FILE`.
///
/// `KUMO_GATEWAY` and `KUMO_RPC` together are enough without any file; alone, each overrides one address of the file.
///
/// # Errors
/// When nothing names a network, or the file that does cannot be read.
pub fn network(flag: Option<&Path>, environment: &Environment) -> Result<Network> {
    if let Some(path) = flag {
        return read(path);
    }
    let from_file = match &environment.network {
        Some(path) => Some(read(path).wrap_err("from KUMO_NETWORK")?),
        None => None,
    };
    if let (None, Some(gateway), Some(rpc)) = (&from_file, &environment.gateway, &environment.rpc) {
        return Ok(bare(gateway, rpc));
    }
    let mut network = match from_file {
        Some(network) => network,
        None => last_dev(environment)?,
    };
    if let Some(gateway) = &environment.gateway {
        network.gateway.clone_from(gateway);
    }
    if let Some(rpc) = &environment.rpc {
        network.rpc.clone_from(rpc);
    }
    Ok(network)
}

fn last_dev(environment: &Environment) -> Result<Network> {
    match environment.last_dev() {
        Some(path) if path.exists() => read(&path).wrap_err("from the last `kumo dev`"),
        _ => bail!(
            "no network given: start one with `kumo dev`, or name one with --network FILE, KUMO_NETWORK, or KUMO_GATEWAY and KUMO_RPC"
        ),
    }
}

/// A network known by its addresses alone: no accounts, so nothing can be signed with built-in keys.
fn bare(gateway: &str, rpc: &str) -> Network {
    Network {
        lane: None,
        chain_id: 0,
        dev: false,
        rpc: rpc.to_owned(),
        gateway: gateway.to_owned(),
        accounts: Vec::new(),
        contracts: Default::default(),
        validators: Vec::new(),
        genesis: None,
    }
}

/// Reads a network file.
///
/// # Errors
/// When it cannot be read, is larger than 1 MiB, or is not the JSON that `kumo dev --config-out` writes.
pub fn read(path: &Path) -> Result<Network> {
    let size = std::fs::metadata(path).wrap_err_with(|| format!("cannot read network file {}", path.display()))?.len();
    if size > NETWORK_FILE_BYTES_MAX {
        bail!("network file {} has {size} bytes, at most {NETWORK_FILE_BYTES_MAX} are read", path.display());
    }
    let text =
        std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read network file {}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| eyre!("network file {} is not valid: {e}", path.display()))
}

/// Writes a network file whole or not at all; readable by its owner only, because it may hold development keys.
///
/// # Errors
/// When the folder cannot be made or the file cannot be written.
pub fn write(path: &Path, network: &Network) -> Result<()> {
    write_json(path, network)
}

/// Writes a JSON file whole or not at all; readable by its owner only.
///
/// # Errors
/// When the folder cannot be made or the file cannot be written.
pub fn write_json(path: &Path, content: &impl serde::Serialize) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(content).map_err(std::io::Error::other)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().wrap_err_with(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(gateway: &str) -> Network {
        let mut network = bare(gateway, "http://127.0.0.1:1");
        network.chain_id = 5886;
        network
    }

    #[test]
    fn flag_beats_environment_beats_last_dev() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        write(&file("flag.json"), &sample("http://flag")).unwrap();
        write(&file("env.json"), &sample("http://env")).unwrap();
        write(&file("kumo/last-dev.json"), &sample("http://last")).unwrap();
        let mut environment = Environment { state_home: Some(dir.path().into()), ..Default::default() };
        assert_eq!(network(None, &environment).unwrap().gateway, "http://last");
        environment.network = Some(file("env.json"));
        assert_eq!(network(None, &environment).unwrap().gateway, "http://env");
        assert_eq!(network(Some(&file("flag.json")), &environment).unwrap().gateway, "http://flag");
    }

    #[test]
    fn two_urls_are_enough_and_one_overrides() {
        let dir = tempfile::tempdir().unwrap();
        let both = Environment { gateway: Some("http://g".into()), rpc: Some("http://r".into()), ..Default::default() };
        let found = network(None, &both).unwrap();
        assert_eq!((found.gateway.as_str(), found.rpc.as_str(), found.dev), ("http://g", "http://r", false));
        write(&dir.path().join("kumo/last-dev.json"), &sample("http://last")).unwrap();
        let one =
            Environment { rpc: Some("http://r".into()), state_home: Some(dir.path().into()), ..Default::default() };
        let found = network(None, &one).unwrap();
        assert_eq!((found.gateway.as_str(), found.rpc.as_str()), ("http://last", "http://r"));
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let none = network(None, &Environment::default()).unwrap_err().to_string();
        assert!(none.contains("kumo dev") && none.contains("--network"), "{none}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken.json");
        std::fs::write(&path, "{\"chain_id\": \"x\"}").unwrap();
        let broken = format!("{:#}", read(&path).unwrap_err());
        assert!(
            broken.contains("broken.json") && broken.contains("chain_id") || broken.contains("invalid type"),
            "{broken}"
        );
        let missing = format!("{:#}", read(&dir.path().join("none.json")).unwrap_err());
        assert!(missing.contains("none.json"), "{missing}");
    }

    #[test]
    fn a_network_file_with_keys_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/network.json");
        write(&path, &sample("http://g")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), sample("http://g"));
    }
}
