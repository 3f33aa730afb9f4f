//! How a poster that is far behind catches up.
//!
//! A call shows the leaves of every block between its batch and its anchor, and holds some 2,700 of them. `RollupInbox.trace` makes
//! a name behind earlier blocks an anchor, too, so names are traced back from the account until one is in reach:
//!
//! ```text
//!  inbox.inputs ─▶ batch ─▶ leaves ─▶ name ◀─ trace ─ name ◀─ trace ─ name ◀─ trace ─ account
//! ```
//!
//! Names are cut at the same heights whatever was posted, so each of them is traced once. Nothing is remembered here either: the
//! inbox says what it has traced.

use super::{Batches, CALL_HEAD_BYTES, Filling, Ordered, Reached, ask, encode};
use crate::l1::L1;
use crate::plan::{CALL_BYTES_MAX, PlanError};
use crate::work::Job;
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolCall as _;
use proof::batch::{LEAF_BYTES, Leaf};
use proof::checkpoint::{Checkpoint, abi_checkpoint};
use protocol::abi::l1::{Anchor, IRollupInbox};

/// Heights between two names that are traced.
pub(super) const TRACE_BLOCKS: u64 = 2_048;

const _: () = assert!(TRACE_BLOCKS as usize * LEAF_BYTES + CALL_HEAD_BYTES <= CALL_BYTES_MAX);

/// Leaves between two names that are traced.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    /// Name of everything before them.
    from: B256,
    leaves: Vec<Leaf>,
}

impl<S: Ordered> Batches<S> {
    /// The next call on the way to a batch, `filling` being what does not fit into one with all leaves up to the account.
    pub(super) async fn far(
        &self,
        l1: &impl L1,
        contract: Address,
        reached: Reached,
        account: Anchor,
        filling: Filling,
    ) -> Result<Job, PlanError> {
        let stretches = stretches(reached.inputs, filling.leaves());
        let (mut known, mut reach, mut covered) = (account, stretches.len(), None);
        for (place, stretch) in stretches.iter().enumerate().skip(1) {
            covered = self.traced(l1, contract, stretch.from).await?;
            if covered.is_some() {
                (known, reach) = (anchor(stretch.from), place);
                break;
            }
        }
        if reach > 1 {
            let stretch = &stretches[reach - 1];
            return Ok(self.trace(known, stretch.from, &stretch.leaves, reached.height));
        }
        let mut filling = match covered {
            Some(covered) => self.fill(reached, covered, filling.via).await?,
            None => filling,
        };
        if let Some(covered) = covered.filter(|_| filling.make_room()) {
            return Ok(filling.job(self.id, known, covered)?);
        }
        self.alone(l1, contract, known, filling, reached.height).await
    }

    /// A large block leaves no room for leaves: then a name right behind the batch is traced, and the batch needs none.
    async fn alone(
        &self,
        l1: &impl L1,
        contract: Address,
        known: Anchor,
        mut filling: Filling,
        height: u64,
    ) -> Result<Job, PlanError> {
        match self.traced(l1, contract, filling.filled).await? {
            Some(covered) => {
                filling.rest.clear();
                let name = anchor(filling.filled);
                Ok(filling.job(self.id, name, covered)?)
            }
            None => Ok(self.trace(known, filling.filled, &filling.rest, height)),
        }
    }

    /// Last block that a traced name covers.
    async fn traced(&self, l1: &impl L1, contract: Address, inputs: B256) -> Result<Option<u64>, PlanError> {
        let call = IRollupInbox::tracedHeightCall { id: self.id, inputs };
        let covered = ask(l1, contract, "tracedHeight", call).await?;
        Ok((covered != 0).then_some(covered))
    }

    fn trace(&self, anchor: Anchor, from: B256, leaves: &[Leaf], height: u64) -> Job {
        let call = IRollupInbox::traceCall { id: self.id, anchor, from, leaves: encode(leaves) };
        Job { data: call.abi_encode().into(), mark: height, blobs: vec![] }
    }
}

/// Leaves behind the name `inputs`, cut where the heights pass a multiple of [`TRACE_BLOCKS`].
fn stretches(inputs: B256, leaves: impl Iterator<Item = Leaf>) -> Vec<Stretch> {
    let (mut found, mut reached, mut last): (Vec<Stretch>, _, _) = (Vec::new(), inputs, None);
    for leaf in leaves {
        let number = Some(leaf.height / TRACE_BLOCKS);
        if number != last {
            found.push(Stretch { from: reached, leaves: vec![] });
            last = number;
        }
        reached = leaf.extend(&reached);
        if let Some(stretch) = found.last_mut() {
            stretch.leaves.push(leaf);
        }
    }
    found
}

/// An anchor that is a traced name; the contract does not read the rest of it.
fn anchor(traced: B256) -> Anchor {
    let zero = Checkpoint {
        epoch: 0,
        height: 0,
        seconds: 0,
        block: B256::ZERO,
        application: B256::ZERO,
        electorate: B256::ZERO,
        state: B256::ZERO,
    };
    let (header, commitment, account) = Default::default();
    Anchor { checkpoint: abi_checkpoint(&zero), header, commitment, account, traced }
}
