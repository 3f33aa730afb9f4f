//! The pool against one that is too simple to be wrong: a list, searched from end to end for every question.

use super::*;

const LIMITS: PoolLimits = PoolLimits {
    transactions: 9,
    bytes: 2_400,
    sender_transactions: 5,
    nonce_gap: 4,
    queued_seconds: 100,
    fee_min_wei: 7,
    tip_min_wei: 0,
};
const SENDERS: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A transaction `ahead` of the account's nonce, with prices in gwei and some bytes of data.
    Add { sender: u8, ahead: u64, fee: u128, tip: u128, data: usize },
    /// A block that mines `mined` nonces of each sender, leaves balances for so many transactions, and sets the base fee.
    Block { mined: Vec<u64>, funds: Vec<u64>, base_fee: u64 },
    /// A transaction is forgotten.
    Remove { index: usize },
    /// Time passes.
    Expire { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let senders = usize::from(SENDERS);
    let data = prop_oneof![4 => Just(0usize), 1 => 1usize..700];
    let add = (1..=SENDERS, 0u64..8, 1u128..12, 0u128..12, data)
        .prop_map(|(sender, ahead, fee, tip, data)| Step::Add { sender, ahead, fee, tip: tip.min(fee), data });
    let block = (
        proptest::collection::vec(0u64..4, senders),
        proptest::collection::vec(prop_oneof![1 => 0u64..40, 4 => Just(1_000)], senders),
        0u64..8,
    )
        .prop_map(|(mined, funds, base_fee)| Step::Block { mined, funds, base_fee });
    let remove = (0usize..9).prop_map(|index| Step::Remove { index });
    let expire = (1u64..60).prop_map(|seconds| Step::Expire { seconds });
    proptest::collection::vec(prop_oneof![12 => add, 2 => block, 1 => remove, 1 => expire], 0..80)
}

/// The simple pool: what waits, in the order of arrival.
struct Model {
    waiting: Vec<(PooledTransaction, u64)>,
    accounts: Vec<AccountState>,
    head: HeadState,
}

impl Model {
    fn new() -> Self {
        let accounts = vec![account(0, 1_000); usize::from(SENDERS) + 1];
        Self { waiting: Vec::new(), accounts, head: HeadState { base_fee: 0, ..HEAD } }
    }

    fn account(&self, sender: Address) -> AccountState {
        self.accounts[usize::from(sender[0])]
    }

    fn of(&self, sender: Address) -> Vec<&PooledTransaction> {
        let mut own: Vec<_> = self.waiting.iter().map(|(tx, _)| tx).filter(|tx| tx.sender == sender).collect();
        own.sort_by_key(|tx| tx.nonce());
        own
    }

    fn pending_nonce(&self, sender: Address) -> u64 {
        let own = self.of(sender);
        let is_next = |nonce: &u64| own.iter().any(|tx| tx.nonce() == *nonce);
        (self.account(sender).nonce..).find(|nonce| !is_next(nonce)).unwrap()
    }

    fn runs(&self, tx: &PooledTransaction) -> bool {
        tx.nonce() < self.pending_nonce(tx.sender)
    }

    fn cost(&self, sender: Address) -> U256 {
        self.of(sender).iter().map(|tx| tx.cost).sum()
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(|(tx, _)| tx.raw.len()).sum()
    }

