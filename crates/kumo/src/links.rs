//! Finality for a bridge, from the validators of the network: links with the votes of two thirds.
//!
//! No validator is believed alone. A link counts when more validators name its target than can be dishonest (`f + 1` of `3f + 1`),
//! and its votes are those of two thirds of the electorate that the target names. Nothing is kept here: validators keep links for longer
//! than stake stays bonded.

use ::gateway::client::ValidatorClient;
use alloy_primitives::B256;
use bridge_ethereum::finality::LINKS_MAX;
use bridge_ethereum::{Certified, Finality, FinalityError};
use eyre::{Result, ensure, eyre};
use futures::future::join_all;
use parking_lot::Mutex;
use proof::checkpoint::{Checkpoint, Domain, Electorate, Point};
use protocol::api::LinkPage;
use sequencer::finality::{KeptCheckpoint, Link, Tracker};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Links asked for at a time.
const PAGE_LINKS: usize = 256;
/// Electorates remembered: a contract is shown the last one, and knows at most one before it.
const ELECTORATES_MAX: usize = 64;
/// How many epochs before the last one asked for are looked at for an electorate that is not remembered.
const ELECTORATE_EPOCHS: u64 = 16;

/// The validators of one network, as a source of finality. Clones share what they remember.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

struct Inner {
    validators: Vec<ValidatorClient>,
    domain: Domain,
    genesis: Checkpoint,
    electorates: Mutex<BTreeMap<B256, Electorate>>,
    last: Mutex<u64>,
}

impl Links {
    /// Asks `validators` of the network that begins with the state of `genesis`, which is finality at block 0.
    ///
    /// # Errors
    /// When there are no validators.
    pub fn new(validators: Vec<ValidatorClient>, genesis: &Tracker) -> Result<Self> {
        ensure!(!validators.is_empty(), "the network file names no validators to ask what is final");
        let (checkpoint, electorate) = genesis.state().checkpoint();
        Ok(Self(Arc::new(Inner {
            validators,
            domain: genesis.state().parameters().domain,
            genesis: *checkpoint,
            electorates: Mutex::new(BTreeMap::from([(electorate.root(), electorate.clone())])),
            last: Mutex::new(0),
        })))
    }

    /// A checkpoint that `trusted` names, with its electorate, for a contract to begin with.
    ///
    /// # Errors
    /// When no validator has it, or it is too old for `now_seconds`.
    pub async fn trusted(&self, trusted: Point, now_seconds: u64) -> Result<(Checkpoint, Electorate)> {
        let mut reason = eyre!("no validator answered");
        for validator in &self.0.validators {
            let found = async {
                let kept = KeptCheckpoint::decode(&validator.checkpoint(trusted.epoch).await?.kept)?;
                Ok::<_, eyre::Report>(Tracker::trust(trusted, &kept, now_seconds)?)
            };
            match found.await {
                Ok(tracker) if tracker.state().parameters().domain == self.0.domain => {
                    let (checkpoint, electorate) = tracker.state().checkpoint();
                    return Ok((*checkpoint, electorate.clone()));
                }
                Ok(_) => reason = eyre!("{} is a validator of another network", validator.endpoint()),
                Err(error) => reason = error,
            }
        }
        Err(reason.wrap_err(format!("no validator has the checkpoint {}:{}", trusted.epoch, trusted.root)))
    }

    /// The newest checkpoint that more validators call final than can be dishonest; `None` while there is only genesis.
    ///
    /// # Errors
    /// When too few answer.
    pub async fn newest(&self) -> Result<Option<Point>> {
        let asked = self.0.validators.iter().map(|validator| async move {
            let name = validator.status().await.ok()?.finality.finalized;
            Some(Point { epoch: name.epoch, root: name.root })
        });
        let mut said: Vec<Point> = join_all(asked).await.into_iter().flatten().collect();
        self.check_answers(said.len())?;
        // Of those who are furthest, at least one is honest; what the last of them calls final the others have passed.
        said.sort_by_key(|point| std::cmp::Reverse(point.epoch));
        let Point { epoch, .. } = said[self.enough() - 1];
        let at_epoch = self.agreed(epoch, 1).await?;
        Ok(at_epoch.first().map(|link| link.target.point()).filter(|point| point.epoch == epoch))
    }

    /// How many validators must say the same.
    fn enough(&self) -> usize {
        (self.0.validators.len() - 1) / 3 + 1
    }

    fn check_answers(&self, answers: usize) -> Result<(), FinalityError> {
        let (enough, all) = (self.enough(), self.0.validators.len());
        let refuse = || FinalityError(format!("{answers} of {all} validators answer, {enough} must say the same"));
        if answers >= enough { Ok(()) } else { Err(refuse()) }
    }

    /// Links to targets of epoch `from` and later, at most `max`, that enough validators tell.
    async fn agreed(&self, from: u64, max: usize) -> Result<Vec<Certified>, FinalityError> {
        let asked = self.0.validators.iter().map(|validator| async move {
            let page = validator.links(from, max).await.map_err(eyre::Report::from);
            let read = page.and_then(|page| read(&page, &self.0.domain));
            read.inspect_err(|error| tracing::debug!(%error, validator = validator.endpoint(), "no links")).ok()
        });
        let answers: Vec<Vec<Certified>> = join_all(asked).await.into_iter().flatten().collect();
        self.check_answers(answers.len())?;
        let links = most_told(answers, self.enough());
        let mut electorates = self.0.electorates.lock();
        for link in &links {
            electorates.insert(link.electorate.root(), link.electorate.clone());
            while electorates.len() > ELECTORATES_MAX {
                electorates.pop_first();
            }
        }
        Ok(links)
    }
}

