//! The channels of one committee: each message about votes names the committee (consensus epoch) that it is of.

use commonware_consensus::types::Epoch;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::utils::mux::{Error, MuxHandle, SubReceiver, SubSender};
use commonware_p2p::{Message, Receiver, Sender};
use std::collections::VecDeque;
use std::num::NonZeroUsize;

/// Votes of the next committee kept until it is its turn; more are dropped, and come again in later views.
const EARLY_MAX: usize = 1024;

/// The multiplexed channels of the consensus engine.
#[derive(Clone)]
pub(super) struct Lanes<S: Sender<PublicKey = PublicKey>> {
    pub votes: MuxHandle<S>,
    pub certificates: MuxHandle<S>,
    pub fetches: MuxHandle<S>,
}

/// The channels of one committee.
pub(super) struct Lane<S: Sender<PublicKey = PublicKey>> {
    pub votes: (SubSender<S>, Early),
    pub certificates: (SubSender<S>, SubReceiver<PublicKey>),
    pub fetches: (SubSender<S>, SubReceiver<PublicKey>),
}

impl<S: Sender<PublicKey = PublicKey>> Lanes<S> {
    /// Opens the channels of a committee; they are closed by dropping them.
    pub async fn open(&mut self, epoch: Epoch) -> Result<Lane<S>, Error> {
        let number = epoch.get();
        let (sender, receiver) = self.votes.register(number).await?;
        Ok(Lane {
            votes: (sender, Early { kept: VecDeque::new(), receiver }),
            certificates: self.certificates.register(number).await?,
            fetches: self.fetches.register(number).await?,
        })
    }
}

/// Votes of a committee, which may be heard before its engine runs.
#[derive(Debug)]
pub(super) struct Early {
    kept: VecDeque<Message<PublicKey>>,
    receiver: SubReceiver<PublicKey>,
}

impl Early {
    /// Waits for a message and keeps it; returns who sent it.
    pub async fn hear(&mut self) -> Result<PublicKey, Error> {
        let (peer, message) = self.receiver.recv().await?;
        if self.kept.len() < EARLY_MAX {
            self.kept.push_back((peer.clone(), message));
        }
        Ok(peer)
    }
}

impl Receiver for Early {
    type Error = Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Error> {
        match self.kept.pop_front() {
            Some(message) => Ok(message),
            None => self.receiver.recv().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.receiver.capacity()
    }
}
