use super::*;
use crate::certificate::Finalization;
use crate::committees::{Announcement, Committees};
use crate::content::Entry;
use crate::keys::ValidatorKeys;
use crate::randomness;
use crate::system::{SYSTEM, System};
use crate::testing::{CHAIN_ID, committee, genesis, keys, payload};
use alloy_primitives::B256;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_consensus::types::{Round, View};
use commonware_cryptography::sha256;
use commonware_parallel::Sequential;
use commonware_utils::non_empty;
use protocol::network::Validator;
use std::collections::BTreeMap;
use tempfile::TempDir;

const EPOCH_BLOCKS: u64 = 4;

fn taken(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (file, directory) = (dir.path().join("file"), dir.path().join("sequencer"));
    fs::write(&file, bytes).unwrap();
    let (genesis, committee) = (genesis(), committee());
    let origin = Origin { genesis: &genesis, committee: &committee, epoch_blocks: EPOCH_BLOCKS, has_lane: false };
    let head = Head { height: 4, hash: [0; 32], hash_of: Block::digest };
    let trusted = Point { epoch: 1, root: B256::ZERO };
    let error = import(&file, &directory, Begin { origin, trusted, head }, 0).unwrap_err();
    assert!(!directory.exists() && !directory.with_extension("part").exists(), "nothing is left");
    error.to_string()
}

/// A file of these rows with the right sum.
fn file(rows: &[(u8, &[u8])]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut writer = Writer::create(&path).unwrap();
    rows.iter().for_each(|(kind, bytes)| writer.row(*kind, &[bytes]).unwrap());
    assert_eq!(writer.finish().unwrap(), fs::metadata(&path).unwrap().len());
    fs::read(&path).unwrap()
}

fn head(digest: [u8; 32], numbers: [u64; 3]) -> Vec<u8> {
    [&digest[..], &numbers.map(u64::to_be_bytes).concat()].concat()
}

