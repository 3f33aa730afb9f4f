//! Match jobs with offers, follow each lease, meter what was used, judge results.
//!
//! ```text
//! job.yaml ─▶ Job (checked) ─▶ block, CID, Terms ─▶ market
//!                │                                    │
//!                ├─ matching: does it fit me? why not?│ score = price and reputation
//!                ├─ pricing: what do I ask for it?    │ (the contract's arithmetic, exactly)
//!                └─ executor: Work ─▶ Outcome ─▶ output root, commitment, receipt
//! ```
//!
//! Everything here is a pure function of its arguments, so that provider, consumer and auditor come to the same answer;
//! what touches the world is behind [`executor::Executor`].

pub mod deterrence;
pub mod executor;
pub mod job;
pub mod matching;
pub mod module;
pub mod pricing;
pub mod reputation;
pub mod scoring;

pub use executor::Executor;
pub use job::Job;
