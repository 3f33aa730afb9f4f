//! Decide whether a claim about a job, a machine, stored data or finality is true.
