//! What anybody may do now to move a job on: end the bid window, draw, expire, lapse, assign, finish.
//!
//! Providers do these things by themselves, because they are paid for the result. A consumer who waits does them too when
//! nobody else did, so that a job never hangs on somebody's absence. Pure: the situation is an argument.

use alloy_primitives::{Address, U256};
use protocol::abi::IJobMarket::{self, JobState, TaskState};
use protocol::abi::ISlashingCourt;

/// One transaction that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Duty {
    /// End the bid window (`JobMarket.select`).
    Select,
    /// Give waiting tasks, at most so many, to bidders with room (`JobMarket.assign`).
    Assign(u32),
    /// Decide whether this task's receipt is audited (`SlashingCourt.draw`).
    Draw(u32),
    /// Draw the second auditor of this task's dispute (`SlashingCourt.drawSecond`).
    DrawSecond(u32),
    /// Take this task from a provider that missed its deadline (`JobMarket.expire`).
    Expire(u32),
    /// Replace an auditor of this task that missed its deadline (`SlashingCourt.lapse`).
    Lapse(u32),
    /// Fail waiting tasks, at most so many, of a job past its deadline, and close it (`JobMarket.finish`).
    Finish(u32),
}

/// A job at one block.
#[derive(Clone, Debug)]
pub struct Situation {
    /// Time of the newest block, Unix seconds.
    pub now: u64,
    /// Its number.
    pub block: u64,
    /// The job.
    pub job: IJobMarket::Job,
    /// Its tasks, by index.
    pub tasks: Vec<TaskSituation>,
}

/// One task at that block.
#[derive(Clone, Debug)]
pub struct TaskSituation {
    /// The task.
    pub task: IJobMarket::Task,
    /// Block whose randomness decides the pending draw, 0 if none is pending.
    pub draw_block: U256,
    /// The audit, if the task is in one.
    pub audit: Option<ISlashingCourt::Audit>,
}

/// What is due, in the order in which it should be done.
pub fn duties(situation: &Situation) -> Vec<Duty> {
    match situation.job.state {
        JobState::Bidding if situation.now >= situation.job.bidEnd => vec![Duty::Select],
        JobState::Running => running(situation),
        _ => Vec::new(),
    }
}

fn running(situation: &Situation) -> Vec<Duty> {
    let tasks = (0u32..).zip(&situation.tasks);
    let mut due: Vec<Duty> = tasks.filter_map(|(index, task)| of_task(situation, index, task)).collect();
    let open = situation.tasks.iter().filter(|task| task.task.state == TaskState::Open).count() as u32;
    let all_final = situation.tasks.iter().all(|t| matches!(t.task.state, TaskState::Paid | TaskState::Failed));
    match situation.now > situation.job.deadline {
        true if open > 0 || all_final => due.push(Duty::Finish(open.max(1))),
        false if open > 0 => due.push(Duty::Assign(open)),
        _ => {}
    }
    due
}

