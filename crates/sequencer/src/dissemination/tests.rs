use super::desk::{Desk, Refusal, Taken};
use super::message::Part;
use super::*;
use crate::block::{Block, Head};
use crate::committee::Committee;
use crate::committees::{Committees, Schedule};
use crate::content::Entry;
use crate::erasure::{Shards, reconstruct};
use crate::keys::ValidatorKeys;
use crate::testing::{CHAIN_ID, child, genesis};
use bytes::Bytes;
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PublicKey;
use std::collections::{BTreeMap, VecDeque};

/// A committee in memory: what each member knows, and what is on its way.
struct World {
    members: Vec<PublicKey>,
    desks: BTreeMap<PublicKey, Desk>,
    /// Bytes that each member has sent.
    sent: BTreeMap<PublicKey, usize>,
}

fn committees(size: u64) -> (Vec<PublicKey>, Committees) {
    let keys: Vec<ValidatorKeys> = (0..size).map(ValidatorKeys::from_seed).collect();
    let listed =
        |(seat, keys): (usize, &ValidatorKeys)| keys.validator(format!("127.0.0.1:{}", 1 + seat), String::new());
    let validators: Vec<_> = keys.iter().enumerate().map(listed).collect();
    let committee = Committee::new(&validators, CHAIN_ID).unwrap();
    let members = keys.iter().map(|keys| keys.consensus.public_key()).collect();
    (members, Committees::new(Schedule::new(committee, 8)))
}

impl World {
    fn new(size: u64) -> Self {
        let (members, committees) = committees(size);
        let desk =
            |member: &PublicKey| (member.clone(), Desk::new(member.clone(), committees.clone(), Division::default()));
        Self { desks: members.iter().map(desk).collect(), members, sent: BTreeMap::new() }
    }

    fn desk(&mut self, member: usize) -> &mut Desk {
        self.desks.get_mut(&self.members[member]).unwrap()
    }

    /// What the leader, member 0, sends; each message goes through its bytes.
    fn lead(&mut self, block: &Bytes) -> VecDeque<(PublicKey, PublicKey, Bytes)> {
        let (head, payload) = Head::split(block).unwrap();
        let leader = self.members[0].clone();
        assert!(self.desk(0).divides(&head));
        let shards = Shards::encode(&payload).unwrap();
        let parts = self.desk(0).divide(&head, &shards);
        parts.into_iter().map(|(to, part)| (leader.clone(), to, part.encode())).collect()
    }

    /// Delivers until nothing is on its way; messages from or to `lost` members are lost. Returns who has put the block
    /// together, and what.
    fn deliver(
        &mut self,
        mut on_way: VecDeque<(PublicKey, PublicKey, Bytes)>,
        lost: &[usize],
    ) -> BTreeMap<PublicKey, Bytes> {
        let mut whole = BTreeMap::new();
        let lost: Vec<PublicKey> = lost.iter().map(|member| self.members[*member].clone()).collect();
        while let Some((from, to, message)) = on_way.pop_front() {
            *self.sent.entry(from.clone()).or_default() += message.len();
            if lost.contains(&from) || lost.contains(&to) {
                continue;
            }
            let part = Part::decode(message.slice(1..)).unwrap();
            let Taken { hand_on, enough } = self.desks.get_mut(&to).unwrap().take(&from, part, 0).unwrap();
            if let Some((others, part)) = hand_on {
                on_way.extend(others.into_iter().map(|other| (to.clone(), other, part.encode())));
            }
            if let Some(enough) = enough {
                let payload =
                    reconstruct(enough.head.payload_bytes, &enough.shards, &enough.head.erasure_root).unwrap();
                let block = [enough.head.encoded().as_ref(), &payload].concat();
                assert!(whole.insert(to, Bytes::from(block)).is_none(), "a block is given to the engine once");
            }
        }
        whole
    }
}

