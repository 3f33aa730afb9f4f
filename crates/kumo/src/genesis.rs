//! Block 0 of the settlement chain, from the network file and the committed contract artifacts.

use chain::predeploys::system_contracts;
use chain::{GenesisSpec, MintRules};
use eyre::{Result, eyre};
use protocol::abi;
use protocol::network::{EPOCH_BLOCKS_DEFAULT, Genesis, Network};
use sequencer::Committee;
use sequencer::committees::{Committees, Schedule};

/// The genesis section of a network file.
///
/// # Errors
/// When the file is a client's and has none.
pub fn of(network: &Network) -> Result<&Genesis> {
    network.genesis.as_ref().ok_or_else(|| {
        eyre!("the network file has no genesis: use the one that `kumo init` wrote, or DIR/network.json of `kumo dev --state DIR`")
    })
}

/// The committees of a network as far as its file names them: the first one.
///
/// # Errors
/// When its validators make no committee.
pub fn committees(network: &Network) -> Result<Committees> {
    let committee = Committee::new(&network.validators, network.chain_id)?;
    let epoch_blocks = network.genesis.as_ref().map_or(EPOCH_BLOCKS_DEFAULT, |genesis| genesis.epoch_blocks);
    Ok(Committees::new(Schedule::new(committee, epoch_blocks)))
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
