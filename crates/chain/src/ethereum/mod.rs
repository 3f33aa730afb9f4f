//! The rules of an Ethereum chain, from a geth-style `genesis.json`: which fork holds for which block.
//!
//! Forks up to Gray Glacier begin at a block, Paris at a total difficulty, later ones at a time. A block of difficulty
//! zero is a proof-of-stake block (EIP-3675), so the rules of a block follow from its header alone. What a chain does
//! beyond Osaka and its blob-parameter forks is not known here and is refused, never guessed.
//! Sources: EIP-3675, EIP-6122, EIP-7840, EIP-7892.

mod block;
mod dao;
mod difficulty;
mod error;
mod genesis;
mod header;
mod netgas;
mod schedule;

pub(crate) use block::{Body, requests};
pub use error::GenesisError;
pub(crate) use genesis::{header as genesis_header, state as genesis_state};
pub(crate) use header::{check_body, check_header, child, differs};
pub(crate) use netgas::net_metered;

use alloy_consensus::Header;
use alloy_eips::{eip7594::MAX_BLOBS_PER_TX_FUSAKA, eip7840::BLOB_BASE_COST, eip7840::BlobParams};
use alloy_evm::EvmEnv;
use alloy_genesis::ChainConfig;
use alloy_primitives::U256;
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};

/// The fork schedule of one chain.
#[derive(Clone, Debug)]
pub(crate) struct Ethereum {
    config: ChainConfig,
    /// Blob parameters by the time from which they hold, oldest first.
    blobs: Vec<(u64, BlobParams)>,
}

impl Ethereum {
    /// Reads the schedule of a genesis and checks that it makes sense.
    pub(crate) fn new(config: &ChainConfig) -> Result<Self, GenesisError> {
        refuse_unknown(config)?;
        check_order(config)?;
        Ok(Self { config: config.clone(), blobs: blob_schedule(config)? })
    }

    /// The schedule as the genesis has it.
    pub(crate) fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// EIP-155 chain id.
    pub(crate) fn chain_id(&self) -> u64 {
        self.config.chain_id
    }

    /// Total difficulty from which on blocks are made by proof of stake.
    pub(crate) fn terminal_total_difficulty(&self) -> Option<U256> {
        self.config.terminal_total_difficulty
    }

    /// Whether a block is one of proof of stake. Block 0 is, if the chain began that way.
    pub(crate) fn is_merged(&self, header: &Header) -> bool {
        let Some(terminal) = self.config.terminal_total_difficulty else { return false };
        header.difficulty.is_zero() && (header.number > 0 || terminal.is_zero())
    }

    /// The fork that holds for a block, as the EVM names it.
    pub(crate) fn spec(&self, header: &Header) -> SpecId {
        let config = &self.config;
        let reached = |time: Option<u64>| time.is_some_and(|time| header.timestamp >= time);
        if self.is_merged(header) {
            let times = [
                (config.osaka_time, SpecId::OSAKA),
                (config.prague_time, SpecId::PRAGUE),
                (config.cancun_time, SpecId::CANCUN),
                (config.shanghai_time, SpecId::SHANGHAI),
            ];
            let timed = times.into_iter().find(|(time, _)| reached(*time));
            return timed.map_or(SpecId::MERGE, |(_, spec)| spec);
        }
        let blocks = [
            (config.london_block, SpecId::LONDON),
            (config.berlin_block, SpecId::BERLIN),
            (config.istanbul_block, SpecId::ISTANBUL),
            // The EVM has one name for Constantinople and Petersburg; `netgas` makes the difference between them.
            (config.constantinople_block.or(config.petersburg_block), SpecId::PETERSBURG),
            (config.byzantium_block, SpecId::BYZANTIUM),
            (config.eip158_block, SpecId::SPURIOUS_DRAGON),
            (config.eip150_block, SpecId::TANGERINE),
            (config.homestead_block, SpecId::HOMESTEAD),
        ];
        let numbered = blocks.into_iter().find(|(block, _)| block.is_some_and(|block| header.number >= block));
        numbered.map_or(SpecId::FRONTIER, |(_, spec)| spec)
    }

