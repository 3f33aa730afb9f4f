//! The finality state as bytes: canonical, bounded, with a commitment.
//!
//! Distinct validator sets stand once, in the order in which they are first used; everything else names them by number.
//! Roots of sets are computed again when they are read, so what is decoded is consistent with itself; whether it is the
//! state of this network is for the commitment to say.

use super::justification::Justification;
use super::leak::{L1Clock, Leak};
use super::schedule::{CANDIDATES_MAX, RUNS_MAX, Schedule};
use super::state::{Ballot, Parameters, State};
use alloy_primitives::{B256, keccak256};
use bytes::BufMut;
use commonware_codec::{Buf, Copying, EncodeSize, Error, Read, ReadExt as _, Write};
use proof::checkpoint::{
    Checkpoint, Domain, ELECTORATE_SETS_MAX, Electorate, KEY_BYTES, Point, Signers, VALIDATORS_MAX, Validator,
    ValidatorSet, VoteKey,
};

/// First byte, so that another format is refused.
const VERSION: u8 = 1;
/// Distinct sets in a state: runs, candidates, and those of two electorates.
const SETS_MAX: usize = RUNS_MAX + CANDIDATES_MAX + 2 * ELECTORATE_SETS_MAX;
/// Bytes of an encoded state.
pub(crate) const STATE_BYTES_MAX: usize = 1024
    + SETS_MAX * (4 + VALIDATORS_MAX * (KEY_BYTES + 16))
    + 2 * (256 + (VALIDATORS_MAX * ELECTORATE_SETS_MAX).div_ceil(8));

impl State {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        commonware_codec::Encode::encode(self).to_vec()
    }

    /// Decodes [`State::encode`]; checks every limit, but not that it is the state of this network.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > STATE_BYTES_MAX {
            return Err(Error::InvalidLength(bytes.len()));
        }
        <Self as commonware_codec::DecodeExt<()>>::decode(Copying(bytes))
    }

    /// Hash of the encoding.
    pub fn commitment(&self) -> B256 {
        keccak256(self.encode())
    }

    /// Distinct sets in the order of their first use.
    fn sets(&self) -> Vec<&ValidatorSet> {
        let ballots = std::iter::once(&self.current).chain(&self.previous);
        let all = (self.schedule.runs.iter().map(|(_, set)| set))
            .chain(self.schedule.candidates.values())
            .chain(ballots.flat_map(|ballot| ballot.electorate.sets()));
        let mut distinct: Vec<&ValidatorSet> = Vec::new();
        for set in all {
            if !distinct.contains(&set) {
                distinct.push(set);
            }
        }
        distinct
    }
}

impl Write for State {
    fn write(&self, buf: &mut impl BufMut) {
        let sets = self.sets();
        let number = |set: &ValidatorSet| sets.iter().position(|known| *known == set).expect("`sets` has all") as u8;
        buf.put_u8(VERSION);
        write_parameters(&self.parameters, buf);
        [self.height, self.clock.seconds, self.clock.finalized_seconds, self.clock.charged]
            .iter()
            .for_each(|number| buf.put_u64(*number));
        write_justification(&self.justification, buf);
        buf.put_u8(sets.len() as u8);
        sets.iter().for_each(|set| write_set(set, buf));
        write_epochs(self.schedule.runs.iter().map(|(epoch, set)| (*epoch, number(set))), buf);
        write_epochs(self.schedule.candidates.iter().map(|(epoch, set)| (*epoch, number(set))), buf);
        write_ballot(&self.current, number, buf);
        buf.put_u8(u8::from(self.previous.is_some()));
        self.previous.iter().for_each(|ballot| write_ballot(ballot, number, buf));
    }
}

impl EncodeSize for State {
    fn encode_size(&self) -> usize {
        // The size follows from the same walk as the bytes, so they cannot disagree; it is needed once an epoch.
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.len()
    }
}

