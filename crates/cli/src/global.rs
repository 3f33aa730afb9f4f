//! Options that every command takes.

use clap::{ArgAction, Args, ValueEnum};
use sdk::AccountChoice;
use sdk::protocol::units::Millis;
use std::path::PathBuf;
use std::time::Duration;

/// Form of the data on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people; it may change.
    #[default]
    Text,
    /// One JSON value; members are only ever added.
    Json,
}

/// Options that every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Network file, as `kumo dev --config-out FILE` writes it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub network: Option<PathBuf>,
    /// Form of the data on stdout; talk always goes to stderr
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM", help_heading = "Global options")]
    pub output: Output,
    /// Account that signs and decrypts: index of a development account, or its address [default: 0]
    #[arg(long, global = true, value_name = "INDEX|ADDRESS", help_heading = "Global options")]
    pub account: Option<AccountChoice>,
    /// Tell more on stderr; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Give up after this time, for example 30s or 5m (exit code 8)
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = "Global options")]
    pub timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let time: Millis = text.parse().map_err(|e: sdk::protocol::units::UnitError| e.to_string())?;
    if time.0 == 0 {
        return Err("a timeout of 0 leaves no time for anything".to_owned());
    }
    Ok(time.duration())
}