    /// Takes `tx` in, or says the least tip that would do if only the price is wrong, or nothing.
    fn add(&mut self, tx: &PooledTransaction) -> Result<(), Option<i128>> {
        let account = self.account(tx.sender);
        let own = self.of(tx.sender);
        let old = own.iter().find(|other| other.nonce() == tx.nonce()).map(|old| (*old).clone());
        let next = self.pending_nonce(tx.sender);
        let refused = match &old {
            Some(old) => {
                let enough = |new: u128, old: u128| new * 10 >= old * 11;
                !enough(tx.fee_cap(), old.fee_cap()) || !enough(tx.tip_cap(), old.tip_cap())
            }
            None => tx.nonce() > next + LIMITS.nonce_gap || own.len() == LIMITS.sender_transactions,
        };
        let cost = self.cost(tx.sender) - old.as_ref().map_or(U256::ZERO, |old| old.cost) + tx.cost;
        if refused || tx.nonce() < account.nonce || cost > account.balance {
            return Err(None);
        }
        let before = self.waiting.clone();
        self.waiting.retain(|(other, _)| Some(other) != old.as_ref());
        let worth = self.worth(tx);
        while self.waiting.len() >= LIMITS.transactions || self.bytes() + tx.raw.len() > LIMITS.bytes {
            if let Err(least) = self.evict(tx, tx.nonce() <= next, old.is_some(), worth) {
                self.waiting = before;
                return Err(least);
            }
        }
        self.waiting.push((tx.clone(), self.head.timestamp));
        Ok(())
    }

    fn worth(&self, tx: &PooledTransaction) -> i128 {
        let lower = self.of(tx.sender).into_iter().filter(|other| other.nonce() < tx.nonce());
        lower.chain([tx]).map(|tx| tx.effective_tip(self.head.base_fee)).min().unwrap()
    }

    fn evict(&mut self, tx: &PooledTransaction, runs: bool, replaces: bool, worth: i128) -> Result<(), Option<i128>> {
        let filled = |model: &Self, other: &PooledTransaction| {
            let own = model.of(other.sender);
            // Where one of this nonce waited, there is no gap.
            let kept = |nonce: u64| replaces && other.sender == tx.sender && tx.nonce() == nonce;
            let has = |nonce: u64| own.iter().any(|o| o.nonce() == nonce) || kept(nonce);
            (model.account(other.sender).nonce..other.nonce()).all(has)
        };
        let price = |tx: &PooledTransaction| tx.effective_tip(self.head.base_fee);
        let gapped: Vec<_> = self.waiting.iter().map(|(tx, _)| tx).filter(|other| !filled(self, other)).collect();
        let pool = match gapped.is_empty() {
            true if !runs => return Err(None),
            true => self.waiting.iter().map(|(tx, _)| tx).collect(),
            false => gapped.clone(),
        };
        // Of equals the youngest: the last in the order of arrival.
        let least = pool.iter().map(|tx| price(tx)).min().unwrap();
        let cheapest = pool.iter().rev().find(|tx| price(tx) == least).unwrap().sender;
        if (!runs || gapped.is_empty()) && worth <= least {
            return Err(Some(least + 1));
        }
        let last = self.of(cheapest).last().unwrap().nonce();
        self.waiting.retain(|(tx, _)| tx.sender != cheapest || tx.nonce() != last);
        Ok(())
    }

    fn settle(&mut self, sender: Address) {
        let account = self.account(sender);
        self.waiting.retain(|(tx, _)| tx.sender != sender || tx.nonce() >= account.nonce);
        while self.cost(sender) > account.balance {
            let last = self.of(sender).last().unwrap().nonce();
            self.waiting.retain(|(tx, _)| tx.sender != sender || tx.nonce() != last);
        }
    }

    fn expire(&mut self) {
        let since = self.head.timestamp - LIMITS.queued_seconds;
        let queued: Vec<bool> = self.waiting.iter().map(|(tx, _)| !self.runs(tx)).collect();
        let mut queued = queued.into_iter();
        self.waiting.retain(|(_, at)| !queued.next().unwrap() || *at >= since);
    }
}

/// An account that can pay for so many transactions of the dearest kind.
fn account(nonce: u64, funds: u64) -> AccountState {
    AccountState { nonce, balance: U256::from(funds) * U256::from(100_000 * GWEI), ..RICH }
}

