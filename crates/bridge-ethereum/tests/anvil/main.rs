//! The bridge against anvil: real contracts, real signatures, a real pool. Run by `cargo xtask l1`.
//!
//! Deploys light client and vault, posts checkpoints through restarts of both sides, a reorganisation, a stuck nonce and a
//! dear time, catches up over many epochs, and slashes a validator that voted twice. Prints the gas of each.

#[path = "../../src/testing/network.rs"]
mod network;
mod world;

use bridge_ethereum::Step;
use clap::Parser;
use eyre::{Result, ensure};
use std::path::PathBuf;
use world::{BLOCK_MILLIS, World};

/// Test the bridge against anvil.
#[derive(Parser)]
struct Arguments {
    /// The anvil program
    #[arg(long)]
    anvil: PathBuf,
    /// Folder with the artifacts of the contracts
    #[arg(long)]
    artifacts: PathBuf,
    /// What forge built of the token that tests use
    #[arg(long)]
    token: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut world = World::start(&arguments.anvil, &arguments.artifacts, &arguments.token).await?;
    first_posts(&mut world).await?;
    bridge_dies_between_journal_and_block(&mut world).await?;
    l1_dies(&mut world).await?;
    reorganisation(&mut world).await?;
    stuck_nonce(&mut world).await?;
    dear_time(&mut world).await?;
    catching_up(&mut world).await?;
    slash(&mut world).await?;
    let totals = world.bridge()?.totals().clone();
    println!("l1: {} posts, {} reverted, {} gas, {} wei", totals.posted, totals.reverted, totals.gas, totals.spent);
    ensure!(totals.reverted == 0, "alone the bridge must never pay for nothing");
    Ok(())
}

async fn first_posts(world: &mut World) -> Result<()> {
    world.epochs(2);
    let gas = world.settle(1).await?;
    println!("l1: the first two links posted at once, {gas} gas");
    for epoch in 2..6 {
        world.epochs(1);
        let gas = world.settle(epoch).await?;
        println!("l1: epoch {epoch} posted, {gas} gas");
        ensure!(gas <= 250_000, "a post must not need more than 250,000 gas");
    }
    world.link_without(1);
    let gas = world.settle(6).await?;
    println!("l1: epoch 6 posted with one signer of four missing, {gas} gas");
    world.epochs(1);
    world.settle(7).await?;
    Ok(())
}

async fn bridge_dies_between_journal_and_block(world: &mut World) -> Result<()> {
    world.epochs(1);
    let sent = world.step().await?;
    world.restart_bridge()?;
    ensure!(world.step().await? == sent, "the same transaction after a restart");
    world.settle(8).await?;
    println!("l1: ok the bridge died after it had sent");
    Ok(())
}

async fn l1_dies(world: &mut World) -> Result<()> {
    world.epochs(1);
    let sent = world.step().await?;
    world.stop_l1().await?;
    ensure!(world.step().await.is_err(), "nothing can be known without the L1");
    world.start_l1().await?;
    // anvil keeps its blocks, and not what waited.
    ensure!(world.step().await? == sent, "the same transaction after the outage");
    world.settle(9).await?;
    println!("l1: ok the L1 died and forgot what waited");
    Ok(())
}

async fn reorganisation(world: &mut World) -> Result<()> {
    world.epochs(1);
    let before = world.snapshot().await?;
    let sent = world.step().await?;
    world.mine(1).await?;
    ensure!(matches!(world.step().await?, Step::Waiting { .. }), "mined and not deep");
    world.revert(&before).await?;
    ensure!(world.step().await? == sent, "the same transaction in the other branch");
    world.settle(10).await?;
    println!("l1: ok a reorganisation took the block away");
    Ok(())
}

async fn stuck_nonce(world: &mut World) -> Result<()> {
    world.epochs(1);
    world.stuck_transfer().await?;
    world.mine(1).await?;
    world.step().await?;
    world.wait(5 * BLOCK_MILLIS);
    world.settle(11).await?;
    println!("l1: ok a transfer that was stuck with the next nonce was outbid");
    Ok(())
}

async fn dear_time(world: &mut World) -> Result<()> {
    world.epochs(1);
    world.set_base_fee(world::FEE_MAX * 2).await?;
    let step = world.step().await?;
    ensure!(matches!(step, Step::TooDear { .. }), "above the cap: {step:?}");
    world.set_base_fee(1_000_000_000).await?;
    let sent = world.step().await?;
    // It becomes dearer while the transaction waits; the replacement has the same nonce.
    world.set_base_fee(5_000_000_000).await?;
    world.wait(5 * BLOCK_MILLIS);
    let replaced = world.step().await?;
    ensure!(matches!(replaced, Step::Sent { version: 2, .. }) && replaced != sent, "replaced: {replaced:?}");
    world.settle(12).await?;
    println!("l1: ok a dear time was waited for, and a replacement paid");
    Ok(())
}

async fn catching_up(world: &mut World) -> Result<()> {
    world.epochs(32);
    let gas = world.settle(44).await?;
    println!("l1: 32 epochs posted at once, {gas} gas, {} each", gas / 32);
    Ok(())
}

async fn slash(world: &mut World) -> Result<()> {
    let gas = world.deposit().await?;
    println!("l1: stake deposited, {gas} gas");
    let gas = world.slash().await?;
    println!("l1: ok a validator that voted twice was slashed, {gas} gas");
    Ok(())
}
