//! Amounts of coin: base units for programs, AKE for people.

use sdk::U256;
use serde_json::{Value, json};

const WEI_DIGITS: usize = 18;

/// `wei` in AKE, exactly: `12.5 AKE`.
pub fn ake(wei: U256) -> String {
    let digits = format!("{wei:0>width$}", wei = wei.to_string(), width = WEI_DIGITS + 1);
    let (whole, fraction) = digits.split_at(digits.len() - WEI_DIGITS);
    match fraction.trim_end_matches('0') {
        "" => format!("{whole} AKE"),
        fraction => format!("{whole}.{fraction} AKE"),
    }
}

/// Wei in an amount of AKE as a person writes it: `12.5`, `12.5 AKE`.
pub(crate) fn parse_ake(text: &str) -> Result<U256, String> {
    let number = text.trim().trim_end_matches("AKE").trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > WEI_DIGITS {
        return Err(format!("{text:?} is no amount of AKE: digits, and at most {WEI_DIGITS} of them behind the point"));
    }
    let wei = format!("{whole}{fraction:0<WEI_DIGITS$}");
    U256::from_str_radix(&wei, 10).map_err(|_| format!("{text:?} is more AKE than can exist"))
}

/// `wei` as JSON: the exact number as a string, and how a person reads it.
pub(crate) fn amount(wei: U256) -> Value {
    json!({ "wei": wei.to_string(), "display": ake(wei) })
}

/// A number of bytes for people, rounded: `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let cases = [
            ("0", "0 AKE"),
            ("1", "0.000000000000000001 AKE"),
            ("12500000000000000000", "12.5 AKE"),
            ("10000000000000000000000", "10000 AKE"),
            ("1000000000000000010", "1.00000000000000001 AKE"),
        ];
        for (wei, text) in cases {
            assert_eq!(ake(wei.parse().unwrap()), text);
        }
        assert!(ake(U256::MAX).ends_with(".584007913129639935 AKE"));
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for text in ["0", "0.000000000000000001", "12.5", "10000", "1.00000000000000001"] {
            assert_eq!(ake(parse_ake(text).unwrap()), format!("{text} AKE"));
            assert_eq!(parse_ake(&format!("{text} AKE")), parse_ake(text));
        }
        assert_eq!(parse_ake("7."), parse_ake("7"));
        let long = "9".repeat(70);
        for wrong in ["", "AKE", ".5", "-1", "1,5", "1e3", "0x1", "0.0000000000000000001", long.as_str()] {
            assert!(parse_ake(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn json_amounts_are_strings() {
        let value = amount(U256::from(5));
        assert_eq!(value, json!({"wei": "5", "display": "0.000000000000000005 AKE"}));
    }

    #[test]
    fn sizes_are_rounded_to_a_unit_that_fits() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (1_048_575, "1.0 MiB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }
}
