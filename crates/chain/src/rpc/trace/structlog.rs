//! The default tracer of `debug_trace*`: one entry per opcode, in the shape of geth's struct logger.
//!
//! The entries are written as JSON while the transaction runs, so that they take the memory of the answer and no more.
//! Gas costs, storage and errors follow geth: the gas handed to a creation is no cost of `CREATE`, storage is shown at
//! `SLOAD` and `SSTORE` with all slots of the contract seen so far, and an error belongs to the entry only where the
//! opcode could not begin. Source: ethereum/execution-apis `src/schemas/opcode-tracer.yaml`.

use super::budget::Kept;
use alloy_primitives::{Address, B256, Bytes, U256, hex, map::AddressMap};
use alloy_rpc_types_trace::geth::GethDefaultTracingOptions;
use revm::Inspector;
use revm::bytecode::opcode::{self, OpCode};
use revm::context_interface::result::ExecutionResult;
use revm::context_interface::{ContextTr, JournalTr};
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl, ReturnData};
use revm::interpreter::{FrameInput, InstructionResult, Interpreter, InterpreterAction};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::Write as _;

/// Stack items an undefined opcode takes and gives.
const STACK_MAX: usize = 1_024;

/// Writes the entries of one transaction.
#[derive(Debug)]
pub(super) struct StructLogger {
    options: Options,
    /// Entries so far, separated by commas.
    json: Vec<u8>,
    entries: u64,
    /// Slots read or written so far, by contract.
    storage: AddressMap<BTreeMap<B256, B256>>,
    current: Option<Entry>,
    /// The rest of the current entry; kept for its capacity.
    tail: Vec<u8>,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
struct Options {
    stack: bool,
    memory: bool,
    storage: bool,
    return_data: bool,
    /// Most entries.
    entries_max: u64,
}

/// An opcode that has begun.
#[derive(Clone, Copy, Debug)]
struct Entry {
    op: u8,
    gas: u64,
    depth: usize,
    contract: Address,
    /// The two uppermost stack items before it.
    top: [U256; 2],
    stack_items: usize,
    refund: i64,
}

impl StructLogger {
    /// A logger with the options of a request.
    pub(super) fn new(options: &GethDefaultTracingOptions) -> Self {
        let options = Options {
            stack: options.is_stack_enabled(),
            memory: options.is_memory_enabled(),
            storage: options.is_storage_enabled(),
            return_data: options.is_return_data_enabled(),
            entries_max: options.limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX),
        };
        let (json, tail) = (Vec::new(), Vec::new());
        Self { options, json, entries: 0, storage: AddressMap::default(), current: None, tail }
    }

    /// The whole trace of a transaction that ended with `result`.
    pub(super) fn finish(self, result: &ExecutionResult) -> serde_json::Result<Box<RawValue>> {
        let output = match result {
            ExecutionResult::Success { output, .. } => output.data().clone(),
            ExecutionResult::Revert { output, .. } => output.clone(),
            ExecutionResult::Halt { .. } => Bytes::new(),
        };
        let (gas, failed) = (result.tx_gas_used(), !result.is_success());
        let entries = String::from_utf8_lossy(&self.json);
        RawValue::from_string(format!(
            r#"{{"gas":{gas},"failed":{failed},"returnValue":"{output}","structLogs":[{entries}]}}"#
        ))
    }

