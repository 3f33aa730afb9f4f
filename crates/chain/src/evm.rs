//! The one place where an EVM is made, so that every path (blocks, genesis, calls, traces) runs the same precompiles.

use crate::execute::Rules;
use alloy_evm::{Database, EvmEnv, EvmFactory, eth::EthEvmFactory};
use revm::{Inspector, inspector::NoOpInspector};

/// The EVM of this chain.
pub(crate) type ChainEvm<DB, I = NoOpInspector> = <EthEvmFactory as EvmFactory>::Evm<DB, I>;
/// What an EVM over `DB` shows an inspector.
pub(crate) type ChainEvmContext<DB> = <EthEvmFactory as EvmFactory>::Context<DB>;

/// An EVM that nobody watches.
pub(crate) fn evm<DB: Database>(_rules: &Rules, database: DB, env: EvmEnv) -> ChainEvm<DB> {
    EthEvmFactory::default().create_evm(database, env)
}

/// An EVM whose steps `inspector` sees.
pub(crate) fn inspected_evm<DB: Database, I: Inspector<ChainEvmContext<DB>>>(
    _rules: &Rules,
    database: DB,
    env: EvmEnv,
    inspector: I,
) -> ChainEvm<DB, I> {
    EthEvmFactory::default().create_evm_with_inspector(database, env, inspector)
}
