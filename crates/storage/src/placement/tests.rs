//! Nodes get their share, and nothing moves that does not have to.

use super::*;

fn node(i: u64) -> NodeInfo {
    NodeInfo { address: Address::from_slice(&sha256(&i.to_be_bytes())[..20]), weight: 100, domain: String::new() }
}

fn nodes(count: u64) -> Vec<NodeInfo> {
    (0..count).map(node).collect()
}

fn key(i: u64) -> B256 {
    sha256(&[b"key", &i.to_be_bytes()[..]].concat())
}

fn addresses(nodes: &[NodeInfo], places: &[usize]) -> Vec<Address> {
    places.iter().map(|i| nodes[*i].address).collect()
}

#[test]
fn logarithms_are_exact_at_powers_and_grow_between() {
    for bit in 0..64 {
        assert_eq!(log2(1 << bit), bit << FRACTION_BITS);
    }
    assert_eq!(log2(3) >> (FRACTION_BITS - 20), (3f64.log2() * f64::from(1 << 20)) as u64);
    assert_eq!(log2(u64::MAX) >> FRACTION_BITS, 63);
    let samples: Vec<u64> = (1..10_000).map(|i| log2(i * 12_345_678_901)).collect();
    assert!(samples.is_sorted());
}

#[test]
fn a_ranking_is_the_same_for_ever() {
    // Computed once by a separate program with floating-point logarithms. Shards lie where this says: it may not change.
    let ranked = rank(&key(1), &nodes(8));
    assert_eq!(ranked, [4, 6, 0, 1, 5, 2, 3, 7]);
    assert_eq!(assign(&key(1), &nodes(8), &ranked, 8), [5, 7, 6, 3, 0, 1, 4, 2]);
}

#[test]
fn the_order_in_which_nodes_are_listed_does_not_matter() {
    let forward = nodes(20);
    let backward: Vec<NodeInfo> = forward.iter().rev().cloned().collect();
    for i in 0..50 {
        let (a, b) = (choose(&key(i), &forward, 8, 4), choose(&key(i), &backward, 8, 4));
        assert_eq!(addresses(&forward, &a), addresses(&backward, &b));
        let (a, b) = (assign(&key(i), &forward, &a, 8), assign(&key(i), &backward, &b, 8));
        assert_eq!(addresses(&forward, &a), addresses(&backward, &b));
    }
}

#[test]
fn shares_follow_weights() {
    let mut members = nodes(10);
    members[0].weight = 300;
    members[1].weight = 0;
    let mut wins = [0u32; 10];
    for i in 0..11_000 {
        wins[rank(&key(i), &members)[0]] += 1;
    }
    // Weights sum to 1100: a tenth of the keys per 110 of weight.
    assert!((2800..3200).contains(&wins[0]), "{wins:?}");
    assert_eq!(wins[1], 0, "no weight, no shards");
    assert!(wins[2..].iter().all(|w| (880..1120).contains(w)), "{wins:?}");
}

#[test]
fn shards_of_a_segment_stand_on_distinct_nodes_while_there_are_enough() {
    for count in [8, 9, 30] {
        let members = nodes(count);
        for i in 0..100 {
            let chosen = choose(&key(i), &members, 8, 4);
            let mut places = assign(&key(i), &members, &chosen, 8);
            places.sort();
            places.dedup();
            assert_eq!(places.len(), 8);
        }
    }
    let few = nodes(3);
    let chosen = choose(&key(1), &few, 8, 4);
    let mut load = [0; 3];
    assign(&key(1), &few, &chosen, 8).into_iter().for_each(|i| load[i] += 1);
    load.sort();
    assert_eq!(load, [2, 3, 3], "with too few nodes, each keeps about as many");
    assert!(assign(&key(1), &[], &[], 8).is_empty());
}

/// Shards that change their node between two memberships, when those that can stay do.
fn moved(before: &[NodeInfo], after: &[NodeInfo], keys: u64) -> (usize, usize) {
    let (mut moved, mut least) = (0, 0);
    for i in 0..keys {
        let old_chosen = choose(&key(i), before, 8, 8);
        let old = addresses(before, &assign(&key(i), before, &old_chosen, 8));
        let holders: Vec<Option<usize>> = old.iter().map(|a| after.iter().position(|n| n.address == *a)).collect();
        let chosen = choose(&key(i), after, 8, 8);
        let new = addresses(after, &reassign(&key(i), after, &chosen, &holders));
        moved += old.iter().zip(&new).filter(|(a, b)| a != b).count();
        least += old.iter().filter(|a| !addresses(after, &chosen).contains(a)).count();
    }
    (moved, least)
}

#[test]
fn a_node_that_joins_takes_its_share_and_nothing_else_moves() {
    let (before, after) = (nodes(20), nodes(21));
    let (moved, least) = moved(&before, &after, 500);
    assert_eq!(moved, least);
    // 500 segments of 8 shards over 21 nodes: a share of about 190.
    assert!((140..250).contains(&moved), "{moved}");
}

#[test]
fn a_node_that_leaves_gives_up_its_shards_and_nothing_else_moves() {
    let before = nodes(20);
    let (moved, least) = moved(&before, &before[..19], 500);
    assert_eq!(moved, least);
    assert!((150..250).contains(&moved), "{moved}");
}

#[test]
fn a_change_of_weight_moves_only_the_difference() {
    let before = nodes(20);
    let mut after = before.clone();
    after[3].weight = 200;
    let (moved, least) = moved(&before, &after, 500);
    assert_eq!(moved, least);
}

#[test]
fn no_domain_gets_more_than_its_cap_while_others_have_room() {
    let mut members = nodes(16);
    for (i, member) in members.iter_mut().enumerate() {
        member.domain = format!("site {}", i % 4);
    }
    for i in 0..100 {
        let mut per_domain = HashMap::new();
        for at in choose(&key(i), &members, 8, 2) {
            *per_domain.entry(members[at].domain.clone()).or_insert(0) += 1;
        }
        assert!(per_domain.values().all(|count| *count == 2), "{per_domain:?}");
    }
}

#[test]
fn caps_give_way_when_there_are_too_few_domains() {
    let mut members = nodes(8);
    members.iter_mut().for_each(|m| m.domain = "one cellar".into());
    assert_eq!(choose(&key(1), &members, 8, 2).len(), 8);
}

#[test]
fn a_shard_leaves_a_node_that_keeps_two_when_another_keeps_none() {
    let members = nodes(4);
    let chosen = choose(&key(1), &members, 4, 4);
    let holders = [Some(chosen[0]), Some(chosen[0]), Some(chosen[1]), None];
    let places = reassign(&key(1), &members, &chosen, &holders);
    assert_eq!((places[0], places[2]), (chosen[0], chosen[1]));
    let mut sorted = places.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 4);
}
