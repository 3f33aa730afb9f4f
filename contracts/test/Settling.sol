// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IRollupRegistry } from "../src/interfaces/IRollupRegistry.sol";
import { System } from "./System.sol";

/// @title Stands for the contract of EIP-4788: the roots that a test says.
contract Roots {
    mapping(uint256 timestamp => bytes32) private _roots;

    function set(uint256 timestamp, bytes32 root) external {
        _roots[timestamp] = root;
    }

    fallback(bytes calldata data) external returns (bytes memory) {
        return abi.encode(_roots[abi.decode(data, (uint256))]);
    }
}

/// @title What the sequencer says of namespaces, made by hand: one account, one transaction in namespace 0, and headers.
abstract contract Settling is System {
    address internal constant BEACON_ROOTS = 0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02;

    struct Statement {
        uint64 timestamp;
        bytes[] headers;
        bytes commitment;
        bytes account;
    }

    function placeRoots() internal {
        vm.etch(BEACON_ROOTS, type(Roots).runtimeCode);
    }

    /// @dev What a block commits to, `children` blocks before the one that this chain knows.
    function statement(uint64 namespace, uint64 since, uint128 owed, uint256 children)
        internal
        returns (Statement memory s)
    {
        bytes memory fields =
            abi.encodePacked(namespace, since, since, uint64(1), uint64(2), uint64(3), owed, bytes32(0));
        bytes32 root = counted(0x08, keccak256(bytes.concat(hex"07", fields)));
        s.account = abi.encodePacked(uint32(1), uint32(0), fields);
        (bytes32 namespacesRoot, bytes memory commitment) = inNamespaceZero(abi.encodePacked(uint8(8), root));
        s.commitment = commitment;
        s.headers = chain(namespacesRoot, children);
        s.timestamp = uint64(block.timestamp);
        Roots(BEACON_ROOTS).set(s.timestamp, digest(s.headers[children]));
    }

    /// @dev A block with one transaction, in namespace 0: its root, and the proof of that transaction.
    function inNamespaceZero(bytes memory transaction) internal pure returns (bytes32 root, bytes memory proof) {
        (uint32 start, uint32 end) = (20, uint32(28 + transaction.length));
        bytes32 hash = sha256(abi.encodePacked(uint64(0), transaction));
        root = counted(0x03, keccak256(abi.encodePacked(uint8(2), uint64(0), hash, uint32(1), start, end)));
        proof = abi.encodePacked(uint32(1), uint32(0), start, end, uint32(1), uint32(0), transaction);
    }

    function chain(bytes32 namespacesRoot, uint256 children) internal pure returns (bytes[] memory headers) {
        headers = new bytes[](children + 1);
        for (uint256 i = 0; i <= children; ++i) {
            bytes32 parent = i == 0 ? bytes32(uint256(7)) : digest(headers[i - 1]);
            headers[i] = abi.encodePacked(parent, new bytes(137), i == 0 ? namespacesRoot : bytes32(i), new bytes(96));
        }
    }

    function digest(bytes memory header) internal pure returns (bytes32) {
        return sha256(bytes.concat("kumo/block/header/v3", header));
    }

    function settleFor(Statement memory s) internal returns (uint256 due) {
        (, due) = rollups.settle(s.timestamp, s.headers, s.commitment, s.account);
    }

    function open() internal pure returns (IRollupRegistry.Policy memory) {
        return IRollupRegistry.Policy(IRollupRegistry.Ordering.Open, 0);
    }

    function counted(uint8 domain, bytes32 tree) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(domain, uint32(1), tree));
    }
}
