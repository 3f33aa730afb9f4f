//! What a provider asks for a task.
//!
//! A price sheet is linear in the limits of the task, as limits are what a provider must set aside. Everything rounds
//! up, in wei.

use crate::job::Job;
use serde::{Deserialize, Serialize};

/// Fuel in one priced unit.
pub const FUEL_UNIT: u64 = 1_000_000_000;
/// Bytes in one priced unit of memory and output.
pub const BYTES_UNIT: u64 = 1 << 20;

/// Prices of one provider, in wei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceSheet {
    /// For any task.
    pub per_task: u64,
    /// For each begun 10^9 of fuel that the task may use.
    pub per_giga_fuel: u64,
    /// For each begun MiB of memory that the task may use.
    pub per_mib_memory: u64,
    /// For each begun MiB of output that the task may write.
    pub per_mib_output: u64,
}

/// Wei that `sheet` asks for one task of `job`.
pub fn price(job: &Job, sheet: &PriceSheet) -> u128 {
    let part = |amount: u64, unit: u64, price: u64| u128::from(amount.div_ceil(unit)) * u128::from(price);
    let resources = &job.resources;
    // Each part is below 2^128 / 4: a u64 divided by its unit is below 2^44, times a price below 2^64.
    u128::from(sheet.per_task)
        + part(resources.fuel.0, FUEL_UNIT, sheet.per_giga_fuel)
        + part(resources.memory.0, BYTES_UNIT, sheet.per_mib_memory)
        + part(resources.output.0, BYTES_UNIT, sheet.per_mib_output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::digits;

    #[test]
    fn every_begun_unit_is_charged() {
        let sheet = PriceSheet { per_task: 7, per_giga_fuel: 10, per_mib_memory: 100, per_mib_output: 1000 };
        let mut job = digits();
        job.resources.fuel.0 = FUEL_UNIT + 1;
        job.resources.memory.0 = BYTES_UNIT;
        job.resources.output.0 = 0;
        assert_eq!(price(&job, &sheet), 7 + 20 + 100);
    }

    #[test]
    fn the_dearest_sheet_does_not_overflow() {
        let most = u64::MAX;
        let sheet = PriceSheet { per_task: most, per_giga_fuel: most, per_mib_memory: most, per_mib_output: most };
        let mut job = digits();
        job.resources.fuel.0 = most;
        job.resources.memory.0 = most;
        job.resources.output.0 = most;
        assert!(price(&job, &sheet) > u128::from(most));
    }
}
