//! Settings of a node that nobody needs until something has to be different: the limits of its JSON-RPC.
//!
//! Each has a default; `[rpc]` of the file overrides it, the environment overrides the file, a flag overrides all. What
//! is not known or out of range is refused with the range, wherever it stands, so that a typing error is never silent.

use chain::rpc::RpcLimits;
use eyre::{Context as _, Result, bail, ensure, eyre};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest configuration file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The one table of the file.
const TABLE: &str = "rpc";
/// What the names of environment variables begin with.
pub const PREFIX: &str = "KUMO_RPC_";

/// Where settings come from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Configuration file.
    pub file: Option<PathBuf>,
    /// Environment variables that begin with [`PREFIX`], with their values.
    pub environment: Vec<(String, String)>,
    /// `KEY=VALUE` of the command line.
    pub flags: Vec<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This variable.
    Environment(String),
    /// `--rpc`.
    Flag,
}

/// The limits of a JSON-RPC server, and where those came from that are not the default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The limits.
    pub rpc: RpcLimits,
    origins: BTreeMap<String, Origin>,
}

/// One setting as `kumo config show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Name with its table.
    pub key: String,
    /// Its value.
    pub value: u64,
    /// Least value.
    pub min: u64,
    /// Greatest value.
    pub max: u64,
    /// What it limits.
    pub about: &'static str,
    /// Where the value came from.
    pub origin: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("--rpc"),
        }
    }
}

impl Settings {
    /// Reads all sources.
    ///
    /// # Errors
    /// When the file cannot be read, or a source names an unknown setting or a value out of range.
    pub fn read(sources: &Sources) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(path) = &sources.file {
            let named = || format!("configuration file {}", path.display());
            for (key, value) in file(path).wrap_err_with(named)? {
                settings.set(&key, &value, Origin::File(path.clone())).wrap_err_with(named)?;
            }
        }
        for (name, value) in &sources.environment {
            let key = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
            settings.set(&key, value, Origin::Environment(name.clone())).wrap_err_with(|| name.clone())?;
        }
        for flag in &sources.flags {
            let (key, value) = flag.split_once('=').ok_or_else(|| eyre!("--rpc {flag}: expected KEY=VALUE"))?;
            settings.set(key, value, Origin::Flag).wrap_err_with(|| format!("--rpc {flag}"))?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str, origin: Origin) -> Result<()> {
        self.rpc.set(key, value)?;
        self.origins.insert(key.to_owned(), origin);
        Ok(())
    }

    /// Every setting, in the order of the manual.
    pub fn show(&self) -> Vec<Shown> {
        let shown = RpcLimits::settings().iter().map(|setting| Shown {
            key: format!("{TABLE}.{}", setting.key),
            value: setting.value(&self.rpc),
            min: setting.min,
            max: setting.max,
            about: setting.about,
            origin: self.origins.get(setting.key).unwrap_or(&Origin::Default).to_string(),
        });
        shown.collect()
    }
}

/// The values of the file's table.
fn file(path: &Path) -> Result<Vec<(String, String)>> {
    let size = std::fs::metadata(path).wrap_err("cannot be read")?.len();
    ensure!(size <= FILE_BYTES_MAX, "it has {size} bytes, at most {FILE_BYTES_MAX} are read");
    let text = std::fs::read_to_string(path).wrap_err("cannot be read")?;
    let mut tables: toml::Table = text.parse().wrap_err("is no TOML")?;
    let table = match tables.remove(TABLE) {
        None => toml::Table::new(),
        Some(toml::Value::Table(table)) => table,
        Some(other) => bail!("{TABLE} is a {}, expected a table [{TABLE}]", other.type_str()),
    };
    if let Some(unknown) = tables.keys().next() {
        bail!("there is no table [{unknown}]; [{TABLE}] is the only one");
    }
    let number = |(key, value): (String, toml::Value)| match value {
        toml::Value::Integer(number) => Ok((key, number.to_string())),
        other => Err(eyre!("{TABLE}.{key} is a {}, expected a whole number", other.type_str())),
    };
    table.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> (tempfile::TempDir, Sources) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kumo.toml");
        std::fs::write(&path, text).unwrap();
        (dir, Sources { file: Some(path), ..Default::default() })
    }

    fn refused(sources: &Sources) -> String {
        format!("{:#}", Settings::read(sources).unwrap_err())
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let (_dir, mut sources) = sources("[rpc]\nlog_blocks = 1_000\nbatch_calls = 2\nfilters = 3\n");
        sources.environment =
            vec![("KUMO_RPC_BATCH_CALLS".into(), "20".into()), ("KUMO_RPC_FILTERS".into(), "30".into())];
        sources.flags = vec!["filters=300".into()];
        let settings = Settings::read(&sources).unwrap();
        let rpc = &settings.rpc;
        assert_eq!((rpc.log_blocks, rpc.batch_calls, rpc.filters), (1_000, 20, 300));
        assert_eq!(rpc.connections, RpcLimits::default().connections);
        let shown = settings.show();
        let origin = |key: &str| shown.iter().find(|shown| shown.key == key).unwrap().origin.clone();
        assert!(origin("rpc.log_blocks").ends_with("kumo.toml"));
        assert_eq!(origin("rpc.batch_calls"), "KUMO_RPC_BATCH_CALLS");
        assert_eq!((origin("rpc.filters"), origin("rpc.connections")), ("--rpc".into(), "default".into()));
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_refused_with_its_place() {
        let unknown = refused(&sources("[rpc]\nlog_rows = 1\n").1);
        assert!(unknown.contains("log_rows"), "{unknown}");
        for (text, wanted) in [
            ("[rpc]\nlog_blocks = 0\n", "log_blocks is 0, expected 1 to"),
            ("[rpc]\nlog_blocks = \"many\"\n", "rpc.log_blocks is a string"),
            ("[ports]\n", "no table [ports]"),
            ("rpc = 5\n", "expected a table [rpc]"),
            ("[rpc\n", "is no TOML"),
        ] {
            let (_dir, sources) = sources(text);
            let error = refused(&sources);
            assert!(error.contains("kumo.toml") && error.contains(wanted), "{error}");
        }
        let flag = |flag: &str| refused(&Sources { flags: vec![flag.into()], ..Default::default() });
        assert!(flag("filters").contains("expected KEY=VALUE"));
        assert!(flag("call_gas=1").contains("expected 21000 to"));
        let environment = vec![("KUMO_RPC_CALL_GAS".into(), "much".into())];
        assert!(refused(&Sources { environment, ..Default::default() }).contains("KUMO_RPC_CALL_GAS"));
        assert!(
            refused(&Sources { file: Some("/nowhere.toml".into()), ..Default::default() }).contains("nowhere.toml")
        );
    }

    #[test]
    fn the_manual_lists_every_setting_with_its_default_and_range() {
        let manual = include_str!("../../../docs/operate.md");
        // The number of cores decides this default.
        let by_cores = "rpc.executions";
        for shown in Settings::default().show() {
            let name = shown.key.trim_start_matches("rpc.");
            let row = manual.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/operate.md has no row for {name}")).replace(',', "");
            if shown.key != by_cores {
                assert!(row.contains(&format!("| {} |", shown.value)), "{name} is {}: {row}", shown.value);
            }
            assert!(row.contains(&format!("| {} to {} |", shown.min, shown.max)), "{name}: {row}");
        }
    }
}
