//! Run the state tests of ethereum/tests through the executor and the tries of this crate.
//!
//! A test is a state, a block environment, and transactions with the state root and the hash of the logs they must leave
//! under some fork; or with the word that they must be refused, which then must change nothing. State tests are no
//! blocks: nothing is called before the transaction and nothing is paid after it.
//! Source: ethereum/tests, "State Tests"; EIP-7610 for accounts that hold storage only.

mod collision;
mod model;

use crate::{
    BlockRecord, StateView,
    cache::Cache,
    engine::Base,
    ethereum::Ethereum,
    execute::{Execution, Refusal, Rules},
    import::recover,
    state::StateChanges,
    transactions::decode_exact,
};
use alloy_consensus::Header;
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::HashSet};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use collision::StorageCollision;
use model::{Account, Environment, Expected, Test, Tests};
use rayon::prelude::*;
use revm::{primitives::hardfork::SpecId, state::Bytecode};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Length of a file of tests, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Folders below one another.
const DEPTH_MAX: usize = 32;
/// Failures described; further ones are only counted.
const FAILURES_MAX: usize = 10_000;
/// Contract codes kept analysed for one test.
const CODES_MAX: usize = 64;

/// What became of the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateTestReport {
    /// Transactions that left what they must.
    pub passed: usize,
    /// Transactions that did not, and files that are not tests.
    pub failed: usize,
    /// Transactions of forks that are not known here.
    pub skipped: usize,
    /// The failures, in order of files; at most 10,000.
    pub failures: Vec<StateTestFailure>,
}

/// One failure. Names are empty where a whole file failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateTestFailure {
    /// The file.
    pub file: PathBuf,
    /// Name of the test in the file.
    pub test: String,
    /// Name of the fork.
    pub fork: String,
    /// Position in the list of the fork.
    pub index: usize,
    /// What was expected and what came.
    pub reason: String,
}

impl StateTestReport {
    fn and(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_MAX);
        self
    }

    fn failure(failure: StateTestFailure) -> Self {
        Self { failed: 1, failures: vec![failure], ..Self::default() }
    }
}

