use super::*;
use alloy_primitives::keccak256;
use alloy_trie::{
    TrieMask,
    nodes::{BranchNodeRef, LeafNodeRef, RlpNode},
};
use proptest::prelude::*;
use redb::{Database, ReadableDatabase, backends::InMemoryBackend};

/// The RLP of a branch with these children; 0 is no child.
fn branch(children: &[u8; CHILDREN]) -> Vec<u8> {
    let present = children.iter().filter(|child| **child > 0);
    let stack: Vec<_> = present.map(|child| RlpNode::word_rlp(&keccak256([*child]))).collect();
    let mut mask = TrieMask::default();
    (0u8..).zip(children).filter(|(_, child)| **child > 0).for_each(|(index, _)| mask.set_bit(index));
    alloy_rlp::encode(BranchNodeRef::new(&stack, mask))
}

fn leaf(value: u8) -> Vec<u8> {
    alloy_rlp::encode(LeafNodeRef::new(&Nibbles::from_nibbles([1, 2, 3]), &[value; 40]))
}

fn nodes() -> impl Strategy<Value = Option<Vec<u8>>> {
    let child = prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => Just(2)];
    prop_oneof![
        1 => Just(None),
        2 => (0..3u8).prop_map(|value| Some(leaf(value))),
        6 => proptest::array::uniform16(child).prop_map(|children| Some(branch(&children))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two tries, one path each and one below it, random nodes per block, tables of a few rows, any beginning, rows in
    /// their tables or behind.
    #[test]
    fn every_node_of_every_block_is_found_again(
        first in 250..260u64,
        versions in prop::collection::vec((nodes(), nodes(), nodes()), 2..40),
        waits in any::<u64>(),
    ) {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let owner = Some(keccak256([1]));
        let (short, long) = (Nibbles::from_nibbles([1]), Nibbles::from_nibbles([1, 0]));
        let transaction = database.begin_write().unwrap();
        transaction.open_table(NODE_EPOCHS).unwrap();
        let mut behind = Behind::default();
        for (number, pair) in (first + 1..).zip(versions.windows(2)) {
            let mut rows = Rows::new(number);
            let mut log = NodeLog::new(&mut rows);
            log.replaced(None, &short, pair[0].0.as_deref(), pair[1].0.as_deref());
            log.replaced(None, &long, pair[0].1.as_deref(), pair[1].1.as_deref());
            log.replaced(owner, &short, pair[0].2.as_deref(), pair[1].2.as_deref());
            let nodes_from = table_for(&transaction, number, rows.count(Kind::Node)).unwrap();
            // Mostly everything may wait, and now and then nothing.
            let may_wait = waits.rotate_right(number as u32) & 7 != 0;
            behind = behind.append(&transaction, rows.finish(nodes_from), may_wait).unwrap();
            if number % 4 == 0 {
                // As if the table were full.
                let mut epochs = transaction.open_table(NODE_EPOCHS).unwrap();
                let newest = epochs.last().unwrap().unwrap().0.value();
                epochs.insert(newest, ROWS_MAX).unwrap();
            }
        }
        transaction.commit().unwrap();
        let history = NodeHistory::open(&database.begin_read().unwrap(), Arc::new(behind)).unwrap();
        let today = versions.last().unwrap();
        for (number, version) in (first..).zip(&versions) {
            let found = |owner, path, today: &Option<Vec<u8>>| history.node_after(owner, path, number, || Ok(today.clone()));
            prop_assert_eq!(&found(None, &short, &today.0).unwrap(), &version.0);
            prop_assert_eq!(&found(None, &long, &today.1).unwrap(), &version.1);
            prop_assert_eq!(&found(owner, &short, &today.2).unwrap(), &version.2);
        }
    }
}

#[test]
fn a_branch_costs_its_changed_children_only() {
    let mut children = [9; CHILDREN];
    let old = branch(&children);
    children[3] = 8;
    let row = changed_children(&old, &branch(&children)).unwrap();
    assert_eq!((old.len(), row.len()), (532, 1 + 2 + 33));
}

#[test]
fn damaged_rows_are_errors() {
    let good = changed_children(&branch(&[9; CHILDREN]), &branch(&[8; CHILDREN])).unwrap();
    for cut in 1..good.len() {
        assert!(PastBranch::default().take(&good[1..cut]).is_err(), "{cut}");
    }
    let mut known = PastBranch::default();
    known
        .take(
            &changed_children(&branch(&[9; CHILDREN]), &branch(&[9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1]))
                .unwrap()[1..],
        )
        .unwrap();
    assert!(known.over(Some(leaf(1))).is_err(), "children of a leaf");
}
