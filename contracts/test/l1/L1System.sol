// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { KumoLightClient } from "../../src/l1/KumoLightClient.sol";
import { Checkpoint } from "../../src/interfaces/IKumoL1.sol";
import { Test } from "../Vm.sol";

/// @title Histories that `proof::checkpoint` made and judged, and contracts that begin where they begin.
abstract contract L1System is Test {
    struct Step {
        string name;
        bytes data;
        bytes revertSelector;
        bool stops;
        uint256 links;
        uint256 missing;
        uint64 finalisedEpoch;
        bytes32 finalisedRoot;
        uint64 justifiedEpoch;
        bytes32 justifiedRoot;
        bytes32 electorate;
    }

    string internal json;
    uint256 internal startSeconds;

    function loadVectors() internal {
        json = vm.readFile("../crates/proof/vectors/finality.json");
        startSeconds = vm.parseJsonUint(json, "$.startSeconds");
        vm.warp(startSeconds + 600);
    }

    function history(uint256 index) internal pure returns (string memory) {
        return string.concat("$.histories[", digits(index), "]");
    }

    function steps(uint256 index) internal view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(history(index), ".count"));
    }

    function trusted(uint256 index) internal view returns (Checkpoint memory) {
        return abi.decode(vm.parseJsonBytes(json, string.concat(history(index), ".trusted")), (Checkpoint));
    }

    function sets(uint256 index) internal view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(history(index), ".sets"));
    }

    function deployClient(uint256 index) internal returns (KumoLightClient) {
        uint64 chainId = uint64(vm.parseJsonUint(json, "$.chainId"));
        bytes32 genesis = vm.parseJsonBytes32(json, "$.genesis");
        uint64 period = uint64(vm.parseJsonUint(json, "$.trustSeconds"));
        return new KumoLightClient(chainId, genesis, period, trusted(index), sets(index));
    }

    function step(uint256 index, uint256 number) internal view returns (Step memory) {
        string memory at = string.concat(history(index), ".steps[", digits(number), "].");
        return Step({
            name: vm.parseJsonString(json, string.concat(at, "name")),
            data: vm.parseJsonBytes(json, string.concat(at, "data")),
            revertSelector: vm.parseJsonBytes(json, string.concat(at, "revert")),
            stops: vm.parseJsonBool(json, string.concat(at, "stops")),
            links: vm.parseJsonUint(json, string.concat(at, "links")),
            missing: vm.parseJsonUint(json, string.concat(at, "missing")),
            finalisedEpoch: uint64(vm.parseJsonUint(json, string.concat(at, "finalisedEpoch"))),
            finalisedRoot: vm.parseJsonBytes32(json, string.concat(at, "finalisedRoot")),
            justifiedEpoch: uint64(vm.parseJsonUint(json, string.concat(at, "justifiedEpoch"))),
            justifiedRoot: vm.parseJsonBytes32(json, string.concat(at, "justifiedRoot")),
            electorate: vm.parseJsonBytes32(json, string.concat(at, "electorate"))
        });
    }

    /// @dev Gas of a transaction with this data before any of it runs.
    function intrinsic(bytes memory data) internal pure returns (uint256 gas) {
        gas = 21_000;
        for (uint256 i = 0; i < data.length; ++i) {
            gas += data[i] == 0 ? 4 : 16;
        }
    }

    function digits(uint256 number) internal pure returns (string memory) {
        bytes memory text = "";
        do {
            text = bytes.concat(bytes1(uint8(48 + number % 10)), text);
            number /= 10;
        } while (number > 0);
        return string(text);
    }
}