/// What a validator tells, as far as it proves it.
fn read(page: &LinkPage, domain: &Domain) -> Result<Vec<Certified>> {
    let mut electorates = BTreeMap::new();
    for kept in &page.electorates {
        let tracker = Tracker::resume(&KeptCheckpoint::decode(kept)?)?;
        let electorate = tracker.state().checkpoint().1.clone();
        electorates.insert(electorate.root(), electorate);
    }
    let mut links = Vec::with_capacity(page.links.len());
    for voted in &page.links {
        let (target, _) = Link::decode_parts(&voted.link)?;
        ensure!(target.epoch == voted.epoch, "a link to epoch {} is named {}", target.epoch, voted.epoch);
        let electorate = electorates.get(&target.electorate);
        let electorate = electorate.ok_or_else(|| eyre!("the electorate of epoch {} is missing", voted.epoch))?;
        let link = Link::decode(&voted.link, electorate)?;
        if link.is_justified() {
            link.certificate.verify(domain, &link.target, &link.electorate)?;
            let Link { certificate, target, electorate } = link;
            links.push(Certified { certificate, target, electorate });
        }
    }
    Ok(links)
}

/// For each epoch the target that at least `enough` tell, with the certificate that has the most signers; ascending.
fn most_told(answers: Vec<Vec<Certified>>, enough: usize) -> Vec<Certified> {
    let mut told: BTreeMap<Point, Vec<Certified>> = BTreeMap::new();
    for link in answers.into_iter().flatten() {
        told.entry(link.target.point()).or_default().push(link);
    }
    let agreed = told.into_values().filter(|links| links.len() >= enough);
    agreed.filter_map(|links| links.into_iter().max_by_key(|link| link.certificate.signers.count())).collect()
}

impl Finality for Links {
    fn domain(&self) -> Domain {
        self.0.domain
    }

    async fn links(&self, epoch: u64) -> Result<Vec<Certified>, FinalityError> {
        *self.0.last.lock() = epoch;
        let mut links: Vec<Certified> = Vec::new();
        while links.len() < LINKS_MAX {
            let from = links.last().map_or(epoch, |link| link.target.epoch).saturating_add(1);
            let page = self.agreed(from, PAGE_LINKS).await?;
            if page.is_empty() {
                break;
            }
            links.extend(page);
        }
        links.truncate(LINKS_MAX);
        Ok(links)
    }

    async fn checkpoint(&self, epoch: u64) -> Result<Option<Checkpoint>, FinalityError> {
        if epoch == 0 {
            return Ok(Some(self.0.genesis));
        }
        let found = self.agreed(epoch, 1).await?;
        Ok(found.first().map(|link| link.target).filter(|target| target.epoch == epoch))
    }

    async fn electorate(&self, root: B256) -> Result<Option<Electorate>, FinalityError> {
        let known = |links: &Self| links.0.electorates.lock().get(&root).cloned();
        if let Some(electorate) = known(self) {
            return Ok(Some(electorate));
        }
        let from = self.0.last.lock().saturating_sub(ELECTORATE_EPOCHS);
        self.agreed(from, PAGE_LINKS).await?;
        Ok(known(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use proof::checkpoint::{Certificate, Signers, Validator, ValidatorSet, Vote, VoteSignature};
    use sequencer::ValidatorKeys;

    /// A link to `epoch` with a target that `salt` makes another one, and `signers` who signed.
    fn link(epoch: u64, salt: u8, signers: usize) -> Certified {
        let dir = tempfile::tempdir().unwrap();
        let keys = ValidatorKeys::load_or_generate(&dir.path().join("key")).unwrap();
        let seat = keys.validator("127.0.0.1:1".to_owned(), String::new());
        let committee = sequencer::Committee::new(&[seat], 1).unwrap();
        let validators: Vec<Validator> = committee.vote_set().validators().to_vec();
        let electorate = Electorate::new(&[ValidatorSet::new(validators).unwrap()]).unwrap();
        let target = Checkpoint {
            epoch,
            height: epoch,
            seconds: 0,
            block: B256::repeat_byte(salt),
            application: B256::ZERO,
            electorate: electorate.root(),
            state: B256::ZERO,
        };
        let mut marked = Signers::none(8);
        (0..signers).for_each(|position| assert!(marked.insert(position)));
        let vote = Vote { source: Point { epoch: 0, root: B256::ZERO }, target: target.point() };
        Certified {
            certificate: Certificate { vote, signers: marked, signature: VoteSignature([0; 48]) },
            target,
            electorate,
        }
    }

    #[test]
    fn a_link_counts_when_more_tell_it_than_can_lie() {
        let (honest, lie) = (link(1, 1, 3), link(1, 2, 4));
        let of = |links: &[&Certified]| links.iter().map(|link| vec![(*link).clone()]).collect::<Vec<_>>();
        assert!(most_told(of(&[&honest, &lie]), 2).is_empty());
        let told = most_told(of(&[&lie, &honest, &honest]), 2);
        assert_eq!(told.iter().map(|link| link.target).collect::<Vec<_>>(), [honest.target]);
    }

    #[test]
    fn of_several_certificates_the_one_with_the_most_signers_is_taken_and_epochs_ascend() {
        let (few, later) = (link(5, 1, 3), link(9, 1, 3));
        let mut many = few.clone();
        assert!(many.certificate.signers.insert(7));
        let told = most_told(vec![vec![few, later], vec![many]], 1);
        let counts: Vec<_> = told.iter().map(|link| (link.target.epoch, link.certificate.signers.count())).collect();
        assert_eq!(counts, [(5, 4), (9, 3)]);
    }
}
