//! What happens in a run, drawn from its seed.

use proof::checkpoint::Offence;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use std::fmt;
use std::time::Duration;

/// Namespaces that users submit to.
pub const NAMESPACES: [u64; 4] = [1, 7, 4_000, u64::MAX];
/// The one of them whose single transactions are sealed, and executed when they are opened.
pub const SEALED_NAMESPACE: u64 = 4_000;
/// A namespace that nobody submits to, for proofs of absence.
pub const QUIET_NAMESPACE: u64 = 8;
/// Longest time that one fault lasts.
const FAULT_SECONDS_MAX: u64 = 3;
/// Time of a part of a run in which faults begin.
const FAULTY: Duration = Duration::from_secs(6);
/// Faults of a part of a run, at most.
const FAULTS_MAX: usize = 5;
/// False votes of a twin in a part of a run, at most.
const FALSE_VOTES_MAX: usize = 2;
/// Changes of the committee in a run, if it lasts long enough.
const CHANGES_MAX: u64 = 3;
/// Users' submissions in a part of a run, at most.
const SUBMISSIONS_MAX: usize = 60;

/// Blocks that most submissions may wait: more than a run has.
const LIFETIME_BLOCKS: u64 = 3_000;
/// Blocks that must become final after the last fault.
const BLOCKS_AFTER: u64 = 3;

/// One plan in so many prunes: such a run has many more blocks than others.
const PRUNING_IN: u32 = 24;
/// How long its blocks are kept, in seconds: longer than a validator can be away in one part, so that it finds what it missed.
const RETENTION_SECONDS: std::ops::RangeInclusive<u64> = 11..=14;
/// Its pace: above the newest blocks, which always stay, there must soon be others.
const PRUNING_PACE: Duration = Duration::from_millis(50);
/// Blocks after the faults of its first part.
const PRUNING_BLOCKS: u64 = 150;
/// One plan in so many spreads blocks in shards, which committees of these sizes do not do by themselves.
const SHARDING_IN: u32 = 8;
/// The stream of a seed that decides about the two, so that neither changes what else is drawn.
const VARIANTS: u64 = 1;
/// How many of a part's transactions are long, as a rule and where blocks go in shards.
const LONG: (f64, f64) = (0.05, 0.4);

const _: () = assert!(*RETENTION_SECONDS.start() > FAULTY.as_secs() + FAULT_SECONDS_MAX);

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it came from; also seeds the runtime.
    pub seed: u64,
    /// Seats of the committee.
    pub validators: usize,
    /// Pace of the blocks.
    pub pace: Duration,
    /// Blocks of an epoch of the stake's finality.
    pub epoch_blocks: u64,
    /// Whether validators check a signature only once between them; not where their cost is measured.
    pub shares_checks: bool,
    /// Whether the stake must have finalised something new at the end of each part.
    pub finality: bool,
    /// Between any two validators, unless an event says otherwise.
    pub link: Link,
    /// Seats that run twice, with the same keys and different peers; fewer than a third.
    pub twins: Vec<usize>,
    /// Whom the application seats, in this order, from the checkpoint of an epoch on; all validators until then.
    pub seats: Vec<(u64, Vec<usize>)>,
    /// How long blocks are kept; `None` for ever.
    pub retention: Option<Duration>,
    /// Whether blocks go in shards from a few bytes on and in a small committee: a setting of the simulation, as real
    /// networks do so with ten validators or more.
    pub is_sharded: bool,
    /// Parts of the run; between two of them all validators lose power at once, and what was not synced.
    pub parts: Vec<Part>,
}

