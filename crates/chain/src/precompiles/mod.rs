//! What this chain adds to Ethereum's precompiles, and the accounts they stand at.
//!
//! | precompile | decides |
//! |---|---|
//! | `minter` | who makes coin, and how much of it per epoch |
//! | `randomness` | what the randomness of a recent block was |
//! | `certificate` | whether a committee finalised a block |
//! | `possession` | whether challenged leaves belong to a commitment |
//!
//! All speak the ABI of their interface in `contracts/src/interfaces`, take no coin, and answer calldata that they do
//! not understand as a contract would: by reverting with nothing. Gas is charged before the work it pays for. What
//! computes costs what it takes, measured against ECRECOVER (`docs/benchmarks.md`); what touches the state costs what
//! the opcode that does the same costs (EIP-2200, EIP-2929), cold and without refunds.
//!
//! The accounts have one byte of code, `0xfe`, because Solidity refuses to call an account without code. It is
//! never run: a call to a precompile does not look at code.

mod call;
mod certificate;
pub(crate) mod minter;
mod possession;
pub(crate) mod randomness;

use crate::execute::Rules;
use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::{Address, Bytes};
use protocol::abi;

/// Code of a precompile's account: `INVALID`, should anybody run it on a chain without the precompile.
pub(crate) const MARKER: Bytes = Bytes::from_static(&[0xfe]);

/// Adds the precompiles that every EVM of this chain has, to one that is made elsewhere: a tool, a benchmark.
///
/// `randomness` is where the ring of randomness stands. Precompiles keep what they know in the storage of their
/// accounts, so the state has to be one of this chain.
pub fn extend(precompiles: &mut PrecompilesMap, randomness: Option<Address>) {
    precompiles.extend_precompiles([
        (abi::NATIVE_MINTER, call::precompile("kumo-native-minter", minter::run)),
        (abi::CERTIFICATE_VERIFIER, call::precompile("kumo-certificate-verifier", certificate::run)),
        (abi::STORAGE_PROOFS, call::precompile("kumo-storage-proofs", possession::run)),
    ]);
    if let Some(address) = randomness {
        precompiles.extend_precompiles([(address, call::precompile("kumo-randomness", randomness::run))]);
    }
}

/// The same for a chain with these rules; an imported Ethereum chain has nothing beyond Ethereum's precompiles.
pub(crate) fn install(rules: &Rules, precompiles: &mut PrecompilesMap) {
    if rules.ethereum.is_none() {
        extend(precompiles, rules.randomness);
    }
}

/// Accounts that genesis marks with [`MARKER`].
pub(crate) fn marked() -> impl Iterator<Item = Address> {
    abi::PRECOMPILES.iter().map(|(_, address)| *address)
}

#[cfg(test)]
mod tests;
