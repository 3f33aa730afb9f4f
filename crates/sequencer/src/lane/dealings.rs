//! One validator's part in making the key: what it deals, what it is dealt, and its shares.
//!
//! Everything follows from final blocks, what others sent, and the [`Vault`]; so a validator that is killed at any moment
//! goes on as if it had only been slow. Its dealing is drawn from a kept seed and is the same again; it acknowledges what
//! is on its disk, and again when it is asked again.

use super::actor::{Letter, Task};
use super::ceremony::{Info, Key, Ring, Round};
use super::secret::{DecodeUnit as _, Secret};
use super::vault::Vault;
use crate::limits::COMMITTEE_MAX;
use bytes::Bytes;
use commonware_codec::{Copying, Encode as _, Read as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{Dealer, DealerPrivMsg, DealerPubMsg, Player, PlayerAck};
use commonware_cryptography::bls12381::primitives::group::Share;
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_cryptography::transcript::{Transcript, Version};
use commonware_cryptography::{Hasher as _, Sha256, Signer as _};
use commonware_parallel::Sequential;
use commonware_utils::ordered::Set;
use commonware_utils::{N3f1, NZU32, sys_rng};
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Blocks after which a share is sent again that was not acknowledged, and a dealing that stands in no block.
pub(super) const RESEND_BLOCKS: u64 = 2;
/// Blocks that a dealer waits for all acknowledgements, when a new key is made; half of the round when one is handed over.
const PATIENCE_BLOCKS: u64 = 8;

/// Where secrets come from.
#[derive(Clone, Debug, Default)]
pub enum Randomness {
    /// The operating system.
    #[default]
    System,
    /// A seed that others know: for simulations and tests only.
    Seeded([u8; 32]),
}

impl Randomness {
    fn seed(&self, round: u64) -> [u8; 32] {
        match self {
            Self::System => {
                let mut seed = [0; 32];
                sys_rng().fill_bytes(&mut seed);
                seed
            }
            Self::Seeded(seed) => Sha256::hash(&[seed, &round.to_be_bytes()]).0,
        }
    }
}

/// What the validator deals in a round.
struct Dealing {
    dealer: Dealer<MinPk, PrivateKey>,
    commitment: DealerPubMsg<MinPk>,
    /// Shares that are not acknowledged.
    waiting: BTreeMap<PublicKey, DealerPrivMsg>,
}

/// What the validator is dealt in a round.
struct Dealt {
    player: Player<MinPk, PrivateKey>,
    acknowledged: BTreeMap<PublicKey, PlayerAck<PublicKey>>,
}

/// A commitment, and the share of one member.
pub(crate) type ShareDealt = (DealerPubMsg<MinPk>, DealerPrivMsg);

/// What to do about something that a dealer sent to this validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It is of no use.
    Nothing,
    /// It was taken before: the answer again.
    Again(Box<Task>),
    /// Decode it and give it to [`Dealings::take_dealt`].
    New,
}

/// The round under way.
struct Current {
    number: u64,
    info: Info,
    dealers: Set<PublicKey>,
    /// Bytes of what each dealer sends to one member.
    dealt_bytes: usize,
    dealing: Option<Dealing>,
    dealt: Option<Dealt>,
    /// The own dealing when it is complete.
    own: Option<Bytes>,
    /// True dealings, by dealer, the own one among them.
    heard: BTreeMap<PublicKey, Bytes>,
    /// Who published a false one.
    liars: BTreeSet<PublicKey>,
    /// Who sent this validator what is not a share of it.
    deceivers: BTreeSet<PublicKey>,
    /// Height at which something was sent last.
    sent: Option<u64>,
}

impl Current {
    /// Completes the own dealing: whoever has not acknowledged it finds its share there.
    fn publish(&mut self, name: &PublicKey) {
        let Some(Dealing { dealer, .. }) = self.dealing.take() else { return };
        let own: Bytes = dealer.finalize::<N3f1>().encode();
        self.heard.insert(name.clone(), own.clone());
        (self.own, self.sent) = (Some(own), None);
    }

    fn published(&self) -> Option<Task> {
        let dealing = self.own.clone()?;
        Some(Task { to: None, letter: Letter::Published { round: self.number, dealing } })
    }
}

/// The part of one validator.
pub(crate) struct Dealings {
    me: PrivateKey,
    name: PublicKey,
    vault: Vault,
    /// The share of a dealer.
    first: Option<Secret>,
    randomness: Randomness,
    current: Option<Current>,
    /// Nothing is kept of rounds before this one.
    kept_from: u64,
}