/// An encoded block with about this payload.
fn block(payload_bytes: usize) -> Bytes {
    let payload = Bytes::from((0..payload_bytes as u32).map(|i| (i % 253) as u8).collect::<Vec<_>>());
    child(&genesis(), 1, vec![Entry::new(7, [payload])]).encode()
}

#[test]
fn a_block_reaches_all_of_sixteen_and_its_leader_sends_three_times_its_bytes() {
    let (mut world, block) = (World::new(16), block(300_000));
    let parts = world.lead(&block);
    let whole = world.deliver(parts, &[]);
    assert_eq!(whole.len(), 15);
    assert!(whole.values().all(|put_together| *put_together == block));
    let leader = world.sent.remove(&world.members[0]).unwrap();
    assert!(leader < 3 * block.len(), "{leader} bytes of a block of {}; whole it is 15 times", block.len());
    for (member, sent) in &world.sent {
        assert!(*sent < 3 * block.len(), "{member:?} hands on {sent}");
    }
    assert!(world.desks.values().all(|desk| desk.bytes() == 0), "nothing waits");
}

/// What docs/availability.md says; run with `--ignored --nocapture`.
#[test]
#[ignore = "prints figures for the manual"]
fn figures_of_sixteen() {
    let (mut world, block) = (World::new(16), block(1 << 20));
    let parts = world.lead(&block);
    assert_eq!(world.deliver(parts, &[]).len(), 15);
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let leader = world.sent.remove(&world.members[0]).unwrap();
    let others = world.sent.values().copied().max().unwrap();
    println!("block {:.3} MiB, whole {:.3}", mib(block.len()), mib(15 * block.len()));
    println!("leader {:.3} MiB, each other at most {:.3}", mib(leader), mib(others));
}

#[test]
fn a_third_of_the_members_may_be_lost() {
    let (mut world, block) = (World::new(16), block(300_000));
    let parts = world.lead(&block);
    let whole = world.deliver(parts, &[3, 7, 9, 12, 15]);
    assert_eq!(whole.len(), 10);
    assert!(whole.values().all(|put_together| *put_together == block));
}

#[test]
fn without_enough_members_nobody_gets_a_block_and_the_next_one_is_not_disturbed() {
    let mut world = World::new(16);
    let first = world.lead(&block(300_000));
    let lost: Vec<usize> = (4..16).collect();
    assert!(world.deliver(first, &lost).is_empty());
    assert_eq!(world.desk(1).places(), 1);
    let other = block(200_000);
    let second = world.lead(&other);
    assert_eq!(world.deliver(second, &[]).len(), 15);
    world.desk(1).forget(1);
    assert_eq!((world.desk(1).places(), world.desk(1).bytes()), (0, 0));
}

#[test]
fn small_committees_and_small_blocks_stay_whole() {
    let head = |bytes| Head::split(&block(bytes)).unwrap().0;
    let divides = |size: u64, bytes: usize| {
        let (members, committees) = committees(size);
        Desk::new(members[0].clone(), committees, Division::default()).divides(&head(bytes))
    };
    assert!(divides(10, PAYLOAD_BYTES_MIN));
    assert!(!divides(9, PAYLOAD_BYTES_MIN));
    assert!(!divides(10, PAYLOAD_BYTES_MIN / 2));
    // There are fewer shards than members.
    assert!(divides(16, 150_000) && !divides(16, PAYLOAD_BYTES_MIN - 100));
}

