//! Live log records of running tasks, as the providers push them: sealed, signed, bounded, in memory.
//!
//! The finished log of a task is one of its outputs; this is only the view while it runs, so losing it in a restart
//! loses nothing.

use parking_lot::Mutex;
use protocol::api::LogRecord;
use std::collections::{HashMap, VecDeque};
use tokio::sync::broadcast;

/// Bytes of one sealed record.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Records kept per job; the oldest go first.
pub const RECORDS_PER_JOB_MAX: usize = 4096;
/// Jobs with records in memory; the one longest without news goes first.
pub const JOBS_MAX: usize = 256;
/// Records that a slow reader may fall behind before it is told to read again.
const BACKLOG: usize = 1024;

/// Records of the jobs that run now.
pub struct LiveLogs {
    jobs: Mutex<Jobs>,
    news: broadcast::Sender<LogRecord>,
}

#[derive(Default)]
struct Jobs {
    records: HashMap<u64, VecDeque<LogRecord>>,
    by_age: VecDeque<u64>,
}

impl Default for LiveLogs {
    fn default() -> Self {
        Self { jobs: Mutex::default(), news: broadcast::channel(BACKLOG).0 }
    }
}

impl LiveLogs {
    /// Keeps a record, unless the same position is kept already.
    pub fn push(&self, record: LogRecord) {
        let mut jobs = self.jobs.lock();
        if !jobs.records.contains_key(&record.job_id) {
            jobs.by_age.push_back(record.job_id);
            if jobs.by_age.len() > JOBS_MAX
                && let Some(oldest) = jobs.by_age.pop_front()
            {
                jobs.records.remove(&oldest);
            }
        }
        let kept = jobs.records.entry(record.job_id).or_default();
        let place = |r: &LogRecord| (r.task, r.attempt, r.provider, r.seq);
        if kept.iter().any(|r| place(r) == place(&record)) {
            return;
        }
        if kept.len() == RECORDS_PER_JOB_MAX {
            kept.pop_front();
        }
        kept.push_back(record.clone());
        // Nobody listening is not an error: the record is kept for the next reader.
        let _ = self.news.send(record);
    }

    /// Records kept for a job, and what comes after them. Subscribing under the lock leaves no gap between the two.
    pub fn read(&self, job_id: u64) -> (Vec<LogRecord>, broadcast::Receiver<LogRecord>) {
        let jobs = self.jobs.lock();
        let kept = jobs.records.get(&job_id).map(|r| r.iter().cloned().collect()).unwrap_or_default();
        (kept, self.news.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    fn record(job_id: u64, seq: u64) -> LogRecord {
        LogRecord {
            job_id,
            task: 0,
            attempt: 1,
            provider: Address::ZERO,
            seq,
            sealed: vec![1].into(),
            signature: Default::default(),
        }
    }

    #[test]
    fn a_reader_sees_kept_records_then_news_and_no_position_twice() {
        let logs = LiveLogs::default();
        logs.push(record(1, 0));
        logs.push(record(1, 0));
        let (kept, mut news) = logs.read(1);
        assert_eq!(kept, [record(1, 0)]);
        logs.push(record(1, 1));
        assert_eq!(news.try_recv().unwrap(), record(1, 1));
        assert!(news.try_recv().is_err());
    }

    #[test]
    fn memory_is_bounded_per_job_and_in_jobs() {
        let logs = LiveLogs::default();
        for seq in 0..=RECORDS_PER_JOB_MAX as u64 {
            logs.push(record(1, seq));
        }
        let (kept, _) = logs.read(1);
        assert_eq!((kept.len(), kept[0].seq), (RECORDS_PER_JOB_MAX, 1));
        for job in 2..=JOBS_MAX as u64 + 1 {
            logs.push(record(job, 0));
        }
        assert!(logs.read(1).0.is_empty(), "the oldest job went first");
        assert_eq!(logs.read(2).0.len(), 1);
    }
}
