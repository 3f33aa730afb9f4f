//! Settings of a node that nobody needs until something has to be different: the limits of its JSON-RPC and its pool.
//!
//! Each has a default; `[rpc]` or `[pool]` of the file overrides it, the environment overrides the file, a flag overrides
//! all. What is not known or out of range is refused with the range, wherever it stands, so that a typing error is never
//! silent.

use chain::pool::PoolLimits;
use chain::rpc::RpcLimits;
use chain::{Setting, SettingError};
use eyre::{Context as _, Result, bail, ensure, eyre};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest configuration file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Whose limits: a table of the file, the middle of a variable's name, a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The JSON-RPC.
    Rpc,
    /// The pool of transactions.
    Pool,
}

impl Table {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 2] = [Self::Rpc, Self::Pool];

    /// Its name in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Pool => "pool",
        }
    }

    /// What the names of its environment variables begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Rpc => "KUMO_RPC_",
            Self::Pool => "KUMO_POOL_",
        }
    }
}

/// Where settings come from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Configuration file.
    pub file: Option<PathBuf>,
    /// Environment variables that begin with a [`Table::prefix`], with their values.
    pub environment: Vec<(String, String)>,
    /// `KEY=VALUE` of the command line.
    pub flags: Vec<(Table, String)>,
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
    /// `--rpc`, `--pool`.
    Flag(Table),
}

/// The limits of a node, and where those came from that are not the default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The limits of its JSON-RPC.
    pub rpc: RpcLimits,
    /// The limits of its pool.
    pub pool: PoolLimits,
    origins: BTreeMap<(Table, String), Origin>,
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
    /// What happens beyond it.
    pub beyond: &'static str,
    /// Where the value came from.
    pub origin: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(table) => write!(f, "--{}", table.name()),
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
            for (table, key, value) in file(path).wrap_err_with(named)? {
                settings.set(table, &key, &value, Origin::File(path.clone())).wrap_err_with(named)?;
            }
        }
        for (name, value) in &sources.environment {
            let of = |table: Table| Some((table, name.strip_prefix(table.prefix())?.to_lowercase()));
            let (table, key) = Table::ALL.into_iter().find_map(of).ok_or_else(|| eyre!("{name} sets nothing"))?;
            settings.set(table, &key, value, Origin::Environment(name.clone())).wrap_err_with(|| name.clone())?;
        }
        for (table, flag) in &sources.flags {
            let named = || format!("--{} {flag}", table.name());
            let (key, value) = flag.split_once('=').ok_or_else(|| eyre!("{}: expected KEY=VALUE", named()))?;
            settings.set(*table, key, value, Origin::Flag(*table)).wrap_err_with(named)?;
        }
        settings.pool.check()?;
        Ok(settings)
    }

    fn set(&mut self, table: Table, key: &str, value: &str, origin: Origin) -> Result<(), SettingError> {
        match table {
            Table::Rpc => self.rpc.set(key, value)?,
            Table::Pool => self.pool.set(key, value)?,
        }
        self.origins.insert((table, key.to_owned()), origin);
        Ok(())
    }

    /// Every setting, in the order of the manual.
    pub fn show(&self) -> Vec<Shown> {
        let rpc = RpcLimits::settings().iter().map(|setting| self.shown(Table::Rpc, setting, &self.rpc));
        let pool = PoolLimits::settings().iter().map(|setting| self.shown(Table::Pool, setting, &self.pool));
        rpc.chain(pool).collect()
    }

    fn shown<L>(&self, table: Table, setting: &Setting<L>, limits: &L) -> Shown {
        let origin = self.origins.get(&(table, setting.key.to_owned()));
        Shown {
            key: format!("{}.{}", table.name(), setting.key),
            value: setting.value(limits),
            min: setting.min,
            max: setting.max,
            about: setting.about,
            beyond: setting.beyond,
            origin: origin.unwrap_or(&Origin::Default).to_string(),
        }
    }
}