    /// Whether the rules of `fork` or a later one hold for a block.
    pub(crate) fn is_active(&self, fork: SpecId, header: &Header) -> bool {
        self.spec(header).is_enabled_in(fork)
    }

    /// Whether storage writes are metered as in EIP-1283: from Constantinople until Petersburg took it back.
    pub(crate) fn is_net_metered(&self, number: u64) -> bool {
        let (from, to) = (self.config.constantinople_block, self.config.petersburg_block);
        from.is_some_and(|from| number >= from) && to.is_some_and(|to| number < to)
    }

    /// Whether transactions may name a chain (EIP-155).
    pub(crate) fn is_replay_protected(&self, number: u64) -> bool {
        self.config.eip155_block.is_some_and(|block| number >= block)
    }

    /// Blocks by which the difficulty bomb is delayed, and whether ommers count for the difficulty (EIP-100).
    pub(crate) fn difficulty_rules(&self, number: u64) -> difficulty::Rules {
        let config = &self.config;
        let on = |block: Option<u64>| block.is_some_and(|block| number >= block);
        let delays = [
            (config.gray_glacier_block, 11_400_000),
            (config.arrow_glacier_block, 10_700_000),
            (config.london_block, 9_700_000),
            (config.muir_glacier_block, 9_000_000),
            (config.constantinople_block.or(config.petersburg_block), 5_000_000),
            (config.byzantium_block, 3_000_000),
        ];
        let delayed = delays.into_iter().find(|(block, _)| on(*block)).map_or(0, |(_, blocks)| blocks);
        difficulty::Rules {
            homestead: on(config.homestead_block),
            byzantium: on(config.byzantium_block),
            bomb_delay_blocks: delayed,
        }
    }

    /// Parameters of the blob market at a time; `None` before Cancun.
    pub(crate) fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        self.blobs.iter().rev().find(|(from, _)| timestamp >= *from).map(|(_, params)| *params)
    }

    /// Environment of the EVM for the block of this header.
    pub(crate) fn evm_env(&self, header: &Header) -> EvmEnv {
        let merged = self.is_merged(header);
        let params = self.blob_params(header.timestamp).filter(|_| merged);
        let blob_price = |params: BlobParams| BlobExcessGasAndPrice {
            excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
            blob_gasprice: params.calc_blob_fee(header.excess_blob_gas.unwrap_or_default()),
        };
        let block_env = BlockEnv {
            number: U256::from(header.number),
            beneficiary: header.beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            basefee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            prevrandao: merged.then_some(header.mix_hash),
            blob_excess_gas_and_price: params.map(blob_price),
            ..Default::default()
        };
        let mut cfg_env = CfgEnv::new_with_spec(self.spec(header)).with_chain_id(self.chain_id());
        if let Some(params) = params {
            cfg_env.set_max_blobs_per_tx(params.max_blobs_per_tx);
        }
        if self.is_net_metered(header.number) {
            netgas::set_prices(&mut cfg_env);
        }
        EvmEnv::new(cfg_env, block_env)
    }
}

/// Refuses consensus engines and forks that this program does not know.
fn refuse_unknown(config: &ChainConfig) -> Result<(), GenesisError> {
    if config.clique.is_some() || config.parlia.is_some() {
        return Err(GenesisError::Consensus);
    }
    for (name, time) in [("amsterdamTime", config.amsterdam_time), ("bogotaTime", config.bogota_time)] {
        if time.is_some() {
            return Err(GenesisError::UnknownFork(name.to_owned()));
        }
    }
    // Every fork of geth's configuration is a field that ends in "Block" or "Time".
    let unknown = config.extra_fields.iter().find(|(name, value)| {
        !value.is_null()
            && (name.ends_with("Time") || name.ends_with("Block"))
            && !KNOWN_WITHOUT_EFFECT.contains(&name.as_str())
    });
    match unknown {
        Some((name, _)) => Err(GenesisError::UnknownFork(name.clone())),
        None => Ok(()),
    }
}

