// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Checkpoint } from "../interfaces/IKumoL1.sol";

/// @title Roots of checkpoints, and what is signed: `proof::checkpoint::{Checkpoint, Vote}`.
library Votes {
    bytes32 private constant VOTE_TAG = keccak256("kumo/ffg/vote/v1");
    bytes32 private constant CHECKPOINT_TAG = keccak256("kumo/ffg/checkpoint/v1");

    /// @notice What every vote is bound to: one network.
    struct Domain {
        uint64 chainId;
        bytes32 genesis;
    }

    /// @notice What votes name.
    function root(Checkpoint calldata checkpoint) internal pure returns (bytes32) {
        return keccak256(abi.encode(CHECKPOINT_TAG, checkpoint));
    }

    /// @notice What votes name.
    function rootOf(Checkpoint memory checkpoint) internal pure returns (bytes32) {
        return keccak256(abi.encode(CHECKPOINT_TAG, checkpoint));
    }

    /// @notice What is signed.
    function message(
        Domain memory domain,
        uint64 sourceEpoch,
        bytes32 sourceRoot,
        uint64 targetEpoch,
        bytes32 targetRoot
    ) internal pure returns (bytes memory) {
        return abi.encodePacked(
            keccak256(
                abi.encode(VOTE_TAG, domain.chainId, domain.genesis, sourceEpoch, sourceRoot, targetEpoch, targetRoot)
            )
        );
    }
}
