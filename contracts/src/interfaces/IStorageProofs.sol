// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Verification of proofs of possession, many challenges at a time: a precompile.
/// @notice A commitment is the root of a SHA-256 Merkle tree over leaves of 256 bytes, and the size of the data in bytes.
/// See docs/formats.md for the tree and the order of the path.
interface IStorageProofs {
    /// @notice Not 1 to 256 challenges, or the size is not 1 to 2^60 bytes.
    error ChallengeOutOfRange(uint64 size, uint256 challenges);
    /// @notice Leaves to prove for this seed: ascending, distinct, at most `count` (1 to 256).
    /// @param seed Randomness of a block after the commitment, mixed with whatever tells this draw from others.
    function draw(bytes32 seed, uint64 size, uint256 count) external pure returns (uint64[] memory indices);
    /// @notice Whether all of these leaves are in the tree.
    /// @param indices Numbers of the leaves, strictly ascending, 1 to 256.
    /// @param leaves Their bytes, one after the other.
    /// @param path Roots of the largest subtrees without any of these leaves, from left to right.
    function verifyBatch(
        bytes32 root,
        uint64 size,
        uint64[] calldata indices,
        bytes calldata leaves,
        bytes32[] calldata path
    ) external pure returns (bool);
}
