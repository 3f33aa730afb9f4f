//! Random programs of the EVM: valid code, mostly, that reads and writes everything a contract can.
//!
//! Each piece leaves the stack as it found it, so that pieces can be put one after the other; now and then a few
//! random bytes take their place.

use alloy_primitives::{Address, U256};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha12Rng;

/// Pieces of one program.
const PIECES_MAX: usize = 10;
/// Programs within programs: what a program creates may create again.
const DEPTH_MAX: usize = 2;

mod op {
    pub const SUB: u8 = 0x03;
    pub const KECCAK256: u8 = 0x20;
    pub const CALLDATALOAD: u8 = 0x35;
    pub const BLOCKHASH: u8 = 0x40;
    pub const POP: u8 = 0x50;
    pub const MSTORE: u8 = 0x52;
    pub const SLOAD: u8 = 0x54;
    pub const SSTORE: u8 = 0x55;
    pub const JUMP: u8 = 0x56;
    pub const JUMPI: u8 = 0x57;
    pub const GAS: u8 = 0x5a;
    pub const JUMPDEST: u8 = 0x5b;
    pub const TLOAD: u8 = 0x5c;
    pub const TSTORE: u8 = 0x5d;
    pub const PUSH0: u8 = 0x5f;
    pub const DUP1: u8 = 0x80;
    pub const SWAP1: u8 = 0x90;
    pub const LOG0: u8 = 0xa0;
    pub const CREATE: u8 = 0xf0;
    pub const CALL: u8 = 0xf1;
    pub const CALLCODE: u8 = 0xf2;
    pub const RETURN: u8 = 0xf3;
    pub const DELEGATECALL: u8 = 0xf4;
    pub const CREATE2: u8 = 0xf5;
    pub const STATICCALL: u8 = 0xfa;
    pub const REVERT: u8 = 0xfd;
    pub const INVALID: u8 = 0xfe;
    pub const SELFDESTRUCT: u8 = 0xff;
}

/// What a block decides: coinbase, time, number, randomness, gas limit, base fee, blob base fee.
const OF_BLOCK: [u8; 7] = [0x41, 0x42, 0x43, 0x44, 0x45, 0x48, 0x4a];
/// What else needs nothing: address, origin, caller, value, calldata size, code size, gas price, returned data's size,
/// chain id, own balance, program counter, memory size, gas.
const PLAIN: [u8; 13] = [0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d, 0x46, 0x47, 0x58, 0x59, 0x5a];
/// Two words to one: arithmetic, comparison, bits.
const BINARY: [u8; 18] =
    [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x1a, 0x1b, 0x1d];

/// Writes programs.
pub struct Programs<'a> {
    pub rng: &'a mut ChaCha12Rng,
    /// Accounts worth calling.
    pub known: &'a [Address],
    /// Whether programs may look at what a block decides.
    pub of_block: bool,
}

