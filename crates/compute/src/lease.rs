//! How a provider follows one task from its assignment to its end.
//!
//! ```text
//! Assigned ─▶ Running ─▶ Computed ─▶ Receipted ─▶ Audited ─▶ Disputed
//!     │          │           │           │           │          │
//!     └──────────┴───────────┴───────────┴───────────┴──────────┴──▶ Closed (paid, rejected, expired, failed)
//! ```
//!
//! Pure: the caller brings what it saw on chain and the time, and is told what to do next. Events may come twice or
//! late (logs are read again after a restart); what is already known changes nothing.

/// Seconds before the deadline after which a task is not begun any more: the receipt would come too late.
pub const START_MARGIN_SECONDS: u64 = 1;

/// One task of one attempt, from its provider's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Job.
    pub job_id: u64,
    /// Task index.
    pub task: u32,
    /// Attempt that this lease is for.
    pub attempt: u8,
    /// When the receipt must be on chain, Unix seconds.
    pub deadline: u64,
    stage: Stage,
}

/// Where a lease stands; later stages are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The task is ours, nothing is done yet.
    Assigned,
    /// The executor has it.
    Running,
    /// The result is there and stored; the receipt is not on chain.
    Computed,
    /// The receipt is on chain; the draw is pending.
    Receipted,
    /// An auditor re-executes.
    Audited,
    /// A second auditor decides.
    Disputed,
    /// Over.
    Closed(End),
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Paid.
    Paid,
    /// The receipt fell in an audit.
    Rejected,
    /// The deadline passed on chain without a receipt.
    Expired,
    /// The executor could not give a result.
    Failed,
}

/// What happened, in the order in which it can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The executor was given the task.
    Started,
    /// The outputs are stored and the receipt is signed.
    Computed,
    /// The executor could not give a result.
    Failed,
    /// `ReceiptSubmitted`.
    Receipted,
    /// `AuditorDrawn`, the first one.
    Audited,
    /// `AuditDisputed`.
    Disputed,
    /// `TaskPaid`.
    Paid,
    /// `TaskRejected`.
    Rejected,
    /// `TaskExpired`.
    Expired,
}

/// What a provider does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fetch the inputs and run.
    Run,
    /// Wait for the executor.
    AwaitResult,
    /// Stop the executor: the deadline has passed.
    Stop,
    /// Send the receipt.
    SubmitReceipt,
    /// Ask for the draw once its block is there.
    Draw,
    /// Wait for the auditors.
    AwaitAudit,
    /// Forget it and give back what was set aside.
    Release,
}

impl Lease {
    /// A task that was just assigned.
    pub fn open(job_id: u64, task: u32, attempt: u8, deadline: u64) -> Self {
        Self { job_id, task, attempt, deadline, stage: Stage::Assigned }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes in an event; one that leads back is ignored. Returns whether anything changed.
    pub fn apply(&mut self, event: Event) -> bool {
        let next = match event {
            Event::Started => Stage::Running,
            Event::Computed => Stage::Computed,
            Event::Receipted => Stage::Receipted,
            Event::Audited => Stage::Audited,
            Event::Disputed => Stage::Disputed,
            Event::Failed => Stage::Closed(End::Failed),
            Event::Paid => Stage::Closed(End::Paid),
            Event::Rejected => Stage::Closed(End::Rejected),
            Event::Expired => Stage::Closed(End::Expired),
        };
        // A failure of ours after the receipt is on chain does not take the receipt back.
        let moot = event == Event::Failed && self.stage >= Stage::Receipted;
        let forward = next > self.stage && !matches!(self.stage, Stage::Closed(_)) && !moot;
        if forward {
            self.stage = next;
        }
        forward
    }

    /// What to do at `now` (Unix seconds).
    pub fn next_action(&self, now: u64) -> Action {
        match self.stage {
            Stage::Assigned if now.saturating_add(START_MARGIN_SECONDS) >= self.deadline => Action::Release,
            Stage::Assigned => Action::Run,
            Stage::Running if now > self.deadline => Action::Stop,
            Stage::Running => Action::AwaitResult,
            Stage::Computed if now > self.deadline => Action::Release,
            Stage::Computed => Action::SubmitReceipt,
            Stage::Receipted => Action::Draw,
            Stage::Audited | Stage::Disputed => Action::AwaitAudit,
            Stage::Closed(_) => Action::Release,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: u64 = 1_000;

    fn after(events: &[Event]) -> Lease {
        let mut lease = Lease::open(1, 2, 1, DEADLINE);
        for event in events {
            assert!(lease.apply(*event), "{event:?}");
        }
        lease
    }

    #[test]
    fn an_audited_task_is_paid() {
        use Event::*;
        let lease = after(&[Started, Computed, Receipted, Audited, Disputed, Paid]);
        assert_eq!(lease.stage(), Stage::Closed(End::Paid));
        assert_eq!(lease.next_action(0), Action::Release);
    }

    #[test]
    fn each_stage_has_one_next_action() {
        use Event::*;
        let action = |events: &[Event]| after(events).next_action(0);
        assert_eq!(action(&[]), Action::Run);
        assert_eq!(action(&[Started]), Action::AwaitResult);
        assert_eq!(action(&[Started, Computed]), Action::SubmitReceipt);
        assert_eq!(action(&[Started, Computed, Receipted]), Action::Draw);
        assert_eq!(action(&[Receipted, Audited]), Action::AwaitAudit);
    }

    #[test]
    fn nothing_is_begun_or_sent_too_late() {
        use Event::*;
        assert_eq!(after(&[]).next_action(DEADLINE - 2), Action::Run);
        assert_eq!(after(&[]).next_action(DEADLINE - 1), Action::Release);
        assert_eq!(after(&[Started]).next_action(DEADLINE), Action::AwaitResult);
        assert_eq!(after(&[Started]).next_action(DEADLINE + 1), Action::Stop);
        assert_eq!(after(&[Started, Computed]).next_action(DEADLINE + 1), Action::Release);
        assert_eq!(after(&[Receipted]).next_action(DEADLINE + 1), Action::Draw, "the draw has no deadline");
    }

    #[test]
    fn old_news_changes_nothing() {
        use Event::*;
        let mut lease = after(&[Started, Computed, Receipted]);
        for event in [Started, Computed, Receipted, Failed] {
            assert!(!lease.apply(event), "{event:?}");
        }
        assert_eq!(lease.stage(), Stage::Receipted);
        let mut closed = after(&[Expired]);
        assert!(!closed.apply(Paid) && !closed.apply(Failed));
        assert_eq!(closed.stage(), Stage::Closed(End::Expired));
    }
}
