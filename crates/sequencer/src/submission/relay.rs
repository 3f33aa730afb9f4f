//! Submissions on their way to the other validators.
//!
//! Each validator hands what it has accepted to all others and repeats it, ever more rarely, until each has said that
//! it is on its disk too. So a submission outlives the validator that took it, and is offered by every proposer. What
//! came from another validator is not handed on. When the committee changes, everything is handed to the new one.
//!
//! ```text
//! offer:  1 ‖ (length (4) ‖ record)…       the records of the journal, accepted ones only
//! kept:   2 ‖ hash (32)…
//! ```

use super::record::{RECORD_BYTES_MAX, Record};
use crate::committee::Committee;
use crate::content::Hash;
use crate::keys::ValidatorKeys;
use crate::limits::{COMMITTEE_MAX, RELAY_COUNT_MAX};
use crate::mempool::Handed;
use crate::orderer::Core;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;

const OFFER: u8 = 1;
const KEPT: u8 = 2;
/// Time between two looks at what must be handed over again.
const ROUND: Duration = Duration::from_millis(500);
/// What is accepted within it is handed over together.
const PAUSE: Duration = Duration::from_millis(5);
/// Offers that are written to the disk at a time; later ones wait in the channel.
const OFFERS_MAX: usize = 32;
/// Messages sent at a time; the rest follows in the next round.
const MESSAGES_MAX: usize = 32;

/// A set of members of the committee, numbered by their sorted consensus keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seats([u64; COMMITTEE_MAX / 64]);

impl Seats {
    /// All members of a committee but the one with these keys.
    pub fn others(committee: &Committee, keys: &ValidatorKeys) -> Self {
        let own = keys.consensus.public_key();
        let mut seats = Self::default();
        let members = committee.participants().iter().enumerate();
        members.filter(|(_, key)| **key != own).for_each(|(member, _)| seats.insert(member));
        seats
    }

    /// Adds a member.
    pub fn insert(&mut self, member: usize) {
        self.0[member / 64] |= 1 << (member % 64);
    }

    /// The members that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn contains(&self, member: usize) -> bool {
        self.0[member / 64] & (1 << (member % 64)) != 0
    }
}

/// Hands over and takes until the channel closes.
pub(crate) async fn run<E: Clock>(
    context: E,
    core: Arc<Core>,
    mut sender: impl Sender<PublicKey = PublicKey>,
    mut receiver: impl Receiver<PublicKey = PublicKey>,
) {
    let mut committee = core.committees.at(core.next_height());
    let mut members: Vec<PublicKey> = committee.participants().iter().cloned().collect();
    let mut keeping = FuturesUnordered::new();
    let (mut round, mut next_round, mut next_news) = (0, context.current(), None);
    loop {
        let now = core.committees.at(core.next_height());
        if now.epoch() != committee.epoch() {
            committee = now;
            members = committee.participants().iter().cloned().collect();
            core.mempool.reseat(Seats::others(&committee, &core.keys));
        }
        let wake = next_news.unwrap_or(next_round).min(next_round);
        // In this order and not in a random one, so that a simulation can be repeated; the first three are seldom ready.
        tokio::select! {
            biased;
            () = context.sleep_until(wake) => {
                if wake == next_round {
                    (round, next_round) = (round + 1, context.current() + ROUND);
                }
                next_news = None;
                hand_over(&core, &members, round, &mut sender);
            }
            () = core.mempool.news(), if next_news.is_none() => next_news = Some(context.current() + PAUSE),
            Some((peer, kept)) = keeping.next() => {
                sender.send(Recipients::One(peer), write_kept(kept), false);
            }
            received = receiver.recv(), if keeping.len() < OFFERS_MAX => {
                let Ok((peer, message)) = received else { return };
                match (read(Bytes::copy_from_slice(message.as_ref())), members.iter().position(|key| *key == peer)) {
                    // Also of one that has left, or has not begun: what it accepted is ordered all the same.
                    (Some(Message::Offer(records)), _) => keeping.push(keep(core.clone(), peer, records)),
                    (Some(Message::Kept(hashes)), Some(member)) => core.mempool.held_by(member, &hashes),
                    _ => tracing::debug!(%peer, "a message about submissions does not decode"),
                }
            }
        }
    }
}

/// Sends what is due to those who are not known to have it.
fn hand_over(core: &Core, members: &[PublicKey], round: u64, sender: &mut impl Sender<PublicKey = PublicKey>) {
    for _ in 0..MESSAGES_MAX {
        let handed = core.mempool.to_hand_over(round);
        let Some(first) = handed.first() else { return };
        // Who has the first but not a later one gets that in another round: it stays due until all have it.
        let lacking = members.iter().enumerate().filter(|(member, _)| first.lacking.contains(*member));
        let lacking = lacking.map(|(_, key)| key.clone()).collect();
        sender.send(Recipients::Some(lacking), write_offer(&handed), false);
    }
}

/// Puts what a peer accepted on the disk, and says what is there.
async fn keep(core: Arc<Core>, peer: PublicKey, records: Vec<Record>) -> (PublicKey, Vec<Hash>) {
    let checked = records.into_iter().filter_map(|record| match record {
        Record::Accepted { expires, submission } => Some((submission.check(), expires)),
        Record::Ended { .. } => None,
    });
    let (receipts, written) = core.mempool.accept_from_peer(checked.collect());
    let is_kept = match written {
        Some(written) => matches!(written.await, Ok(Ok(()))),
        None => false,
    };
    let kept = receipts.into_iter().filter_map(|receipt| Some(receipt.ok()?.hash));
    (peer, if is_kept { kept.collect() } else { Vec::new() })
}

enum Message {
    Offer(Vec<Record>),
    Kept(Vec<Hash>),
}

fn write_offer(handed: &[Handed]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + handed.iter().map(|handed| 4 + handed.record.bytes()).sum::<usize>());
    bytes.put_u8(OFFER);
    for Handed { record, .. } in handed {
        bytes.put_u32(record.bytes() as u32);
        record.write(&mut bytes);
    }
    bytes.freeze()
}

fn write_kept(hashes: Vec<Hash>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + 32 * hashes.len());
    bytes.put_u8(KEPT);
    hashes.iter().for_each(|hash| bytes.put_slice(hash));
    bytes.freeze()
}

fn read(mut bytes: Bytes) -> Option<Message> {
    match bytes.try_get_u8().ok()? {
        OFFER => {
            let mut records = Vec::new();
            while !bytes.is_empty() {
                let length = bytes.try_get_u32().ok()? as usize;
                if length > bytes.len().min(RECORD_BYTES_MAX) || records.len() == RELAY_COUNT_MAX {
                    return None;
                }
                records.push(Record::read(bytes.split_to(length))?);
            }
            Some(Message::Offer(records))
        }
        KEPT if bytes.len().is_multiple_of(32) && bytes.len() / 32 <= RELAY_COUNT_MAX => {
            let hash = |chunk: &[u8]| chunk.try_into().ok();
            Some(Message::Kept(bytes.chunks_exact(32).map(hash).collect::<Option<_>>()?))
        }
        _ => None,
    }
}
