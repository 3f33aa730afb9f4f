//! How accounts are kept, so that a validator goes on from them after a restart.
//!
//! ```text
//! file    = "KUMOACCT" ‖ version 2 (4) ‖ digest of genesis (32) ‖ target bytes (8) ‖ lowest base fee (8) ‖ height (8)
//!           ‖ forgotten (96) ‖ accounts (4) ‖ account (96)… ‖ SHA-256 of everything before
//! ```
//! Integers are big endian; an account is encoded as in [`proof::account`]. The file is replaced as a whole: new file,
//! sync, rename, sync of the folder.

use super::{ACCOUNTS_MAX, Account, Accounts, FeeError, Pricing};
use commonware_cryptography::{Hasher as _, Sha256};
use proof::account::ACCOUNT_BYTES;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"KUMOACCT";
const VERSION: u32 = 2;
const SUM_BYTES: usize = 32;
/// Everything before the accounts.
const HEAD_BYTES: usize = 8 + 4 + 32 + 3 * 8 + ACCOUNT_BYTES + 4;
const BYTES_MAX: usize = HEAD_BYTES + ACCOUNTS_MAX * ACCOUNT_BYTES + SUM_BYTES;

/// The accounts cannot be kept, or what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds are not the accounts of this network.
    #[error("{path} has {bytes} bytes that are not the accounts of this network under these prices")]
    Damaged {
        /// File.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// The block does not follow.
    #[error(transparent)]
    Fees(#[from] FeeError),
}

/// The accounts in the file; `None` without one.
pub(super) fn read(path: &Path, genesis: &[u8; 32], pricing: Pricing) -> Result<Option<Accounts>, KeptError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeptError::File { path: path.to_owned(), source }),
    };
    let damaged = || KeptError::Damaged { path: path.to_owned(), bytes: bytes.len() };
    decode(&bytes, genesis, pricing).map(Some).ok_or_else(damaged)
}

/// Replaces the file; durable when it returns.
pub(crate) fn write(path: &Path, genesis: &[u8; 32], accounts: &Accounts) -> Result<(), KeptError> {
    let new = path.with_extension("new");
    let replace = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(&encode(genesis, accounts))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    replace().map_err(|source| KeptError::File { path: path.to_owned(), source })
}

/// The file of these accounts.
pub(crate) fn encode(genesis: &[u8; 32], accounts: &Accounts) -> Vec<u8> {
    let mut bytes = head(genesis, accounts.pricing);
    bytes.extend(accounts.height.to_be_bytes());
    bytes.extend(accounts.forgotten.encode());
    bytes.extend((accounts.accounts.len() as u32).to_be_bytes());
    accounts.accounts.values().for_each(|account| bytes.extend(account.encode()));
    let sum = Sha256::hash(&[&bytes]);
    bytes.extend_from_slice(&sum);
    bytes
}

/// What must be the same for these accounts to be of use.
fn head(genesis: &[u8; 32], Pricing { target_bytes, base_fee_min }: Pricing) -> Vec<u8> {
    let prices = [target_bytes, base_fee_min].map(u64::to_be_bytes).concat();
    [MAGIC.as_slice(), &VERSION.to_be_bytes(), genesis, &prices].concat()
}

/// Reads [`encode`]; `None` if these are not the accounts of the network at these prices.
pub(crate) fn decode(bytes: &[u8], genesis: &[u8; 32], pricing: Pricing) -> Option<Accounts> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let (body, sum) = bytes.split_last_chunk::<SUM_BYTES>()?;
    if Sha256::hash(&[body])[..] != sum[..] {
        return None;
    }
    let rest = body.strip_prefix(head(genesis, pricing).as_slice())?;
    let (height, rest) = rest.split_first_chunk::<8>()?;
    let (forgotten, rest) = rest.split_first_chunk::<ACCOUNT_BYTES>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (rows, left) = rest.as_chunks::<ACCOUNT_BYTES>();
    if rows.len() != u32::from_be_bytes(*count) as usize || !left.is_empty() || rows.len() > ACCOUNTS_MAX {
        return None;
    }
    let mut accounts = Accounts::new(pricing).ok()?;
    accounts.height = u64::from_be_bytes(*height);
    accounts.forgotten = Account::decode(forgotten);
    for row in rows {
        let account = Account::decode(row);
        let ascends = accounts.accounts.last_key_value().is_none_or(|(last, _)| *last < account.namespace);
        if !ascends || account.height > accounts.height {
            return None;
        }
        accounts.used.insert((account.height, account.namespace));
        accounts.accounts.insert(account.namespace, account);
    }
    Some(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Entry};
    use crate::payload::Payload;

    const GENESIS: [u8; 32] = [9; 32];

    fn accounts() -> Accounts {
        let entries = vec![Entry::new(1, [vec![1; 5].into()]), Entry::new(7, [vec![2; 50].into()])];
        let payload = Payload::new(Content { entries, bundles: vec![] }).unwrap();
        let mut accounts = Accounts::default();
        accounts.apply(1, &payload).unwrap();
        accounts.apply(2, &Payload::default()).unwrap();
        accounts
    }

    #[test]
    fn accounts_come_back_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts.kept");
        assert!(read(&file, &GENESIS, Pricing::default()).unwrap().is_none());
        for accounts in [Accounts::default(), accounts()] {
            write(&file, &GENESIS, &accounts).unwrap();
            assert_eq!(read(&file, &GENESIS, Pricing::default()).unwrap(), Some(accounts));
        }
    }

    #[test]
    fn damage_another_network_and_other_prices_are_refused() {
        let good = encode(&GENESIS, &accounts());
        assert!(decode(&good, &GENESIS, Pricing::default()).is_some());
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            assert_eq!(decode(&bad, &GENESIS, Pricing::default()), None, "byte {byte}");
            assert_eq!(decode(&good[..byte], &GENESIS, Pricing::default()), None, "cut at {byte}");
        }
        assert_eq!(decode(&good, &[8; 32], Pricing::default()), None);
        assert_eq!(decode(&good, &GENESIS, Pricing { base_fee_min: 2, ..Pricing::default() }), None);
    }

    #[test]
    fn accounts_out_of_order_are_refused_though_the_sum_is_right() {
        let mut body = encode(&GENESIS, &accounts());
        body.truncate(body.len() - SUM_BYTES);
        let first = HEAD_BYTES;
        let second = body.split_off(first + ACCOUNT_BYTES);
        let swapped = [&body[..first], &second, &body[first..]].concat();
        let bytes = [swapped.as_slice(), &Sha256::hash(&[&swapped])].concat();
        assert_eq!(decode(&bytes, &GENESIS, Pricing::default()), None);
    }
}
