//! The accounts in a running validator: what each block that opens an epoch must commit to, and what is kept of it.
//!
//! They follow from the blocks, so nothing is written together with a block: every [`ACCOUNTS_KEPT_BLOCKS`] the accounts
//! are written to a file of their own, and after a crash the blocks behind it are counted once more.

use super::kept::{self, KeptError};
use super::{Accounts, FeeError, Pricing};
use crate::block::Block;
use crate::limits::{ACCOUNTS_KEPT_BLOCKS, COMMITTED_ACCOUNTS_MAX, COMMITTED_EPOCHS_MAX};
use crate::system::System;
use parking_lot::Mutex;
use proof::account::AccountProof;
use proof::merkle::Tree;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// File with the accounts in the directory of a validator.
pub(crate) const ACCOUNTS_FILE: &str = "accounts.kept";

/// A block commits to other accounts than it should, or cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Another root, or one where none belongs, or none where one does.
    #[error("it commits to accounts {found}, {expected} is right at height {height}")]
    Commitment {
        /// Of the block.
        height: u64,
        /// In the block.
        found: String,
        /// Recomputed.
        expected: String,
    },
    /// The ancestors do not follow on what is final.
    #[error(transparent)]
    Fees(#[from] FeeError),
}

/// Accounts that a final block commits to.
#[derive(Debug)]
pub struct Committed {
    height: u64,
    accounts: Arc<Accounts>,
    /// Made when the first proof is asked for.
    tree: OnceLock<Tree>,
}

/// Accounts of the namespaces after the final blocks.
pub(crate) struct Ledger {
    genesis: [u8; 32],
    epoch_blocks: u64,
    file: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    accounts: Arc<Accounts>,
    /// Of the last epochs, the newest last.
    committed: VecDeque<Arc<Committed>>,
    /// Those that the newest block that opened an epoch follows on, whether it commits to them or there were none.
    opened: Arc<Accounts>,
    /// Height of the accounts in the file.
    kept: u64,
}

impl Committed {
    /// Height of the block that commits to them; they are those after the block before it.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The account of a namespace with the path to the root in the block; `None` if it has none.
    pub fn prove(&self, namespace: u64) -> Option<AccountProof> {
        self.accounts.prove(self.tree.get_or_init(|| self.accounts.tree()), namespace)
    }
}

impl Inner {
    fn commit(&mut self, committed: Committed) {
        self.committed.push_back(Arc::new(committed));
        let kept =
            |inner: &Self| inner.committed.iter().map(|committed| committed.accounts.accounts.len()).sum::<usize>();
        while self.committed.len() > 1
            && (self.committed.len() > COMMITTED_EPOCHS_MAX || kept(self) > COMMITTED_ACCOUNTS_MAX)
        {
            self.committed.pop_front();
        }
    }
}

impl Ledger {
    /// Goes on from the file in `directory`, or begins at genesis: without the file, or where it is of no use.
    pub fn open(directory: &Path, genesis: [u8; 32], epoch_blocks: u64) -> Self {
        let file = directory.join(ACCOUNTS_FILE);
        let accounts = match kept::read(&file, &genesis, Pricing::default()) {
            Ok(Some(accounts)) => accounts,
            Ok(None) => Accounts::default(),
            Err(error) => {
                tracing::warn!(%error, "the accounts of namespaces are counted again from the first block on");
                Accounts::default()
            }
        };
        let kept = accounts.height();
        let accounts = Arc::new(accounts);
        let inner = Inner { opened: accounts.clone(), accounts, committed: VecDeque::new(), kept };
        Self { genesis, epoch_blocks, file, inner: Mutex::new(inner) }
    }

    /// Newest block that is counted.
    pub fn height(&self) -> u64 {
        self.inner.lock().accounts.height()
    }

    /// Newest block that is counted in the file: after a crash it goes on from there.
    pub fn kept(&self) -> u64 {
        self.inner.lock().kept
    }

