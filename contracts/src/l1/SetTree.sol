// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { BLS12381 } from "./BLS12381.sol";
import { Member, Outsider, Voters } from "../interfaces/IKumoL1.sol";

/// @title Who votes, with how much stake: the commitments of `proof::checkpoint::{ValidatorSet, Electorate}`.
/// @notice The sum of the signers' keys follows from the sum of a set's keys: less those who are missing, and with those who
/// signed and are not in the set, each shown by its path (RFC 9162 section 2.1.3.2, with keccak256).
library SetTree {
    /// @notice Most validators of one set.
    uint256 internal constant VALIDATORS_MAX = 1024;
    /// @notice Most sets of one electorate.
    uint256 internal constant SETS_MAX = 8;

    /// @notice Most stake of one set, in the smallest unit.
    uint256 internal constant STAKE_MAX = 1 << 120;

    /// @notice No path from this validator to the root of its set.
    error MemberUnproven(uint256 index, bytes32 tree);
    /// @notice Members that are missing must be listed once, by ascending index.
    error MembersUnordered(uint256 index);
    /// @notice A set has 1 to 1,024 validators, an electorate 1 to 8 sets.
    error SetMalformed(uint256 number);

    bytes32 private constant SET_TAG = keccak256("kumo/ffg/validator-set/v1");
    bytes32 private constant ELECTORATE_TAG = keccak256("kumo/ffg/electorate/v1");

    /// @notice Commitment to a set.
    function root(Voters calldata set) internal pure returns (bytes32) {
        if (set.number == 0 || set.number > VALIDATORS_MAX) revert SetMalformed(set.number);
        return keccak256(abi.encode(SET_TAG, set.number, set.stake, keccak256(abi.encode(set.sum)), set.tree));
    }

    /// @notice Commitments to several sets.
    function roots(Voters[] calldata sets) internal pure returns (bytes32[] memory all) {
        if (sets.length == 0 || sets.length > SETS_MAX) revert SetMalformed(sets.length);
        all = new bytes32[](sets.length);
        for (uint256 i = 0; i < sets.length; ++i) {
            all[i] = root(sets[i]);
        }
    }

    /// @notice Commitment to an electorate.
    function electorate(bytes32[] memory sets) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(ELECTORATE_TAG, sets.length, sets));
    }

    /// @notice Sum of the keys of all signers, and how much stake of the set they have.
    /// @param sets Sets of the electorate, whose roots were checked; outsiders are found in them.
    function signers(Voters calldata set, Voters[] calldata sets)
        internal
        view
        returns (bytes32[8] memory key, uint256 voted)
    {
        (key, voted) = (set.sum, set.stake);
        for (uint256 i = 0; i < set.missing.length; ++i) {
            Member calldata member = set.missing[i];
            if (i > 0 && member.index <= set.missing[i - 1].index) revert MembersUnordered(member.index);
            check(member, set);
            key = BLS12381.addG2(key, BLS12381.negateG2(member.key));
            voted -= member.stake;
        }
        for (uint256 i = 0; i < set.outsiders.length; ++i) {
            Outsider calldata outsider = set.outsiders[i];
            check(outsider.member, sets[outsider.set]);
            key = BLS12381.addG2(key, outsider.member.key);
        }
    }

    /// @notice Reverts unless the member is in the set.
    function check(Member calldata member, Voters calldata set) internal pure {
        bytes32 leaf = keccak256(abi.encodePacked(bytes1(0x00), member.key, member.stake));
        if (member.index >= set.number || !_leadsTo(leaf, member.index, set.number, member.path, set.tree)) {
            revert MemberUnproven(member.index, set.tree);
        }
    }

    /// @notice Whether `voted` is two thirds of `total` or more. A set has at most 2^120 units, which its signers checked.
    function isSupermajority(uint256 voted, uint256 total) internal pure returns (bool) {
        return voted * 3 >= total * 2;
    }

    /// @dev The leaf has `index` among `leaves`, which the caller has compared.
    function _leadsTo(bytes32 hash, uint256 index, uint256 leaves, bytes32[] calldata path, bytes32 tree)
        private
        pure
        returns (bool)
    {
        uint256 at;
        for (uint256 last = leaves - 1; last > 0; last >>= 1) {
            if (index & 1 == 1 || index < last) {
                if (at == path.length) return false;
                hash = index & 1 == 1 ? _node(path[at], hash) : _node(hash, path[at]);
                ++at;
            }
            index >>= 1;
        }
        return at == path.length && hash == tree;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
