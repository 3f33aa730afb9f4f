// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { RollupInbox } from "../../src/l1/RollupInbox.sol";
import { Votes } from "../../src/l1/Votes.sol";
import {
    Anchor,
    Checkpoint,
    IKumoLightClient,
    IProofVerifier,
    Mode,
    Transition
} from "../../src/interfaces/IKumoL1.sol";
import { Test } from "../Vm.sol";

/// @title A light client that believes whom the test names; the real one has tests of its own.
contract Believer {
    mapping(uint64 epoch => bytes32 root) private _roots;

    function set(uint64 epoch, bytes32 root) external {
        _roots[epoch] = root;
    }

    function isFinalised(uint64 epoch, bytes32 root) external view returns (bool) {
        return root != 0 && _roots[epoch] == root;
    }
}

/// @title A verifier that knows which transitions are true, as a test says: no proof system.
contract ListedTransitions is IProofVerifier {
    mapping(bytes32 transition => bool) private _listed;

    function list(Transition calldata transition) external {
        _listed[keccak256(abi.encode(transition))] = true;
    }

    function verify(Transition calldata transition, bytes calldata proof) external view returns (bool) {
        return proof.length == 0 && _listed[keccak256(abi.encode(transition))];
    }
}

/// @title Three epochs of a namespace that the sequencer made, and an inbox that sees them final.
abstract contract InboxSystem is Test {
    address internal constant POSTER = address(0xB0);
    address internal constant STRANGER = address(0x57);
    uint256 internal constant EPOCHS = 3;

    RollupInbox internal inbox;
    Believer internal client;
    string internal json;
    uint64 internal namespace;
    uint256 internal id;

    function deployInbox() internal {
        json = vm.readFile("../crates/proof/vectors/inbox.json");
        namespace = uint64(vm.parseJsonUint(json, "$.namespace"));
        client = new Believer();
        inbox = new RollupInbox(IKumoLightClient(address(client)));
        for (uint256 epoch = 0; epoch < EPOCHS; ++epoch) {
            believe(anchor(epoch));
        }
        vm.prank(POSTER, POSTER);
        id = inbox.register(namespace, Mode.Optimistic, address(0), 0);
    }

    function believe(Anchor memory known) internal {
        client.set(known.checkpoint.epoch, this.rootOf(known.checkpoint));
    }

    function rootOf(Checkpoint calldata checkpoint) external pure returns (bytes32) {
        return Votes.root(checkpoint);
    }

    /// @dev The account after epoch number `epoch`, counted from 0.
    function anchor(uint256 epoch) internal view returns (Anchor memory) {
        return anchorAt(string.concat("$.anchors[", digit(epoch), "]"));
    }

    function anchorAt(string memory at) internal view returns (Anchor memory found) {
        uint64 height = uint64(vm.parseJsonUint(json, string.concat(at, ".height")));
        found.checkpoint.epoch = height / 4;
        found.checkpoint.height = height;
        found.checkpoint.blockDigest = vm.parseJsonBytes32(json, string.concat(at, ".digest"));
        found.header = vm.parseJsonBytes(json, string.concat(at, ".header"));
        found.commitment = vm.parseJsonBytes(json, string.concat(at, ".commitment"));
        found.account = vm.parseJsonBytes(json, string.concat(at, ".account"));
    }

    function inputsOf(uint256 epoch) internal view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat("$.anchors[", digit(epoch), "].inputs"));
    }

    /// @dev The blocks of an epoch; empty for the last one, which has none.
    function batchOf(uint256 epoch) internal view returns (bytes memory batch) {
        batch = vm.parseJsonBytes(json, string.concat("$.epochs[", digit(epoch), "].batch"));
        if (batch.length == 1) batch = "";
    }

    function leavesOf(uint256 epoch) internal view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat("$.epochs[", digit(epoch), "].leaves"));
    }

    /// @dev One block with transactions, counted from 0.
    function blockOf(uint256 index) internal view returns (bytes memory batch, bytes memory leaf) {
        string memory at = string.concat("$.blocks[", digit(index), "]");
        return
            (
                vm.parseJsonBytes(json, string.concat(at, ".batch")),
                vm.parseJsonBytes(json, string.concat(at, ".leaves"))
            );
    }

    function post(uint256 epoch) internal {
        vm.prank(STRANGER, STRANGER);
        inbox.postCalldata(id, anchor(epoch), batchOf(epoch), "");
    }

    function digit(uint256 number) internal pure returns (string memory) {
        return string(abi.encodePacked(bytes1(uint8(48 + number))));
    }
}
