//! Whether the data of a final block can be had: random shards of its payload, each checked against its header.
//!
//! The payload of a block is k shards and 2k more; any k of the 3k give it back, and the header commits to all of them.
//! So whoever wants to hide a single byte has to hold back more than 2k shards, and a shard that is drawn at random is
//! then missing with a chance of more than two thirds. [`chance`] says exactly how likely it is that so many samples were
//! answered and the payload cannot be put together all the same.
//!
//! What that rests on: the code is checked by those who vote, who compute the erasure root again from the payload. A
//! certificate has the votes of more than a third of honest members, or the assumption of the whole network is broken.
//! Then a committed root may be over shards that are no codeword, and samples say nothing. And who answers sees who asks:
//! shards that are shown to this sampler may be withheld from others.
//! Source: Al-Bassam, Sonnino, Buterin, "Fraud and Data Availability Proofs" (2018), in one dimension.

mod chance;
#[cfg(test)]
mod tests;

pub use chance::{chance, samples_for};

use crate::gateway::{Gateway, GatewayError};
use crate::rollup::{Trust, TrustError};
use alloy_primitives::{B256, Bytes};
use futures::{StreamExt as _, stream};
use proof::certificate::Header;
use proof::shard::{Code, EXPANSION, ShardProof};
use protocol::api::{BlockHeader, BlockShard, ValidatorStatus};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Shards asked for at a time.
const PARALLEL: usize = 8;
/// Largest answer with a shard, in bytes: two digits for each byte of 64 KiB and a path.
const SHARD_ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Faults that are remembered.
const FAULTS_MAX: usize = 32;

/// Nothing can be said about a block.
#[derive(Debug, thiserror::Error)]
pub enum SamplingError {
    /// There is nobody to ask.
    #[error("no validator is named that could be asked")]
    Nobody,
    /// No validator showed a header that the committee has signed.
    #[error("no validator proves what block {height} is; the last one: {reason}")]
    Header {
        /// Height.
        height: u64,
        /// Why the last one did not.
        reason: String,
    },
    /// Nobody has one of the first shards, which every payload has.
    #[error("no validator serves one of the first {EXPANSION} shards of block {height}; the last one: {reason}")]
    Shards {
        /// Height.
        height: u64,
        /// Why the last one did not.
        reason: String,
    },
    /// Too few shards for the payload.
    #[error("block {height} cannot be put together: {found} of the {needed} shards that are needed were served")]
    TooFew {
        /// Height.
        height: u64,
        /// Shards that were verified.
        found: usize,
        /// Shards that give the payload back.
        needed: u32,
    },
    /// This machine gives no random numbers.
    #[error("no random numbers: {0}")]
    Randomness(String),
}

/// Result of every operation.
pub type Result<T> = std::result::Result<T, SamplingError>;

/// A validator did not serve what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// URL of the validator.
    pub validator: String,
    /// Number of the shard.
    pub index: u32,
    /// What it said, or what was wrong with it.
    pub reason: String,
}

/// What was sampled of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// How it is cut into shards.
    pub code: Code,
    /// Different shards drawn.
    pub drawn: u32,
    /// Those of them that somebody served, each verified.
    pub verified: u32,
    /// The others.
    pub missing: Vec<u32>,
    /// The chance that at least so many samples are answered although the payload cannot be put together.
    pub chance: f64,
    /// Who did not serve what, the first ones.
    pub faults: Vec<Fault>,
}

/// Shards of one payload that were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// As many different ones as give it back, or more.
    pub shards: Vec<(u32, Bytes)>,
}

/// The validators that are asked, and the committee whose signatures count.
#[derive(Clone, Debug)]
pub struct Sampler {
    validators: Vec<Gateway>,
    trust: Trust,
}

/// Who failed to serve what, as it comes.
#[derive(Default)]
struct Faults(Mutex<(Vec<Fault>, String)>);