impl Dealings {
    pub fn new(me: PrivateKey, vault: Vault, first: Option<Secret>, randomness: Randomness) -> Self {
        Self { name: me.public_key(), me, vault, first, randomness, current: None, kept_from: 0 }
    }

    /// What this validator holds of a key; without a share if it has none.
    pub fn secret(&self, key: &Key) -> Secret {
        let share = match key.round {
            0 => self.first.as_ref().and_then(Secret::share).cloned(),
            round => self.read_share(round),
        };
        Secret::new(key.sharing.clone(), share.filter(|share| key.sharing.has(share)))
    }

    fn read_share(&self, round: u64) -> Option<Share> {
        let kept = self.vault.share(round).inspect_err(|error| self.failed("read a share", error)).ok()??;
        Share::decode_unit(&kept)
    }

    /// Goes on after the final block of this height; returns what to send.
    pub fn follow(&mut self, height: u64, ring: &Ring) -> Vec<Task> {
        if let Some(decided) = ring.decided() {
            self.conclude(decided, ring);
        }
        self.forget(ring);
        let Some(round) = ring.round() else {
            self.current = None;
            return Vec::new();
        };
        if self.current.as_ref().is_none_or(|current| current.number != round.number) {
            let current = self.begin(round, ring);
            self.current = Some(current);
        }
        self.complete(height, round);
        self.send(height, round)
    }

    /// Removes what is left of rounds whose keys are not in use.
    fn forget(&mut self, ring: &Ring) {
        let in_use = ring.keys().map(|key| key.round).chain(ring.round().map(|round| round.number));
        let first = in_use.min().unwrap_or(0);
        if first > self.kept_from {
            let forgotten = self.vault.forget(first);
            let _ = forgotten.inspect_err(|error| self.failed("remove what is over", error));
            self.kept_from = first;
        }
    }

    fn failed(&self, what: &str, error: &io::Error) {
        let path = self.vault.path().display();
        tracing::error!(%path, %error, "cannot {what}: this validator may miss its share of the lane key");
    }

    fn begin(&self, round: &Round, ring: &Ring) -> Current {
        let mut current = Current {
            number: round.number,
            info: round.info.clone(),
            dealers: round.dealers.clone(),
            dealt_bytes: round.dealt_bytes(),
            dealing: None,
            dealt: self.be_dealt(round),
            own: None,
            heard: BTreeMap::new(),
            liars: BTreeSet::new(),
            deceivers: BTreeSet::new(),
            sent: None,
        };
        if round.has(&self.name) {
            return current;
        }
        current.dealing = self.deal(round, ring);
        // Its own share needs no message.
        let own = current.dealing.as_mut().and_then(|dealing| {
            let share = dealing.waiting.remove(&self.name)?;
            Some(((dealing.commitment.clone(), share), dealing))
        });
        if let (Some((share, dealing)), Some(dealt)) = (own, &mut current.dealt)
            && let Ok(Some(acknowledgement)) = self.take(round.number, dealt, &self.name, share)
        {
            let taken = dealing.dealer.receive_player_ack(self.name.clone(), acknowledgement);
            taken.expect("the validator acknowledges what it dealt");
        }
        current
    }

    /// Begins to deal, if it may; drawn from the seed that was kept, always the same.
    fn deal(&self, round: &Round, ring: &Ring) -> Option<Dealing> {
        round.dealers.position(&self.name)?;
        let share = match round.end {
            None => None,
            // Without a share it has nothing to hand over.
            Some(_) => Some(self.secret(ring.now()?).share()?.clone()),
        };
        let seed = self.vault.seed(round.number, || self.randomness.seed(round.number));
        let seed = seed.inspect_err(|error| self.failed("keep the seed of a dealing", error)).ok()?;
        let mut transcript = Transcript::new(b"kumo/lane/dealing/v1", Version::V0);
        let randomness = transcript.commit(&seed[..]).noise(b"dealing");
        let started = Dealer::start::<N3f1>(randomness, round.info.clone(), self.me.clone(), share);
        let (dealer, commitment, shares) =
            started.inspect_err(|error| tracing::error!(%error, round = round.number, "cannot deal")).ok()?;
        Some(Dealing { dealer, commitment, waiting: shares.into_iter().collect() })
    }