/// From power on to power off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What happens, by time since power on.
    pub events: Vec<(Duration, Event)>,
    /// Blocks that must become final after it.
    pub blocks: u64,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Mean latency.
    pub latency: Duration,
    /// Standard deviation of the latency.
    pub jitter: Duration,
    /// Of 1,000 messages.
    pub lost: u16,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A validator is killed, as by `kill -9`.
    Crash {
        /// Its seat.
        seat: usize,
    },
    /// A killed validator is started on what it left.
    Restart {
        /// Its seat.
        seat: usize,
    },
    /// Those with `true` and those with `false` no longer hear each other.
    Partition {
        /// By seat.
        side: Vec<bool>,
    },
    /// All links are as planned again.
    Heal,
    /// All links get worse.
    Degrade {
        /// What they become.
        link: Link,
    },
    /// Both halves of each twin see other peers.
    Reshuffle {
        /// Which seats the first half sees, by seat; the second half sees the others, and those in `both`.
        first: Vec<bool>,
        /// Which seats both see.
        both: Vec<bool>,
    },
    /// A twin signs one more vote on a checkpoint, which excludes one that it casts as well.
    FalseVote {
        /// Its seat.
        seat: usize,
        /// Which rule it breaks.
        offence: Offence,
    },
    /// A user submits to a validator.
    Submit {
        /// Seat of the validator.
        seat: usize,
        /// Namespace and length of each transaction; two or more are a bundle.
        transactions: Vec<(u64, usize)>,
        /// Blocks that it may wait.
        lifetime: u64,
    },
}

impl Event {
    /// Whether something breaks.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Crash { .. } | Self::Partition { .. } | Self::Degrade { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seats = |sides: &[bool], wanted: bool| -> Vec<usize> {
            (0..sides.len()).filter(|seat| sides[*seat] == wanted).collect()
        };
        match self {
            Self::Crash { seat } => write!(f, "crash of {seat}"),
            Self::Restart { seat } => write!(f, "restart of {seat}"),
            Self::Partition { side } => write!(f, "partition {:?} | {:?}", seats(side, true), seats(side, false)),
            Self::Heal => write!(f, "heal"),
            Self::Degrade { link } => {
                write!(f, "degrade to {:?} ± {:?}, {} ‰ lost", link.latency, link.jitter, link.lost)
            }
            Self::Reshuffle { first, both } => {
                write!(f, "twins see {:?}, both {:?}", seats(first, true), seats(both, true))
            }
            Self::FalseVote { seat, offence } => write!(f, "false vote of {seat}: {offence:?}"),
            Self::Submit { seat, transactions, lifetime } => {
                write!(f, "submit {} to {seat}, for {lifetime} blocks", transactions.len())
            }
        }
    }
}

/// Draws parts of a plan.
struct Dice {
    rng: ChaCha8Rng,
    validators: usize,
    twins: Vec<usize>,
    /// Chance of a long transaction.
    long: f64,
}

impl Plan {
    /// The run of a seed. `validators` sets the size of the committee, which is 4 or 7 else.
    pub fn draw(seed: u64, validators: Option<usize>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = if rng.random_bool(0.75) { 4 } else { 7 };
        let validators = validators.unwrap_or(drawn);
        let mut seats: Vec<usize> = (0..validators).collect();
        seats.shuffle(&mut rng);
        let malicious = rng.random_range(0..=(validators - 1) / 3);
        let twins = seats[..malicious].to_vec();
        let pace = Duration::from_millis(*[20, 50, 100, 200].choose(&mut rng));
        let epoch_blocks = rng.random_range(2..=6);
        let mut variants = ChaCha8Rng::seed_from_u64(seed);
        variants.set_stream(VARIANTS);
        let is_sharded = variants.random_ratio(1, SHARDING_IN);
        let retention = variants.random_ratio(1, PRUNING_IN).then(|| variants.random_range(RETENTION_SECONDS));
        let long = if is_sharded { LONG.1 } else { LONG.0 };
        let mut dice = Dice { rng, validators, twins: twins.clone(), long };
        let link = dice.link(20, 10, 20);
        let parts = (0..dice.rng.random_range(1..=3)).map(|_| dice.part()).collect();
        let seats = dice.changes();
        let (shares_checks, finality) = (true, true);
        let mut plan = Self {
            seed,
            validators,
            pace,
            epoch_blocks,
            shares_checks,
            finality,
            link,
            twins,
            seats,
            retention: retention.map(Duration::from_secs),
            is_sharded,
            parts,
        };
        if retention.is_some() {
            plan.pace = PRUNING_PACE;
            plan.parts[0].blocks = PRUNING_BLOCKS;
            // Whoever starts again finds pruned blocks, on its own disk and with the others.
            if plan.parts.len() == 1 {
                plan.parts.push(dice.part());
            }
        }
        plan
    }

