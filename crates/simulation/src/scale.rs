//! What a committee costs by its size, measured in a network without faults.

use crate::plan::Plan;
use crate::world::{Outcome, run};
use std::fmt;

/// The file in which Linux counts the time of a thread.
const THREAD_TIME: &str = "/proc/thread-self/schedstat";

/// Costs of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Seats.
    pub validators: u16,
    /// CPU of one validator for one empty block.
    pub cpu_millis: f64,
    /// Messages that one validator sends for one block.
    pub messages: f64,
    /// Bytes of a header.
    pub header_bytes: u64,
    /// Bytes of a certificate.
    pub certificate_bytes: u64,
}

impl Scale {
    /// Over the rows of a table.
    pub const HEADER: &str = "| validators | CPU per block and validator | messages sent per block and validator | header | \
                              certificate |\n|---|---|---|---|---|";
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { validators, cpu_millis, messages, header_bytes, certificate_bytes } = self;
        write!(f, "| {validators} | {cpu_millis:.2} ms | {messages:.0} | {header_bytes} B | {certificate_bytes} B |")
    }
}

/// Costs of `validators` that finalise `blocks`: the difference to a network that only starts.
pub fn measure(validators: u16, blocks: u64) -> Result<Scale, String> {
    // The first one pays for what the others find in memory.
    timed(validators, 1)?;
    let (short, before) = timed(validators, 1)?;
    let (long, after) = timed(validators, 1 + blocks)?;
    let each = f64::from(validators) * (long.blocks - short.blocks) as f64;
    Ok(Scale {
        validators,
        cpu_millis: after.saturating_sub(before) as f64 / 1e6 / each,
        messages: (long.messages - short.messages) as f64 / each,
        header_bytes: long.header_bytes,
        certificate_bytes: long.certificate_bytes,
    })
}

/// Plays a quiet network, and says how many nanoseconds of CPU this thread took.
fn timed(validators: u16, blocks: u64) -> Result<(Outcome, u64), String> {
    let before = thread_nanos()?;
    let outcome = run(&Plan::quiet(validators.into(), blocks), &mut |_, _, _, _| {});
    let outcome = outcome.map_err(|violation| violation.to_string())?;
    Ok((outcome, thread_nanos()? - before))
}

fn thread_nanos() -> Result<u64, String> {
    let text = std::fs::read_to_string(THREAD_TIME).map_err(|error| format!("{THREAD_TIME}: {error}"))?;
    let first = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    first.ok_or_else(|| format!("{THREAD_TIME} says {text:?}, not a number of nanoseconds"))
}