impl Read for State {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        if u8::read(buf)? != VERSION {
            return Err(invalid("unknown version"));
        }
        let parameters = read_parameters(buf)?;
        let height = u64::read(buf)?;
        let clock = L1Clock { seconds: u64::read(buf)?, finalized_seconds: u64::read(buf)?, charged: u64::read(buf)? };
        let justification = read_justification(buf)?;
        let sets = read_sets(buf)?;
        let runs = read_epochs(buf, &sets, RUNS_MAX)?;
        let candidates = read_epochs(buf, &sets, CANDIDATES_MAX)?;
        let current = read_ballot(buf, &sets)?;
        let previous = if bool::read(buf)? { Some(read_ballot(buf, &sets)?) } else { None };
        if runs.is_empty() || candidates.is_empty() || runs.windows(2).any(|pair| pair[0].1 == pair[1].1) {
            return Err(invalid("no set in force, or one that follows itself"));
        }
        let schedule = Schedule { runs, candidates: candidates.into_iter().collect() };
        let state = Self { parameters, height, justification, schedule, clock, current, previous };
        let is_canonical = state.sets().into_iter().eq(&sets);
        if !is_canonical || !state.is_plausible() {
            return Err(invalid("sets out of order, or epochs that cannot be"));
        }
        Ok(state)
    }
}

impl State {
    /// Epochs follow each other. All arithmetic on epochs relies on it.
    fn is_plausible(&self) -> bool {
        let epoch = self.current.checkpoint.epoch;
        let Justification { previous, current, finalized, .. } = &self.justification;
        let is_previous = |ballot: &Ballot| ballot.checkpoint.epoch.checked_add(1) == Some(epoch);
        epoch <= u64::MAX - 8
            && self.previous.as_ref().is_none_or(is_previous)
            && finalized.epoch <= previous.epoch
            && previous.epoch <= current.epoch
            && current.epoch <= epoch
    }
}

fn invalid(reason: &'static str) -> Error {
    Error::Invalid("ffg state", reason)
}

fn write_parameters(parameters: &Parameters, buf: &mut impl BufMut) {
    let Parameters { domain, epoch_blocks, unbonding_seconds, evidence_seconds, leak } = parameters;
    buf.put_u64(domain.chain_id);
    buf.put_slice(domain.genesis.as_slice());
    [*epoch_blocks, *unbonding_seconds, *evidence_seconds, leak.period_seconds, leak.grace_periods, leak.quotient]
        .iter()
        .for_each(|number| buf.put_u64(*number));
}

fn read_parameters(buf: &mut impl Buf) -> Result<Parameters, Error> {
    let domain = Domain { chain_id: u64::read(buf)?, genesis: read_word(buf)? };
    let (epoch_blocks, unbonding_seconds, evidence_seconds) = (u64::read(buf)?, u64::read(buf)?, u64::read(buf)?);
    let leak = Leak { period_seconds: u64::read(buf)?, grace_periods: u64::read(buf)?, quotient: u64::read(buf)? };
    let parameters = Parameters { domain, epoch_blocks, unbonding_seconds, evidence_seconds, leak };
    parameters.check().map_err(|_| invalid("impossible parameters"))?;
    Ok(parameters)
}

fn write_justification(justification: &Justification, buf: &mut impl BufMut) {
    justification.bits.iter().for_each(|bit| buf.put_u8(u8::from(*bit)));
    for point in [justification.previous, justification.current, justification.finalized] {
        buf.put_u64(point.epoch);
        buf.put_slice(point.root.as_slice());
    }
}

fn read_justification(buf: &mut impl Buf) -> Result<Justification, Error> {
    let bits = <[bool; 4]>::read(buf)?;
    let mut point = || Ok::<_, Error>(Point { epoch: u64::read(buf)?, root: read_word(buf)? });
    Ok(Justification { bits, previous: point()?, current: point()?, finalized: point()? })
}

fn write_set(set: &ValidatorSet, buf: &mut impl BufMut) {
    buf.put_u32(set.validators().len() as u32);
    for validator in set.validators() {
        buf.put_slice(validator.key.bytes());
        buf.put_u128(validator.stake);
    }
}

fn read_sets(buf: &mut impl Buf) -> Result<Vec<ValidatorSet>, Error> {
    let count = usize::from(u8::read(buf)?);
    if count > SETS_MAX {
        return Err(Error::InvalidLength(count));
    }
    (0..count).map(|_| read_set(buf)).collect()
}

