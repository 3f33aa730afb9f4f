//! Bound what a guest grows: one memory within its limit, and small tables.
//!
//! Growth beyond the limit ends the guest; growth beyond the module's own maximum fails as the specification says.
//! Growth that the machine refuses is the machine's fault: it ends the run without a result, since another machine
//! would have gone on.

use crate::guest::Stop;
use compute::executor::ExecutorError;
use wasmtime::ResourceLimiter;

/// Most elements of one table.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// Most tables.
const TABLES_MAX: usize = 16;

/// Limits of one guest, and the most it used.
pub(crate) struct Limiter {
    memory_bytes_max: u64,
    memory_bytes_peak: u64,
}

impl Limiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        Self { memory_bytes_max, memory_bytes_peak: 0 }
    }

    /// Largest memory so far, in bytes.
    pub(crate) fn memory_bytes_peak(&self) -> u64 {
        self.memory_bytes_peak
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired as u64 > self.memory_bytes_max {
            return Err(Stop::Memory.into());
        }
        self.memory_bytes_peak = self.memory_bytes_peak.max(desired as u64);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(refused(error))
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired > TABLE_ELEMENTS_MAX { Err(Stop::Memory.into()) } else { Ok(true) }
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(refused(error))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        1
    }
}

fn refused(error: wasmtime::Error) -> wasmtime::Error {
    Stop::Host(ExecutorError::Host(format!("memory does not grow: {error:#}"))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_is_granted_and_the_next_one_ends_the_guest() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert_eq!(limiter.memory_bytes_peak(), 100);
        let stop = limiter.memory_growing(100, 101, None).unwrap_err().downcast::<Stop>().unwrap();
        assert!(matches!(stop, Stop::Memory));
        assert_eq!(limiter.memory_bytes_peak(), 100);
    }

    #[test]
    fn the_modules_own_maximum_fails_softly() {
        let mut limiter = Limiter::new(100);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!limiter.table_growing(0, 60, Some(50)).unwrap());
        assert!(limiter.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(limiter.table_growing(0, TABLE_ELEMENTS_MAX + 1, None).is_err());
    }

    #[test]
    fn a_refusal_of_the_machine_is_no_result() {
        let error = Limiter::new(100).memory_grow_failed(wasmtime::Error::msg("mmap")).unwrap_err();
        assert!(matches!(error.downcast::<Stop>().unwrap(), Stop::Host(_)));
    }
}