    /// Writes the file now, as far as it may go; returns [`Ledger::kept`].
    ///
    /// # Errors
    /// When the accounts cannot be kept.
    pub fn keep(&self) -> Result<u64, KeptError> {
        let mut inner = self.inner.lock();
        if inner.opened.height() > inner.kept {
            kept::write(&self.file, &self.genesis, &inner.opened)?;
            inner.kept = inner.opened.height();
        }
        Ok(inner.kept)
    }

    /// What is owed after that block.
    pub fn accounts(&self) -> Arc<Accounts> {
        self.inner.lock().accounts.clone()
    }

    /// What the newest final block that opened an epoch commits to, or the one of `height` if it is among the last ones.
    pub fn committed(&self, height: Option<u64>) -> Option<Arc<Committed>> {
        let inner = self.inner.lock();
        match height {
            None => inner.committed.back().cloned(),
            Some(height) => inner.committed.iter().find(|committed| committed.height == height).cloned(),
        }
    }

    /// What the block of `height` on these ancestors, which begin above the last final block, must commit to.
    pub fn commitment(&self, ancestors: &[Arc<Block>], height: u64) -> Result<Option<[u8; 32]>, FeeError> {
        if !self.opens(height) {
            return Ok(None);
        }
        let mut accounts = self.accounts();
        for block in ancestors.iter().filter(|block| block.height > accounts.height()).collect::<Vec<_>>() {
            Arc::make_mut(&mut accounts).apply(block.height, &block.payload)?;
        }
        let expected = accounts.height() + 1;
        match height == expected {
            true => Ok(accounts.root()),
            false => Err(FeeError::Order { found: height, expected }),
        }
    }

    /// Whether `block` on these ancestors commits to what it must, and to nothing where it must not.
    pub fn judge(&self, ancestors: &[Arc<Block>], block: &Block) -> Result<(), LedgerError> {
        // What does not decode is refused where votes and evidence are judged.
        let found = System::read(&block.payload).unwrap_or_default().accounts;
        let expected = self.commitment(ancestors, block.height)?;
        if found == expected {
            return Ok(());
        }
        let name = |root: Option<[u8; 32]>| root.map_or_else(|| "none".to_owned(), hex::encode);
        Err(LedgerError::Commitment { height: block.height, found: name(found), expected: name(expected) })
    }

    /// Counts the next final block; one that was counted before changes nothing.
    ///
    /// # Errors
    /// When it is not the next one, or the accounts cannot be kept.
    pub fn deliver(&self, block: &Block) -> Result<(), KeptError> {
        let mut inner = self.inner.lock();
        if block.height <= inner.accounts.height() {
            return Ok(());
        }
        if self.opens(block.height) {
            let accounts = inner.accounts.clone();
            if accounts.height() >= inner.kept + ACCOUNTS_KEPT_BLOCKS {
                kept::write(&self.file, &self.genesis, &accounts)?;
                inner.kept = accounts.height();
            }
            inner.opened = accounts.clone();
            if !accounts.is_empty() {
                inner.commit(Committed { height: block.height, accounts, tree: OnceLock::new() });
            }
        }
        Arc::make_mut(&mut inner.accounts).apply(block.height, &block.payload)?;
        Ok(())
    }

