//! Decide which nodes keep which shards, by weighted rendezvous hashing.
//!
//! Every node has a score for every key: an exponential race in which a node of twice the weight wins twice as often.
//! The nodes with the best scores are chosen, at most `domain_max` of one failure domain while others are left. A node
//! that joins or leaves changes the choice of a key by at most that one node, so it moves its own share and nothing
//! else. Which chosen node keeps which shard is a second, smaller race ([`assign`]); shards that already stand on a
//! chosen node stay there ([`reassign`]).
//!
//! All arithmetic is on integers, so every machine decides the same. Source: Thaler and Ravishankar, "Using Name-Based
//! Mappings to Increase Hit Rates" (1998), weighted as −ln(u)/w.

use alloy_primitives::{Address, B256};
use protocol::content::sha256;
use std::collections::HashMap;

/// Bits of fraction in a logarithm.
const FRACTION_BITS: u32 = 40;

/// A storage node as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Account of the node.
    pub address: Address,
    /// Share of the shards it should get, relative to the other nodes; 0 gets none.
    pub weight: u64,
    /// What fails together with it: operator, site or host. Empty if unknown: then it fails alone.
    pub domain: String,
}

/// The nodes with weight, best score for `key` first. Equal scores go to the lower address.
pub fn rank(key: &B256, nodes: &[NodeInfo]) -> Vec<usize> {
    let mut scored: Vec<(u64, usize)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.weight > 0)
        .map(|(i, node)| (race(key, b"node", &node.address), i))
        .collect();
    // a/wa < b/wb without a division: a logarithm has at most 46 bits, so the products fit 128.
    scored.sort_by(|(a, i), (b, j)| {
        let left = u128::from(*a) * u128::from(nodes[*j].weight);
        let right = u128::from(*b) * u128::from(nodes[*i].weight);
        left.cmp(&right).then_with(|| nodes[*i].address.cmp(&nodes[*j].address))
    });
    scored.into_iter().map(|(_, i)| i).collect()
}

/// The `count` nodes that should keep `key`, best first: at most `domain_max` of one domain as long as that yields
/// enough nodes, then the best of the others. Fewer than `count` only if there are fewer nodes.
pub fn choose(key: &B256, nodes: &[NodeInfo], count: usize, domain_max: usize) -> Vec<usize> {
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let (mut chosen, mut passed) = (Vec::new(), Vec::new());
    for i in rank(key, nodes) {
        let domain = nodes[i].domain.as_str();
        let room = domain.is_empty() || taken.get(domain).is_none_or(|used| *used < domain_max);
        if chosen.len() < count && room {
            *taken.entry(domain).or_default() += 1;
            chosen.push(i);
        } else {
            passed.push(i);
        }
    }
    let short = count.saturating_sub(chosen.len()).min(passed.len());
    chosen.extend(passed.drain(..short));
    chosen
}

/// The node of each of `count` shards of `key`, among the `chosen` ones. Distinct while there are enough nodes, then
/// round by round; empty if nobody was chosen.
pub fn assign(key: &B256, nodes: &[NodeInfo], chosen: &[usize], count: usize) -> Vec<usize> {
    reassign(key, nodes, chosen, &vec![None; count])
}

/// Like [`assign`], but a shard that stands on a chosen node (`holders`, by shard) stays there, unless that node
/// already keeps another one and a chosen node keeps none.
pub fn reassign(key: &B256, nodes: &[NodeInfo], chosen: &[usize], holders: &[Option<usize>]) -> Vec<usize> {
    if chosen.is_empty() {
        return Vec::new();
    }
    let mut load: HashMap<usize, usize> = chosen.iter().map(|i| (*i, 0)).collect();
    let rounds = holders.len().div_ceil(chosen.len());
    let mut places = vec![None; holders.len()];
    for (shard, holder) in holders.iter().enumerate() {
        if let Some(used) = holder.and_then(|i| load.get_mut(&i)).filter(|used| **used < rounds) {
            *used += 1;
            places[shard] = *holder;
        }
    }
    let mut place = |shard: usize| {
        let salt = (shard as u64).to_be_bytes();
        let best =
            chosen.iter().copied().min_by_key(|i| (load[i], race(key, &salt, &nodes[*i].address), nodes[*i].address));
        let best = best.expect("chosen is not empty");
        *load.get_mut(&best).expect("chosen nodes are in the map") += 1;
        best
    };
    places.into_iter().enumerate().map(|(shard, at)| at.unwrap_or_else(|| place(shard))).collect()
}

/// Minus the binary logarithm of a number in (0, 1) drawn from the hash of all arguments, as a fixed-point number.
fn race(key: &B256, salt: &[u8], address: &Address) -> u64 {
    let digest = sha256(&[b"kumo/placement/v1", &key[..], salt, &address[..]].concat());
    let draw = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes")) | 1;
    (64 << FRACTION_BITS) - log2(draw)
}

/// Binary logarithm of `x > 0`, with [`FRACTION_BITS`] bits of fraction, rounded down.
fn log2(x: u64) -> u64 {
    let whole = u64::from(x.ilog2());
    // Mantissa in [1, 2), 63 bits of fraction. Squaring it yields the bits of the logarithm one by one.
    let mut mantissa = u128::from(x) << (63 - whole);
    let mut fraction = 0;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (whole << FRACTION_BITS) | fraction
}

#[cfg(test)]
mod tests;
