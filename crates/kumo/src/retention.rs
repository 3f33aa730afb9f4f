//! How long a validator keeps blocks, as an operator says it.

use sequencer::limits::RETENTION_DEFAULT;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

/// What stands for no limit.
const FOREVER: &str = "forever";
/// Units, largest first, with their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// Longest window: ten years.
const SECONDS_MAX: u64 = 3_650 * 86_400;

/// How long final blocks are kept; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention(pub Option<Duration>);

impl Default for Retention {
    fn default() -> Self {
        Self(Some(RETENTION_DEFAULT))
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == FOREVER {
            return Ok(Self(None));
        }
        let seconds = || {
            let (unit, length) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
            let number = text.strip_suffix(unit)?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = is_number.then(|| number.parse::<u64>().ok()?.checked_mul(length))??;
            (1..=SECONDS_MAX).contains(&seconds).then_some(seconds)
        };
        let expected = "a whole number with a unit, 1s to 3650d, such as 14d, 12h, 90m, or forever";
        let seconds = seconds().ok_or_else(|| format!("{text:?} is no time to keep blocks; expected {expected}"))?;
        Ok(Self(Some(Duration::from_secs(seconds))))
    }
}

impl Display for Retention {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(window) = self.0 else { return f.write_str(FOREVER) };
        let seconds = window.as_secs();
        let (unit, length) = UNITS.into_iter().find(|(_, length)| seconds.is_multiple_of(*length)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_alike() {
        for (text, seconds) in [("14d", 1_209_600), ("12h", 43_200), ("90m", 5_400), ("1s", 1), ("3650d", SECONDS_MAX)]
        {
            let retention: Retention = text.parse().unwrap();
            assert_eq!(retention, Retention(Some(Duration::from_secs(seconds))));
            assert_eq!(retention.to_string(), text);
        }
        assert_eq!("60s".parse::<Retention>().unwrap().to_string(), "1m");
        assert_eq!(Retention::default().to_string(), "14d");
        let forever: Retention = "forever".parse().unwrap();
        assert_eq!((forever, forever.to_string().as_str()), (Retention(None), "forever"));
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be() {
        for text in
            ["", "d", "14", "0s", "-1d", "+1d", "1.5d", "3651d", "99999999999999999999d", "1w", "for ever", "1d "]
        {
            let error = text.parse::<Retention>().unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains("such as 14d"), "{error}");
        }
    }
}