/// The values of the file's tables.
fn file(path: &Path) -> Result<Vec<(Table, String, String)>> {
    let size = std::fs::metadata(path).wrap_err("cannot be read")?.len();
    ensure!(size <= FILE_BYTES_MAX, "it has {size} bytes, at most {FILE_BYTES_MAX} are read");
    let text = std::fs::read_to_string(path).wrap_err("cannot be read")?;
    let mut tables: toml::Table = text.parse().wrap_err("is no TOML")?;
    let mut values = Vec::new();
    for table in Table::ALL {
        let name = table.name();
        match tables.remove(name) {
            None => {}
            Some(toml::Value::Table(found)) => {
                for (key, value) in found {
                    let toml::Value::Integer(number) = value else {
                        bail!("{name}.{key} is a {}, expected a whole number", value.type_str());
                    };
                    values.push((table, key, number.to_string()));
                }
            }
            Some(other) => bail!("{name} is a {}, expected a table [{name}]", other.type_str()),
        }
    }
    match tables.keys().next() {
        None => Ok(values),
        Some(unknown) => bail!("there is no table [{unknown}]; there are [rpc] and [pool]"),
    }
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
        sources.flags = vec![(Table::Rpc, "filters=300".into())];
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
        let flag = |flag: &str| refused(&Sources { flags: vec![(Table::Rpc, flag.into())], ..Default::default() });
        assert!(flag("filters").contains("expected KEY=VALUE"));
        assert!(flag("call_gas=1").contains("expected 21000 to"));
        let environment = vec![("KUMO_RPC_CALL_GAS".into(), "much".into())];
        assert!(refused(&Sources { environment, ..Default::default() }).contains("KUMO_RPC_CALL_GAS"));
        assert!(
            refused(&Sources { file: Some("/nowhere.toml".into()), ..Default::default() }).contains("nowhere.toml")
        );
    }

    #[test]
    fn the_pool_is_set_like_the_rpc_and_its_limits_must_fit_each_other() {
        let (_dir, mut sources) = sources("[pool]\nnonce_gap = 3\ntransactions = 50\nsender_transactions = 5\n");
        sources.environment = vec![("KUMO_POOL_NONCE_GAP".into(), "4".into())];
        sources.flags = vec![(Table::Pool, "bytes=131072".into())];
        let settings = Settings::read(&sources).unwrap();
        let pool = &settings.pool;
        assert_eq!((pool.nonce_gap, pool.transactions, pool.bytes), (4, 50, 131_072));
        let shown = settings.show().into_iter().find(|shown| shown.key == "pool.bytes").unwrap();
        assert_eq!((shown.value, shown.origin.as_str()), (131_072, "--pool"));

        let pool = |flag: &str| refused(&Sources { flags: vec![(Table::Pool, flag.into())], ..Default::default() });
        assert!(pool("bytes=1").contains("pool limit bytes is 1, expected 131072 to"));
        assert!(pool("log_blocks=1").contains("no pool limit"));
        assert!(pool("transactions=5").contains("sender_transactions is 1024, it must be within 1 and 5"));
    }

    #[test]
    fn the_manual_lists_every_setting_as_it_is() {
        let manual = include_str!("../../../docs/operate.md");
        for Shown { key, value, min, max, about, beyond, .. } in Settings::default().show() {
            let (table, name) = key.split_once('.').unwrap();
            let section = manual.split(&format!("Limits in `[{table}]`")).nth(1).expect("the manual has a section");
            let row = section.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/operate.md has no row for {key}"));
            // The number of cores decides this default.
            let default = if key == "rpc.executions" { "cores, at least 2".to_owned() } else { grouped(value) };
            let expected =
                format!("| `{name}` | {default} | {} to {} | {about} | {beyond} |", grouped(min), grouped(max));
            assert_eq!(row, expected);
        }
    }

    /// `1,000,000`.
    fn grouped(number: u64) -> String {
        let digits = number.to_string();
        let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
        groups.join(",")
    }
}