    /// Goes on with what dealers sent before.
    fn be_dealt(&self, round: &Round) -> Option<Dealt> {
        let mut player = Player::new(round.info.clone(), self.me.clone()).ok()?;
        let mut acknowledged = BTreeMap::new();
        let kept = self.vault.dealings(round.number).inspect_err(|error| self.failed("read dealings", error));
        for (dealer, bytes) in kept.unwrap_or_default() {
            let Some((commitment, share)) = decode_dealt(&bytes) else { continue };
            if let Ok(Some(acknowledgement)) = player.dealer_message::<N3f1>(dealer.clone(), commitment, share) {
                acknowledged.insert(dealer, acknowledgement);
            }
        }
        Some(Dealt { player, acknowledged })
    }

    /// Takes the share that a dealer sent; the acknowledgement when it is on the disk. The error says what is false.
    fn take(
        &self,
        round: u64,
        dealt: &mut Dealt,
        dealer: &PublicKey,
        (commitment, share): ShareDealt,
    ) -> Result<Option<PlayerAck<PublicKey>>, String> {
        if let Some(acknowledged) = dealt.acknowledged.get(dealer) {
            return Ok(Some(acknowledged.clone()));
        }
        let bytes = encode_dealing(&commitment, &share);
        let taken = dealt.player.dealer_message::<N3f1>(dealer.clone(), commitment, share);
        let Some(acknowledgement) = taken.map_err(|error| error.to_string())? else { return Ok(None) };
        let kept = self.vault.keep_dealing(round, dealer, &bytes);
        if kept.inspect_err(|error| self.failed("keep a share", error)).is_err() {
            return Ok(None);
        }
        dealt.acknowledged.insert(dealer.clone(), acknowledgement.clone());
        Ok(Some(acknowledgement))
    }

    /// Publishes the own dealing when all have acknowledged, or enough after a while: the shares of the others are
    /// published with it.
    fn complete(&mut self, height: u64, round: &Round) {
        let Some(current) = &mut self.current else { return };
        let Some(dealing) = &current.dealing else { return };
        let patience = round.end.map_or(PATIENCE_BLOCKS, |end| (end - round.began) / 2);
        let is_late = height >= round.began + patience;
        let missing = dealing.waiting.len();
        if missing > 0 && !(is_late && missing <= round.spare()) {
            return;
        }
        current.publish(&self.name);
    }

    fn send(&mut self, height: u64, round: &Round) -> Vec<Task> {
        let Some(current) = &mut self.current else { return Vec::new() };
        if round.has(&self.name) || current.sent.is_some_and(|sent| height < sent + RESEND_BLOCKS) {
            return Vec::new();
        }
        current.sent = Some(height);
        let number = current.number;
        if let Some(task) = current.published() {
            return vec![task];
        }
        let Some(Dealing { commitment, waiting, .. }) = &current.dealing else { return Vec::new() };
        let letter = |share| Letter::Dealt { round: number, dealing: encode_dealing(commitment, share) };
        waiting.iter().map(|(to, share)| Task { to: Some(to.clone()), letter: letter(share) }).collect()
    }

    /// What to do about so many bytes that a peer sent as its dealing for this validator, before anything is decoded.
    ///
    /// # Errors
    /// When a dealer sent another number of bytes than dealers send: nothing more is taken from it in this round.
    pub fn ask(&mut self, peer: &PublicKey, round: u64, bytes: usize) -> Result<Asked, String> {
        let Some(current) = self.current.as_mut().filter(|current| current.number == round) else {
            return Ok(Asked::Nothing);
        };
        let Some(dealt) = &current.dealt else { return Ok(Asked::Nothing) };
        if let Some(acknowledgement) = dealt.acknowledged.get(peer) {
            return Ok(Asked::Again(Box::new(acknowledged(peer, round, acknowledgement))));
        }
        if current.dealers.position(peer).is_none() || current.deceivers.contains(peer) {
            return Ok(Asked::Nothing);
        }
        if bytes != current.dealt_bytes {
            current.deceivers.insert(peer.clone());
            return Err(format!("{bytes} bytes of a dealing in round {round}, it has {}", current.dealt_bytes));
        }
        Ok(Asked::New)
    }

    /// Takes what [`decode_dealt`] made of a dealing that was [`Asked::New`]; returns the answer.
    ///
    /// # Errors
    /// When it is not a share of this validator: nothing more is taken from the dealer in this round.
    pub fn take_dealt(
        &mut self,
        dealer: &PublicKey,
        round: u64,
        decoded: Option<ShareDealt>,
    ) -> Result<Option<Task>, String> {
        let Some(mut current) = self.current.take_if(|current| current.number == round) else { return Ok(None) };
        let taken = match (&mut current.dealt, decoded) {
            (Some(dealt), Some(share)) => self.take(round, dealt, dealer, share),
            (Some(_), None) => Err("not a commitment and a share".to_owned()),
            (None, _) => Ok(None),
        };
        if taken.is_err() {
            current.deceivers.insert(dealer.clone());
        }
        self.current = Some(current);
        let refused = |error| format!("a false dealing in round {round} of the lane key: {error}");
        let acknowledgement = taken.map_err(refused)?;
        Ok(acknowledgement.map(|acknowledgement| acknowledged(dealer, round, &acknowledgement)))
    }

