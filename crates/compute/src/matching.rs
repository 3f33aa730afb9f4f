//! Does a job fit a provider, and if not, why not?
//!
//! A provider publishes its [`Offer`] as the attributes of its registry profile, so the gateway can answer "why no
//! match?" before anything is paid, with the same function by which the provider decides to bid.

use crate::job::Job;
use crate::pricing::{PriceSheet, price};
use protocol::units::{ByteSize, Fuel, Millis, Wei};
use serde::{Deserialize, Serialize};

/// Most bytes of an offer in JSON: what the registry keeps as attributes.
pub const OFFER_BYTES_MAX: usize = 2048;

/// What a provider offers at most, as it publishes it. Readers ignore fields they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Profile of its executor, see [`crate::Executor::profile`]; audits need the same one.
    pub executor: String,
    /// Tasks that it runs at a time.
    pub slots: u32,
    /// Memory for all tasks together, in bytes.
    pub memory_bytes: u64,
    /// Space for the outputs of all tasks together, in bytes.
    pub output_bytes: u64,
    /// Fuel that one slot burns in a second, at least.
    pub fuel_per_second: u64,
    /// Longest task, in seconds.
    pub task_seconds_max: u32,
    /// What it asks.
    pub prices: PriceSheet,
}

/// Why published attributes are no offer.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// More bytes than the registry keeps.
    #[error("offer has {bytes} bytes, over the limit of {OFFER_BYTES_MAX}")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// Not the JSON of an offer.
    #[error("offer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

impl Offer {
    /// Reads published attributes; anybody may have written them.
    pub fn parse(attributes: &str) -> Result<Self, OfferError> {
        if attributes.len() > OFFER_BYTES_MAX {
            return Err(OfferError::TooLong { bytes: attributes.len() });
        }
        Ok(serde_json::from_str(attributes)?)
    }

    /// JSON to be published.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an offer has string keys only")
    }
}

/// What a provider has left now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// What it offers at most.
    pub offer: Offer,
    /// Slots in use.
    pub slots_used: u32,
    /// Memory in use, in bytes.
    pub memory_bytes_used: u64,
    /// Output space in use, in bytes.
    pub output_bytes_used: u64,
}

impl Inventory {
    /// An idle provider.
    pub fn idle(offer: Offer) -> Self {
        Self { offer, slots_used: 0, memory_bytes_used: 0, output_bytes_used: 0 }
    }

    /// Sets one task of `job` aside.
    pub fn take(&mut self, job: &Job) {
        self.slots_used = self.slots_used.saturating_add(1);
        self.memory_bytes_used = self.memory_bytes_used.saturating_add(job.resources.memory.0);
        self.output_bytes_used = self.output_bytes_used.saturating_add(job.resources.output.0);
    }

    /// Gives back what [`Self::take`] set aside.
    pub fn give_back(&mut self, job: &Job) {
        self.slots_used = self.slots_used.saturating_sub(1);
        self.memory_bytes_used = self.memory_bytes_used.saturating_sub(job.resources.memory.0);
        self.output_bytes_used = self.output_bytes_used.saturating_sub(job.resources.output.0);
    }

    fn slots_free(&self) -> u32 {
        self.offer.slots.saturating_sub(self.slots_used)
    }

    fn memory_free(&self) -> ByteSize {
        ByteSize(self.offer.memory_bytes.saturating_sub(self.memory_bytes_used))
    }

    fn output_free(&self) -> ByteSize {
        ByteSize(self.offer.output_bytes.saturating_sub(self.output_bytes_used))
    }
}

/// One dimension in which a job does not fit, with both values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Every slot is taken.
    #[error("slots: all {offered} of the provider are in use")]
    Slots {
        /// Slots of the provider.
        offered: u32,
    },
    /// Too little memory.
    #[error("memory: job asks for {asked}, provider offers {offered}")]
    Memory {
        /// What a task may use.
        asked: ByteSize,
        /// What is free.
        offered: ByteSize,
    },
    /// Too little space for outputs.
    #[error("output: job asks for {asked}, provider offers {offered}")]
    Output {
        /// What a task may write.
        asked: ByteSize,
        /// What is free.
        offered: ByteSize,
    },
    /// The provider does not take tasks that long.
    #[error("wall: job asks for {asked}, provider offers {offered}")]
    Wall {
        /// What a task may take.
        asked: Millis,
        /// The longest task.
        offered: Millis,
    },
    /// A task that uses all its fuel would run out of time on this provider.
    #[error("fuel: {fuel} takes {needed} on the provider, job allows {allowed}")]
    Speed {
        /// What a task may burn.
        fuel: Fuel,
        /// Time for that on the provider.
        needed: Millis,
        /// Time that the task has.
        allowed: Millis,
    },
    /// The provider asks more than the job pays.
    #[error("price: job pays at most {paid} per task, provider asks {asked}")]
    Price {
        /// Limit of the job.
        paid: Wei,
        /// Price of the provider.
        asked: Wei,
    },
}

