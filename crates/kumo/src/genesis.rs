//! Block 0 of the settlement chain, from the network file and the committed contract artifacts.

use chain::predeploys::system_contracts;
use chain::{GenesisSpec, MintRules};
use eyre::{Result, eyre};
use protocol::abi;
use protocol::network::{Genesis, Network};

/// The genesis section of a network file.
///
/// # Errors
/// When the file is a client's and has none.
pub fn of(network: &Network) -> Result<&Genesis> {
    network.genesis.as_ref().ok_or_else(|| {
        eyre!("the network file has no genesis: use the one that `kumo init` wrote, or DIR/network.json of `kumo dev --state DIR`")
    })
}

/// What `chain` builds block 0 from.
///
/// # Errors
/// When the network file has no genesis.
pub fn spec(network: &Network) -> Result<GenesisSpec> {
    let genesis = of(network)?;
    Ok(GenesisSpec {
        chain_id: network.chain_id,
        timestamp: genesis.timestamp,
        gas_limit: genesis.gas_limit,
        alloc: genesis.alloc.clone(),
        predeploys: system_contracts(genesis.authority),
        fee_recipient_vault: Some(abi::FEE_VAULT),
        randomness: Some(abi::RANDOMNESS),
        mint: genesis.mint.as_ref().map(|mint| MintRules {
            epoch_blocks: mint.epoch_blocks,
            cap_wei: mint.cap,
            minters: mint.minters.clone(),
        }),
    })
}