    /// A network in which nothing happens until `blocks` are final.
    pub fn quiet(validators: usize, blocks: u64) -> Self {
        let link = Link { latency: Duration::from_millis(10), jitter: Duration::from_millis(1), lost: 0 };
        let part = Part { events: Vec::new(), blocks };
        let (pace, twins) = (Duration::from_millis(200), Vec::new());
        let (seats, parts) = (Vec::new(), vec![part]);
        let (shares_checks, finality, is_sharded) = (false, false, false);
        Self {
            seed: 0,
            validators,
            pace,
            epoch_blocks: 32,
            shares_checks,
            finality,
            link,
            twins,
            seats,
            retention: None,
            is_sharded,
            parts,
        }
    }

    /// Seats that run once.
    pub fn honest(&self) -> impl Iterator<Item = usize> {
        (0..self.validators).filter(|seat| !self.twins.contains(seat))
    }
}

trait Choose<T> {
    fn choose(&self, rng: &mut ChaCha8Rng) -> &T;
}

impl<T> Choose<T> for [T] {
    fn choose(&self, rng: &mut ChaCha8Rng) -> &T {
        &self[rng.random_range(0..self.len())]
    }
}

impl Dice {
    fn link(&mut self, latency: u64, jitter: u64, lost: u16) -> Link {
        let mut millis = |max: u64| Duration::from_millis(self.rng.random_range(1..=max));
        Link { latency: millis(latency), jitter: millis(jitter), lost: self.rng.random_range(0..=lost) }
    }

    /// Changes of the committee, by the epoch whose checkpoint names the seats.
    fn changes(&mut self) -> Vec<(u64, Vec<usize>)> {
        let mut epoch = 0;
        let mut change = || {
            epoch += self.rng.random_range(1..=3);
            (epoch, self.seats())
        };
        (0..CHANGES_MAX).map(|_| change()).collect()
    }

    /// All validators, or all but one, in any order. With fewer of them no more twins may have a seat than before.
    fn seats(&mut self) -> Vec<usize> {
        let mut seats: Vec<usize> = (0..self.validators).collect();
        seats.shuffle(&mut self.rng);
        let leaves = self.rng.random_bool(0.5);
        let leaver = self.twins.first().copied().unwrap_or(seats[0]);
        seats.retain(|seat| !leaves || *seat != leaver);
        seats
    }