/// The same questions to both, and what must hold of any pool.
fn compare(pool: &Pool, model: &Model) -> Result<(), TestCaseError> {
    let mut kept: Vec<_> = model.waiting.iter().map(|(tx, _)| tx.hash).collect();
    kept.sort_unstable();
    let content = pool.content(None);
    let all = content.iter().flat_map(|c| c.pending.iter().chain(&c.queued));
    let mut found: Vec<_> = all.map(|tx| tx.hash).collect();
    found.sort_unstable();
    prop_assert_eq!(found, kept);
    prop_assert_eq!(pool.bytes(), model.bytes());
    let runs = model.waiting.iter().filter(|(tx, _)| model.runs(tx)).count();
    prop_assert_eq!(pool.status(), (runs, model.waiting.len() - runs));
    prop_assert!(model.waiting.len() <= LIMITS.transactions && model.bytes() <= LIMITS.bytes);
    for content in content {
        let account = model.account(content.sender);
        prop_assert_eq!(pool.pending_nonce(&content.sender, account.nonce), model.pending_nonce(content.sender));
        let pending: Vec<u64> = content.pending.iter().map(|tx| tx.nonce()).collect();
        let expected: Vec<u64> = (account.nonce..account.nonce + pending.len() as u64).collect();
        prop_assert_eq!(pending, expected, "no gap");
        let nonces = content.pending.iter().chain(&content.queued).map(|tx| tx.nonce());
        prop_assert!(nonces.is_sorted_by(|a, b| a < b), "no nonce twice");
    }
    let best = pool.best(model.head, LIMITS.transactions);
    for (index, tx) in best.iter().enumerate() {
        let nonce = model.account(tx.sender).nonce;
        let lower = best[..index].iter().filter(|other| other.sender == tx.sender).count() as u64;
        prop_assert_eq!(tx.nonce(), nonce + lower, "in an order that can run");
    }
    Ok(())
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (pool, mut model) = (Pool::new(CHAIN_ID, LIMITS), Model::new());
    for step in steps {
        match step {
            Step::Add { sender, ahead, fee, tip, data } => {
                let sender = Address::repeat_byte(sender);
                let account = model.account(sender);
                let tx = TxEip1559 {
                    max_fee_per_gas: fee * GWEI,
                    max_priority_fee_per_gas: tip * GWEI,
                    input: vec![1; data].into(),
                    ..template((account.nonce + ahead).saturating_sub(1))
                };
                let tx = of(sender, tx);
                let added = pool.add(tx.clone(), account, model.head);
                if model.waiting.iter().any(|(other, _)| other.hash == tx.hash) {
                    prop_assert_eq!(added, Err(PoolError::AlreadyKnown { hash: tx.hash }));
                    continue;
                }
                match (added, model.add(&tx)) {
                    (Ok(_), Ok(())) => {}
                    (Err(PoolError::Full { price_min, .. }), Err(Some(least))) => prop_assert_eq!(price_min, least),
                    (Err(error), Err(least)) => {
                        let full = matches!(error, PoolError::Full { .. });
                        prop_assert!(!full && least.is_none(), "{} {:?}", error, least);
                    }
                    (pool, model) => prop_assert!(false, "pool {:?}, model {:?}", pool, model),
                }
            }
            Step::Block { mined, funds, base_fee } => {
                model.head = HeadState {
                    number: model.head.number + 1,
                    timestamp: model.head.timestamp + 1,
                    base_fee: base_fee * GWEI as u64,
                    ..model.head
                };
                for (index, (mined, funds)) in mined.into_iter().zip(funds).enumerate() {
                    let sender = Address::repeat_byte(index as u8 + 1);
                    let account = account(model.account(sender).nonce + mined, funds);
                    model.accounts[index + 1] = account;
                    pool.settle(&[(sender, account)], model.head.number).unwrap();
                    model.settle(sender);
                }
            }
            Step::Remove { index } => {
                if index < model.waiting.len() {
                    let (tx, _) = model.waiting.remove(index);
                    pool.remove(&tx.hash);
                }
            }
            Step::Expire { seconds } => {
                model.head.timestamp += seconds;
                pool.expire(model.head.timestamp);
                model.expire();
            }
        }
        compare(&pool, &model)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..Default::default() })]

    #[test]
    fn the_pool_answers_as_a_simple_one_does(steps in steps()) {
        run(steps)?;
    }
}