    fn opens(&self, height: u64) -> bool {
        height.is_multiple_of(self.epoch_blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Entry;
    use crate::system::SYSTEM;
    use crate::testing::{child, genesis};

    const GENESIS: [u8; 32] = [3; 32];

    fn open(directory: &Path) -> Ledger {
        Ledger::open(directory, GENESIS, 4)
    }

    /// A chain of so many blocks, each with a transaction in namespace 7, and what it must have in namespace 0.
    fn blocks(count: u64) -> Vec<Arc<Block>> {
        let ledger = open("/nowhere".as_ref());
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        let mut parent = genesis();
        for height in 1..=count {
            let accounts = ledger.commitment(&blocks, height).unwrap();
            let system = System { accounts, ..System::default() };
            let mut entries = vec![Entry::new(7, [vec![height as u8; 9].into()])];
            if !system.is_empty() {
                entries.insert(0, Entry::new(SYSTEM, system.encode()));
            }
            parent = child(&parent, height, entries);
            blocks.push(Arc::new(parent.clone()));
        }
        blocks
    }

    #[test]
    fn the_block_that_opens_an_epoch_commits_to_what_was_owed_before_it() {
        let (blocks, ledger) = (blocks(9), open("/nowhere".as_ref()));
        for block in &blocks {
            ledger.judge(&[], block).unwrap();
            ledger.deliver(block).unwrap();
        }
        let committed = ledger.committed(None).unwrap();
        assert_eq!(committed.height(), 8);
        let root = System::read(&blocks[7].payload).unwrap().accounts.unwrap();
        let proof = committed.prove(7).unwrap();
        let account = proof.verify(root.into()).unwrap();
        assert_eq!((account.transactions, account.since, account.height), (7, 1, 7));
        assert_eq!(committed.prove(8), None);
        assert_eq!(ledger.accounts().account(7).unwrap().transactions, 9);
    }

    #[test]
    fn accounts_of_the_last_epochs_are_proven_and_no_older_ones() {
        let epochs = COMMITTED_EPOCHS_MAX as u64 + 2;
        let (blocks, ledger) = (blocks(4 * epochs), open("/nowhere".as_ref()));
        blocks.iter().for_each(|block| ledger.deliver(block).unwrap());
        assert!(ledger.committed(Some(8)).is_none(), "the oldest ones went");
        let committed = ledger.committed(Some(12)).unwrap();
        let root = System::read(&blocks[11].payload).unwrap().accounts.unwrap();
        assert_eq!(committed.prove(7).unwrap().verify(root.into()).unwrap().height, 11);
        assert!(ledger.committed(Some(13)).is_none(), "no block that opens an epoch");
        assert_eq!(ledger.committed(None).unwrap().height(), 4 * epochs);
    }

    #[test]
    fn blocks_that_commit_to_something_else_are_refused() {
        let blocks = blocks(4);
        let ledger = open("/nowhere".as_ref());
        let (ancestors, opening) = (&blocks[..3], &blocks[3]);
        ledger.judge(ancestors, opening).unwrap();
        let with = |accounts: Option<[u8; 32]>, parent: &Block, height: u64| {
            let system = System { accounts, ..System::default() }.encode();
            let entries = if system.is_empty() { vec![] } else { vec![Entry::new(SYSTEM, system)] };
            child(parent, height, entries)
        };
        let right = System::read(&opening.payload).unwrap().accounts;
        for wrong in [None, Some([1; 32])] {
            let refused = ledger.judge(ancestors, &with(wrong, &blocks[2], 4));
            assert!(matches!(refused, Err(LedgerError::Commitment { height: 4, .. })), "{refused:?}");
        }
        let early = ledger.judge(&blocks[..2], &with(right, &blocks[1], 3));
        assert!(matches!(early, Err(LedgerError::Commitment { height: 3, .. })), "{early:?}");
        assert!(matches!(ledger.judge(&blocks[..2], opening), Err(LedgerError::Fees(_))), "a gap");
    }

    #[test]
    fn after_a_crash_it_goes_on_from_the_file_and_commits_to_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let blocks = blocks(ACCOUNTS_KEPT_BLOCKS + 12);
        let ledger = open(directory.path());
        blocks.iter().for_each(|block| ledger.deliver(block).unwrap());
        let again = open(directory.path());
        assert_eq!(again.height(), ACCOUNTS_KEPT_BLOCKS + 3, "the accounts that an opening block commits to");
        assert_eq!(again.committed(None).map(|committed| committed.height()), None);
        // Blocks from before are offered again, too.
        blocks.iter().for_each(|block| again.deliver(block).unwrap());
        assert_eq!(again.accounts(), ledger.accounts());
        let height = |ledger: &Ledger| ledger.committed(None).unwrap().height();
        assert_eq!(height(&again), height(&ledger));
        let gap = child(blocks.last().unwrap(), 5_000, vec![]);
        assert!(again.deliver(&Block { height: gap.height + 1, ..gap }).is_err());
    }
}