    /// Takes the answer of a member to the own dealing; returns that for all to see when it was the last one.
    pub fn answered(&mut self, peer: &PublicKey, round: u64, acknowledgement: &[u8]) -> Option<Task> {
        let current = self.current.as_mut().filter(|current| current.number == round)?;
        let dealing = current.dealing.as_mut().filter(|dealing| dealing.waiting.contains_key(peer))?;
        dealing.dealer.receive_player_ack(peer.clone(), PlayerAck::decode_unit(acknowledgement)?).ok()?;
        dealing.waiting.remove(peer);
        if !dealing.waiting.is_empty() {
            return None;
        }
        current.publish(&self.name);
        // Sent again some blocks after the next one.
        current.published()
    }

    /// Whether the dealing that a dealer publishes is still of use.
    pub fn wants(&self, dealer: &PublicKey, round: u64) -> bool {
        let current = self.current.as_ref().filter(|current| current.number == round);
        current.is_some_and(|current| !current.heard.contains_key(dealer) && !current.liars.contains(dealer))
    }

    /// Notes a dealing that was checked.
    pub fn heard(&mut self, dealer: PublicKey, round: u64, dealing: Option<Bytes>) {
        let Some(current) = self.current.as_mut().filter(|current| current.number == round) else { return };
        match dealing {
            Some(dealing) => drop(current.heard.insert(dealer, dealing)),
            None => drop(current.liars.insert(dealer)),
        }
    }

    /// True dealings for a block of this round, at most `max`.
    pub fn ready(&self, round: &Round, max: usize) -> Vec<Bytes> {
        // The round of a block that is not final may be another one with the same number.
        let current = self.current.as_ref().filter(|current| current.info == round.info);
        let heard = current.into_iter().flat_map(|current| &current.heard);
        heard.filter(|(dealer, _)| !round.has(dealer)).take(max).map(|(_, dealing)| dealing.clone()).collect()
    }

    /// Makes the own share of the key that a round decided, and puts it on the disk.
    fn conclude(&mut self, round: &Round, ring: &Ring) {
        let current = self.current.take().filter(|current| current.number == round.number);
        let Some(key) = ring.keys().find(|key| key.round == round.number) else { return };
        if round.players.position(&self.name).is_none() || self.read_share(round.number).is_some() {
            return;
        }
        let Some(Dealt { player, .. }) = current.and_then(|current| current.dealt).or_else(|| self.be_dealt(round))
        else {
            return;
        };
        match player.finalize::<N3f1>(&mut sys_rng(), round.logs().clone(), &Sequential) {
            Ok((_, share)) if key.sharing.has(&share) => {
                let kept = self.vault.keep_share(round.number, &share.encode());
                let _ = kept.inspect_err(|error| self.failed("keep the share", error));
            }
            Ok(_) => tracing::error!(round = round.number, "the share is not one of the lane key"),
            Err(error) => tracing::error!(%error, round = round.number, "no share of the lane key for this validator"),
        }
    }
}

fn acknowledged(dealer: &PublicKey, round: u64, acknowledgement: &PlayerAck<PublicKey>) -> Task {
    let letter = Letter::Acknowledged { round, acknowledgement: acknowledgement.encode() };
    Task { to: Some(dealer.clone()), letter }
}

fn encode_dealing(commitment: &DealerPubMsg<MinPk>, share: &DealerPrivMsg) -> Bytes {
    [commitment.encode(), share.encode()].concat().into()
}

/// Decodes what a dealer sent to one member: a group element for each of a quorum, some milliseconds in large committees.
pub(super) fn decode_dealt(bytes: &[u8]) -> Option<ShareDealt> {
    let mut rest = Copying(bytes);
    let commitment = DealerPubMsg::read_cfg(&mut rest, &NZU32!(COMMITTEE_MAX as u32)).ok()?;
    let share = DealerPrivMsg::read_cfg(&mut rest, &()).ok()?;
    rest.0.is_empty().then_some((commitment, share))
}