#[test]
fn what_is_no_snapshot_of_this_network_is_refused() {
    assert!(taken(b"").contains("it ends after 0 bytes"));
    assert!(taken(&[7; 100]).contains("no snapshot of a validator"));
    assert!(taken(&[MAGIC, &[HEAD], &u32::MAX.to_be_bytes()].concat()).contains("the limit is 67108864"));
    assert!(taken(&file(&[])).contains("it has no head"));
    assert!(taken(&file(&[(CHECKPOINT, &[])])).contains("it has no head"));
    assert!(taken(&file(&[(HEAD, &[1; 3])])).contains("its head has 3 bytes, not 56"));
    assert!(taken(&file(&[(HEAD, &head([9; 32], [4, 4, 4]))])).contains("it is of the network with genesis 0909"));
    let ours = genesis().digest();
    assert!(taken(&file(&[(HEAD, &head(ours, [8, 4, 4]))])).contains("it is of the network"));
    assert!(taken(&file(&[(HEAD, &head(ours, [4, 5, 4]))])).contains("it claims blocks 5 to 4"));
    assert!(
        taken(&file(&[(HEAD, &head(ours, [4, 4, HEIGHT_MAX + 1]))])).contains("it claims blocks 4 to 281474976710657")
    );
    assert!(taken(&file(&[(HEAD, &head(ours, [4, 4, HEIGHT_MAX]))])).contains("it has no checkpoint"));
    assert!(taken(&file(&[(HEAD, &head(ours, [4, 4, 4]))])).contains("it has no checkpoint"));
    assert!(taken(&file(&[(HEAD, &head(ours, [4, 4, 4])), (CHECKPOINT, &[3; 9])])).contains("is refused"));
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_that_is() {
    let whole = file(&[(HEAD, &head(genesis().digest(), [4, 4, 4]))]);
    for length in 0..whole.len() - 37 {
        assert!(taken(&whole[..length]).contains("in the middle"), "{length}");
    }
}

fn validators(seats: std::ops::Range<u64>) -> Vec<Validator> {
    seats.map(|seat| keys(seat).validator(format!("127.0.0.1:{}", 9000 + seat), String::new())).collect()
}

/// A chain whose committees announce each other, and who keeps it.
struct Chain {
    committees: Committees,
    blocks: Vec<Block>,
    /// Who signs, by consensus key.
    signers: BTreeMap<String, ValidatorKeys>,
}

impl Chain {
    fn new() -> Self {
        let committees = Committees::new(Schedule::new(committee(), EPOCH_BLOCKS));
        let signers = (0..20).map(|seed| (keys(seed).public_key(), keys(seed))).collect();
        Self { committees, blocks: vec![genesis()], signers }
    }

    /// Committees of 0..4, from 12 on 1..6, from 32 on 2..7, up to block 38.
    fn changing() -> Self {
        let mut chain = Self::new();
        chain.grow(4);
        chain.announce(validators(1..6));
        chain.grow(24);
        chain.announce(validators(2..7));
        chain.grow(38);
        chain
    }

    fn tip(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    fn grow(&mut self, height: u64) {
        while self.tip().height < height {
            self.push(System::default());
        }
    }

    fn announce(&mut self, validators: Vec<Validator>) {
        let first = self.committees.now().first_if_announced(self.tip().height + 1).unwrap();
        self.push(System { committee: Some(Announcement { first, validators }), ..System::default() });
    }

    fn push(&mut self, system: System) {
        let (parent, schedule) = (self.tip(), self.committees.now());
        let height = parent.height + 1;
        let committee = &schedule.at(height).committee;
        let view = if schedule.begins(height) { 1 } else { parent.view + 1 };
        let proposer = &committee.validators()[committee.proposer(view) as usize];
        let committees = schedule.root_for(height, system.committee.is_some());
        let system = System { committees, ..system };
        let keys = self.signers.values().find(|keys| keys.randomness_key() == proposer.randomness_key).unwrap();
        let reveal = randomness::reveal(&keys.randomness, CHAIN_ID, height);
        let entries = if system.is_empty() { vec![] } else { vec![Entry::new(SYSTEM, system.encode())] };
        let payload = payload(entries);
        let block = Block {
            parent: parent.digest(),
            height,
            view,
            timestamp_millis: parent.timestamp_millis + 200,
            randomness: randomness::mix(&parent.randomness, &reveal).unwrap(),
            reveal,
            erasure_root: payload.erasure_root(),
            payload,
            commitment: Bytes::new(),
        };
        self.committees.apply(&block);
        self.blocks.push(block);
    }

    /// A finalization by the whole committee of the block.
    fn finalization(&self, block: &Block) -> Finalization {
        let committee = self.committees.at(block.height);
        let scheme = |public_key: &str| {
            let keys = self.signers[public_key].consensus.clone();
            Scheme::signer(committee.namespace(), committee.participants().clone(), keys).unwrap()
        };
        let round = Round::new(committee.epoch(), View::new(block.view));
        let proposal = Proposal::new(round, View::new(block.view - 1), sha256::Digest(block.digest()));
        let schemes: Vec<Scheme> = committee.validators().iter().map(|member| scheme(&member.public_key)).collect();
        let votes: Vec<_> = schemes.iter().map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap()).collect();
        Finalization::from_finalizes(&schemes[0], non_empty![@votes.iter()], &Sequential).unwrap()
    }

    fn certified(&self, height: u64) -> CertifiedBlock {
        let block = &self.blocks[height as usize];
        let certificate = Certificate { descendants: vec![], finalization: self.finalization(block) };
        CertifiedBlock { height, block: block.encode().into(), certificate: certificate.encode().into() }
    }

    /// The directory of a validator that has the blocks up to `height`.
    fn keep(&self, height: usize) -> TempDir {
        let directory = TempDir::new().unwrap();
        let history = open_history(directory.path(), &self.blocks[0]).unwrap();
        let ledger = Ledger::open(directory.path(), self.blocks[0].digest(), EPOCH_BLOCKS);
        let mut tracker = Tracker::genesis(&committee(), &self.blocks[0], EPOCH_BLOCKS).unwrap();
        for block in &self.blocks[1..=height] {
            history.put_block(block.height, block.digest(), block.encode());
            history.put_certificate(block.height, self.finalization(block).encode());
            if System::read(&block.payload).unwrap().committee.is_some() {
                history.put_announcement(block.height);
            }
            if let Some(opened) = tracker.apply(block, block.digest(), None).unwrap().outcome.opened {
                let kept = KeptCheckpoint { checkpoint: opened.checkpoint, state: opened.state };
                history.put_checkpoint(kept.checkpoint.epoch, kept.encode().into());
            }
            ledger.deliver(block).unwrap();
        }
        ledger.keep().unwrap();
        history.commit().unwrap();
        directory
    }
}

/// Writes what is in `directory` after block `height` to a file, and reads it.
fn moved(directory: &Path, chain: &Chain, height: u64) -> Result<(TempDir, Transferred), TransferError> {
    let (committee, to) = (committee(), TempDir::new().unwrap());
    let origin =
        Origin { genesis: &chain.blocks[0], committee: &committee, epoch_blocks: EPOCH_BLOCKS, has_lane: false };
    let file = to.path().join("file");
    let written = export(directory, &file, origin, height)?;
    let head = Head { height, hash: chain.blocks[height as usize].digest(), hash_of: Block::digest };
    let trusted = Point { epoch: written.epoch, root: written.root.into() };
    let read = import(&file, &to.path().join("sequencer"), Begin { origin, trusted, head }, 10)?;
    assert_eq!(read, written);
    Ok((to, read))
}

#[test]
fn a_validator_that_pruned_what_is_before_its_committee_can_be_exported_and_begun_from_again_and_again() {
    let (chain, first) = (Chain::changing(), 36);
    let from = chain.keep(38);
    let history = open_history(from.path(), &chain.blocks[0]).unwrap();
    assert_eq!(history.prune(first, u64::MAX).unwrap().heights, 35);
    assert!(history.block(31).unwrap().is_none(), "it is pruned");
    drop(history);
    let (next, moved_once) = moved(from.path(), &chain, 38).unwrap();
    assert_eq!((moved_once.first, moved_once.last), (first, 38));
    let (last, moved_twice) = moved(&next.path().join("sequencer"), &chain, 38).unwrap();
    assert_eq!(moved_twice, moved_once);
    let history = open_history(&last.path().join("sequencer"), &chain.blocks[0]).unwrap();
    assert_eq!(history.header(31).unwrap(), Some(chain.blocks[31].header()), "what the engine begins on");
    assert_eq!(history.finalization(31).unwrap(), Some(chain.finalization(&chain.blocks[31])));
    assert_eq!(history.height(&chain.blocks[31].digest()).unwrap(), Some(31));
    assert_eq!((history.block(31).unwrap(), history.header(30).unwrap()), (None, None));
    let committees = restore_committees(&committee(), &history, EPOCH_BLOCKS).unwrap();
    assert_eq!(committees.at(38).validators(), validators(2..7));
}

#[test]
fn a_committee_that_begins_within_the_blocks_needs_no_header_before_them() {
    let chain = Chain::changing();
    let from = chain.keep(31);
    let (to, moved) = moved(from.path(), &chain, 31).unwrap();
    assert_eq!((moved.first, moved.last), (28, 31));
    let history = open_history(&to.path().join("sequencer"), &chain.blocks[0]).unwrap();
    assert_eq!(history.header(27).unwrap(), None);
    assert_eq!(history.announcements().unwrap(), [5, 25]);
}

/// Another chain up to block 26 through the true block 24, by who has all keys of the first committee and none of the others. Its
/// committee has one seat with the randomness key of who proposed that block, of whom it has nothing else.
fn forged(chain: &Chain) -> Chain {
    let checkpointed = &chain.blocks[24];
    let mut seats = validators(10..14);
    let place = committee().next(&seats).unwrap().proposer(checkpointed.view) as usize;
    let true_committee = chain.committees.at(24);
    let proposer = true_committee.proposer(checkpointed.view) as usize;
    seats[place].randomness_key = true_committee.validators()[proposer].randomness_key.clone();
    let mut forged = Chain::new();
    forged.grow(4);
    forged.announce(seats);
    forged.grow(11);
    forged.blocks.resize(24, chain.blocks[11].clone());
    forged.blocks.push(checkpointed.clone());
    forged.grow(26);
    forged
}

#[test]
fn committees_by_keys_of_former_ones_are_refused_though_all_their_certificates_verify() {
    let chain = Chain::changing();
    let from = chain.keep(26);
    let kept = open_history(from.path(), &chain.blocks[0]).unwrap().checkpoint(6).unwrap().unwrap();
    let forged = forged(&chain);
    assert!(forged.blocks[24] == chain.blocks[24] && forged.blocks[26] != chain.blocks[26]);
    forged.committees.now().verify(&forged.certified(24)).expect("its committee proves the true block, too");
    let read = |chain: &Chain| {
        let to = TempDir::new().unwrap();
        let file = to.path().join("file");
        let mut writer = Writer::create(&file).unwrap();
        let numbers = [EPOCH_BLOCKS, 24, 26];
        writer.row(HEAD, &[&head(chain.blocks[0].digest(), numbers)]).unwrap();
        writer.row(CHECKPOINT, &[&kept.encode()]).unwrap();
        writer.certified(LANDMARK, &chain.certified(5)).unwrap();
        let floor = chain.certified(11);
        let header = chain.blocks[11].header().encode();
        writer.certified(FLOOR, &CertifiedBlock { block: header.into(), ..floor }).unwrap();
        (24..=26).for_each(|height| writer.certified(BLOCK, &chain.certified(height)).unwrap());
        let mut accounts = Accounts::default();
        (1..24).for_each(|height| accounts.apply(height, &payload(vec![])).unwrap());
        writer.row(ACCOUNTS, &[&kept::encode(&chain.blocks[0].digest(), &accounts)]).unwrap();
        writer.finish().unwrap();
        let committee = committee();
        let origin =
            Origin { genesis: &chain.blocks[0], committee: &committee, epoch_blocks: EPOCH_BLOCKS, has_lane: false };
        let head = Head { height: 26, hash: chain.blocks[26].digest(), hash_of: Block::digest };
        let begin = Begin { origin, trusted: kept.checkpoint.point(), head };
        import(&file, &to.path().join("sequencer"), begin, 10).map_err(|error| error.to_string())
    };
    assert_eq!(read(&chain).map(|read| (read.first, read.last)), Ok((24, 26)), "the true ones are taken");
    let refused = read(&forged).unwrap_err();
    assert!(refused.contains("its committees are not those that the block of the checkpoint names"), "{refused}");
}
