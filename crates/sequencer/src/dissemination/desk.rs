//! What one validator knows about blocks that come in parts. No IO.
//!
//! The member number i of the committee that orders a block has its shards i, i + n, i + 2n, …. Each member takes its own part
//! from whoever brings it first, checks it and hands it on, and takes the parts of others from them alone. So nobody fills
//! more of a place than two parts, and a place counts against who opened it: everybody has a few, the oldest of
//! which goes when there are more, and all of them together have a bound.

use super::message::Part;
use super::{Division, PART_SHARDS_MAX};
use crate::block::Head;
use crate::committees::Committees;
use crate::erasure::Shards;
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use proof::shard::Code;
use std::collections::{BTreeMap, VecDeque};

/// Blocks that one peer may have begun.
const PLACES_PER_PEER_MAX: usize = 4;
/// Bytes of shards in all places; the peer whose places have the most loses its oldest.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Blocks that were put together, or cannot be: more parts of them are dropped.
const DONE_MAX: usize = 256;
/// How far above the last final block a block may be.
const HEIGHTS_MAX: u64 = 128;

/// A block that is not yet put together.
struct Place {
    head: Head,
    code: Code,
    opener: PublicKey,
    shards: BTreeMap<u32, Bytes>,
    bytes: usize,
    is_handed_on: bool,
}

/// Enough shards of a block.
#[derive(Debug)]
pub(super) struct Enough {
    /// Whose word it is.
    pub opener: PublicKey,
    pub head: Head,
    pub shards: Vec<(u32, Bytes)>,
}

/// What follows from a part.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The own part, and who must have it.
    pub hand_on: Option<(Vec<PublicKey>, Part)>,
    /// The block can be put together.
    pub enough: Option<Enough>,
}

/// Why a part was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Far from the last final block, or of a committee that sends whole blocks.
    Place,
    /// Neither the receiver's part nor the sender's own.
    Owner,
    /// A shard is not one of the head.
    Proof,
}

pub(super) struct Desk {
    me: PublicKey,
    committees: Committees,
    division: Division,
    places: VecDeque<Place>,
    /// Names of heads.
    done: VecDeque<[u8; 32]>,
}

impl Desk {
    pub fn new(me: PublicKey, committees: Committees, division: Division) -> Self {
        Self { me, committees, division, places: VecDeque::new(), done: VecDeque::new() }
    }

    /// The members of the committee that orders a height, if blocks of so many bytes go in parts there.
    fn members(&self, height: u64, payload_bytes: usize) -> Option<Vec<PublicKey>> {
        let committee = self.committees.at(height);
        let members: Vec<PublicKey> = committee.participants().iter().cloned().collect();
        let code = Code::of(u32::try_from(payload_bytes).ok()?)?;
        let Division { validators_min, payload_bytes_min } = self.division;
        let (count, total) = (members.len(), code.total as usize);
        let is_large = count >= validators_min && payload_bytes >= payload_bytes_min;
        (is_large && total >= count && total.div_ceil(count) <= PART_SHARDS_MAX).then_some(members)
    }

    /// Whether a block of this validator goes in parts.
    pub fn divides(&self, head: &Head) -> bool {
        self.members(head.height, head.payload_bytes as usize).is_some()
    }

    /// The parts of an own block, each with the member that gets it; its other parts are not awaited.
    pub fn divide(&mut self, head: &Head, shards: &Shards) -> Vec<(PublicKey, Part)> {
        self.finish(head.name());
        let Some(members) = self.members(head.height, head.payload_bytes as usize) else { return Vec::new() };
        let part = |(number, member): (usize, &PublicKey)| {
            let of_member = (number..shards.count()).step_by(members.len());
            let shards = of_member.filter_map(|index| shards.prove(index as u32)).collect();
            (member.clone(), Part { head: head.clone(), shards })
        };
        members.iter().enumerate().filter(|(_, member)| **member != self.me).map(part).collect()
    }