impl Faults {
    fn add(&self, validator: &Gateway, index: u32, reason: String) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.1.clone_from(&reason);
        if faults.0.len() < FAULTS_MAX {
            faults.0.push(Fault { validator: validator.url().to_owned(), index, reason });
        }
    }

    fn take(self) -> (Vec<Fault>, String) {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    /// Asks the validators with these URLs.
    ///
    /// # Errors
    /// When there are none. Nothing is sent.
    pub fn new(urls: &[String], trust: Trust) -> Result<Self> {
        match urls.is_empty() {
            true => Err(SamplingError::Nobody),
            false => Ok(Self { validators: urls.iter().map(|url| Gateway::new(url)).collect(), trust }),
        }
    }

    /// The newest final height, as the first validator says that answers.
    ///
    /// # Errors
    /// When none answers.
    pub async fn newest(&self) -> std::result::Result<u64, GatewayError> {
        let mut answer = self.validators[0].get::<ValidatorStatus>("/seq/v1/status").await;
        for validator in &self.validators[1..] {
            if answer.is_err() {
                answer = validator.get("/seq/v1/status").await;
            }
        }
        Ok(answer?.height)
    }

    /// The header of a final block, signed by the committee.
    ///
    /// # Errors
    /// When no validator has it.
    pub async fn header(&self, height: u64) -> Result<Header> {
        let mut reason = String::new();
        for validator in &self.validators {
            match self.header_of(validator, height).await {
                Ok(header) => return Ok(header),
                Err(failure) => reason = format!("{}: {failure}", validator.url()),
            }
        }
        Err(SamplingError::Header { height, reason })
    }

    async fn header_of(&self, validator: &Gateway, height: u64) -> std::result::Result<Header, String> {
        let told = validator.get_up_to(&format!("/seq/v1/blocks/{height}/header"), SHARD_ANSWER_BYTES_MAX * 4).await;
        let told: BlockHeader = told.map_err(|error| error.to_string())?;
        let header = self.trust.header(height, &told.header, &told.certificate);
        header.map_err(|error: TrustError| error.to_string())
    }

    /// Draws `samples` different shards (at least one, at most all), and asks for each a validator drawn at random, and
    /// the others if that does not serve it.
    ///
    /// # Errors
    /// When not even the size of the payload can be found out, or there are no random numbers.
    pub async fn sample(&self, header: &Header, samples: u32) -> Result<Sampling> {
        let faults = Faults::default();
        let Some(payload_bytes) = self.payload_bytes(header, &faults).await else {
            return Err(SamplingError::Shards { height: header.height, reason: faults.take().1 });
        };
        // A proof that verifies names a size that there is.
        let code = Code::of(payload_bytes).ok_or(SamplingError::Nobody)?;
        let drawn = draw(code.total, samples.clamp(1, code.total), &mut random)?;
        let mut asked = Vec::with_capacity(drawn.len());
        for index in &drawn {
            asked.push((*index, (random()? % self.validators.len() as u64) as usize));
        }
        let served = stream::iter(asked).map(|(index, first)| self.shard(header, index, first, &faults));
        let served: Vec<Option<ShardProof>> = served.buffered(PARALLEL).collect().await;
        let of = |is_there: bool| {
            let pairs = drawn.iter().zip(&served).filter(move |(_, proof)| proof.is_some() == is_there);
            pairs.map(|(index, _)| *index).collect::<Vec<u32>>()
        };
        let (drawn, verified) = (drawn.len() as u32, of(true).len() as u32);
        let chance = chance(code, drawn, verified);
        Ok(Sampling { payload_bytes, code, drawn, verified, missing: of(false), chance, faults: faults.take().0 })
    }

    /// Collects as many verified shards as give the payload back, those that are a part of it first.
    ///
    /// # Errors
    /// When there are too few.
    pub async fn collect(&self, header: &Header) -> Result<Collected> {
        let faults = Faults::default();
        let Some(payload_bytes) = self.payload_bytes(header, &faults).await else {
            return Err(SamplingError::Shards { height: header.height, reason: faults.take().1 });
        };
        let code = Code::of(payload_bytes).ok_or(SamplingError::Nobody)?;
        let needed = code.data;
        let asked = stream::iter(0..code.total);
        let asked = asked.map(|index| self.shard(header, index, index as usize % self.validators.len(), &faults));
        let served = asked.buffered(PARALLEL).filter_map(async |proof| proof);
        let shards: Vec<(u32, Bytes)> =
            served.take(needed as usize).map(|proof| (proof.index, proof.shard)).collect().await;
        match shards.len() == needed as usize {
            true => Ok(Collected { payload_bytes, shards }),
            false => Err(SamplingError::TooFew { height: header.height, found: shards.len(), needed }),
        }
    }

    /// The size of the payload, which every verified shard proves: from one of those that every payload has.
    async fn payload_bytes(&self, header: &Header, faults: &Faults) -> Option<u32> {
        for index in 0..EXPANSION {
            if let Some(proof) = self.shard(header, index, index as usize % self.validators.len(), faults).await {
                return Some(proof.payload_bytes);
            }
        }
        None
    }

    /// A shard, verified, from the validator number `first` or one of the others.
    async fn shard(&self, header: &Header, index: u32, first: usize, faults: &Faults) -> Option<ShardProof> {
        let (before, from) = self.validators.split_at(first);
        for validator in from.iter().chain(before) {
            match ask(validator, header, index).await {
                Ok(proof) => return Some(proof),
                Err(reason) => faults.add(validator, index, reason),
            }
        }
        None
    }
}

async fn ask(validator: &Gateway, header: &Header, index: u32) -> std::result::Result<ShardProof, String> {
    let path = format!("/seq/v1/blocks/{}/shards/{index}", header.height);
    let told: BlockShard =
        validator.get_up_to(&path, SHARD_ANSWER_BYTES_MAX).await.map_err(|error| error.to_string())?;
    verified(header.erasure_root, index, &told.proof)
}

/// Shard number `index` under an erasure root.
fn verified(erasure_root: B256, index: u32, proof: &[u8]) -> std::result::Result<ShardProof, String> {
    let proof = ShardProof::decode(proof).map_err(|error| error.to_string())?;
    if proof.index != index {
        return Err(format!("it is shard {}", proof.index));
    }
    proof.verify(erasure_root).map_err(|error| error.to_string())?;
    Ok(proof)
}

/// `count` different numbers below `total`, each set of them as likely as any other.
fn draw(total: u32, count: u32, random: &mut dyn FnMut() -> Result<u64>) -> Result<Vec<u32>> {
    // Floyd's way: one random number for each that is drawn.
    let mut drawn = BTreeSet::new();
    for last in total - count..total {
        let number = (random()? % (u64::from(last) + 1)) as u32;
        if !drawn.insert(number) {
            drawn.insert(last);
        }
    }
    Ok(drawn.into_iter().collect())
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| SamplingError::Randomness(error.to_string()))?;
    Ok(u64::from_be_bytes(bytes))
}
