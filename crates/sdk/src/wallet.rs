//! Keys: the account that signs, and the X25519 key derived from it that files and job keys are wrapped to.
//!
//! One secret is enough: the exchange key is HKDF-SHA256 of the secp256k1 key (RFC 5869, no salt, info
//! `kumo/x25519/v1`), so whoever restores the account can read the account's files. Both are wiped from memory on drop.
//! The development accounts are the ones of the mnemonic every Ethereum tool knows; their keys are public, so they are
//! refused on any network that is not a development network.

use alloy_primitives::{Address, B256, Signature};
use alloy_signer::SignerSync;
use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use alloy_sol_types::{Eip712Domain, SolStruct};
use hkdf::Hkdf;
use protocol::network::{DEV_CHAIN_ID, Network};
use sha2::Sha256;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use storage::crypt::SecretKey;
use zeroize::Zeroizing;

/// The mnemonic of every development network.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Development accounts, derived at `m/44'/60'/0'/0/0` to `…/9`.
pub const DEV_ACCOUNTS: usize = 10;

/// HKDF `info` of the exchange key.
pub const EXCHANGE_INFO: &[u8] = b"kumo/x25519/v1";

/// Largest key file that is read, in bytes; a real one has 67.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// Why there is no wallet.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// Zero, or not below the order of the group.
    #[error("not a secp256k1 private key")]
    BadKey,
    /// Public keys would sign for real money.
    #[error(
        "the development accounts are refused on chain {chain_id}: their keys are public, and it is not a development network (chain {DEV_CHAIN_ID})"
    )]
    NotDev {
        /// Chain id of the network.
        chain_id: u64,
    },
    /// No such index.
    #[error("there is no development account {index}, only 0 to {}", count - 1)]
    NoSuchIndex {
        /// Index asked for.
        index: usize,
        /// Accounts that exist.
        count: usize,
    },
    /// No key for this address.
    #[error("no key for {0}: it is not a development account of this network")]
    NoSuchAccount(Address),
    /// A network file whose account and key do not belong together.
    #[error("the network file lists a key for {listed} that belongs to {derived}")]
    KeyMismatch {
        /// Address in the file.
        listed: Address,
        /// Address of the key.
        derived: Address,
    },
    /// The key file cannot be read or written.
    #[error("cannot access key file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file holds something else.
    #[error("{path} is not a key file: expected 0x and 64 hex digits")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// Others could read the key.
    #[error("key file {path} has mode {mode:03o}, others may read it; allowed is 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Which development account to use: `3`, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChoice {
    /// Position in the list of development accounts, from 0.
    Index(usize),
    /// Its address.
    Address(Address),
}

impl Default for AccountChoice {
    fn default() -> Self {
        Self::Index(0)
    }
}

impl FromStr for AccountChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        text.parse().map(Self::Address).map_err(|_| format!("{text:?} is neither an account index nor an address"))
    }
}

/// An account that can sign and decrypt.
#[derive(Clone)]
pub struct Wallet {
    signer: PrivateKeySigner,
    exchange: SecretKey,
    exchange_public: B256,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.address())
    }
}

impl Wallet {
    /// From a secp256k1 private key.
    pub fn from_private_key(key: &B256) -> Result<Self, WalletError> {
        let signer = PrivateKeySigner::from_bytes(key).map_err(|_| WalletError::BadKey)?;
        Ok(Self::from_signer(signer))
    }

    /// A fresh account, from the system's randomness.
    pub fn random() -> Self {
        loop {
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(key.as_mut_slice()).expect("the system has randomness");
            // All but one in 2^127 keys are valid.
            if let Ok(signer) = PrivateKeySigner::from_slice(key.as_slice()) {
                return Self::from_signer(signer);
            }
        }
    }

    /// A development account. Refused unless `network` says that it is a development network, on the development chain.
    pub fn dev(network: &Network, choice: AccountChoice) -> Result<Self, WalletError> {
        let accounts = dev_accounts(network)?;
        let count = accounts.len();
        let found = match choice {
            AccountChoice::Index(index) => {
                accounts.into_iter().nth(index).ok_or(WalletError::NoSuchIndex { index, count })?
            }
            AccountChoice::Address(address) => accounts
                .into_iter()
                .find(|account| account.address == address)
                .ok_or(WalletError::NoSuchAccount(address))?,
        };
        let wallet = Self::from_private_key(&found.private_key)?;
        if wallet.address() != found.address {
            return Err(WalletError::KeyMismatch { listed: found.address, derived: wallet.address() });
        }
        Ok(wallet)
    }