#[test]
fn what_does_not_prove_itself_is_not_taken() {
    let mut world = World::new(10);
    let parts: Vec<(PublicKey, PublicKey, Bytes)> = world.lead(&block(100_000)).into();
    let leader = world.members[0].clone();
    let part = |to: &PublicKey| {
        let message = parts.iter().find(|(_, receiver, _)| receiver == to).unwrap().2.slice(1..);
        Part::decode(message).unwrap()
    };
    let (one, two) = (world.members[1].clone(), world.members[2].clone());
    // Another member's part, from somebody who is not that member.
    assert_eq!(world.desk(1).take(&leader, part(&two), 0).unwrap_err(), Refusal::Owner);
    let mixed = Part { shards: [part(&one).shards, part(&two).shards].concat(), ..part(&one) };
    assert_eq!(world.desk(1).take(&leader, mixed, 0).unwrap_err(), Refusal::Owner);
    assert_eq!(world.desk(1).take(&leader, Part { shards: vec![], ..part(&one) }, 0).unwrap_err(), Refusal::Owner);
    // A shard that is another one.
    let mut forged = part(&one);
    let mut bytes = forged.shards[0].shard.to_vec();
    bytes[0] ^= 1;
    forged.shards[0].shard = bytes.into();
    assert_eq!(world.desk(1).take(&leader, forged, 0).unwrap_err(), Refusal::Proof);
    // Far ahead, and final already.
    for height in [1, 1_000] {
        assert_eq!(world.desk(1).take(&leader, part(&one), height).unwrap_err(), Refusal::Place);
    }
    assert_eq!(world.desk(1).places(), 0);
    // The right one is taken from whoever brings it, and handed on once.
    let taken = world.desk(1).take(&two, part(&one), 0).unwrap();
    assert_eq!(taken.hand_on.unwrap().0.len(), 8, "to all but its own member and who brought it");
    assert!(world.desk(1).take(&leader, part(&one), 0).unwrap().hand_on.is_none());
    assert!(world.desk(1).take(&two, part(&two), 0).unwrap().enough.is_none());
}

#[test]
fn a_peer_that_begins_many_blocks_displaces_its_own_alone() {
    let mut world = World::new(10);
    let good = world.lead(&block(100_000));
    let (from, to, message) = good.into_iter().find(|(_, to, _)| *to == world.members[1]).unwrap();
    let part = Part::decode(message.slice(1..)).unwrap();
    world.desk(1).take(&from, part, 0).unwrap();
    let liar = world.members[5].clone();
    for number in 0..20u32 {
        let payload = Bytes::from(vec![number as u8; 70_000 + number as usize]);
        let junk = child(&genesis(), 1, vec![Entry::new(7, [payload])]);
        let (head, payload) = Head::split(&junk.encode()).unwrap();
        let mut desk = Desk::new(liar.clone(), committees(10).1, Division::default());
        let shards = Shards::encode(&payload).unwrap();
        let parts = desk.divide(&head, &shards);
        let own = parts.into_iter().find(|(member, _)| *member == to).unwrap().1;
        world.desk(1).take(&liar, own, 0).unwrap();
    }
    assert_eq!(world.desk(1).places(), 1 + 4, "that of the leader stays");
}

#[test]
fn parts_and_heads_that_do_not_decode_are_none() {
    let encoded = block(70_000);
    let (head, payload) = Head::split(&encoded).unwrap();
    assert_eq!(Head::decode(head.encoded().clone()).as_ref(), Some(&head));
    assert_eq!([head.encoded().as_ref(), &payload].concat(), encoded);
    let decoded = Block::decode(encoded.clone()).unwrap();
    assert_eq!((head.height, head.erasure_root), (decoded.height, decoded.erasure_root));
    assert!(Head::split(&encoded.slice(..encoded.len() - 1)).is_none());
    assert!(Head::decode(encoded).is_none());
    let shards = Shards::encode(&payload).unwrap();
    let part = Part { head, shards: vec![shards.prove(0).unwrap(), shards.prove(10).unwrap()] };
    let message = part.encode().slice(1..);
    assert_eq!(Part::decode(message.clone()), Some(part));
    for length in (0..message.len()).step_by(97) {
        // What ends between two shards is a shorter part.
        if let Some(shorter) = Part::decode(message.slice(..length)) {
            assert!(shorter.shards.len() < 2);
        }
    }
    assert!(Part::decode(Bytes::from_static(&[0xff; 64])).is_none());
    assert!(Part::decode(Bytes::new()).is_none());
}
