//! Limits by name, as an operator sets them: whole numbers, each with a unit and a range.
//!
//! Whoever reads configuration goes through the tables of [`crate::rpc::RpcLimits`] and [`crate::pool::PoolLimits`], so
//! that files, environment and flags know the same names and refuse the same values.

/// One limit of `L` that can be set.
pub struct Setting<L: 'static> {
    /// Name, unit last.
    pub key: &'static str,
    /// Least value.
    pub min: u64,
    /// Greatest value.
    pub max: u64,
    /// What it limits.
    pub about: &'static str,
    /// What happens beyond it.
    pub beyond: &'static str,
    pub(crate) get: fn(&L) -> u64,
    pub(crate) set: fn(&mut L, u64),
}

/// A limit cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such limit.
    #[error("there is no {table} limit {key:?}; `kumo config show` lists them")]
    Unknown {
        /// Whose limits.
        table: &'static str,
        /// What was given.
        key: String,
    },
    /// Not a whole number.
    #[error("{table} limit {key} is {value:?}, expected a whole number from {min} to {max}")]
    Number {
        /// Whose limits.
        table: &'static str,
        /// The limit.
        key: &'static str,
        /// What was given.
        value: String,
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// Outside of the range.
    #[error("{table} limit {key} is {value}, expected {min} to {max}")]
    Range {
        /// Whose limits.
        table: &'static str,
        /// The limit.
        key: &'static str,
        /// What was given.
        value: u64,
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
}

impl<L> std::fmt::Debug for Setting<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, min, max, .. } = self;
        write!(f, "Setting {{ key: {key}, min: {min}, max: {max} }}")
    }
}

impl<L> Setting<L> {
    /// Its value.
    pub fn value(&self, limits: &L) -> u64 {
        (self.get)(limits)
    }
}

/// Sets the limit `key` of `limits`, by the settings of `table`, to a whole number in decimal; `_` between digits is
/// ignored.
pub(crate) fn set<L>(
    table: &'static str,
    settings: &[Setting<L>],
    limits: &mut L,
    key: &str,
    value: &str,
) -> Result<(), SettingError> {
    let setting = settings.iter().find(|setting| setting.key == key);
    let setting = setting.ok_or_else(|| SettingError::Unknown { table, key: key.to_owned() })?;
    let Setting { key, min, max, .. } = *setting;
    let number = value.trim().replace('_', "").parse::<u64>();
    let number = number.map_err(|_| SettingError::Number { table, key, value: value.to_owned(), min, max })?;
    if !(min..=max).contains(&number) {
        return Err(SettingError::Range { table, key, value: number, min, max });
    }
    (setting.set)(limits, number);
    Ok(())
}

/// The setting of a field that holds a number.
macro_rules! count {
    ($key:ident, $min:expr, $max:expr, $about:expr, $beyond:expr) => {
        $crate::settings::Setting {
            key: stringify!($key),
            min: $min,
            max: $max,
            about: $about,
            beyond: $beyond,
            get: |limits| limits.$key as u64,
            // The range fits the type, which a test checks.
            set: |limits, value| limits.$key = value as _,
        }
    };
}
pub(crate) use count;