    fn begin(&mut self, interpreter: &Interpreter, depth: usize) {
        let stack = interpreter.stack.data();
        let peek = |index: usize| stack.len().checked_sub(index + 1).map(|at| stack[at]).unwrap_or_default();
        self.current = Some(Entry {
            op: interpreter.bytecode.opcode(),
            gas: interpreter.gas.remaining(),
            depth,
            contract: interpreter.input.target_address(),
            top: [peek(0), peek(1)],
            stack_items: stack.len(),
            refund: interpreter.gas.refunded(),
        });
        let op = name(interpreter.bytecode.opcode());
        let comma = if self.entries == 0 { "" } else { "," };
        write!(
            self.json,
            r#"{comma}{{"pc":{},"op":"{op}","gas":{}"#,
            interpreter.bytecode.pc(),
            interpreter.gas.remaining()
        )
        .expect("a vector takes all");
        self.entries += 1;
        self.tail.clear();
        if self.options.stack {
            write_list(&mut self.tail, "stack", stack.iter().map(|item| format!("{item:#x}")));
        }
        let returned = interpreter.return_data.buffer();
        if self.options.return_data && !returned.is_empty() {
            write!(self.tail, r#","returnData":"{returned}""#).expect("a vector takes all");
        }
        if self.options.memory {
            let memory = interpreter.memory.context_memory();
            if !memory.is_empty() {
                write_list(&mut self.tail, "memory", memory.chunks(32).map(word));
            }
        }
    }

    fn end(&mut self, entry: Entry, interpreter: &mut Interpreter) {
        let mut cost = entry.gas.saturating_sub(interpreter.gas.remaining());
        if let Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) = interpreter.bytecode.action() {
            cost = cost.saturating_sub(inputs.gas_limit());
        }
        write!(self.json, r#","gasCost":{cost},"depth":{}"#, entry.depth).expect("a vector takes all");
        let failed = interpreter.bytecode.instruction_result().filter(|result| !result.is_ok_or_revert());
        if let Some(error) = failed.and_then(|result| unbegun(result, &entry)) {
            write!(self.json, r#","error":"{error}""#).expect("a vector takes all");
        }
        self.json.append(&mut self.tail);
        if self.options.storage && failed.is_none() {
            self.write_storage(&entry, interpreter);
        }
        if entry.refund > 0 {
            write!(self.json, r#","refund":{}"#, entry.refund).expect("a vector takes all");
        }
        self.json.push(b'}');
    }

    fn write_storage(&mut self, entry: &Entry, interpreter: &Interpreter) {
        let [key, written] = entry.top;
        let value = match entry.op {
            opcode::SLOAD => interpreter.stack.data().last().copied().unwrap_or_default(),
            opcode::SSTORE => written,
            _ => return,
        };
        let slots = self.storage.entry(entry.contract).or_default();
        slots.insert(key.into(), value.into());
        self.json.extend_from_slice(br#","storage":{"#);
        for (index, (key, value)) in slots.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(self.json, r#"{comma}"{key}":"{value}""#).expect("a vector takes all");
        }
        self.json.push(b'}');
    }
}

impl Kept for StructLogger {
    /// The entries are held once here and once in the answer.
    fn kept_bytes(&self) -> usize {
        2 * self.json.len()
    }
}

impl<CTX: ContextTr> Inspector<CTX> for StructLogger {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.current = None;
        if self.entries < self.options.entries_max {
            self.begin(interpreter, context.journal().depth());
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, _context: &mut CTX) {
        if let Some(entry) = self.current.take() {
            self.end(entry, interpreter);
        }
    }
}

/// Name of an opcode, as geth writes it.
fn name(op: u8) -> String {
    match OpCode::new(op) {
        Some(op) => op.as_str().to_owned(),
        None => format!("opcode {op:#x} not defined"),
    }
}

/// Why an opcode could not begin, in the words of geth; `None` if it began and failed later.
fn unbegun(result: InstructionResult, entry: &Entry) -> Option<String> {
    let items = entry.stack_items;
    match result {
        InstructionResult::OutOfGas
        | InstructionResult::MemoryOOG
        | InstructionResult::MemoryLimitOOG
        | InstructionResult::ReentrancySentryOOG => Some("out of gas".into()),
        InstructionResult::InvalidOperandOOG => Some("gas uint64 overflow".into()),
        InstructionResult::StackUnderflow => {
            let needed = OpCode::new(entry.op).map_or(0, |op| op.inputs());
            Some(format!("stack underflow ({items} <=> {needed})"))
        }
        InstructionResult::StackOverflow => Some(format!("stack limit reached {items} ({})", STACK_MAX - 1)),
        _ => None,
    }
}

/// A word of memory; the last one may be short.
fn word(chunk: &[u8]) -> String {
    let mut word = [0; 32];
    word[..chunk.len()].copy_from_slice(chunk);
    hex::encode_prefixed(word)
}

/// Writes `,"key":["…",…]`.
fn write_list(json: &mut Vec<u8>, key: &str, items: impl Iterator<Item = String>) {
    write!(json, r#","{key}":["#).expect("a vector takes all");
    for (index, item) in items.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(json, r#"{comma}"{item}""#).expect("a vector takes all");
    }
    json.push(b']');
}
