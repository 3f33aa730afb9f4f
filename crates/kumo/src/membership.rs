//! Being a member: stake and a current profile in the `ProviderRegistry`, kept as long as the node runs.

use alloy_primitives::{Address, U256};
use eyre::Result;
use protocol::abi::{IProviderRegistry, IStakeManager, PROVIDER_REGISTRY, STAKE_MANAGER};
use protocol::network::Network;
use sdk::{ChainClient, ChainError, Wallet};
use std::time::Duration;

/// Pause before the next try when the chain does not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Pause between two looks at an own registration that is in order.
const CHECK_PAUSE: Duration = Duration::from_secs(15);
/// Coin kept for gas beside the stake, wei: 10 AKE.
const GAS_RESERVE: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);
/// Development account that pays for nodes that join a development network by hand.
const DEV_FAUCET: sdk::wallet::AccountChoice = sdk::wallet::AccountChoice::Index(9);

/// Who wants to be registered, and how.
pub struct Member {
    /// The network.
    pub network: Network,
    /// The node's account.
    pub wallet: Wallet,
    /// What the registry should say.
    pub profile: IProviderRegistry::Profile,
    /// Least active stake, wei.
    pub stake: U256,
}

/// Registers the member and renews the registration when it differs, until the future is dropped.
///
/// Stake is put in once: what a node lost to a slash is not replaced behind its owner's back, only at its next start.
pub async fn keep(mut member: Member) {
    let chain = ChainClient::new(&member.network.rpc, member.network.chain_id);
    let mut told = None;
    loop {
        match ensure(&chain, &member).await {
            Ok(()) => {
                told = None;
                member.stake = U256::ZERO;
                tokio::time::sleep(CHECK_PAUSE).await;
            }
            Err(error) => {
                tell(&member, &error, &mut told);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Warns of each refusal once: its owner can do something about it. That the chain does not answer yet is usual.
fn tell(member: &Member, error: &eyre::Report, told: &mut Option<String>) {
    let (node, text) = (member.wallet.address(), format!("{error:#}"));
    if is_refusal(error) && told.as_ref() != Some(&text) {
        tracing::warn!(%node, error = text, "cannot register; trying again");
        *told = Some(text);
    } else {
        tracing::debug!(%node, error = text, "not registered yet");
    }
}

/// Whether the network said no, or the account cannot pay; everything else may go away by itself.
fn is_refusal(error: &eyre::Report) -> bool {
    matches!(error.downcast_ref(), None | Some(ChainError::Reverted { .. } | ChainError::TooPoor { .. }))
}

/// Registers once, if needed.
///
/// # Errors
/// When the chain does not answer or the account cannot pay.
pub async fn ensure(chain: &ChainClient, member: &Member) -> Result<()> {
    let me = member.wallet.address();
    let staked = chain.call(STAKE_MANAGER, IStakeManager::activeStakeCall { account: me }).await?;
    let missing = member.stake.saturating_sub(staked);
    if missing.is_zero() && is_current(chain, member, me).await? {
        return Ok(());
    }
    fund(chain, member, missing + GAS_RESERVE).await?;
    let profile = member.profile.clone();
    if missing.is_zero() {
        chain.send(&member.wallet, PROVIDER_REGISTRY, IProviderRegistry::registerCall { profile }, U256::ZERO).await?;
    } else {
        let call = IProviderRegistry::stakeAndRegisterCall { profile };
        chain.send(&member.wallet, PROVIDER_REGISTRY, call, missing).await?;
    }
    tracing::info!(node = %me, endpoint = member.profile.endpoint, "registered");
    Ok(())
}

async fn is_current(chain: &ChainClient, member: &Member, me: Address) -> Result<bool> {
    if !chain.call(PROVIDER_REGISTRY, IProviderRegistry::isRegisteredCall { provider: me }).await? {
        return Ok(false);
    }
    let found = chain.call(PROVIDER_REGISTRY, IProviderRegistry::profileCall { provider: me }).await?;
    Ok(found == member.profile)
}

/// On a development network the faucet account pays for nodes that have no coin yet; elsewhere the owner must.
async fn fund(chain: &ChainClient, member: &Member, wanted: U256) -> Result<()> {
    let me = member.wallet.address();
    let balance = chain.balance(me).await?;
    if balance >= wanted {
        return Ok(());
    }
    let Ok(faucet) = Wallet::dev(&member.network, DEV_FAUCET) else {
        eyre::bail!("account {me} has {balance} wei and needs {wanted} for stake and gas; send it coin");
    };
    chain.transfer(&faucet, me, wanted - balance + GAS_RESERVE).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_owner_is_told_what_only_the_owner_can_change() {
        let poor = ChainError::TooPoor { account: Address::ZERO, balance: U256::ZERO, required: U256::from(1) };
        assert!(is_refusal(&poor.into()));
        assert!(is_refusal(&eyre::eyre!("send it coin")));
        assert!(!is_refusal(&ChainError::NoBlock(Default::default()).into()), "a node that starts goes on trying");
    }
}