impl Programs<'_> {
    /// A program; what it creates goes down to `depth` programs.
    pub fn write(&mut self, depth: usize) -> Vec<u8> {
        let mut code = Vec::new();
        for _ in 0..self.rng.random_range(1..=PIECES_MAX) {
            self.piece(&mut code, depth);
        }
        self.end(&mut code);
        code
    }

    /// Creation code that leaves `runtime`.
    pub fn deployer(runtime: &[u8]) -> Vec<u8> {
        let mut code = vec![0x61];
        code.extend_from_slice(&(runtime.len() as u16).to_be_bytes());
        code.extend_from_slice(&[op::DUP1, 0x60, 0x0a, op::PUSH0, 0x39, op::PUSH0, op::RETURN]);
        code.extend_from_slice(runtime);
        code
    }

    fn piece(&mut self, code: &mut Vec<u8>, depth: usize) {
        match self.rng.random_range(0..100) {
            0..20 => self.store(code, op::SSTORE),
            20..27 => self.load(code),
            27..31 => self.store(code, op::TSTORE),
            31..38 => self.look(code),
            38..45 => self.look_at(code),
            45..52 => self.calculate(code),
            52..57 => self.memory(code),
            57..70 => self.log(code),
            70..82 => self.call(code),
            82..88 if depth < DEPTH_MAX => self.create(code, depth),
            88..91 => self.copy(code),
            91..95 => self.repeat(code),
            95..97 => self.garbage(code),
            _ => self.calculate(code),
        }
    }

    fn end(&mut self, code: &mut Vec<u8>) {
        match self.rng.random_range(0..20) {
            0..4 => self.slice(code, op::REVERT),
            4..9 => self.slice(code, op::RETURN),
            9..11 => {
                let heir = self.address();
                push(code, heir.into_word().into());
                code.push(op::SELFDESTRUCT);
            }
            11 => code.push(op::INVALID),
            12 if self.rng.random_bool(0.3) => {
                let here = code.len();
                code.push(op::JUMPDEST);
                push(code, U256::from(here));
                code.push(op::JUMP);
            }
            _ => code.push(0x00),
        }
    }

    /// Offset and length of some memory, then an instruction that ends the program.
    fn slice(&mut self, code: &mut Vec<u8>, end: u8) {
        let length = self.rng.random_range(0..96);
        push(code, U256::from(length));
        push(code, U256::from(self.rng.random_range(0..64)));
        code.push(end);
    }

    fn store(&mut self, code: &mut Vec<u8>, store: u8) {
        let value = if self.rng.random_bool(0.35) { U256::ZERO } else { self.word() };
        push(code, value);
        self.slot(code);
        code.push(store);
    }

    fn load(&mut self, code: &mut Vec<u8>) {
        self.slot(code);
        code.push(if self.rng.random_bool(0.8) { op::SLOAD } else { op::TLOAD });
        self.keep(code);
    }

    fn look(&mut self, code: &mut Vec<u8>) {
        let from = if self.of_block && self.rng.random_bool(0.5) { OF_BLOCK.as_slice() } else { PLAIN.as_slice() };
        // What costs depend on where in a block a transaction stands is the same on both sides: gas is, too.
        code.push(*from.choose(self.rng).expect("there are instructions"));
        self.keep(code);
    }

    fn look_at(&mut self, code: &mut Vec<u8>) {
        // Balance, size and hash of code.
        let account = self.address().into_word().into();
        let (argument, instruction) = match self.rng.random_range(0..5) {
            0..2 => (account, 0x31),
            2 => (account, 0x3b),
            3 => (account, 0x3f),
            _ => (U256::from(self.rng.random_range(0..64)), op::CALLDATALOAD),
        };
        push(code, argument);
        code.push(instruction);
        self.keep(code);
    }

    fn calculate(&mut self, code: &mut Vec<u8>) {
        let (a, b) = (self.word(), self.word());
        push(code, a);
        match self.rng.random_range(0..12) {
            // ISZERO, NOT and, since Osaka, CLZ take one word.
            0 => code.push(*[0x15, 0x19, 0x1e].choose(self.rng).expect("there are instructions")),
            // ADDMOD and MULMOD take three.
            1 => {
                push(code, b);
                push(code, U256::from(self.rng.random_range(0..100)));
                code.push(if self.rng.random() { 0x08 } else { 0x09 });
            }
            _ => {
                push(code, b);
                code.push(*BINARY.choose(self.rng).expect("there are instructions"));
            }
        }
        self.keep(code);
    }

    fn memory(&mut self, code: &mut Vec<u8>) {
        let offset = match self.rng.random_range(0..30) {
            0 => self.rng.random_range(0..1u64 << 16),
            1 => 1 << 40,
            _ => self.rng.random_range(0..128),
        };
        let value = self.word();
        push(code, value);
        push(code, U256::from(offset));
        code.push(op::MSTORE);
        if self.rng.random() {
            push(code, U256::from(self.rng.random_range(0..128)));
            push(code, U256::from(self.rng.random_range(0..128)));
            code.push(op::KECCAK256);
            self.keep(code);
        }
    }

    fn log(&mut self, code: &mut Vec<u8>) {
        let topics = self.rng.random_range(0..=4);
        for _ in 0..topics {
            let topic = self.word();
            push(code, topic);
        }
        push(code, U256::from(self.rng.random_range(0..80)));
        push(code, U256::from(self.rng.random_range(0..80)));
        code.push(op::LOG0 + topics);
    }

    fn call(&mut self, code: &mut Vec<u8>) {
        let kind = *[op::CALL, op::CALL, op::CALLCODE, op::DELEGATECALL, op::STATICCALL]
            .choose(self.rng)
            .expect("there are instructions");
        for length in [64, 96, 160, 96] {
            push(code, U256::from(self.rng.random_range(0..length)));
        }
        if kind == op::CALL || kind == op::CALLCODE {
            let value = if self.rng.random_bool(0.6) { 0 } else { self.rng.random_range(0..1000) };
            push(code, U256::from(value));
        }
        let to = self.address();
        push(code, to.into_word().into());
        match self.rng.random_range(0..4) {
            0 => push(code, U256::from(self.rng.random_range(0..50_000))),
            _ => code.push(op::GAS),
        }
        code.push(kind);
        self.keep(code);
    }

    fn create(&mut self, code: &mut Vec<u8>, depth: usize) {
        let inner = self.write(depth + 1);
        let inner = if self.rng.random() { Self::deployer(&inner) } else { inner };
        for (index, chunk) in inner.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            push(code, U256::from_be_bytes(word));
            push(code, U256::from(index * 32));
            code.push(op::MSTORE);
        }
        let salted = self.rng.random();
        if salted {
            push(code, U256::from(self.rng.random_range(0..3)));
        }
        push(code, U256::from(inner.len()));
        push(code, U256::ZERO);
        push(code, U256::from(self.rng.random_range(0..3)));
        code.push(if salted { op::CREATE2 } else { op::CREATE });
        if self.rng.random() {
            // Call what was made, with nothing.
            for _ in 0..5 {
                code.push(op::PUSH0);
            }
            code.extend_from_slice(&[0x85, op::GAS, op::CALL, op::POP]);
        }
        self.keep(code);
    }

    fn copy(&mut self, code: &mut Vec<u8>) {
        push(code, U256::from(self.rng.random_range(0..100)));
        push(code, U256::from(self.rng.random_range(0..40)));
        push(code, U256::from(self.rng.random_range(0..100)));
        // Of calldata, of own code, of what was returned (fails beyond its end), within memory; of another's code.
        match self.rng.random_range(0..5) {
            4 => {
                let of = self.address();
                push(code, of.into_word().into());
                code.push(0x3c);
            }
            kind => code.push([0x37, 0x39, 0x3e, 0x5e][kind]),
        }
    }

    /// Counts down, storing something each time.
    fn repeat(&mut self, code: &mut Vec<u8>) {
        push(code, U256::from(self.rng.random_range(1..12)));
        let here = code.len();
        code.push(op::JUMPDEST);
        if self.rng.random() {
            code.extend_from_slice(&[op::DUP1, op::DUP1, op::SSTORE]);
        }
        push(code, U256::from(1));
        code.extend_from_slice(&[op::SWAP1, op::SUB, op::DUP1]);
        push(code, U256::from(here));
        code.extend_from_slice(&[op::JUMPI, op::POP]);
    }

    fn garbage(&mut self, code: &mut Vec<u8>) {
        for _ in 0..self.rng.random_range(1..6) {
            let byte = self.rng.random();
            // What must not be asked must not be asked by accident.
            let hidden = byte == op::BLOCKHASH || (!self.of_block && OF_BLOCK.contains(&byte));
            code.push(if hidden { op::JUMPDEST } else { byte });
        }
    }

    /// Keeps the word on the stack in storage, or drops it.
    fn keep(&mut self, code: &mut Vec<u8>) {
        match self.rng.random_range(0..3) {
            0 => {
                self.slot(code);
                code.push(op::SSTORE);
            }
            _ => code.push(op::POP),
        }
    }

    fn slot(&mut self, code: &mut Vec<u8>) {
        let slot = if self.rng.random_bool(0.9) { U256::from(self.rng.random_range(0..5)) } else { self.word() };
        push(code, slot);
    }

    fn word(&mut self) -> U256 {
        match self.rng.random_range(0..4) {
            0 => U256::from(self.rng.random_range(0..4)),
            1 => U256::from(self.rng.random::<u64>()),
            2 => U256::MAX - U256::from(self.rng.random_range(0..3)),
            _ => U256::from_be_bytes(self.rng.random::<[u8; 32]>()),
        }
    }

    /// Somebody: known, a precompile, or never heard of.
    pub fn address(&mut self) -> Address {
        match self.rng.random_range(0..10) {
            0..7 => *self.known.choose(self.rng).expect("the keys are known"),
            7 => Address::with_last_byte(self.rng.random_range(1..=0x12)),
            8 => Address::with_last_byte(self.rng.random()).create(1),
            _ => Address::from(self.rng.random::<[u8; 20]>()),
        }
    }
}

/// The shortest instruction that pushes a number.
fn push(code: &mut Vec<u8>, value: U256) {
    let bytes = value.to_be_bytes_trimmed_vec();
    code.push(op::PUSH0 + bytes.len() as u8);
    code.extend_from_slice(&bytes);
}
