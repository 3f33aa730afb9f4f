//! The one place where an EVM is made, so that every path (blocks, genesis, calls, traces) runs the same precompiles.

use crate::{ethereum::net_metered, execute::Rules, precompiles};
use alloy_evm::{Database, Evm, EvmEnv, EvmFactory, eth::EthEvmFactory};
use revm::{Inspector, inspector::NoOpInspector};

/// The EVM of this chain.
pub(crate) type ChainEvm<DB, I = NoOpInspector> = <EthEvmFactory as EvmFactory>::Evm<DB, I>;
/// What an EVM over `DB` shows an inspector.
pub(crate) type ChainEvmContext<DB> = <EthEvmFactory as EvmFactory>::Context<DB>;

/// An EVM that nobody watches.
pub(crate) fn evm<DB: Database>(rules: &Rules, database: DB, env: EvmEnv) -> ChainEvm<DB> {
    let metered = is_net_metered(rules, &env);
    let mut evm = constructor_evm(database, env);
    precompiles::install(rules, evm.precompiles_mut());
    if metered { net_metered(evm, false) } else { evm }
}

/// An EVM for the constructors of genesis, some of which run where a precompile of this chain would answer.
pub(crate) fn constructor_evm<DB: Database>(database: DB, env: EvmEnv) -> ChainEvm<DB> {
    EthEvmFactory::default().create_evm(database, env)
}

/// An EVM whose steps `inspector` sees.
pub(crate) fn inspected_evm<DB: Database, I: Inspector<ChainEvmContext<DB>>>(
    rules: &Rules,
    database: DB,
    env: EvmEnv,
    inspector: I,
) -> ChainEvm<DB, I> {
    let metered = is_net_metered(rules, &env);
    let mut evm = EthEvmFactory::default().create_evm_with_inspector(database, env, inspector);
    precompiles::install(rules, evm.precompiles_mut());
    if metered { net_metered(evm, true) } else { evm }
}

/// Whether the block is one of an imported chain between Constantinople and Petersburg.
fn is_net_metered(rules: &Rules, env: &EvmEnv) -> bool {
    rules.ethereum.as_ref().is_some_and(|ethereum| ethereum.is_net_metered(env.block_env.number.saturating_to()))
}
