//! Quantities with their units: bytes, fuel, time, coin and shares.
//!
//! Each type is one number with one spelling family. Reading is strict (a number, then exactly one known unit), writing
//! is canonical (the largest unit that divides the value), so `read(write(x)) == x` for every value.

use std::fmt;
use std::str::FromStr;

/// Wei in one AKE.
pub const WEI_PER_AKE: u128 = 1_000_000_000_000_000_000;
/// Decimals of AKE.
const AKE_DECIMALS: usize = 18;
/// Longest text of a quantity that is looked at, in bytes.
pub const QUANTITY_BYTES_MAX: usize = 64;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text has another shape or another unit.
    #[error("{text:?}: expected {expected}")]
    Shape {
        /// What was written, cut to [`QUANTITY_BYTES_MAX`].
        text: String,
        /// What is accepted, with examples.
        expected: &'static str,
    },
    /// The value does not fit.
    #[error("{text:?} is over the limit of {max}")]
    Overflow {
        /// What was written.
        text: String,
        /// The largest value that fits.
        max: String,
    },
}

/// Bytes: `4096`, `64Ki`, `256Mi`, `1Gi`, `4Ti`; powers of 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Fuel, the deterministic measure of work (about one per executed WebAssembly instruction): `5000`, `20M`, `50G`, `1T`;
/// powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fuel(pub u64);

/// A span of time in milliseconds: `500ms`, `2s`, `10m`, `1h`, `30d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// An amount of coin in wei: `0.5 AKE` (at most 18 decimals) or `500 wei`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wei(pub u128);

/// A share in 1/10000: `100%`, `5%`, `0.25%`; never above 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bps(pub u16);

const BYTES: Scale = Scale {
    expected: "bytes such as 64Ki, 256Mi, 1Gi",
    units: &[("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("", 1)],
};
const FUEL: Scale = Scale {
    expected: "fuel such as 500M, 50G, 1T",
    units: &[("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("K", 1_000), ("", 1)],
};
const TIME: Scale = Scale {
    expected: "a time such as 500ms, 60s, 10m, 1h",
    units: &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)],
};
const COIN_EXPECTED: &str = "an amount such as \"0.5 AKE\" or \"500 wei\"";
const SHARE_EXPECTED: &str = "a percentage such as 5%, 0.25%, 100%";

impl Millis {
    /// Whole seconds, or `None` if there is a rest.
    pub fn whole_seconds(self) -> Option<u64> {
        self.0.is_multiple_of(1000).then_some(self.0 / 1000)
    }

    /// As a standard duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        BYTES.read(text).map(Self)
    }
}

impl FromStr for Fuel {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        FUEL.read(text).map(Self)
    }
}

impl FromStr for Millis {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        TIME.read(text).map(Self)
    }
}

impl FromStr for Wei {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bounded = bounded(text, COIN_EXPECTED)?;
        let shape = || shape(text, COIN_EXPECTED);
        let (number, unit) = bounded.split_once(' ').ok_or_else(shape)?;
        match unit.trim_start() {
            "wei" => decimal(number, 0),
            "AKE" => decimal(number, AKE_DECIMALS),
            _ => return Err(shape()),
        }
        .map(Self)
        .map_err(|fault| fault.error(text, COIN_EXPECTED, || format!("{} wei", u128::MAX)))
    }
}

impl FromStr for Bps {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = bounded(text, SHARE_EXPECTED)?.strip_suffix('%').ok_or_else(|| shape(text, SHARE_EXPECTED))?;
        let max = || "100%".to_string();
        let value = decimal(number.trim_end(), 2).map_err(|fault| fault.error(text, SHARE_EXPECTED, max))?;
        match u16::try_from(value) {
            Ok(bps) if bps <= 10_000 => Ok(Self(bps)),
            _ => Err(UnitError::Overflow { text: text.into(), max: max() }),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BYTES.write(self.0, f)
    }
}

impl fmt::Display for Fuel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FUEL.write(self.0, f)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TIME.write(self.0, f)
    }
}

impl fmt::Display for Wei {
    /// In AKE, with as many decimals as needed and no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(self.0, AKE_DECIMALS, f)?;
        f.write_str(" AKE")
    }
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(self.0.into(), 2, f)?;
        f.write_str("%")
    }
}

/// Units of one kind of quantity, largest first; every factor divides the one before it.
struct Scale {
    expected: &'static str,
    units: &'static [(&'static str, u64)],
}

impl Scale {
    fn read(&self, text: &str) -> Result<u64, UnitError> {
        let trimmed = bounded(text, self.expected)?;
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor = self.units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let (false, Some(factor)) = (number.is_empty(), factor) else { return Err(shape(text, self.expected)) };
        number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .ok_or_else(|| UnitError::Overflow { text: text.into(), max: u64::MAX.to_string() })
    }

    fn write(&self, value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: &u64| value.is_multiple_of(*factor) && value != 0;
        let last = *self.units.last().expect("every scale has a unit of 1");
        let (unit, factor) = self.units.iter().find(|(_, factor)| fits(factor)).copied().unwrap_or(last);
        write!(f, "{}{unit}", value / factor)
    }
}

enum Fault {
    Shape,
    Overflow,
}

