//! The arguments of one task.

use std::str::FromStr;

/// Shown after a wrong argument.
pub const USAGE: &str = "usage: digits [--rate R] [--epochs N] [--hidden N] [--fold K] [--folds N] [--seed N] \
                         [--input FILE] [--out FOLDER]";
/// Most epochs of one task.
const EPOCHS_MAX: u32 = 10_000;
/// Most hidden units.
const HIDDEN_MAX: usize = 1024;
/// Most folds.
const FOLDS_MAX: usize = 100;

/// The arguments of one task, checked.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// Learning rate (above 0, at most 10).
    pub rate: f32,
    /// Passes over the training set (1..=10000).
    pub epochs: u32,
    /// Hidden units (0..=1024); 0 is plain softmax regression.
    pub hidden: usize,
    /// Fold to test on (0..folds).
    pub fold: usize,
    /// Folds in all (2..=100).
    pub folds: usize,
    /// Seed of shuffles and first weights.
    pub seed: u64,
    /// The data set.
    pub input: String,
    /// Folder of the results.
    pub out: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 0.1,
            epochs: 40,
            hidden: 32,
            fold: 0,
            folds: 5,
            seed: 1,
            input: "/in/digits.csv".into(),
            out: "/out".into(),
        }
    }
}

impl Options {
    /// Reads `--name value` pairs; the problem names the argument, the value and what is accepted.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--rate" => options.rate = number(&name, value()?)?,
                "--epochs" => options.epochs = number(&name, value()?)?,
                "--hidden" => options.hidden = number(&name, value()?)?,
                "--fold" => options.fold = number(&name, value()?)?,
                "--folds" => options.folds = number(&name, value()?)?,
                "--seed" => options.seed = number(&name, value()?)?,
                "--input" => options.input = value()?,
                "--out" => options.out = value()?,
                _ => return Err(format!("unknown argument {name}")),
            }
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), String> {
        let accepted = |ok: bool, what: String| if ok { Ok(()) } else { Err(what) };
        accepted(self.rate > 0.0 && self.rate <= 10.0, format!("--rate {} is not above 0 and at most 10", self.rate))?;
        accepted((1..=EPOCHS_MAX).contains(&self.epochs), format!("--epochs {} is not 1..={EPOCHS_MAX}", self.epochs))?;
        accepted(self.hidden <= HIDDEN_MAX, format!("--hidden {} is over {HIDDEN_MAX}", self.hidden))?;
        accepted((2..=FOLDS_MAX).contains(&self.folds), format!("--folds {} is not 2..={FOLDS_MAX}", self.folds))?;
        accepted(self.fold < self.folds, format!("--fold {} is not below --folds {}", self.fold, self.folds))
    }
}

fn number<T: FromStr>(name: &str, text: String) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} {text} is not a number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn pairs_override_defaults() {
        let options = parse("--rate 0.5 --fold 3 --hidden 0").unwrap();
        assert_eq!(options, Options { rate: 0.5, fold: 3, hidden: 0, ..Options::default() });
    }

    #[test]
    fn wrong_arguments_name_the_value_and_the_limit() {
        assert_eq!(parse("--fold 5").unwrap_err(), "--fold 5 is not below --folds 5");
        assert_eq!(parse("--rate fast").unwrap_err(), "--rate fast is not a number that fits");
        assert_eq!(parse("--rate NaN").unwrap_err(), "--rate NaN is not above 0 and at most 10");
        assert_eq!(parse("--epochs").unwrap_err(), "--epochs needs a value");
        assert_eq!(parse("--hidden 1025").unwrap_err(), "--hidden 1025 is over 1024");
        assert_eq!(parse("--colour red").unwrap_err(), "unknown argument --colour");
    }
}