/// Fields of older clients that look like forks and change nothing.
const KNOWN_WITHOUT_EFFECT: [&str; 1] = ["yoloV3Block"];

/// Later forks build on earlier ones, so they must come later.
fn check_order(config: &ChainConfig) -> Result<(), GenesisError> {
    let blocks = [
        ("homesteadBlock", config.homestead_block),
        ("eip150Block", config.eip150_block),
        ("eip158Block", config.eip158_block),
        ("byzantiumBlock", config.byzantium_block),
        ("constantinopleBlock", config.constantinople_block),
        ("petersburgBlock", config.petersburg_block.or(config.constantinople_block)),
        ("istanbulBlock", config.istanbul_block),
        ("berlinBlock", config.berlin_block),
        ("londonBlock", config.london_block),
    ];
    check_rising(&blocks)?;
    let times = [
        ("shanghaiTime", config.shanghai_time),
        ("cancunTime", config.cancun_time),
        ("pragueTime", config.prague_time),
        ("osakaTime", config.osaka_time),
        ("bpo1Time", config.bpo1_time),
        ("bpo2Time", config.bpo2_time),
        ("bpo3Time", config.bpo3_time),
        ("bpo4Time", config.bpo4_time),
        ("bpo5Time", config.bpo5_time),
    ];
    check_rising(&times)?;
    if config.terminal_total_difficulty.is_some() && config.london_block.is_none() {
        return Err(GenesisError::ForkMissing { fork: "terminalTotalDifficulty", needs: "londonBlock" });
    }
    if config.shanghai_time.is_some() && config.terminal_total_difficulty.is_none() {
        return Err(GenesisError::ForkMissing { fork: "shanghaiTime", needs: "terminalTotalDifficulty" });
    }
    Ok(())
}

fn check_rising(forks: &[(&'static str, Option<u64>)]) -> Result<(), GenesisError> {
    for pair in forks.windows(2) {
        let ((before, earlier), (fork, later)) = (pair[0], pair[1]);
        match (earlier, later) {
            (None, Some(_)) => return Err(GenesisError::ForkMissing { fork, needs: before }),
            (Some(earlier), Some(later)) if later < earlier => {
                return Err(GenesisError::ForkOrder { fork, at: later, before, needs: earlier });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The blob parameters with the times from which they hold (EIP-7840, EIP-7892).
fn blob_schedule(config: &ChainConfig) -> Result<Vec<(u64, BlobParams)>, GenesisError> {
    let forks = [
        ("cancun", config.cancun_time, Some(BlobParams::cancun())),
        ("prague", config.prague_time, Some(BlobParams::prague())),
        ("osaka", config.osaka_time, Some(BlobParams::osaka())),
        ("bpo1", config.bpo1_time, None),
        ("bpo2", config.bpo2_time, None),
        ("bpo3", config.bpo3_time, None),
        ("bpo4", config.bpo4_time, None),
        ("bpo5", config.bpo5_time, None),
    ];
    let mut schedule = Vec::new();
    for (fork, time, usual) in forks {
        let Some(time) = time else { continue };
        let stated = config.blob_schedule.get(fork).copied();
        let params = stated.or(usual).ok_or(GenesisError::BlobSchedule { fork })?;
        if params.update_fraction == 0 || params.max_blob_count == 0 || params.target_blob_count > params.max_blob_count
        {
            return Err(GenesisError::BlobParameters {
                fork,
                target: params.target_blob_count,
                max: params.max_blob_count,
                fraction: params.update_fraction,
            });
        }
        schedule.push((time, with_fork_limits(params, config.osaka_time.is_some_and(|osaka| time >= osaka))));
    }
    Ok(schedule)
}

/// Since Osaka there is a floor under the blob fee (EIP-7918) and a limit per transaction (EIP-7594).
fn with_fork_limits(params: BlobParams, osaka: bool) -> BlobParams {
    match osaka {
        true => params.with_blob_base_cost(BLOB_BASE_COST).with_max_blobs_per_tx(MAX_BLOBS_PER_TX_FUSAKA),
        false => params.with_max_blobs_per_tx(params.max_blob_count),
    }
}