    /// Takes a part from a peer; `height` is that of the last final block.
    pub fn take(&mut self, peer: &PublicKey, part: Part, height: u64) -> Result<Taken, Refusal> {
        let Part { head, shards } = part;
        let name = head.name();
        if self.done.contains(&name) {
            return Ok(Taken::default());
        }
        let near = height + 1..=height + HEIGHTS_MAX;
        let members = self.members(head.height, head.payload_bytes as usize).filter(|_| near.contains(&head.height));
        let members = members.ok_or(Refusal::Place)?;
        let owner = owner(&members, &shards).ok_or(Refusal::Owner)?;
        if *owner != self.me && owner != peer {
            return Err(Refusal::Owner);
        }
        let is_own = *owner == self.me;
        let is_right = |shard: &proof::shard::ShardProof| {
            shard.payload_bytes == head.payload_bytes && shard.verify(head.erasure_root.into()).is_ok()
        };
        if !shards.iter().all(is_right) {
            return Err(Refusal::Proof);
        }
        let code = Code::of(head.payload_bytes).ok_or(Refusal::Place)?;
        let place = self.place(peer, &head, code);
        let mut taken = Taken::default();
        if is_own && !place.is_handed_on {
            place.is_handed_on = true;
            let others = members.iter().filter(|member| *member != owner && *member != peer).cloned().collect();
            taken.hand_on = Some((others, Part { head, shards: shards.clone() }));
        }
        for shard in shards {
            let bytes = shard.shard.0;
            if let std::collections::btree_map::Entry::Vacant(entry) = place.shards.entry(shard.index) {
                place.bytes += bytes.len();
                entry.insert(bytes);
            }
        }
        if place.shards.len() >= code.data as usize {
            taken.enough = self.close(&name);
        }
        self.bound();
        Ok(taken)
    }

    /// The place of a block, opened by `peer` if there is none.
    fn place(&mut self, peer: &PublicKey, head: &Head, code: Code) -> &mut Place {
        let name = head.name();
        if let Some(index) = self.places.iter().position(|place| place.head.name() == name) {
            return &mut self.places[index];
        }
        if self.places.iter().filter(|place| place.opener == *peer).count() == PLACES_PER_PEER_MAX {
            self.remove_oldest(peer);
        }
        let (head, opener) = (head.clone(), peer.clone());
        let place = Place { head, code, opener, shards: BTreeMap::new(), bytes: 0, is_handed_on: false };
        self.places.push_back(place);
        self.places.back_mut().expect("it was just put there")
    }

    fn close(&mut self, name: &[u8; 32]) -> Option<Enough> {
        let index = self.places.iter().position(|place| place.head.name() == *name)?;
        let Place { head, code, opener, shards, .. } = self.places.remove(index)?;
        self.finish(*name);
        let shards = shards.into_iter().take(code.data as usize).collect();
        Some(Enough { opener, head, shards })
    }

    fn finish(&mut self, name: [u8; 32]) {
        if self.done.len() == DONE_MAX {
            self.done.pop_front();
        }
        self.done.push_back(name);
    }

    fn remove_oldest(&mut self, opener: &PublicKey) {
        if let Some(index) = self.places.iter().position(|place| place.opener == *opener) {
            self.places.remove(index);
        }
    }

    /// Makes room if all places together have too much.
    fn bound(&mut self) {
        while self.bytes() > BYTES_MAX {
            let mut of: BTreeMap<&PublicKey, usize> = BTreeMap::new();
            self.places.iter().for_each(|place| *of.entry(&place.opener).or_default() += place.bytes);
            let Some(most) = of.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(peer, _)| peer.clone()) else {
                return;
            };
            self.remove_oldest(&most);
        }
    }

    /// Bytes of shards that wait.
    pub fn bytes(&self) -> usize {
        self.places.iter().map(|place| place.bytes).sum()
    }

    /// Blocks that wait for more.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Forgets blocks that are final or below.
    pub fn forget(&mut self, height: u64) {
        self.places.retain(|place| place.head.height > height);
    }
}

/// The member that has all these shards; `None` if there is none, or no shard.
fn owner<'a>(members: &'a [PublicKey], shards: &[proof::shard::ShardProof]) -> Option<&'a PublicKey> {
    let number = |shard: &proof::shard::ShardProof| shard.index as usize % members.len();
    let first = number(shards.first()?);
    shards.iter().all(|shard| number(shard) == first).then(|| &members[first])
}