    /// Reads a key file. Refused when other users may read it.
    pub fn load(path: &Path) -> Result<Self, WalletError> {
        let failed = |source| WalletError::File { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        check_mode(path, &metadata)?;
        if metadata.len() > KEY_FILE_BYTES_MAX {
            return Err(WalletError::NotAKeyFile { path: path.to_owned() });
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        let key: B256 = text.trim().parse().map_err(|_| WalletError::NotAKeyFile { path: path.to_owned() })?;
        Self::from_private_key(&key)
    }

    /// Writes a key file that only this user can read. An existing file is never overwritten.
    pub fn store(&self, path: &Path) -> Result<(), WalletError> {
        let failed = |source| WalletError::File { path: path.to_owned(), source };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let text = Zeroizing::new(format!("{}\n", self.signer.to_bytes()));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// The key file at `path`, written with a fresh key first if there is none: how a node keeps its account.
    pub fn load_or_create(path: &Path) -> Result<Self, WalletError> {
        if path.exists() {
            return Self::load(path);
        }
        let wallet = Self::random();
        wallet.store(path)?;
        Ok(wallet)
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// What signs for the account, for chains of other networks.
    pub fn signer(&self) -> &PrivateKeySigner {
        &self.signer
    }

    /// X25519 public key that files and job keys for this account are wrapped to.
    pub fn exchange_public(&self) -> B256 {
        self.exchange_public
    }

    /// X25519 private key that opens them.
    pub fn exchange_secret(&self) -> &SecretKey {
        &self.exchange
    }

    /// Signs a 32-byte digest as it is.
    pub fn sign_digest(&self, digest: &B256) -> Signature {
        self.signer.sign_hash_sync(digest).expect("a local key signs any digest")
    }

    /// Signs typed data (EIP-712); 65 bytes `r ‖ s ‖ v`.
    pub fn sign_typed<T: SolStruct>(&self, value: &T, domain: &Eip712Domain) -> [u8; 65] {
        self.sign_digest(&value.eip712_signing_hash(domain)).as_bytes()
    }

    /// Signs a message with the prefix that no transaction has (EIP-191); 65 bytes `r ‖ s ‖ v`.
    pub fn sign_message(&self, message: &[u8]) -> [u8; 65] {
        self.signer.sign_message_sync(message).expect("a local key signs any message").as_bytes()
    }

    fn from_signer(signer: PrivateKeySigner) -> Self {
        let exchange = derive_exchange(&signer);
        let exchange_public = B256::from(exchange.public().0);
        Self { signer, exchange, exchange_public }
    }
}

/// The development accounts of `network`: those it lists, else those of [`DEV_MNEMONIC`].
pub fn dev_accounts(network: &Network) -> Result<Vec<protocol::network::Account>, WalletError> {
    if !network.dev || network.chain_id != DEV_CHAIN_ID {
        return Err(WalletError::NotDev { chain_id: network.chain_id });
    }
    if network.accounts.is_empty() {
        return Ok(mnemonic_accounts());
    }
    Ok(network.accounts.clone())
}

/// The accounts of [`DEV_MNEMONIC`]: what the genesis of a development network gives money to.
pub fn mnemonic_accounts() -> Vec<protocol::network::Account> {
    (0..DEV_ACCOUNTS as u32).map(mnemonic_account).collect()
}

fn mnemonic_account(index: u32) -> protocol::network::Account {
    let signer = MnemonicBuilder::<English>::default()
        .phrase(DEV_MNEMONIC)
        .index(index)
        .and_then(|builder| builder.build())
        .expect("the phrase is a valid mnemonic, and small indices are valid paths");
    protocol::network::Account { address: signer.address(), private_key: signer.to_bytes() }
}

fn derive_exchange(signer: &PrivateKeySigner) -> SecretKey {
    let key = Zeroizing::new(signer.to_bytes().0);
    let mut secret = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, key.as_slice())
        .expand(EXCHANGE_INFO, secret.as_mut_slice())
        .expect("32 bytes are within the 8160 that HKDF-SHA256 can give");
    SecretKey::from_bytes(*secret)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), WalletError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 != 0 {
        return Err(WalletError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), WalletError> {
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    /// A network file as `kumo dev` writes it, with nothing listening.
    pub(crate) fn network(dev: bool, chain_id: u64) -> Network {
        Network {
            lane: None,
            chain_id,
            dev,
            rpc: "http://127.0.0.1:1".into(),
            gateway: "http://127.0.0.1:1".into(),
            accounts: Vec::new(),
            contracts: Default::default(),
            validators: Vec::new(),
            genesis: None,
        }
    }

    fn wallet(byte: u8) -> Wallet {
        Wallet::from_private_key(&B256::repeat_byte(byte)).unwrap()
    }

    #[test]
    fn development_accounts_are_the_ones_every_tool_knows() {
        let accounts = mnemonic_accounts();
        assert_eq!(accounts.len(), DEV_ACCOUNTS);
        assert_eq!(accounts[0].address, address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(accounts[9].address, address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"));
        let key = b256!("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        assert_eq!(accounts[0].private_key, key);
    }

    #[test]
    fn development_keys_are_refused_elsewhere() {
        for (dev, chain_id) in [(false, DEV_CHAIN_ID), (true, 1), (false, 1), (true, DEV_CHAIN_ID + 1)] {
            let error = Wallet::dev(&network(dev, chain_id), AccountChoice::Index(0)).unwrap_err();
            assert!(matches!(error, WalletError::NotDev { chain_id: found } if found == chain_id), "{error}");
        }
    }

    #[test]
    fn accounts_are_chosen_by_index_or_address() {
        let mut network = network(true, DEV_CHAIN_ID);
        network.accounts = mnemonic_accounts();
        let second = network.accounts[1].address;
        assert_eq!(Wallet::dev(&network, AccountChoice::Index(1)).unwrap().address(), second);
        assert_eq!(Wallet::dev(&network, AccountChoice::Address(second)).unwrap().address(), second);
        let error = Wallet::dev(&network, AccountChoice::Index(10)).unwrap_err();
        assert_eq!(error.to_string(), "there is no development account 10, only 0 to 9");
        let error = Wallet::dev(&network, AccountChoice::Address(Address::ZERO)).unwrap_err();
        assert!(matches!(error, WalletError::NoSuchAccount(Address::ZERO)));
        network.accounts[1].address = Address::ZERO;
        let error = Wallet::dev(&network, AccountChoice::Index(1)).unwrap_err();
        assert!(matches!(error, WalletError::KeyMismatch { listed: Address::ZERO, .. }));
    }

    #[test]
    fn choices_are_read_as_written() {
        assert_eq!("3".parse(), Ok(AccountChoice::Index(3)));
        let text = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert_eq!(text.parse(), Ok(AccountChoice::Address(text.parse().unwrap())));
        assert!("-1".parse::<AccountChoice>().is_err());
        assert!("alice".parse::<AccountChoice>().is_err());
    }

    #[test]
    fn exchange_keys_follow_the_written_derivation() {
        // HKDF-SHA256(key, salt = 0^32, info = "kumo/x25519/v1"), by RFC 5869's own formulas.
        use sha2::Digest;
        let hmac = |key: &[u8], message: &[u8]| {
            let mut block = [0u8; 64];
            block[..key.len()].copy_from_slice(key);
            let inner = Sha256::digest([block.map(|b| b ^ 0x36).as_slice(), message].concat());
            Sha256::digest([block.map(|b| b ^ 0x5c).as_slice(), inner.as_slice()].concat())
        };
        let pseudorandom = hmac(&[0; 32], B256::repeat_byte(1).as_slice());
        let expected = hmac(pseudorandom.as_slice(), &[EXCHANGE_INFO, &[1]].concat());
        assert_eq!(wallet(1).exchange_secret().to_bytes().as_slice(), expected.as_slice());
        assert_ne!(wallet(1).exchange_public(), wallet(2).exchange_public());
    }

    #[test]
    fn exchange_public_keys_are_x25519() {
        // RFC 7748 section 5.2: the first iteration multiplies the base point by 9.
        let mut secret = [0; 32];
        secret[0] = 9;
        let expected = b256!("0x422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
        assert_eq!(SecretKey::from_bytes(secret).public().0, expected.0);
    }

    #[test]
    fn key_files_come_back_and_are_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let wallet = Wallet::load_or_create(&path).unwrap();
        assert_eq!(Wallet::load_or_create(&path).unwrap().address(), wallet.address());
        let error = wallet.store(&path).unwrap_err();
        assert!(matches!(error, WalletError::File { .. }), "never overwritten: {error}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(Wallet::load(&path), Err(WalletError::Exposed { mode: 0o640, .. })));
        }
    }

    #[test]
    fn broken_key_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let long = "0x".to_owned() + &"1".repeat(300);
        let zero = B256::ZERO.to_string();
        for text in ["", "0x12", "secret", &long, &zero] {
            std::fs::write(&path, text).unwrap();
            #[cfg(unix)]
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            let error = Wallet::load(&path).unwrap_err();
            assert!(matches!(error, WalletError::NotAKeyFile { .. } | WalletError::BadKey), "{text:?}: {error}");
        }
        assert!(matches!(Wallet::load(&folder.path().join("none")), Err(WalletError::File { .. })));
    }

    #[test]
    fn signatures_belong_to_the_account() {
        let wallet = wallet(3);
        let digest = B256::repeat_byte(9);
        let signature = wallet.sign_digest(&digest);
        assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), wallet.address());
        let signature = Signature::from_raw(&wallet.sign_message(b"log")).unwrap();
        assert_eq!(signature.recover_address_from_msg(b"log").unwrap(), wallet.address());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", wallet(3)), format!("Wallet({})", wallet(3).address()));
    }
}
