//! A namespace in `RollupRegistry`: registered, paid for, charged, paid back.

use super::{Result, RollupError, Rollups, VerifiedAccount};
use crate::chain::ChainError;
use crate::wallet::Wallet;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, U256};
use proof::certificate::Header as SequencerHeader;
use protocol::abi::{IRollupRegistry, ROLLUP_REGISTRY};
use protocol::api::NamespaceBlock;
use std::time::Duration;

pub use protocol::abi::IRollupRegistry::{Ordering, Policy, Rollup};

/// Most blocks between the one that commits to an account and the one that the chain is asked about; the contract takes
/// as many headers.
const ANCHOR_BLOCKS_MAX: u64 = 256;
/// How long a block of the next second is waited for.
const ANCHOR_WAIT: Duration = Duration::from_secs(30);
/// Pause between two looks at the chain.
const POLL: Duration = Duration::from_millis(200);

impl Rollups {
    /// What the registry knows about a namespace, registered or not.
    pub async fn rollup(&self, namespace: u64) -> Result<Rollup> {
        Ok(self.chain.call(ROLLUP_REGISTRY, IRollupRegistry::rollupCall { namespace }).await?)
    }

    /// What it costs to register, in wei.
    pub async fn registration_fee(&self) -> Result<U256> {
        let mut name = [0; 32];
        name[..15].copy_from_slice(b"registrationFee");
        Ok(self.chain.call(ROLLUP_REGISTRY, IRollupRegistry::parameterCall { name: name.into() }).await?.value)
    }

    /// Registers a namespace for `wallet`, with `deposit` wei for its fees on top of the registration fee; returns the
    /// transaction.
    pub async fn register(
        &self,
        wallet: &Wallet,
        namespace: u64,
        recipient: Address,
        policy: Policy,
        deposit: U256,
    ) -> Result<B256> {
        let value = self.registration_fee().await?.saturating_add(deposit);
        let call = IRollupRegistry::registerCall { namespace, feeRecipient: recipient, policy };
        Ok(self.chain.send(wallet, ROLLUP_REGISTRY, call, value).await?.transaction_hash)
    }

    /// Changes how a namespace is ordered; owner only.
    pub async fn set_policy(&self, wallet: &Wallet, namespace: u64, policy: Policy) -> Result<B256> {
        let call = IRollupRegistry::setPolicyCall { namespace, policy };
        Ok(self.chain.send(wallet, ROLLUP_REGISTRY, call, U256::ZERO).await?.transaction_hash)
    }

    /// Pays for fees of a namespace, what it owes first.
    pub async fn deposit(&self, wallet: &Wallet, namespace: u64, amount: U256) -> Result<B256> {
        let call = IRollupRegistry::depositCall { namespace };
        Ok(self.chain.send(wallet, ROLLUP_REGISTRY, call, amount).await?.transaction_hash)
    }

    /// Pays the namespace's share of its fees to its recipient; returns the amount and the transaction.
    pub async fn claim(&self, wallet: &Wallet, namespace: u64) -> Result<(U256, B256)> {
        let share = self.rollup(namespace).await?.share;
        let call = IRollupRegistry::claimCall { namespace };
        let receipt = self.chain.send(wallet, ROLLUP_REGISTRY, call, U256::ZERO).await?;
        Ok((share, receipt.transaction_hash))
    }

    /// Has a namespace charged for what the last epoch opened with; returns what was due and the transaction, or `None`
    /// if that was settled before.
    pub async fn settle(&self, wallet: &Wallet, namespace: u64) -> Result<Option<(U256, B256)>> {
        let (_, verified) = self.account(namespace).await?;
        let verified = verified.ok_or(RollupError::NotCommitted(namespace))?;
        let known = self.rollup(namespace).await?;
        let account = &verified.account;
        if account.since == known.settledSince && account.owed == known.settledOwed {
            return Ok(None);
        }
        let (timestamp, headers) = self.anchor(&verified).await?;
        let call = IRollupRegistry::settleCall {
            timestamp,
            headers,
            commitment: verified.evidence.commitment.clone(),
            account: verified.evidence.account.clone(),
        };
        let due = self.chain.simulate(wallet.address(), ROLLUP_REGISTRY, call.clone(), U256::ZERO).await?.due;
        let receipt = self.chain.send(wallet, ROLLUP_REGISTRY, call, U256::ZERO).await?;
        Ok(Some((due, receipt.transaction_hash)))
    }

    /// Headers from the block of the account to one whose child the chain remembers (EIP-4788), and that child's second.
    ///
    /// The chain remembers one block for each second, the newest. So the child is the last block of its second.
    async fn anchor(&self, verified: &VerifiedAccount) -> Result<(u64, Vec<Bytes>)> {
        let first = verified.height + 1;
        let begin = tokio::time::Instant::now();
        let no_anchor = RollupError::NoAnchor { height: verified.height, seconds: ANCHOR_WAIT.as_secs() };
        let mut child = self.evm_header(first, begin).await?;
        for number in first..first + ANCHOR_BLOCKS_MAX {
            let next = self.evm_header(number + 1, begin).await?;
            if next.timestamp > child.timestamp {
                let headers = self.headers(verified, number - 1).await?;
                return Ok((child.timestamp, headers));
            }
            child = next;
        }
        Err(no_anchor)
    }

    /// A header of the chain, waited for.
    async fn evm_header(&self, number: u64, begin: tokio::time::Instant) -> Result<alloy_consensus::Header> {
        loop {
            match self.chain.header(BlockNumberOrTag::Number(number)).await {
                Err(ChainError::NoBlock(_)) if begin.elapsed() < ANCHOR_WAIT => tokio::time::sleep(POLL).await,
                answer => return Ok(answer?),
            }
        }
    }

    /// Encoded headers of the sequencer from the block of the account up to `last`, each the child of the one before.
    /// The contract checks that; here it is only said earlier.
    async fn headers(&self, verified: &VerifiedAccount, last: u64) -> Result<Vec<Bytes>> {
        let mut headers = vec![verified.evidence.header.clone()];
        for height in verified.height + 1..=last {
            let path = format!("/seq/v1/blocks/{height}/namespaces/0");
            let block: NamespaceBlock = self.ask(async |validator| validator.get(&path).await).await?;
            let parent = headers.last().and_then(|header| SequencerHeader::decode(header)).map(|header| header.digest);
            let found = SequencerHeader::decode(&block.header).map(|header| header.parent).unwrap_or_default();
            if parent != Some(found) {
                let source = super::TrustError::Parent { found, expected: parent.unwrap_or_default() };
                return Err(RollupError::Untrue { height, source });
            }
            headers.push(block.header);
        }
        Ok(headers)
    }
}
