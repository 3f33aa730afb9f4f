//! The forks of a chain as others ask for them: when each begins, and the short hash that names it.
//!
//! Sources: EIP-6122 (fork hash), EIP-7910 (what `eth_config` tells).

use super::Ethereum;
use alloy_eips::eip2124::ForkHash;
use alloy_primitives::B256;

impl Ethereum {
    /// Times since Cancun at which the rules change, in order, each once.
    pub(crate) fn fork_times(&self) -> Vec<u64> {
        let mut times: Vec<u64> = self.blobs.iter().map(|(time, _)| *time).collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    /// The hash over genesis and every fork that has begun at `timestamp`, when all those that begin at a block have.
    pub(crate) fn fork_hash(&self, genesis: B256, genesis_timestamp: u64, timestamp: u64) -> ForkHash {
        let config = &self.config;
        let mut blocks: Vec<u64> = [
            config.homestead_block,
            config.dao_fork_block.filter(|_| config.dao_fork_support),
            config.eip150_block,
            config.eip155_block,
            config.eip158_block,
            config.byzantium_block,
            config.constantinople_block,
            config.petersburg_block,
            config.istanbul_block,
            config.muir_glacier_block,
            config.berlin_block,
            config.london_block,
            config.arrow_glacier_block,
            config.gray_glacier_block,
            config.merge_netsplit_block,
        ]
        .into_iter()
        .flatten()
        .filter(|block| *block > 0)
        .collect();
        blocks.sort_unstable();
        blocks.dedup();
        let mut times = self.fork_times();
        times.extend(config.shanghai_time);
        times.retain(|time| *time > genesis_timestamp && *time <= timestamp);
        times.sort_unstable();
        times.dedup();
        blocks.into_iter().chain(times).fold(ForkHash::from(genesis), |hash, fork| hash + fork)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_genesis::ChainConfig;
    use alloy_primitives::b256;

    /// Ethereum's own forks and fork hashes (EIP-2124, EIP-6122).
    #[test]
    fn fork_hashes_are_those_of_the_network() {
        let config = ChainConfig {
            chain_id: 1,
            homestead_block: Some(1_150_000),
            dao_fork_block: Some(1_920_000),
            dao_fork_support: true,
            eip150_block: Some(2_463_000),
            eip155_block: Some(2_675_000),
            eip158_block: Some(2_675_000),
            byzantium_block: Some(4_370_000),
            constantinople_block: Some(7_280_000),
            petersburg_block: Some(7_280_000),
            istanbul_block: Some(9_069_000),
            muir_glacier_block: Some(9_200_000),
            berlin_block: Some(12_244_000),
            london_block: Some(12_965_000),
            arrow_glacier_block: Some(13_773_000),
            gray_glacier_block: Some(15_050_000),
            terminal_total_difficulty: Some(alloy_primitives::U256::from(58_750_000_000_000_000_000_000_u128)),
            shanghai_time: Some(1_681_338_455),
            cancun_time: Some(1_710_338_135),
            ..Default::default()
        };
        let ethereum = Ethereum::new(&config).unwrap();
        let genesis = b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
        assert_eq!(ethereum.fork_hash(genesis, 0, 1_681_338_454).0, [0xf0, 0xaf, 0xd0, 0xe3]);
        assert_eq!(ethereum.fork_hash(genesis, 0, 1_681_338_455).0, [0xdc, 0xe9, 0x6c, 0x2d]);
        assert_eq!(ethereum.fork_hash(genesis, 0, 1_710_338_135).0, [0x9f, 0x3d, 0x22, 0x54]);
        assert_eq!(ethereum.fork_times(), [1_710_338_135]);
    }
}
