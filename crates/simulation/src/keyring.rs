//! Keys of the seats, the same in every run; made once for each thread, since points of curves take their time.

use bytes::Bytes;
use commonware_codec::DecodeExt as _;
use commonware_cryptography::ed25519::PublicKey;
use protocol::network::Validator;
use sequencer::{Offender, ValidatorKeys};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What is known of one seat.
#[derive(Clone)]
pub(crate) struct Seat {
    pub keys: ValidatorKeys,
    /// Its entry in the network file.
    pub validator: Validator,
    /// Its name in the network.
    pub peer: PublicKey,
    pub vote_key: Vec<u8>,
}

thread_local! {
    static SEATS: RefCell<BTreeMap<usize, Seat>> = const { RefCell::new(BTreeMap::new()) };
}

/// Looks at a seat.
pub(crate) fn with<T>(seat: usize, look: impl FnOnce(&Seat) -> T) -> T {
    SEATS.with_borrow_mut(|seats| look(seats.entry(seat).or_insert_with(|| Seat::new(seat))))
}

impl Seat {
    fn new(seat: usize) -> Self {
        let keys = ValidatorKeys::from_seed(seat as u64);
        let validator = keys.validator(format!("127.0.0.1:{}", 9_000 + seat), String::new());
        let key = hex::decode(&validator.public_key).expect("a key is hex");
        let peer = PublicKey::decode(Bytes::from(key)).expect("a key is a key");
        let vote_key = hex::decode(&validator.vote_key).expect("a key is hex");
        Self { keys, validator, peer, vote_key }
    }

    /// What evidence may name it by.
    pub fn offenders(&self) -> [Offender; 2] {
        let vote_key = self.vote_key.as_slice().try_into().expect("a vote key has 96 bytes");
        let consensus = self.peer.as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        [Offender::Vote(vote_key), Offender::Consensus(consensus)]
    }
}
