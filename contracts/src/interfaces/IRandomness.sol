// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Randomness of recent blocks, written by the chain itself before the first transaction of each block.
/// @notice Ring of 8192 blocks. The value is RANDAO over unique BLS signatures: a proposer can withhold, not choose.
/// @notice The proposer of a block knows its value first and picks its transactions: draw with the value of a block after
/// the one that fixed the question, and read it with `settled`.
interface IRandomness {
    error NotSystem(address caller);
    error OutOfRange(uint256 blockNumber, uint256 current);
    error NotSettled(uint256 blockNumber, uint256 current);
    /// @notice Blocks that are remembered, the current one included.
    function RING_BLOCKS() external view returns (uint256);
    /// @notice System address (EIP-4788's) only.
    function set(bytes32 value) external;
    /// @notice Randomness of `blockNumber` (current or one of the 8191 before).
    function at(uint256 blockNumber) external view returns (bytes32);
    /// @notice The same, but only of blocks before the current one, whose proposer then has no influence on the value.
    function settled(uint256 blockNumber) external view returns (bytes32);
}
