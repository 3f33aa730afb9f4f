//! What the protocol itself puts into blocks: namespace 0, which users cannot submit to.
//!
//! ```text
//! transaction = 1 ‖ certificate of votes, or 2 ‖ evidence against a voter, or 3 ‖ announcement of the next committee, or a
//! record of the encrypted lane (4), or 5 ‖ equivocation of a consensus key, or 8 ‖ root of accounts, or 9 ‖ root of committees
//! ```
//! They are encoded as in [`proof::checkpoint`], [`Announcement`], [`proof::lane`], [`Equivocation`] and [`proof::account`]; the
//! root of accounts comes first if it is there, then that of committees. What may stand there depends on the blocks before, see
//! [`Tracker::judge`](crate::finality::Tracker::judge), [`Schedule::check`](crate::committees::Schedule::check) and
//! [`fees`](crate::fees).

use crate::committees::{Announcement, AnnouncementError};
use crate::content::Transaction;
use crate::equivocation::{CONSENSUS_KEY_BYTES, Equivocation, EquivocationError};
use crate::ffg::CERTIFICATES_PER_BLOCK_MAX;
use crate::limits::{EVIDENCE_PER_BLOCK_MAX, LANE_RECORDS_MAX};
use crate::payload::Payload;
use bytes::Bytes;
use proof::checkpoint::{Certificate, CertificateError, Evidence, EvidenceError, KEY_BYTES};
use proof::lane::{KIND as LANE, Record, RecordError};

/// Namespace of the protocol itself.
pub const SYSTEM: u64 = 0;

const VOTES: u8 = 1;
const EVIDENCE: u8 = 2;
const COMMITTEE: u8 = 3;
const EQUIVOCATION: u8 = 5;
const ACCOUNTS: u8 = proof::account::COMMITMENT_TAG;
const COMMITTEES: u8 = 9;