fn read_set(buf: &mut impl Buf) -> Result<ValidatorSet, Error> {
    let count = u32::read(buf)? as usize;
    if count > VALIDATORS_MAX {
        return Err(Error::InvalidLength(count));
    }
    let mut validator = || {
        let key = VoteKey::decode(&<[u8; KEY_BYTES]>::read(buf)?).map_err(|_| invalid("not a vote key"))?;
        Ok(Validator { key, stake: u128::read(buf)? })
    };
    let validators = (0..count).map(|_| validator()).collect::<Result<Vec<_>, Error>>()?;
    ValidatorSet::new(validators).map_err(|_| invalid("not a validator set"))
}

/// Epochs and numbers of sets.
fn write_epochs(epochs: impl ExactSizeIterator<Item = (u64, u8)>, buf: &mut impl BufMut) {
    buf.put_u8(epochs.len() as u8);
    for (epoch, set) in epochs {
        buf.put_u64(epoch);
        buf.put_u8(set);
    }
}

fn read_epochs(buf: &mut impl Buf, sets: &[ValidatorSet], max: usize) -> Result<Vec<(u64, ValidatorSet)>, Error> {
    let count = usize::from(u8::read(buf)?);
    if count > max {
        return Err(Error::InvalidLength(count));
    }
    let mut epochs: Vec<(u64, ValidatorSet)> = Vec::new();
    for _ in 0..count {
        let epoch = u64::read(buf)?;
        if epochs.last().is_some_and(|(last, _)| *last >= epoch) {
            return Err(invalid("epochs do not ascend"));
        }
        epochs.push((epoch, numbered(buf, sets)?));
    }
    Ok(epochs)
}

fn numbered(buf: &mut impl Buf, sets: &[ValidatorSet]) -> Result<ValidatorSet, Error> {
    sets.get(usize::from(u8::read(buf)?)).cloned().ok_or(invalid("no such set"))
}

fn write_ballot(ballot: &Ballot, number: impl Fn(&ValidatorSet) -> u8, buf: &mut impl BufMut) {
    let Checkpoint { epoch, height, seconds, block, application, electorate: _, state } = &ballot.checkpoint;
    [*epoch, *height, *seconds].iter().for_each(|number| buf.put_u64(*number));
    [block, application, state].iter().for_each(|word| buf.put_slice(word.as_slice()));
    buf.put_u8(ballot.electorate.sets().len() as u8);
    ballot.electorate.sets().iter().for_each(|set| buf.put_u8(number(set)));
    let mut signers = Vec::new();
    ballot.signers.write(&mut signers);
    // The electorate gives the number of members, so the length in front is not repeated.
    buf.put_slice(&signers[4..]);
}

fn read_ballot(buf: &mut impl Buf, sets: &[ValidatorSet]) -> Result<Ballot, Error> {
    let (epoch, height, seconds) = (u64::read(buf)?, u64::read(buf)?, u64::read(buf)?);
    let (block, application, state) = (read_word(buf)?, read_word(buf)?, read_word(buf)?);
    let count = usize::from(u8::read(buf)?);
    if count > ELECTORATE_SETS_MAX {
        return Err(Error::InvalidLength(count));
    }
    let joined = (0..count).map(|_| numbered(buf, sets)).collect::<Result<Vec<_>, _>>()?;
    let electorate = Electorate::new(&joined).map_err(|_| invalid("not an electorate"))?;
    if electorate.sets().len() != count {
        return Err(invalid("an electorate names a set twice in a row"));
    }
    let members = electorate.members().len();
    let mut signers = (members as u32).to_be_bytes().to_vec();
    for _ in 0..members.div_ceil(8) {
        signers.push(u8::read(buf)?);
    }
    let signers = Signers::read(&mut signers.as_slice()).ok_or(invalid("padding of signers is set"))?;
    let root = electorate.root();
    let checkpoint = Checkpoint { epoch, height, seconds, block, application, electorate: root, state };
    Ok(Ballot { checkpoint, electorate, signers })
}

fn read_word(buf: &mut impl Buf) -> Result<B256, Error> {
    <[u8; 32]>::read(buf).map(B256::from)
}

#[cfg(test)]
mod tests;
