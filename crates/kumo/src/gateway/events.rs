//! Chain logs of the market and the court as [`JobEvent`]s: what users see of a job.

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEventInterface;
use protocol::abi::{IJobMarket::IJobMarketEvents as Market, ISlashingCourt::ISlashingCourtEvents as Court};
use protocol::api::JobEvent;
use std::collections::BTreeMap;

/// Where a log stands on the chain.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Block that holds it.
    pub block_number: u64,
    /// Position in that block.
    pub log_index: u64,
    /// Time of the block, Unix seconds.
    pub timestamp: u64,
    /// Transaction that emitted it.
    pub transaction: B256,
}

/// A job event, or `None` for logs that are not about a job.
pub fn decode(address: Address, log: &LogData, at: Position) -> Option<JobEvent> {
    let (event, job_id, task, account, fields) = if address == protocol::abi::JOB_MARKET {
        market(Market::decode_raw_log(log.topics(), &log.data).ok()?)?
    } else if address == protocol::abi::SLASHING_COURT {
        court(Court::decode_raw_log(log.topics(), &log.data).ok()?)?
    } else {
        return None;
    };
    Some(JobEvent {
        job_id: job_id.try_into().ok()?,
        event: event.to_owned(),
        block_number: at.block_number,
        log_index: at.log_index,
        timestamp: at.timestamp,
        transaction: at.transaction,
        task,
        account,
        fields: fields.0,
    })
}

type Decoded = (&'static str, U256, Option<u32>, Option<Address>, Fields);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }
}

fn fields() -> Fields {
    Fields::default()
}

fn market(event: Market) -> Option<Decoded> {
    Some(match event {
        Market::JobOpened(e) => {
            let fields = fields()
                .with("spec", protocol::content::cid_of_digest(protocol::content::RAW, e.spec))
                .with("tasks", e.tasks)
                .with("price_max", e.priceMax)
                .with("bid_end", e.bidEnd);
            ("JobOpened", e.jobId, None, Some(e.consumer), fields)
        }
        Market::BidPlaced(e) => {
            let fields = fields().with("price", e.price).with("capacity", e.capacity).with("score", e.score);
            ("BidPlaced", e.jobId, None, Some(e.provider), fields)
        }
        Market::BidEvicted(e) => ("BidEvicted", e.jobId, None, Some(e.provider), fields()),
        Market::JobSelected(e) => ("JobSelected", e.jobId, None, None, fields().with("bids", e.bids)),
        Market::TaskAssigned(e) => {
            let fields = fields()
                .with("attempt", e.attempt)
                .with("price", e.price)
                .with("reserved", e.reserved)
                .with("deadline", e.deadline);
            ("TaskAssigned", e.jobId, Some(e.task), Some(e.provider), fields)
        }
        Market::ReceiptSubmitted(e) => {
            let fields = fields()
                .with("attempt", e.attempt)
                .with("commitment", e.commitment)
                .with("output", protocol::content::cid_of_digest(protocol::content::RAW, e.output));
            ("ReceiptSubmitted", e.jobId, Some(e.task), Some(e.provider), fields)
        }
        Market::TaskPaid(e) => {
            let fields = fields().with("amount", e.amount).with("fee", e.fee);
            ("TaskPaid", e.jobId, Some(e.task), Some(e.provider), fields)
        }
        Market::TaskRejected(e) => {
            ("TaskRejected", e.jobId, Some(e.task), Some(e.provider), fields().with("attempt", e.attempt))
        }
        Market::TaskExpired(e) => {
            let fields = fields().with("attempt", e.attempt).with("slashed", e.slashed);
            ("TaskExpired", e.jobId, Some(e.task), Some(e.provider), fields)
        }
        Market::TaskFailed(e) => ("TaskFailed", e.jobId, Some(e.task), None, fields()),
        Market::JobClosed(e) => {
            let fields = fields()
                .with("tasks_paid", e.tasksPaid)
                .with("tasks_failed", e.tasksFailed)
                .with("paid", e.paid)
                .with("refunded", e.refunded);
            ("JobClosed", e.jobId, None, None, fields)
        }
        Market::KeyDelivered(e) => {
            ("KeyDelivered", e.jobId, None, Some(e.to), fields().with("from", e.from).with("wrapped", e.wrapped))
        }
        Market::ParameterChanged(_) => return None,
    })
}

fn court(event: Court) -> Option<Decoded> {
    Some(match event {
        Court::NotDrawn(e) => ("NotDrawn", e.jobId, Some(e.task), None, fields().with("attempt", e.attempt)),
        Court::AuditorDrawn(e) => {
            let fields = fields().with("attempt", e.attempt).with("second", e.second).with("deadline", e.deadline);
            ("AuditorDrawn", e.jobId, Some(e.task), Some(e.auditor), fields)
        }
        Court::AuditConfirmed(e) => {
            ("AuditConfirmed", e.jobId, Some(e.task), Some(e.auditor), fields().with("root", e.root))
        }
        Court::AuditDisputed(e) => {
            ("AuditDisputed", e.jobId, Some(e.task), Some(e.auditor), fields().with("commitment", e.commitment))
        }
        Court::DisputeResolved(e) => {
            let fields = fields().with("winner", e.winner).with("root", e.root);
            ("DisputeResolved", e.jobId, Some(e.task), Some(e.loser), fields)
        }
        Court::DisputeUndecided(e) => ("DisputeUndecided", e.jobId, Some(e.task), None, fields()),
        Court::AuditLapsed(e) => ("AuditLapsed", e.jobId, Some(e.task), Some(e.auditor), fields()),
        Court::Slashed(e) => {
            let fields = fields().with("amount", e.amount).with("beneficiary", e.beneficiary).with("reward", e.reward);
            ("Slashed", e.jobId, Some(e.task), Some(e.offender), fields)
        }
        Court::ParameterChanged(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::SolEvent;
    use protocol::abi::{IJobMarket, ISlashingCourt, JOB_MARKET, SLASHING_COURT};

    fn at() -> Position {
        Position { block_number: 7, log_index: 3, timestamp: 100, transaction: B256::repeat_byte(1) }
    }

    #[test]
    fn a_market_log_becomes_a_job_event() {
        let provider = Address::repeat_byte(2);
        let log = IJobMarket::TaskPaid {
            jobId: U256::from(9),
            task: 4,
            provider,
            amount: U256::from(1000),
            fee: U256::from(25),
        }
        .encode_log_data();
        let event = decode(JOB_MARKET, &log, at()).unwrap();
        assert_eq!((event.job_id, event.event.as_str(), event.task), (9, "TaskPaid", Some(4)));
        assert_eq!(event.account, Some(provider));
        assert_eq!(event.fields["fee"], "25");
    }

    #[test]
    fn logs_of_other_contracts_and_broken_logs_are_ignored() {
        let log = ISlashingCourt::DisputeUndecided { jobId: U256::from(1), task: 0 }.encode_log_data();
        assert!(decode(SLASHING_COURT, &log, at()).is_some());
        assert!(decode(JOB_MARKET, &log, at()).is_none(), "the event belongs to the other contract");
        assert!(decode(Address::ZERO, &log, at()).is_none());
        let cut = LogData::new_unchecked(log.topics()[..1].to_vec(), Default::default());
        assert!(decode(SLASHING_COURT, &cut, at()).is_none());
    }

    #[test]
    fn a_job_id_beyond_64_bits_is_ignored() {
        let log = ISlashingCourt::DisputeUndecided { jobId: U256::MAX, task: 0 }.encode_log_data();
        assert!(decode(SLASHING_COURT, &log, at()).is_none());
    }
}
