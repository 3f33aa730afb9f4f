//! A development network for the time of a task.

use crate::process::Group;
use eyre::{Context, Result, bail, eyre};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time the network has until its first blocks are final.
const START_TIME: Duration = Duration::from_secs(90);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A running `kumo dev`; stops when dropped.
pub struct Network {
    config: Value,
    _process: Group,
}

impl Network {
    /// Starts validators and JSON-RPC on free ports, with everything they keep in `folder`, which is emptied first.
    /// `options` are more of `kumo dev`.
    ///
    /// # Errors
    /// When the program ends early or is not ready within 90 s; its output is in `folder/log`.
    pub fn start(kumo: &Path, folder: &Path, options: &[&str]) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).wrap_err_with(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
        let (config, log) = (folder.join("config.json"), folder.join("log"));
        let output = fs::File::create(&log).wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(kumo);
        command.args(["dev", "--ports", "auto", "--storage-nodes", "0", "--providers", "0"]).args(options);
        command.arg("--state").arg(folder.join("state")).arg("--config-out").arg(&config);
        // The network that the user started last stays the one of the user's next command.
        command.env("XDG_STATE_HOME", folder);
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let mut process = Group::spawn(&mut command)?;
        let begin = Instant::now();
        while !fs::read_to_string(&log).unwrap_or_default().contains("ready;") {
            if process.wait(POLL)?.is_some() || begin.elapsed() > START_TIME {
                bail!("the network did not start; its log: {}", fs::read_to_string(&log).unwrap_or_default());
            }
        }
        let text = fs::read_to_string(&config).wrap_err_with(|| format!("cannot read {}", config.display()))?;
        Ok(Self { config: serde_json::from_str(&text)?, _process: process })
    }

    /// URL of the JSON-RPC.
    pub fn rpc(&self) -> &str {
        self.config["rpc"].as_str().unwrap_or_default()
    }

    /// URL of the first validator's node API.
    pub fn validator(&self) -> &str {
        self.config["validators"][0]["api"].as_str().unwrap_or_default()
    }

    /// Private key of a development account, in hex.
    ///
    /// # Errors
    /// When there are fewer accounts.
    pub fn key(&self, account: usize) -> Result<&str> {
        let key = self.config["accounts"][account]["private_key"].as_str();
        key.ok_or_else(|| eyre!("the network has no account {account}"))
    }
}