fn of_task(situation: &Situation, index: u32, task: &TaskSituation) -> Option<Duty> {
    let drawable = !task.draw_block.is_zero() && U256::from(situation.block) > task.draw_block;
    let late = |deadline: u64| deadline != 0 && situation.now > deadline;
    match task.task.state {
        TaskState::Assigned if late(task.task.deadline) => Some(Duty::Expire(index)),
        TaskState::Receipted if drawable => Some(Duty::Draw(index)),
        TaskState::Audited | TaskState::Disputed => {
            let audit = task.audit.as_ref()?;
            let wants_second = task.task.state == TaskState::Disputed && audit.second == Address::ZERO;
            match wants_second {
                true if drawable => Some(Duty::DrawSecond(index)),
                false if late(audit.deadline) => Some(Duty::Lapse(index)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use alloy_primitives::aliases::U96;

    fn job(state: JobState) -> IJobMarket::Job {
        let terms = IJobMarket::Terms {
            spec: B256::ZERO,
            consumerKey: B256::ZERO,
            tasks: 1,
            priceMax: U96::from(1),
            bidSeconds: 2,
            taskSeconds: 60,
            jobSeconds: 600,
            auditBps: 500,
            attemptsMax: 3,
        };
        IJobMarket::Job {
            terms,
            consumer: Address::ZERO,
            state,
            openedAt: 100,
            bidEnd: 102,
            deadline: 702,
            tasksAssigned: 0,
            tasksPaid: 0,
            tasksFailed: 0,
            escrowed: U256::ZERO,
            paid: U256::ZERO,
            refunded: U256::ZERO,
        }
    }

    fn task(state: TaskState) -> TaskSituation {
        let task = IJobMarket::Task {
            state,
            attempt: 1,
            provider: Address::ZERO,
            price: U96::ZERO,
            reserved: U96::ZERO,
            deadline: 160,
            receiptBlock: 0,
            commitment: B256::ZERO,
            output: B256::ZERO,
        };
        TaskSituation { task, draw_block: U256::ZERO, audit: None }
    }

    fn audit(deadline: u64, second: Address) -> Option<ISlashingCourt::Audit> {
        Some(ISlashingCourt::Audit {
            auditor: Address::repeat_byte(1),
            second,
            deadline,
            reserved: U96::ZERO,
            reservedSecond: U96::ZERO,
            redraws: 0,
            commitment: B256::ZERO,
            root: B256::ZERO,
        })
    }

    fn at(now: u64, tasks: Vec<TaskSituation>) -> Vec<Duty> {
        duties(&Situation { now, block: 50, job: job(JobState::Running), tasks })
    }

    #[test]
    fn the_bid_window_is_ended_when_it_is_over() {
        let situation = |now| Situation { now, block: 1, job: job(JobState::Bidding), tasks: vec![] };
        assert_eq!(duties(&situation(101)), []);
        assert_eq!(duties(&situation(102)), [Duty::Select]);
    }

    #[test]
    fn nothing_is_due_for_a_closed_job() {
        let job = job(JobState::Closed);
        let tasks = vec![task(TaskState::Failed)];
        assert_eq!(duties(&Situation { now: 9_999, block: 1, job, tasks }), []);
    }

    #[test]
    fn a_missed_deadline_expires_and_a_kept_one_does_not() {
        assert_eq!(at(160, vec![task(TaskState::Assigned)]), []);
        assert_eq!(at(161, vec![task(TaskState::Paid), task(TaskState::Assigned)]), [Duty::Expire(1)]);
    }

    #[test]
    fn a_receipt_is_drawn_once_the_randomness_is_fixed() {
        let receipted = |draw_block| TaskSituation { draw_block: U256::from(draw_block), ..task(TaskState::Receipted) };
        assert_eq!(at(110, vec![receipted(0)]), [], "no draw pending");
        assert_eq!(at(110, vec![receipted(50)]), [], "its block is the newest");
        assert_eq!(at(110, vec![receipted(49)]), [Duty::Draw(0)]);
    }

    #[test]
    fn absent_auditors_are_replaced() {
        let audited = |deadline| TaskSituation { audit: audit(deadline, Address::ZERO), ..task(TaskState::Audited) };
        assert_eq!(at(200, vec![audited(200)]), []);
        assert_eq!(at(201, vec![audited(200)]), [Duty::Lapse(0)]);
        assert_eq!(at(201, vec![task(TaskState::Audited)]), [], "unknown audit");
    }

    #[test]
    fn a_dispute_gets_its_second_auditor_and_then_a_deadline() {
        let disputed = |draw_block, second| TaskSituation {
            draw_block: U256::from(draw_block),
            audit: audit(200, second),
            ..task(TaskState::Disputed)
        };
        assert_eq!(at(201, vec![disputed(50, Address::ZERO)]), [], "randomness not fixed yet");
        assert_eq!(at(201, vec![disputed(49, Address::ZERO)]), [Duty::DrawSecond(0)]);
        assert_eq!(at(201, vec![disputed(0, Address::repeat_byte(2))]), [Duty::Lapse(0)]);
    }

    #[test]
    fn waiting_tasks_are_assigned_until_the_deadline_and_failed_after_it() {
        let tasks = || vec![task(TaskState::Open), task(TaskState::Paid), task(TaskState::Open)];
        assert_eq!(at(702, tasks()), [Duty::Assign(2)]);
        assert_eq!(at(703, tasks()), [Duty::Finish(2)]);
        assert_eq!(at(703, vec![task(TaskState::Receipted)]), [], "a pending receipt is not failed");
    }
}
