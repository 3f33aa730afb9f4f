//! How values are written on a page.

use alloy_primitives::{Address, U256};
use askama::{Result, Values};
use protocol::units::{Bps, Wei};

/// Coin in AKE.
#[askama::filter_fn]
pub fn coin(wei: &U256, _: &dyn Values) -> Result<String> {
    Ok(match u128::try_from(*wei) {
        Ok(wei) => Wei(wei).to_string(),
        Err(_) => format!("{wei} wei"),
    })
}

/// Ten-thousandths as a percentage.
#[askama::filter_fn]
pub fn share(bps: &u16, _: &dyn Values) -> Result<String> {
    Ok(Bps(*bps).to_string())
}

/// An account, or nothing for the zero address.
#[askama::filter_fn]
pub fn account(address: &Address, _: &dyn Values) -> Result<String> {
    Ok(if address.is_zero() { String::new() } else { address.to_string() })
}

/// Bytes in the largest binary unit that leaves at least one, with one decimal.
#[askama::filter_fn]
pub fn bytes(bytes: &u64, _: &dyn Values) -> Result<String> {
    Ok(size(*bytes))
}

/// Unix seconds as RFC 3339 in UTC.
#[askama::filter_fn]
pub fn instant(seconds: &u64, _: &dyn Values) -> Result<String> {
    Ok(rfc3339(*seconds))
}

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

fn size(bytes: u64) -> String {
    let power = if bytes == 0 { 0 } else { bytes.ilog2() / 10 };
    if power == 0 {
        return format!("{bytes} B");
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize])
}

const DAY_SECONDS: u64 = 86_400;
/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

fn rfc3339(seconds: u64) -> String {
    if seconds > LAST_SECOND {
        return format!("{seconds} s");
    }
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day after 1970-01-01: years begin in March, so that the leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(rfc3339(LAST_SECOND), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(LAST_SECOND + 1), "253402300800 s");
    }

    #[test]
    fn sizes_are_written_in_binary_units() {
        let written = [0, 1023, 1024, 1536, 1 << 20, u64::MAX].map(size);
        assert_eq!(written, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "15.9 EiB"]);
    }
}