/// Namespace 0 of a block is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    /// None of the kinds there are, or accounts or committees that do not come first.
    #[error(
        "system transaction {0} is neither votes (1) nor evidence (2) nor a committee (3) nor a record of the encrypted \
         lane (4) nor an equivocation (5) nor, as number 0, accounts (8) nor, behind those, committees (9)"
    )]
    Kind(usize),
    /// A root of accounts of the wrong length.
    #[error("the root of accounts has {0} bytes, it should have 32")]
    Accounts(usize),
    /// A root of committees of the wrong length.
    #[error("the root of committees has {0} bytes, it should have 32")]
    Committees(usize),
    /// Votes that do not decode.
    #[error(transparent)]
    Votes(#[from] CertificateError),
    /// Evidence that does not decode.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An announcement that does not decode.
    #[error(transparent)]
    Announcement(#[from] AnnouncementError),
    /// A record of the lane that does not decode.
    #[error(transparent)]
    Lane(#[from] RecordError),
    /// An equivocation that does not decode.
    #[error(transparent)]
    Equivocation(#[from] EquivocationError),
    /// More than a block may have.
    #[error("{found} {what}, a block has at most {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
}

/// Whom evidence is against, by the key that signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offender {
    /// A vote key: two votes on checkpoints.
    Vote([u8; KEY_BYTES]),
    /// A consensus key: two votes of the engine.
    Consensus([u8; CONSENSUS_KEY_BYTES]),
}

/// What the protocol itself says in one block, each kind in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Certificates of votes, at most [`CERTIFICATES_PER_BLOCK_MAX`].
    pub votes: Vec<Certificate>,
    /// Evidence, at most [`EVIDENCE_PER_BLOCK_MAX`] together with equivocations.
    pub evidence: Vec<Evidence>,
    /// The next committee.
    pub committee: Option<Announcement>,
    /// Records of the encrypted lane, at most [`LANE_RECORDS_MAX`].
    pub lane: Vec<Record>,
    /// Equivocations of consensus keys.
    pub equivocations: Vec<Equivocation>,
    /// Root over the accounts of namespaces after the block before, where the block opens an epoch.
    pub accounts: Option<[u8; 32]>,
    /// Root over the committees that were announced before the block, see [`Schedule::root_for`](crate::committees::Schedule::root_for).
    pub committees: Option<[u8; 32]>,
}

impl System {
    /// Reads namespace 0 of a payload.
    pub fn read(payload: &Payload) -> Result<Self, SystemError> {
        let mut system = Self::default();
        for (number, transaction) in payload.transactions(SYSTEM).iter().enumerate() {
            match transaction.payload().split_first() {
                Some((&VOTES, rest)) => system.votes.push(Certificate::decode(rest)?),
                Some((&EVIDENCE, rest)) => system.evidence.push(Evidence::decode(rest)?),
                Some((&EQUIVOCATION, rest)) => system.equivocations.push(Equivocation::decode(rest)?),
                Some((&COMMITTEE, rest)) => {
                    let repeated = system.committee.replace(Announcement::decode(rest)?).is_some();
                    limit("announcements of a committee", 1 + usize::from(repeated), 1)?;
                }
                Some((&LANE, _)) => system.lane.push(Record::decode(transaction.payload())?),
                Some((&ACCOUNTS, root)) if number == 0 => {
                    system.accounts = Some(root.try_into().map_err(|_| SystemError::Accounts(root.len()))?);
                }
                Some((&COMMITTEES, root)) if number == usize::from(system.accounts.is_some()) => {
                    system.committees = Some(root.try_into().map_err(|_| SystemError::Committees(root.len()))?);
                }
                _ => return Err(SystemError::Kind(number)),
            }
            limit("certificates of votes", system.votes.len(), CERTIFICATES_PER_BLOCK_MAX)?;
            let pieces = system.evidence.len() + system.equivocations.len();
            limit("pieces of evidence", pieces, EVIDENCE_PER_BLOCK_MAX)?;
            limit("records of the encrypted lane", system.lane.len(), LANE_RECORDS_MAX)?;
        }
        Ok(system)
    }

    /// Reads one transaction that is evidence.
    pub fn read_evidence(transaction: &[u8]) -> Result<Self, SystemError> {
        match transaction.split_first() {
            Some((&EVIDENCE, rest)) => Ok(Self { evidence: vec![Evidence::decode(rest)?], ..Self::default() }),
            Some((&EQUIVOCATION, rest)) => {
                Ok(Self { equivocations: vec![Equivocation::decode(rest)?], ..Self::default() })
            }
            _ => Err(SystemError::Kind(0)),
        }
    }

    /// The transactions: accounts, committees, votes, evidence, equivocations, the committee, records of the lane. An announcement that has no encoding is
    /// left out.
    pub fn encode(&self) -> Vec<Bytes> {
        let tagged = |tag: u8, body: Vec<u8>| Bytes::from([&[tag][..], &body].concat());
        let votes = self.votes.iter().map(|votes| tagged(VOTES, votes.encode()));
        let accounts = self.accounts.iter().map(|root| tagged(ACCOUNTS, root.to_vec()));
        let committees = self.committees.iter().map(|root| tagged(COMMITTEES, root.to_vec()));
        let evidence = self.evidence.iter().map(|evidence| tagged(EVIDENCE, evidence.encode()));
        let committee = self.committee.as_ref().and_then(Announcement::encode).map(|bytes| tagged(COMMITTEE, bytes));
        let lane = self.lane.iter().map(|record| record.encode().into());
        let equivocations = self.equivocations.iter().map(|both| tagged(EQUIVOCATION, both.encode()));
        accounts
            .chain(committees)
            .chain(votes)
            .chain(evidence)
            .chain(equivocations)
            .chain(committee)
            .chain(lane)
            .collect()
    }

    /// Whom the evidence is against, in its order.
    pub fn offenders(&self) -> Vec<Offender> {
        let voters = self.evidence.iter().map(|evidence| Offender::Vote(*evidence.key.bytes()));
        voters.chain(self.equivocations.iter().map(|both| Offender::Consensus(both.key()))).collect()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
            && self.evidence.is_empty()
            && self.equivocations.is_empty()
            && self.committee.is_none()
            && self.lane.is_empty()
            && self.accounts.is_none()
            && self.committees.is_none()
    }
}

/// Whether a transaction of namespace 0 is, or tries to be, a record of the encrypted lane.
pub(crate) fn is_lane_record(transaction: &Transaction) -> bool {
    transaction.payload().first() == Some(&LANE)
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), SystemError> {
    match found > limit {
        true => Err(SystemError::TooMany { what, found, limit }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Entry};

    fn payload(transactions: Vec<Bytes>) -> Payload {
        Payload::new(Content { entries: vec![Entry::new(SYSTEM, transactions)], bundles: vec![] }).unwrap()
    }

    #[test]
    fn junk_in_the_namespace_of_the_protocol_is_refused_by_kind() {
        let read = |bytes: &'static [u8]| System::read(&payload(vec![Bytes::from_static(bytes)]));
        assert_eq!(read(&[7]), Err(SystemError::Kind(0)));
        assert_eq!(read(&[VOTES, 1, 2]), Err(SystemError::Votes(CertificateError::Encoding(2))));
        assert_eq!(read(&[EVIDENCE]), Err(SystemError::Evidence(EvidenceError::Encoding(0))));
        assert_eq!(read(&[COMMITTEE, 9]), Err(SystemError::Announcement(AnnouncementError(1))));
        assert_eq!(read(&[EQUIVOCATION]), Err(SystemError::Equivocation(EquivocationError::Encoding(0))));
        assert_eq!(read(&[ACCOUNTS, 1, 2]), Err(SystemError::Accounts(2)));
        assert_eq!(read(&[COMMITTEES, 1, 2]), Err(SystemError::Committees(2)));
        assert_eq!(System::read(&Payload::new(Content::default()).unwrap()), Ok(System::default()));
    }

    #[test]
    fn a_block_announces_one_committee_at_most() {
        let committee = Announcement { first: 8, validators: vec![] };
        let system = System { committee: Some(committee), ..System::default() };
        let [one] = system.encode().try_into().unwrap();
        assert_eq!(System::read(&payload(vec![one.clone()])), Ok(system));
        let what = "announcements of a committee";
        assert_eq!(
            System::read(&payload(vec![one.clone(), one])),
            Err(SystemError::TooMany { what, found: 2, limit: 1 })
        );
    }

    #[test]
    fn accounts_come_first_and_once() {
        let system = System { accounts: Some([7; 32]), ..System::default() };
        let encoded = system.encode();
        assert_eq!(System::read(&payload(encoded.clone())), Ok(system));
        let twice = vec![encoded[0].clone(), encoded[0].clone()];
        assert_eq!(System::read(&payload(twice)), Err(SystemError::Kind(1)));
    }

    #[test]
    fn committees_come_behind_accounts_and_before_everything_else_and_once() {
        let alone = System { committees: Some([7; 32]), ..System::default() };
        let both = System { accounts: Some([6; 32]), ..alone.clone() };
        let (one, two) = (alone.encode(), both.encode());
        assert_eq!((System::read(&payload(one.clone())), System::read(&payload(two.clone()))), (Ok(alone), Ok(both)));
        let refused = |transactions: Vec<Bytes>, place| {
            assert_eq!(System::read(&payload(transactions)), Err(SystemError::Kind(place)));
        };
        refused(vec![one[0].clone(), one[0].clone()], 1);
        refused(vec![two[0].clone(), one[0].clone(), one[0].clone()], 2);
        refused(vec![one[0].clone(), two[0].clone()], 1);
        let announcing = System { committee: Some(Announcement { first: 8, validators: vec![] }), ..System::default() };
        refused(vec![announcing.encode()[0].clone(), one[0].clone()], 1);
    }
}