    fn moment(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(0..FAULTY.as_millis() as u64))
    }

    fn sides(&mut self, chance: f64) -> Vec<bool> {
        (0..self.validators).map(|_| self.rng.random_bool(chance)).collect()
    }

    /// Faults that all end, and what users do meanwhile.
    fn part(&mut self) -> Part {
        let mut events = Vec::new();
        for _ in 0..self.rng.random_range(0..=FAULTS_MAX) {
            let begin = self.moment();
            let end = begin + Duration::from_millis(self.rng.random_range(1..=1_000 * FAULT_SECONDS_MAX));
            events.extend(self.fault(begin, end));
        }
        if !self.twins.is_empty() {
            for _ in 0..self.rng.random_range(1..=6) {
                let event = Event::Reshuffle { first: self.sides(0.5), both: self.sides(0.2) };
                events.push((self.moment(), event));
            }
        }
        for seat in self.twins.clone() {
            for _ in 0..self.rng.random_range(0..=FALSE_VOTES_MAX) {
                let offence = *[Offence::Double, Offence::Surround].choose(&mut self.rng);
                events.push((self.moment(), Event::FalseVote { seat, offence }));
            }
        }
        for _ in 0..self.rng.random_range(1..=SUBMISSIONS_MAX) {
            let (at, seat) = (self.moment(), self.rng.random_range(0..self.validators));
            let count = if self.rng.random_bool(0.2) { self.rng.random_range(2..=6) } else { 1 };
            let transactions = (0..count).map(|_| self.transaction()).collect();
            let lifetime = if self.rng.random_bool(0.1) { self.rng.random_range(1..=30) } else { LIFETIME_BLOCKS };
            events.push((at, Event::Submit { seat, transactions, lifetime }));
        }
        // Stable, so that what was drawn first happens first at the same time.
        events.sort_by_key(|(at, _)| *at);
        Part { events, blocks: BLOCKS_AFTER }
    }

    fn transaction(&mut self) -> (u64, usize) {
        let length = if self.rng.random_bool(self.long) { self.rng.random_range(1..=60_000) } else { 200 };
        (*NAMESPACES.choose(&mut self.rng), length)
    }

    fn fault(&mut self, begin: Duration, end: Duration) -> Vec<(Duration, Event)> {
        match self.rng.random_range(0..5) {
            0..=1 => {
                let seat = self.rng.random_range(0..self.validators);
                vec![(begin, Event::Crash { seat }), (end, Event::Restart { seat })]
            }
            2 => vec![(begin, Event::Partition { side: self.sides(0.5) }), (end, Event::Heal)],
            3 => {
                // Isolated, as the leader is in some view.
                let seat = self.rng.random_range(0..self.validators);
                let side = (0..self.validators).map(|other| other == seat).collect();
                vec![(begin, Event::Partition { side }), (end, Event::Heal)]
            }
            _ => vec![(begin, Event::Degrade { link: self.link(300, 200, 200) }), (end, Event::Heal)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_faults_end() {
        for seed in 0..500 {
            let plan = Plan::draw(seed, None);
            assert_eq!(plan, Plan::draw(seed, None));
            assert!(plan.twins.len() * 3 < plan.validators);
            for (_, seats) in &plan.seats {
                let twins = plan.twins.iter().filter(|twin| seats.contains(twin)).count();
                assert!(twins * 3 < seats.len(), "seed {seed}: {twins} of {seats:?}");
            }
            for part in &plan.parts {
                let last = |wanted: fn(&Event) -> bool| part.events.iter().rposition(|(_, event)| wanted(event));
                let broken = last(|event| matches!(event, Event::Partition { .. } | Event::Degrade { .. }));
                assert!(broken <= last(|event| *event == Event::Heal), "seed {seed}");
                assert!(part.events.is_sorted_by_key(|(at, _)| *at));
            }
        }
    }

    #[test]
    fn some_plans_prune_and_some_spread_shards_and_the_others_are_what_they_were() {
        let plans: Vec<Plan> = (0..480).map(|seed| Plan::draw(seed, None)).collect();
        let pruning: Vec<&Plan> = plans.iter().filter(|plan| plan.retention.is_some()).collect();
        assert!((10..=35).contains(&pruning.len()), "{}", pruning.len());
        assert!(pruning.iter().all(|plan| plan.parts.len() > 1 && plan.parts[0].blocks == PRUNING_BLOCKS));
        let sharded = plans.iter().filter(|plan| plan.is_sharded).count();
        assert!((40..=80).contains(&sharded), "{sharded}");
        // What is drawn of a seed else is in its other stream.
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        assert_eq!(plans[7].validators, if rng.random_bool(0.75) { 4 } else { 7 });
    }

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let events = |wanted: fn(&Event) -> bool| {
            let plans = (0..50).map(|seed| Plan::draw(seed, None));
            plans.flat_map(|plan| plan.parts).flat_map(|part| part.events).filter(|(_, event)| wanted(event)).count()
        };
        assert!(events(|event| matches!(event, Event::Crash { .. })) > 20);
        assert!(events(|event| matches!(event, Event::Partition { .. })) > 20);
        assert!(events(|event| matches!(event, Event::Degrade { .. })) > 5);
        assert!(events(|event| matches!(event, Event::Reshuffle { .. })) > 20);
        assert!(events(|event| matches!(event, Event::FalseVote { offence: Offence::Double, .. })) > 5);
        assert!(events(|event| matches!(event, Event::FalseVote { offence: Offence::Surround, .. })) > 5);
        assert!(events(|event| matches!(event, Event::Submit { transactions, .. } if transactions.len() > 1)) > 50);
    }
}
