//! The key bundle of a job on its way: sealed to one account, carried by the market's `KeyDelivered` events.
//!
//! The market lets only the consumer and holders of the key deliver, and only to holders and the consumer; who sends is
//! checked here again, and what the consumer sent is preferred to what anybody else did.

use crate::chain::{ChainClient, ChainError};
use crate::wallet::Wallet;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::Filter;
use protocol::abi::{IJobMarket, IProviderRegistry, JOB_MARKET, PROVIDER_REGISTRY};
use protocol::keys::{KeyBundle, WRAPPED_BYTES_MAX, bundle_info};
use storage::crypt::{self, CryptError, OsRandom, PublicKey};
use zeroize::Zeroizing;

/// Accounts served by one transaction: each costs up to 4 KiB of calldata and of log.
pub const HOLDERS_PER_DELIVERY: usize = 8;
/// Deliveries to one account that are looked at; the newest ones count.
const DELIVERIES_MAX: usize = 64;

/// Why a key bundle did not arrive, or did not leave.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The chain refused or was not reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Too many encrypted inputs.
    #[error("key bundle has {bytes} bytes when sealed, the market carries {WRAPPED_BYTES_MAX}")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The account cannot be sent anything secret.
    #[error("cannot seal the job key to {account}: {source}")]
    Seal {
        /// Whose key it is.
        account: Address,
        /// What is wrong with it.
        source: CryptError,
    },
}

/// Seals `bundle` for the X25519 key `to`, bound to one job of one chain.
pub(crate) fn seal(chain_id: u64, job_id: u64, bundle: &KeyBundle, to: B256) -> Result<Vec<u8>, CryptError> {
    let plain = Zeroizing::new(bundle.encode());
    crypt::seal(&PublicKey(to.0), &bundle_info(chain_id, job_id), &[], &plain, &mut OsRandom)
}

/// Opens what [`seal`] made for the wallet; `None` if it was made for somebody else, another job, or is broken.
pub(crate) fn unseal(chain_id: u64, job_id: u64, wallet: &Wallet, wrapped: &[u8]) -> Option<KeyBundle> {
    if wrapped.len() > WRAPPED_BYTES_MAX {
        return None;
    }
    let plain = crypt::open(wallet.exchange_secret(), &bundle_info(chain_id, job_id), &[], wrapped).ok()?;
    KeyBundle::decode(&Zeroizing::new(plain))
}

/// Hands the job's keys to `accounts`, each under its own key. Accounts that may not have them (any more) are left out;
/// returns those that were served.
pub async fn deliver(
    chain: &ChainClient,
    wallet: &Wallet,
    job_id: u64,
    bundle: &KeyBundle,
    accounts: &[Address],
) -> Result<Vec<Address>, BundleError> {
    let mut served = Vec::new();
    for group in accounts.chunks(HOLDERS_PER_DELIVERY) {
        let (mut to, mut wrapped) = (Vec::new(), Vec::new());
        for account in group {
            if let Some(key) = recipient_key(chain, wallet, job_id, *account).await? {
                to.push(*account);
                wrapped.push(wrap(chain.chain_id(), job_id, bundle, *account, key)?);
            }
        }
        if to.is_empty() {
            continue;
        }
        served.extend(&to);
        let call = IJobMarket::deliverKeysCall { jobId: U256::from(job_id), to, wrapped };
        chain.send(wallet, JOB_MARKET, call, U256::ZERO).await?;
    }
    Ok(served)
}

/// The bundle that was delivered to the wallet's account, if one was: the consumer's own before one that was handed on.
pub async fn open_bundle(chain: &ChainClient, wallet: &Wallet, job_id: u64) -> Result<Option<KeyBundle>, ChainError> {
    open_bundle_named(chain, wallet, job_id, None).await
}

/// Like [`open_bundle`], passing over every bundle but the one with `digest`, which the specification names. For whoever
/// acts on a bundle that another holder may have handed on: a false one would make an honest result look wrong.
pub async fn open_bundle_named(
    chain: &ChainClient,
    wallet: &Wallet,
    job_id: u64,
    digest: Option<B256>,
) -> Result<Option<KeyBundle>, ChainError> {
    let job = chain.call(JOB_MARKET, IJobMarket::jobCall { jobId: U256::from(job_id) }).await?;
    let filter = delivered_to(chain, job_id, &job, wallet.address()).await?;
    let events = chain.events::<IJobMarket::KeyDelivered>(&filter).await?;
    let consumer = job.consumer;
    let newest = || events.iter().rev().take(DELIVERIES_MAX).map(|(event, _)| event);
    let from_consumer = newest().filter(|event| event.from == consumer);
    let from_others = newest().filter(|event| event.from != consumer);
    for event in from_consumer.chain(from_others) {
        let Some(bundle) = unseal(chain.chain_id(), job_id, wallet, &event.wrapped) else { continue };
        if digest.is_some_and(|digest| digest != bundle.digest()) {
            continue;
        }
        if event.from == consumer || may_hold(chain, job_id, event.from).await? {
            return Ok(Some(bundle));
        }
    }
    Ok(None)
}

