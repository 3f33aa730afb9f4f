//! What must be true after every scenario, whatever happened in it.
//!
//! 1. All validators have the same block at every height.
//! 2. Everything acknowledged is final at every validator; nothing has expired or is unknown.
//! 3. Stake goes on finalising, and all nodes, followers too, name the same checkpoint for an epoch. Its root covers the block and
//!    the state after it, and so all of history.

use super::fleet::{EPOCH_BLOCKS, Fleet, Kind, Node};
use super::http;
use eyre::{Result, bail, ensure, eyre};
use serde_json::{Value, json};

/// Hashes in one question.
const HASHES_MAX: usize = 1_024;
/// Blocks in one page.
const PAGE_BLOCKS: u64 = 64;

/// Waits until every node is as far as the network is now, and checks everything from block `from` on. Returns the height up to which
/// it was checked. All nodes must run.
///
/// # Errors
/// With the first thing that is not true.
pub fn check(fleet: &Fleet, from: u64, acknowledged: &[String]) -> Result<u64> {
    let target = fleet.highest();
    for node in &fleet.nodes {
        fleet.eventually(&format!("host {} has block {target}", node.host), || Ok(node.height()? >= target))?;
    }
    let validators: Vec<&Node> = fleet.nodes.iter().filter(|node| matches!(node.kind, Kind::Validator(_))).collect();
    agree(&validators, from, target)?;
    // One that came later knows nothing of what was submitted before.
    for validator in validators.iter().filter(|validator| validator.first <= from.max(1)) {
        fleet.eventually(&format!("host {} has everything final", validator.host), || {
            all_final(validator, acknowledged)
        })?;
    }
    let epoch = target.div_ceil(EPOCH_BLOCKS);
    for node in &fleet.nodes {
        fleet.eventually(&format!("host {} has finalised epoch {epoch}", node.host), || {
            Ok(node.finalized()?.0 >= epoch)
        })?;
        same_checkpoint(node, &validators)?;
    }
    Ok(target)
}

fn agree(validators: &[&Node], from: u64, to: u64) -> Result<()> {
    let Some((first, others)) = validators.split_first() else { bail!("there are no validators") };
    let mut next = from.max(1);
    while next <= to {
        let mut expected = page(first, next)?;
        // There may be more blocks by now than the others have.
        expected.truncate(usize::try_from(to - next + 1)?);
        for other in others {
            // A validator that came later has no blocks from before.
            let absent = usize::try_from(other.first.saturating_sub(next))?;
            let Some(expected) = expected.get(absent..).filter(|blocks| !blocks.is_empty()) else { continue };
            let next = next + absent as u64;
            let found = page(other, next)?;
            for ((height, expected), found) in (next..).zip(expected).zip(&found) {
                let (a, b) = (first.host, other.host);
                ensure!(expected == found, "hosts {a} and {b} have different blocks at height {height}");
            }
            ensure!(found.len() >= expected.len(), "host {} ends at height {}", other.host, next + found.len() as u64);
        }
        next += expected.len() as u64;
    }
    Ok(())
}

/// The blocks from a height on, without their certificates, which may differ.
fn page(node: &Node, from: u64) -> Result<Vec<Value>> {
    let mut page = http::get(node.address(), &format!("/seq/v1/finalized?from={from}&max={PAGE_BLOCKS}"))?;
    let blocks = page["blocks"].as_array_mut().ok_or_else(|| eyre!("host {} sends no blocks", node.host))?;
    ensure!(!blocks.is_empty(), "host {} has no block {from}", node.host);
    Ok(blocks.iter_mut().map(|block| block["block"].take()).collect())
}

fn all_final(validator: &Node, acknowledged: &[String]) -> Result<bool> {
    for hashes in acknowledged.chunks(HASHES_MAX) {
        let answer = http::post(validator.address(), "/seq/v1/submissions", &json!({ "hashes": hashes }))?;
        let answer = answer.as_array().ok_or_else(|| eyre!("no list of states"))?;
        ensure!(answer.len() == hashes.len(), "{} states for {} hashes", answer.len(), hashes.len());
        for status in answer {
            match status["state"].as_str() {
                Some("final" | "finalized") => {}
                Some("pending" | "included") => bail!("{} still waits", status["hash"]),
                state => bail!("{} was acknowledged and is {state:?}", status["hash"]),
            }
        }
    }
    Ok(true)
}

fn same_checkpoint(node: &Node, validators: &[&Node]) -> Result<()> {
    let (epoch, root) = node.finalized()?;
    for validator in validators {
        let kept = http::get(validator.address(), &format!("/seq/v1/checkpoint?epoch={epoch}"))?;
        let (found, a, b) = (&kept["checkpoint"]["root"], node.host, validator.host);
        ensure!(found == root.as_str(), "epoch {epoch} is {root} at host {a} and {found} at host {b}");
    }
    Ok(())
}