/// Whether the provider could take a task of `job` now; if not, every reason.
pub fn fits(job: &Job, inventory: &Inventory) -> Result<(), Vec<Mismatch>> {
    let (resources, offer) = (&job.resources, &inventory.offer);
    let longest = Millis(u64::from(offer.task_seconds_max).saturating_mul(1000));
    let needed = burn_time(resources.fuel, offer.fuel_per_second);
    let (memory, output) = (inventory.memory_free(), inventory.output_free());
    let asked = Wei(price(job, &offer.prices));
    let checks = [
        (inventory.slots_free() > 0, Mismatch::Slots { offered: offer.slots }),
        (resources.memory <= memory, Mismatch::Memory { asked: resources.memory, offered: memory }),
        (resources.output <= output, Mismatch::Output { asked: resources.output, offered: output }),
        (resources.wall <= longest, Mismatch::Wall { asked: resources.wall, offered: longest }),
        (needed <= resources.wall, Mismatch::Speed { fuel: resources.fuel, needed, allowed: resources.wall }),
        (asked <= job.price_max, Mismatch::Price { paid: job.price_max, asked }),
    ];
    let reasons: Vec<Mismatch> = checks.into_iter().filter(|(fits, _)| !fits).map(|(_, reason)| reason).collect();
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

/// Tasks of `job` that the provider can run at a time now.
pub fn capacity(job: &Job, inventory: &Inventory) -> u32 {
    let by = |free: ByteSize, each: ByteSize| free.0.checked_div(each.0).unwrap_or(u64::MAX);
    let memory = by(inventory.memory_free(), job.resources.memory);
    let output = by(inventory.output_free(), job.resources.output);
    u32::try_from(memory.min(output)).unwrap_or(u32::MAX).min(inventory.slots_free()).min(job.task_count())
}

/// Slots that one task of `job` takes on a provider (1..=its slots): more than one when it may use more memory or output
/// than a slot's share, so that tasks that run together never use more than the provider offers.
pub fn slots(job: &Job, offer: &Offer) -> u32 {
    let all = offer.slots.max(1);
    let by = |each: ByteSize, offered: u64| {
        let share = (offered / u64::from(all)).max(1);
        u32::try_from(each.0.div_ceil(share)).unwrap_or(u32::MAX)
    };
    let memory = by(job.resources.memory, offer.memory_bytes);
    let output = by(job.resources.output, offer.output_bytes);
    memory.max(output).clamp(1, all)
}

fn burn_time(fuel: Fuel, per_second: u64) -> Millis {
    let millis = (u128::from(fuel.0) * 1000).div_ceil(u128::from(per_second.max(1)));
    Millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::digits;

    fn offer() -> Offer {
        Offer {
            executor: "wasmtime-48/deterministic-v1".into(),
            slots: 2,
            memory_bytes: 1 << 30,
            output_bytes: 1 << 30,
            fuel_per_second: 500_000_000,
            task_seconds_max: 600,
            prices: PriceSheet { per_task: 1000, ..PriceSheet::default() },
        }
    }

    #[test]
    fn an_idle_provider_that_offers_enough_fits() {
        let (job, inventory) = (digits(), Inventory::idle(offer()));
        assert_eq!(fits(&job, &inventory), Ok(()));
        assert_eq!(capacity(&job, &inventory), 2);
    }

    #[test]
    fn every_dimension_is_named_with_both_values() {
        let poor = Offer {
            slots: 0,
            memory_bytes: 1 << 20,
            output_bytes: 1 << 10,
            fuel_per_second: 1_000,
            task_seconds_max: 1,
            prices: PriceSheet { per_task: u64::MAX, ..PriceSheet::default() },
            ..offer()
        };
        let lines: Vec<String> =
            fits(&digits(), &Inventory::idle(poor)).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "slots: all 0 of the provider are in use",
                "memory: job asks for 64Mi, provider offers 1Mi",
                "output: job asks for 1Mi, provider offers 1Ki",
                "wall: job asks for 1m, provider offers 1s",
                "fuel: 20G takes 20000000s on the provider, job allows 1m",
                "price: job pays at most 0.5 AKE per task, provider asks 18.446744073709551615 AKE",
            ]
        );
    }

    #[test]
    fn exactly_enough_is_enough_and_one_byte_less_is_not() {
        let job = digits();
        let mut exact = Inventory::idle(Offer { memory_bytes: job.resources.memory.0, ..offer() });
        assert_eq!(fits(&job, &exact), Ok(()));
        exact.offer.memory_bytes -= 1;
        assert!(matches!(fits(&job, &exact).unwrap_err()[..], [Mismatch::Memory { .. }]));
    }

    #[test]
    fn what_is_taken_is_not_offered_twice() {
        let job = digits();
        let mut inventory = Inventory::idle(offer());
        inventory.take(&job);
        assert_eq!(capacity(&job, &inventory), 1);
        inventory.take(&job);
        assert_eq!(fits(&job, &inventory), Err(vec![Mismatch::Slots { offered: 2 }]));
        inventory.give_back(&job);
        inventory.give_back(&job);
        assert_eq!(inventory, Inventory::idle(offer()));
    }

    #[test]
    fn a_task_over_a_slots_share_takes_more_slots_and_never_more_than_all() {
        let mut job = digits();
        job.resources.memory = ByteSize(512 << 20);
        assert_eq!(slots(&job, &offer()), 1, "exactly one share");
        job.resources.memory = ByteSize((512 << 20) + 1);
        assert_eq!(slots(&job, &offer()), 2);
        job.resources.memory = ByteSize(u64::MAX);
        assert_eq!(slots(&job, &offer()), 2);
        assert_eq!(slots(&digits(), &Offer { slots: 0, ..offer() }), 1, "an offer of nothing does not divide by zero");
    }

    #[test]
    fn offers_survive_the_registry_and_nonsense_is_refused() {
        assert_eq!(Offer::parse(&offer().to_json()).unwrap(), offer());
        assert!(offer().to_json().len() < OFFER_BYTES_MAX);
        let with_news = offer().to_json().replacen('{', "{\"gpu\":1,", 1);
        assert_eq!(Offer::parse(&with_news).unwrap(), offer());
        assert!(matches!(Offer::parse("{}"), Err(OfferError::Json(_))));
        assert!(matches!(Offer::parse(&" ".repeat(OFFER_BYTES_MAX + 1)), Err(OfferError::TooLong { .. })));
    }
}
