//! The step about the rollup: a namespace is registered, ordered, read with proofs, and pays for it.

use super::steps::{Consumer, PATIENCE, POLL};
use crate::dev::DevNetwork;
use alloy_primitives::{Bytes, U256};
use cli::ake;
use eyre::{Result, ensure};
use sdk::rollup::{Ordering, Policy, VerifiedBlock};
use sdk::{Client, Rollups};
use std::time::Instant;

/// Namespace of the demo's rollup.
const ROLLUP: u64 = 7_001;
/// Namespace that nobody uses.
const SILENT: u64 = 7_002;
/// Transactions of the demo's rollup.
const TRANSACTIONS: usize = 20;
/// Most bytes of the rollup in one block: all of them fit.
const QUOTA_BYTES: u32 = 4_096;

/// Registers a namespace, orders transactions, verifies that they are all there and that another namespace has none, and
/// has the fee charged that the network has committed to.
pub async fn rollup(network: &DevNetwork, consumer: &Consumer) -> Result<((), String)> {
    let rollups = Client::connect(network.network().clone(), sdk::Options::default()).await?.rollups()?;
    let policy = Policy { ordering: Ordering::Open, quotaBytes: QUOTA_BYTES };
    let (wallet, deposit) = (&consumer.wallet, U256::from(protocol::units::WEI_PER_AKE));
    rollups.register(wallet, ROLLUP, wallet.address(), policy, deposit).await?;
    let first = consumer.chain.block_number().await?.max(1);
    let payloads: Vec<Bytes> =
        (0..TRANSACTIONS).map(|n| Bytes::from(format!("transfer {n} of the demo rollup").into_bytes())).collect();
    for payload in &payloads {
        rollups.submit(ROLLUP, payload.clone()).await?;
    }
    let blocks = read(&rollups, first).await?;
    let mut found: Vec<&Bytes> = blocks.iter().flat_map(|block| &block.transactions).collect();
    found.sort();
    let mut sent: Vec<&Bytes> = payloads.iter().collect();
    sent.sort();
    ensure!(found == sent, "{} of {TRANSACTIONS} transactions came back, or others", found.len());
    let busy: Vec<&VerifiedBlock> = blocks.iter().filter(|block| !block.transactions.is_empty()).collect();
    for block in &busy {
        let none = rollups.blocks(SILENT, block.height, block.height, 0).await?;
        ensure!(none.len() == 1 && none[0].digest == block.digest, "no proof about namespace {SILENT} in {block:?}");
        ensure!(none[0].transactions.is_empty(), "somebody used namespace {SILENT}");
    }
    let paid = settle(&rollups, consumer).await?;
    let evidence = busy.iter().map(|block| block.evidence_bytes).max().unwrap_or_default();
    let detail = format!(
        "{TRANSACTIONS} transactions of namespace {ROLLUP} ordered in {} of {} blocks, each block verified with at most \
         {evidence} bytes, and that namespace {SILENT} has none; {paid}",
        busy.len(),
        blocks.len(),
    );
    Ok(((), detail))
}

/// Verified blocks from `first` on until all transactions are there.
async fn read(rollups: &Rollups, first: u64) -> Result<Vec<VerifiedBlock>> {
    let (mut blocks, begin) = (Vec::<VerifiedBlock>::new(), Instant::now());
    loop {
        let next = blocks.last().map_or(first, |block| block.height + 1);
        blocks.extend(rollups.blocks(ROLLUP, next, u64::MAX, sdk::rollup::WAIT_MILLIS).await?);
        let found: usize = blocks.iter().map(|block| block.transactions.len()).sum();
        if found >= TRANSACTIONS || begin.elapsed() > PATIENCE {
            return Ok(blocks);
        }
    }
}

/// Waits until an epoch opens with all transactions counted, has the namespace charged, and claims its share.
async fn settle(rollups: &Rollups, consumer: &Consumer) -> Result<String> {
    let begin = Instant::now();
    let account = loop {
        let (_, verified) = rollups.account(ROLLUP).await?;
        let counted = verified.as_ref().is_some_and(|v| v.account.transactions >= TRANSACTIONS as u64);
        if let Some(verified) = verified.filter(|_| counted) {
            break verified.account;
        }
        ensure!(begin.elapsed() < PATIENCE, "no block commits to what namespace {ROLLUP} owes");
        tokio::time::sleep(POLL).await;
    };
    let before = rollups.rollup(ROLLUP).await?;
    let Some((due, _)) = rollups.settle(&consumer.wallet, ROLLUP).await? else {
        eyre::bail!("nothing was due, though namespace {ROLLUP} was never charged");
    };
    let after = rollups.rollup(ROLLUP).await?;
    ensure!(due == U256::from(account.owed), "charged {due} wei, proven are {}", account.owed);
    ensure!(before.deposit - after.deposit == due, "the deposit went from {} to {}", before.deposit, after.deposit);
    let (share, _) = rollups.claim(&consumer.wallet, ROLLUP).await?;
    ensure!(!share.is_zero() && share < due, "a share of {share} wei of {due}");
    Ok(format!("it paid {} and got {} back", ake(due), ake(share)))
}
