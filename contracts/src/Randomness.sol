// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IRandomness } from "./interfaces/IRandomness.sol";
import { Predeploys } from "./Predeploys.sol";

/// @title Ring of the randomness of recent blocks.
/// @notice The chain answers calls with a precompile of the same storage and the same answers; this is its definition.
contract Randomness is IRandomness {
    /// @notice Blocks that are remembered, the current one included.
    uint256 public constant RING_BLOCKS = Predeploys.RANDOMNESS_BLOCKS;

    mapping(uint256 slot => bytes32) private _ring;

    /// @inheritdoc IRandomness
    function set(bytes32 value) external {
        if (msg.sender != Predeploys.SYSTEM) revert NotSystem(msg.sender);
        _ring[block.number % RING_BLOCKS] = value;
    }

    /// @inheritdoc IRandomness
    function at(uint256 blockNumber) public view returns (bytes32) {
        if (blockNumber > block.number || block.number - blockNumber >= RING_BLOCKS) {
            revert OutOfRange(blockNumber, block.number);
        }
        return _ring[blockNumber % RING_BLOCKS];
    }

    /// @inheritdoc IRandomness
    function settled(uint256 blockNumber) external view returns (bytes32) {
        if (blockNumber >= block.number) revert NotSettled(blockNumber, block.number);
        return at(blockNumber);
    }
}