/// Runs every `.json` file at or below the paths, on all cores; at most one file per core is in memory.
///
/// A path that cannot be read and a file that holds no tests are failures.
pub fn run_state_tests(paths: &[PathBuf]) -> StateTestReport {
    let mut files = Vec::new();
    let mut report = StateTestReport::default();
    for path in paths {
        if let Err(reason) = collect(path, 0, &mut files) {
            let failure = StateTestFailure { file: path.clone(), reason, ..Default::default() };
            report = report.and(StateTestReport::failure(failure));
        }
    }
    files.sort();
    files.dedup();
    let run = files.par_iter().map(|file| run_file(file)).reduce(StateTestReport::default, StateTestReport::and);
    report.and(run)
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth == DEPTH_MAX {
        return Err(format!("{} lies more than {DEPTH_MAX} folders deep", path.display()));
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "json") {
            collect(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn run_file(file: &Path) -> StateTestReport {
    let tests = match read(file) {
        Ok(tests) => tests,
        Err(reason) => {
            return StateTestReport::failure(StateTestFailure { file: file.into(), reason, ..Default::default() });
        }
    };
    let mut report = StateTestReport::default();
    for (name, test) in &tests {
        for (fork, cases) in &test.post {
            let Some(ethereum) = ethereum(fork) else {
                report.skipped += cases.len();
                continue;
            };
            let prepared = Prepared::new(ethereum, test);
            for (index, expected) in cases.iter().enumerate() {
                match prepared.as_ref().map_err(Clone::clone).and_then(|prepared| prepared.run(expected)) {
                    Ok(()) => report.passed += 1,
                    Err(reason) => {
                        let (test, fork) = (name.clone(), fork.clone());
                        let failure = StateTestFailure { file: file.into(), test, fork, index, reason };
                        report = report.and(StateTestReport::failure(failure));
                    }
                }
            }
        }
    }
    report
}

fn read(file: &Path) -> Result<Tests, String> {
    let bytes = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, the limit is {FILE_BYTES_MAX}"));
    }
    let json = fs::read(file).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| format!("it holds no state tests: {error}"))
}

/// The rules of a fork, by its name in the tests.
fn ethereum(fork: &str) -> Option<Ethereum> {
    let spec = match fork {
        "Frontier" => SpecId::FRONTIER,
        "Homestead" => SpecId::HOMESTEAD,
        "EIP150" => SpecId::TANGERINE,
        "EIP158" => SpecId::SPURIOUS_DRAGON,
        "Byzantium" => SpecId::BYZANTIUM,
        "Constantinople" | "ConstantinopleFix" => SpecId::PETERSBURG,
        "Istanbul" => SpecId::ISTANBUL,
        "Berlin" => SpecId::BERLIN,
        "London" => SpecId::LONDON,
        "Merge" | "Paris" => SpecId::MERGE,
        "Shanghai" => SpecId::SHANGHAI,
        "Cancun" => SpecId::CANCUN,
        "Prague" => SpecId::PRAGUE,
        "Osaka" => SpecId::OSAKA,
        _ => return None,
    };
    let from = |since: SpecId| spec.is_enabled_in(since).then_some(0);
    // Constantinople alone is the time in which Petersburg is still to come.
    let petersburg = if fork == "Constantinople" { Some(u64::MAX) } else { from(SpecId::PETERSBURG) };
    let config = ChainConfig {
        chain_id: 1,
        homestead_block: from(SpecId::HOMESTEAD),
        eip150_block: from(SpecId::TANGERINE),
        eip155_block: from(SpecId::SPURIOUS_DRAGON),
        eip158_block: from(SpecId::SPURIOUS_DRAGON),
        byzantium_block: from(SpecId::BYZANTIUM),
        constantinople_block: from(SpecId::PETERSBURG),
        petersburg_block: petersburg,
        istanbul_block: from(SpecId::ISTANBUL),
        berlin_block: from(SpecId::BERLIN),
        london_block: from(SpecId::LONDON),
        terminal_total_difficulty: from(SpecId::MERGE).map(U256::from),
        shanghai_time: from(SpecId::SHANGHAI),
        cancun_time: from(SpecId::CANCUN),
        prague_time: from(SpecId::PRAGUE),
        osaka_time: from(SpecId::OSAKA),
        ..Default::default()
    };
    Ethereum::new(&config).ok()
}

/// A test under one fork, ready to run.
struct Prepared {
    ethereum: Ethereum,
    rules: Rules,
    base: Base,
    header: Header,
    storage_only: HashSet<Address>,
}

impl Prepared {
    fn new(ethereum: Ethereum, test: &Test) -> Result<Self, String> {
        let header = header(&ethereum, &test.env);
        let parent = Header { number: header.number.saturating_sub(1), ..Default::default() };
        let mut record = BlockRecord::new(parent, Vec::new(), Vec::new(), Vec::new());
        // The tests say that the hash of a block is the hash of its number in decimal digits.
        record.hash = keccak256(record.number().to_string());
        let empty = StateView::empty(Arc::new(Cache::new(CODES_MAX)));
        let state = state(&test.pre)?.apply(&empty).map_err(|error| error.to_string())?;
        let view = empty.with_overlays(vec![Arc::new(state.sealed(record.number(), record.hash))]);
        let storage_only = test.pre.iter().filter(|(_, account)| account.is_storage_only());
        Ok(Self {
            storage_only: storage_only.map(|(address, _)| *address).collect(),
            rules: Rules::imported(ethereum.clone()),
            base: Base { record: Arc::new(record), view },
            ethereum,
            header,
        })
    }

    /// Runs one transaction and compares what it left.
    fn run(&self, expected: &Expected) -> Result<(), String> {
        let mut execution = Execution::bare(&self.rules, &self.base, self.header.clone());
        let outcome = self.transact(&mut execution, &expected.txbytes)?;
        match (&expected.exception, outcome) {
            (Some(_), Err(_)) | (None, Ok(())) => {}
            (Some(exception), Ok(())) => return Err(format!("it must be refused ({exception}), and was not")),
            (None, Err(reason)) => return Err(format!("it must be accepted, and was refused: {reason}")),
        }
        let logs: Vec<_> = execution.receipts().iter().flat_map(|receipt| receipt.logs().to_vec()).collect();
        let logs = keccak256(alloy_rlp::encode(logs));
        let root = execution.into_state().map_err(|error| error.to_string())?.state_root;
        match (root == expected.hash, logs == expected.logs) {
            (false, _) => Err(format!("state root: expected {}, got {root}", expected.hash)),
            (_, false) => Err(format!("hash of the logs: expected {}, got {logs}", expected.logs)),
            (true, true) => Ok(()),
        }
    }

    /// Executes the transaction; the inner error says why it is not valid.
    fn transact(&self, execution: &mut Execution, encoded: &Bytes) -> Result<Result<(), String>, String> {
        let transaction = match decode_exact(encoded) {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut transactions = match recover(&self.ethereum, &self.header, &[transaction]) {
            Ok(transactions) => transactions,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let transaction = transactions.pop().ok_or("it has no sender")?;
        let done = match self.storage_only.is_empty() {
            true => execution.run(&transaction),
            false => {
                let watch = StorageCollision::new(&self.storage_only);
                let outcome = execution.inspect(&transaction, watch);
                outcome.and_then(|outcome| execution.commit(&transaction, outcome).map_err(Refusal::Failed))
            }
        };
        match done {
            Ok(()) => Ok(Ok(())),
            Err(Refusal::Invalid(reason)) => Ok(Err(reason.to_string())),
            Err(Refusal::NoRoom { gas_limit, left }) => Ok(Err(format!("{gas_limit} gas of {left} left"))),
            Err(Refusal::Failed(error)) => Err(error.to_string()),
        }
    }
}

/// The block of a test.
fn header(ethereum: &Ethereum, env: &Environment) -> Header {
    let merged = ethereum.terminal_total_difficulty().is_some();
    let word = |value: U256| B256::from(value);
    Header {
        number: env.number.saturating_to(),
        beneficiary: env.coinbase,
        timestamp: env.timestamp.saturating_to(),
        gas_limit: env.gas_limit.saturating_to(),
        difficulty: if merged { U256::ZERO } else { env.difficulty.unwrap_or_default() },
        mix_hash: env.random.map(word).unwrap_or_default(),
        base_fee_per_gas: env.base_fee.map(|fee| fee.saturating_to()),
        excess_blob_gas: env.excess_blob_gas.map(|gas| gas.saturating_to()),
        ..Default::default()
    }
}

/// The state of a test.
fn state(accounts: &BTreeMap<Address, Account>) -> Result<StateChanges, String> {
    let mut changes = StateChanges::default();
    for (address, account) in accounts {
        let code = Bytecode::new_raw_checked(account.code.clone()).map_err(|e| format!("code of {address}: {e}"))?;
        let hash = code.hash_slow();
        let nonce = account.nonce.saturating_to();
        changes.set_account(*address, Some(TrieAccount::new(nonce, account.balance, EMPTY_ROOT_HASH, hash)));
        if !account.code.is_empty() {
            changes.set_code(hash, code);
        }
        for (slot, value) in &account.storage {
            changes.set_slot(*address, *slot, *value);
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