/// Whether anybody has delivered the job's keys to `account` yet.
pub async fn was_delivered(chain: &ChainClient, job_id: u64, account: Address) -> Result<bool, ChainError> {
    let job = chain.call(JOB_MARKET, IJobMarket::jobCall { jobId: U256::from(job_id) }).await?;
    Ok(!chain.logs(&delivered_to(chain, job_id, &job, account).await?).await?.is_empty())
}

async fn delivered_to(
    chain: &ChainClient,
    job_id: u64,
    job: &IJobMarket::Job,
    account: Address,
) -> Result<Filter, ChainError> {
    let signature = <IJobMarket::KeyDelivered as alloy_sol_types::SolEvent>::SIGNATURE_HASH;
    let filter = Filter::new().address(JOB_MARKET).event_signature(signature);
    let filter = filter.topic1(U256::from(job_id)).topic2(account.into_word());
    Ok(filter.from_block(chain.block_at(job.openedAt).await?))
}

fn wrap(chain_id: u64, job_id: u64, bundle: &KeyBundle, account: Address, key: B256) -> Result<Bytes, BundleError> {
    let wrapped = seal(chain_id, job_id, bundle, key).map_err(|source| BundleError::Seal { account, source })?;
    if wrapped.len() > WRAPPED_BYTES_MAX {
        return Err(BundleError::TooLong { bytes: wrapped.len() });
    }
    Ok(wrapped.into())
}

/// The key to seal to; the sender's own account needs no place in the registry.
async fn recipient_key(
    chain: &ChainClient,
    wallet: &Wallet,
    job_id: u64,
    account: Address,
) -> Result<Option<B256>, ChainError> {
    if account == wallet.address() {
        return Ok(Some(wallet.exchange_public()));
    }
    if !may_hold(chain, job_id, account).await? {
        return Ok(None);
    }
    let profile = chain.call(PROVIDER_REGISTRY, IProviderRegistry::profileCall { provider: account }).await?;
    Ok((!profile.encryptionKey.is_zero()).then_some(profile.encryptionKey))
}

async fn may_hold(chain: &ChainClient, job_id: u64, account: Address) -> Result<bool, ChainError> {
    chain.call(JOB_MARKET, IJobMarket::isKeyHolderCall { jobId: U256::from(job_id), account }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::content::raw_cid;
    use protocol::keys::FileKey;

    const CHAIN: u64 = 5886;

    fn wallet(byte: u8) -> Wallet {
        Wallet::from_private_key(&B256::repeat_byte(byte)).unwrap()
    }

    fn bundle(files: usize) -> KeyBundle {
        let file = |n: usize| FileKey { cid: raw_cid(&n.to_be_bytes()), key: [0xff; 32] };
        KeyBundle { secret: [0xff; 32], files: (0..files).map(file).collect() }
    }

    #[test]
    fn only_the_account_it_was_sealed_to_opens_a_bundle() {
        let wrapped = seal(CHAIN, 7, &bundle(2), wallet(1).exchange_public()).unwrap();
        assert_eq!(unseal(CHAIN, 7, &wallet(1), &wrapped), Some(bundle(2)));
        assert_eq!(unseal(CHAIN, 7, &wallet(2), &wrapped), None);
    }

    #[test]
    fn a_bundle_is_bound_to_one_job_of_one_chain() {
        let wrapped = seal(CHAIN, 7, &bundle(1), wallet(1).exchange_public()).unwrap();
        assert_eq!(unseal(CHAIN, 8, &wallet(1), &wrapped), None);
        assert_eq!(unseal(CHAIN + 1, 7, &wallet(1), &wrapped), None);
    }

    #[test]
    fn changed_cut_and_endless_bundles_are_passed_over() {
        let wrapped = seal(CHAIN, 7, &bundle(1), wallet(1).exchange_public()).unwrap();
        for index in [0, 31, 32, wrapped.len() - 1] {
            let mut changed = wrapped.clone();
            changed[index] ^= 1;
            assert_eq!(unseal(CHAIN, 7, &wallet(1), &changed), None, "byte {index}");
        }
        assert_eq!(unseal(CHAIN, 7, &wallet(1), &wrapped[..40]), None);
        assert_eq!(unseal(CHAIN, 7, &wallet(1), &vec![0; WRAPPED_BYTES_MAX + 1]), None);
    }

    #[test]
    fn the_largest_number_of_inputs_fits_the_market() {
        let wrapped = wrap(CHAIN, 7, &bundle(compute::job::INPUTS_MAX), Address::ZERO, wallet(1).exchange_public());
        assert!(wrapped.unwrap().len() <= WRAPPED_BYTES_MAX);
        let error = wrap(CHAIN, 7, &bundle(64), Address::ZERO, wallet(1).exchange_public()).unwrap_err();
        assert!(matches!(error, BundleError::TooLong { .. }), "{error}");
    }
}
