// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Randomness of recent blocks, written by the chain itself before the first transaction of each block.
/// @notice Ring of 8192 blocks. The value is RANDAO over unique BLS signatures: a proposer can withhold, not choose.
interface IRandomness {
    error NotSystem(address caller);
    error OutOfRange(uint256 blockNumber, uint256 current);
    /// @notice System address (EIP-4788's) only.
    function set(bytes32 value) external;
    /// @notice Randomness of `blockNumber` (current or one of the 8191 before).
    function at(uint256 blockNumber) external view returns (bytes32);
}
