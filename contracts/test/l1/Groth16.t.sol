// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Groth16Verifier } from "../../src/l1/Groth16Verifier.sol";
import { IRollupInbox, Mode, Transition } from "../../src/interfaces/IKumoL1.sol";
import { InboxSystem } from "./InboxSystem.sol";

/// @title A real proof of a rollup whose state is a running hash of what was ordered (`crates/proof/examples/groth16`).
contract Groth16Test is InboxSystem {
    string private _proven;
    Groth16Verifier private _verifier;
    bytes private _proof;

    function setUp() public {
        deployInbox();
        _proven = vm.readFile("../crates/proof/vectors/groth16.json");
        _verifier = new Groth16Verifier(key());
        _proof = vm.parseJsonBytes(_proven, "$.proof");
    }

    function test_theProofShowsItsTransition() public view {
        check(_verifier.verify(transition(), _proof), "true");
    }

    function test_theProofShowsNoOtherTransition() public view {
        Transition memory other = transition();
        other.namespace += 1;
        check(!_verifier.verify(other, _proof), "namespace");
        other = transition();
        other.height += 1;
        check(!_verifier.verify(other, _proof), "height");
        other = transition();
        other.stateRoot = bytes32(uint256(other.stateRoot) + 1);
        check(!_verifier.verify(other, _proof), "state");
        other = transition();
        other.newStateRoot = bytes32(uint256(other.newStateRoot) ^ 1);
        check(!_verifier.verify(other, _proof), "new state");
        // The same number in the field, and another word.
        other.newStateRoot = bytes32(
            uint256(transition().newStateRoot)
                + 21_888_242_871_839_275_222_246_405_745_257_275_088_548_364_400_416_034_343_698_204_186_575_808_495_617
        );
        check(!_verifier.verify(other, _proof), "beyond the field");
        other = transition();
        other.newInputs ^= bytes32(uint256(1));
        check(!_verifier.verify(other, _proof), "low half of the inputs");
        other.newInputs = transition().newInputs ^ bytes32(uint256(1) << 200);
        check(!_verifier.verify(other, _proof), "high half of the inputs");
        other = transition();
        other.inputs = bytes32(uint256(1));
        check(!_verifier.verify(other, _proof), "inputs before");
        other = transition();
        other.stateDiff = keccak256("other");
        check(!_verifier.verify(other, _proof), "state difference");
    }

    function testFuzz_aChangedProofIsRefused(uint256 at, uint8 mask) public view {
        vm.assume(mask != 0);
        bytes memory proof = _proof;
        proof[bound(at, 0, proof.length - 1)] ^= bytes1(mask);
        check(!_verifier.verify(transition(), proof), "a changed proof was taken");
    }

    function test_otherLengthsAreNoProofAndNoKey() public {
        check(!_verifier.verify(transition(), bytes.concat(_proof, hex"00")), "longer");
        check(!_verifier.verify(transition(), ""), "empty");
        check(!_verifier.verify(transition(), new bytes(256)), "zeros");
        vm.expectRevert(abi.encodeWithSelector(Groth16Verifier.KeyMalformed.selector, 33, 34));
        new Groth16Verifier(new uint256[](33));
    }

    function test_theInboxTakesTheStateWithTheProof() public {
        Transition memory proven = transition();
        vm.prank(POSTER);
        uint256 zk = inbox.register(namespace, Mode.Zk, address(_verifier), proven.stateRoot);
        equal(proven.newInputs, inputsOf(0), "the vectors fit together");
        bytes memory proof = _proof;
        vm.prank(STRANGER, STRANGER);
        vm.expectRevert(IRollupInbox.ProofFalse.selector);
        inbox.postProof(zk, anchor(0), proven.newStateRoot, "other", proof);
        vm.prank(STRANGER, STRANGER);
        inbox.postProof(zk, anchor(0), proven.newStateRoot, "diff", proof);
        equal(inbox.rollup(zk).stateRoot, proven.newStateRoot, "state");
        equal(inbox.rollup(zk).height, 3, "height");
    }

    function key() private view returns (uint256[] memory words) {
        bytes32[] memory found = vm.parseJsonBytes32Array(_proven, "$.key");
        words = new uint256[](found.length);
        for (uint256 i = 0; i < found.length; ++i) {
            words[i] = uint256(found[i]);
        }
    }

    function transition() private view returns (Transition memory) {
        return Transition({
            namespace: uint64(vm.parseJsonUint(_proven, "$.namespace")),
            height: uint64(vm.parseJsonUint(_proven, "$.height")),
            stateRoot: vm.parseJsonBytes32(_proven, "$.stateRoot"),
            newStateRoot: vm.parseJsonBytes32(_proven, "$.newStateRoot"),
            inputs: vm.parseJsonBytes32(_proven, "$.inputs"),
            newInputs: vm.parseJsonBytes32(_proven, "$.newInputs"),
            stateDiff: vm.parseJsonBytes32(_proven, "$.stateDiff")
        });
    }
}
