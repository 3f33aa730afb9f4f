//! A network in which everybody votes, with true signatures. Also part of the program that tests against anvil.

use alloy_primitives::{B256, keccak256};
use blst::min_sig::SecretKey;
use bridge_ethereum::{Certified, Finality, FinalityError};
use proof::checkpoint::{
    Certificate, Checkpoint, Domain, Electorate, MESSAGE_DST, Signers, Validator, ValidatorSet, Vote, VoteKey,
    VoteSignature,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The network that votes are bound to.
pub const DOMAIN: Domain = Domain { chain_id: 5886, genesis: B256::repeat_byte(0x11) };

/// A network in which everybody votes, except those whom a test keeps away.
#[derive(Clone)]
pub struct Network(pub Arc<Mutex<NetworkState>>);

/// What the network has.
pub struct NetworkState {
    seconds: u64,
    /// Secrets of the validators.
    pub secrets: Vec<SecretKey>,
    electorate: Electorate,
    checkpoints: BTreeMap<u64, Checkpoint>,
    /// Everything that was voted for, ascending by target.
    pub links: Vec<Certified>,
}

impl Network {
    /// Four validators, and genesis at `seconds`.
    pub fn new(seconds: u64) -> Self {
        let secrets: Vec<SecretKey> = (1..5).map(|seed| SecretKey::key_gen(&[seed; 32], &[]).unwrap()).collect();
        let validators = secrets.iter().map(|secret| Validator { key: key(secret), stake: 10 });
        let electorate = Electorate::new(&[ValidatorSet::sorted(validators.collect()).unwrap()]).unwrap();
        let start = checkpoint(0, seconds, &electorate);
        let checkpoints = BTreeMap::from([(0, start)]);
        Self(Arc::new(Mutex::new(NetworkState { seconds, secrets, electorate, checkpoints, links: vec![] })))
    }

    fn lock(&self) -> MutexGuard<'_, NetworkState> {
        self.0.lock().unwrap()
    }

    /// Another link, which all but the first `absent` validators vote for.
    pub fn link(&self, source: u64, target: u64, absent: usize) {
        let mut state = self.lock();
        let electorate = state.electorate.clone();
        let target = checkpoint(target, state.seconds, &electorate);
        let vote = Vote { source: state.checkpoints[&source].point(), target: target.point() };
        let mut signers = Signers::none(electorate.members().len());
        let mut signatures = vec![];
        for secret in &state.secrets[absent..] {
            signers.insert(electorate.position(&key(secret)).unwrap());
            let signature = secret.sign(vote.signing_root(&DOMAIN).as_slice(), MESSAGE_DST, &[]);
            signatures.push(VoteSignature(signature.to_bytes()));
        }
        let certificate = Certificate { vote, signers, signature: VoteSignature::aggregate(&signatures).unwrap() };
        state.checkpoints.insert(target.epoch, target);
        state.links.push(Certified { certificate, target, electorate });
    }

    /// The next epoch, in which everybody votes.
    pub fn epoch(&self) {
        let last = *self.lock().checkpoints.last_key_value().unwrap().0;
        self.link(last, last + 1, 0);
    }

    /// The checkpoint of an epoch.
    pub fn at(&self, epoch: u64) -> Checkpoint {
        self.lock().checkpoints[&epoch]
    }

    /// Who votes.
    pub fn members(&self) -> Electorate {
        self.lock().electorate.clone()
    }
}

impl Finality for Network {
    fn domain(&self) -> Domain {
        DOMAIN
    }

    async fn links(&self, epoch: u64) -> Result<Vec<Certified>, FinalityError> {
        Ok(self.lock().links.iter().filter(|link| link.target.epoch > epoch).cloned().collect())
    }

    async fn checkpoint(&self, epoch: u64) -> Result<Option<Checkpoint>, FinalityError> {
        Ok(self.lock().checkpoints.get(&epoch).copied())
    }

    async fn electorate(&self, root: B256) -> Result<Option<Electorate>, FinalityError> {
        let state = self.lock();
        Ok((state.electorate.root() == root).then(|| state.electorate.clone()))
    }
}

/// The key of a secret.
pub fn key(secret: &SecretKey) -> VoteKey {
    VoteKey::decode(&secret.sk_to_pk().to_bytes()).unwrap()
}

fn checkpoint(epoch: u64, seconds: u64, electorate: &Electorate) -> Checkpoint {
    Checkpoint {
        epoch,
        height: epoch * 10,
        seconds: seconds + epoch,
        block: keccak256(epoch.to_be_bytes()),
        application: B256::ZERO,
        electorate: electorate.root(),
        state: B256::ZERO,
    }
}