impl Fault {
    fn error(self, text: &str, expected: &'static str, max: impl Fn() -> String) -> UnitError {
        match self {
            Self::Shape => shape(text, expected),
            Self::Overflow => UnitError::Overflow { text: text.into(), max: max() },
        }
    }
}

fn shape(text: &str, expected: &'static str) -> UnitError {
    UnitError::Shape { text: text.chars().take(QUANTITY_BYTES_MAX).collect(), expected }
}

fn bounded<'a>(text: &'a str, expected: &'static str) -> Result<&'a str, UnitError> {
    if text.len() > QUANTITY_BYTES_MAX { Err(shape(text, expected)) } else { Ok(text.trim()) }
}

/// Reads `12.5` as 125 with `decimals` 1; more decimals than that are refused, not rounded.
fn decimal(text: &str, decimals: usize) -> Result<u128, Fault> {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if digits(fraction) && fraction.len() <= decimals => (whole, fraction),
        Some(_) => return Err(Fault::Shape),
        None => (text, ""),
    };
    if !digits(whole) {
        return Err(Fault::Shape);
    }
    format!("{whole}{fraction:0<decimals$}").parse().map_err(|_| Fault::Overflow)
}

fn write_decimal(value: u128, decimals: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = format!("{value:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => f.write_str(whole),
        rest => write!(f, "{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_read() {
        assert_eq!("64Ki".parse(), Ok(ByteSize(65_536)));
        assert_eq!("7".parse(), Ok(ByteSize(7)));
        assert_eq!("50G".parse(), Ok(Fuel(50_000_000_000)));
        assert_eq!("1500ms".parse(), Ok(Millis(1500)));
        assert_eq!("10m".parse(), Ok(Millis(600_000)));
        assert_eq!("0.5 AKE".parse(), Ok(Wei(WEI_PER_AKE / 2)));
        assert_eq!("500 wei".parse(), Ok(Wei(500)));
        assert_eq!("0.25%".parse(), Ok(Bps(25)));
        assert_eq!("100%".parse(), Ok(Bps(10_000)));
    }

    #[test]
    fn a_wrong_unit_names_what_is_accepted() {
        let error = "256 potatoes".parse::<ByteSize>().unwrap_err();
        assert_eq!(error.to_string(), "\"256 potatoes\": expected bytes such as 64Ki, 256Mi, 1Gi");
        for text in ["", "Ki", "1.5Gi", "-1", "1ki", "+5", "1 0", "64KiB"] {
            assert!(matches!(text.parse::<ByteSize>(), Err(UnitError::Shape { .. })), "{text:?}");
        }
        for text in ["5", "0.5AKE", "AKE", "1e3 AKE", ".5 AKE", "1. AKE", "0.5 wei", "1 ETH", "-1 AKE"] {
            assert!(matches!(text.parse::<Wei>(), Err(UnitError::Shape { .. })), "{text:?}");
        }
        for text in ["5", "%", "0.001%", "half", "-1%"] {
            assert!(matches!(text.parse::<Bps>(), Err(UnitError::Shape { .. })), "{text:?}");
        }
        for text in ["5", "5 s", "1w", "1.5s"] {
            assert!(matches!(text.parse::<Millis>(), Err(UnitError::Shape { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        assert!(matches!("99999999999999999999".parse::<Fuel>(), Err(UnitError::Overflow { .. })));
        assert!(matches!("16777216Ti".parse::<ByteSize>(), Err(UnitError::Overflow { .. })));
        assert_eq!("100.01%".parse::<Bps>().unwrap_err().to_string(), "\"100.01%\" is over the limit of 100%");
        assert!(matches!("999999999999999999999999 AKE".parse::<Wei>(), Err(UnitError::Overflow { .. })));
        let long = "1".repeat(QUANTITY_BYTES_MAX + 1);
        assert!(matches!(long.parse::<Fuel>(), Err(UnitError::Shape { .. })));
    }

    #[test]
    fn the_largest_exact_unit_is_written() {
        assert_eq!(ByteSize(256 << 20).to_string(), "256Mi");
        assert_eq!(ByteSize(1025).to_string(), "1025");
        assert_eq!(Fuel(1_500_000).to_string(), "1500K");
        assert_eq!(Millis(90_000).to_string(), "90s");
        assert_eq!(Millis(0).to_string(), "0ms");
        assert_eq!(Wei(WEI_PER_AKE / 2).to_string(), "0.5 AKE");
        assert_eq!(Wei(0).to_string(), "0 AKE");
        assert_eq!(Bps(25).to_string(), "0.25%");
        assert_eq!(Bps(10_000).to_string(), "100%");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(n in any::<u64>(), wei in any::<u128>(), bps in 0u16..=10_000) {
            prop_assert_eq!(ByteSize(n).to_string().parse(), Ok(ByteSize(n)));
            prop_assert_eq!(Fuel(n).to_string().parse(), Ok(Fuel(n)));
            prop_assert_eq!(Millis(n).to_string().parse(), Ok(Millis(n)));
            prop_assert_eq!(Wei(wei).to_string().parse(), Ok(Wei(wei)));
            prop_assert_eq!(Bps(bps).to_string().parse(), Ok(Bps(bps)));
        }

        #[test]
        fn any_text_gives_an_answer(text in ".{0,80}") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Wei>();
            let _ = text.parse::<Bps>();
        }
    }
}
