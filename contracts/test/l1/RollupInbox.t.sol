// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { NamespaceProof } from "../../src/NamespaceProof.sol";
import { RollupInbox } from "../../src/l1/RollupInbox.sol";
import { Anchor, Carrier, IKumoLightClient, IRollupInbox, Mode, Transition } from "../../src/interfaces/IKumoL1.sol";
import { InboxSystem, ListedTransitions } from "./InboxSystem.sol";

/// @title A contract between an account and the inbox.
contract Between {
    function forward(RollupInbox inbox, bytes calldata data) external {
        (bool taken, bytes memory answer) = address(inbox).call(data);
        if (taken) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }
}

contract RollupInboxTest is InboxSystem {
    function setUp() public {
        deployInbox();
    }

    function test_epochsArePostedInOrderByAnybodyAndNoneIsLeftOut() public {
        for (uint256 epoch = 0; epoch < EPOCHS; ++epoch) {
            post(epoch);
            IRollupInbox.Rollup memory found = inbox.rollup(id);
            equal(found.count, epoch + 1, "count");
            equal(found.height, 4 * epoch + 3, "everything below the anchor");
            equal(found.inputs, inputsOf(epoch), "inputs");
            equal(inbox.inputsAt(id, epoch), inputsOf(epoch), "recorded");
        }
        equal(inbox.rollup(id).since, 1, "since");
    }

    function test_severalEpochsFitIntoOneBatch() public {
        bytes memory second = batchOf(1);
        // The second one without its version.
        assembly ("memory-safe") {
            let length := mload(second)
            second := add(second, 1)
            mstore(second, sub(length, 1))
        }
        vm.prank(STRANGER, STRANGER);
        inbox.postCalldata(id, anchor(2), bytes.concat(batchOf(0), second), "");
        equal(inbox.rollup(id).height, 11, "height");
        equal(inbox.rollup(id).inputs, inputsOf(2), "inputs");
    }

    function test_anEpochIsPostedInPieces() public {
        (bytes memory first,) = blockOf(0);
        (bytes memory second, bytes memory leaf) = blockOf(1);
        vm.prank(STRANGER, STRANGER);
        inbox.postCalldata(id, anchor(0), first, leaf);
        equal(inbox.rollup(id).height, 1, "what the piece holds");
        vm.prank(STRANGER, STRANGER);
        inbox.postCalldata(id, anchor(0), second, "");
        equal(inbox.rollup(id).height, 3, "everything below the anchor");
        equal(inbox.rollup(id).inputs, inputsOf(0), "inputs");
    }

    function test_aBatchThatLeavesOutABlockIsRefused() public {
        (bytes memory first,) = blockOf(0);
        Anchor memory known = anchor(0);
        bytes32 reached = reachedBy(0, "");
        refuse(abi.encodeWithSelector(IRollupInbox.InputsMismatch.selector, reached, inputsOf(0)));
        inbox.postCalldata(id, known, first, "");
        (bytes memory second,) = blockOf(1);
        refuse(IRollupInbox.InputsMismatch.selector);
        inbox.postCalldata(id, known, second, "");
        known = anchor(1);
        bytes memory later = batchOf(1);
        refuse(IRollupInbox.InputsMismatch.selector);
        inbox.postCalldata(id, known, later, "");
    }

    function test_aBatchIsTakenOnce() public {
        post(0);
        Anchor memory known = anchor(0);
        bytes memory batch = batchOf(0);
        refuse(abi.encodeWithSelector(IRollupInbox.NothingNew.selector, uint64(3)));
        inbox.postCalldata(id, known, batch, "");
        known = anchor(1);
        refuse(IRollupInbox.InputsMismatch.selector);
        inbox.postCalldata(id, known, batch, "");
    }

    function test_aRestWithoutBlocksIsNoBatch() public {
        Anchor memory known = anchor(0);
        bytes memory leaves = leavesOf(0);
        refuse(abi.encodeWithSelector(IRollupInbox.BatchMalformed.selector, 0));
        inbox.postCalldata(id, known, "", leaves);
        refuse(abi.encodeWithSelector(IRollupInbox.BatchMalformed.selector, 1));
        inbox.postCalldata(id, known, hex"01", "");
    }

    function test_onlyWhatStakeFinalisedIsAnAnchor() public {
        (Anchor memory known, bytes memory batch) = (anchor(0), batchOf(0));
        Anchor memory other = anchor(0);
        other.checkpoint.timestamp = 1;
        refuse(abi.encodeWithSelector(IRollupInbox.CheckpointNotFinal.selector, 1, this.rootOf(other.checkpoint)));
        inbox.postCalldata(id, other, batch, "");
        // A final checkpoint with the header of another block.
        other = anchor(0);
        other.header = anchor(1).header;
        bytes32 digest = anchor(1).checkpoint.blockDigest;
        refuse(abi.encodeWithSelector(IRollupInbox.HeaderMismatch.selector, digest, known.checkpoint.blockDigest));
        inbox.postCalldata(id, other, batch, "");
        other.header = bytes.concat(known.header, hex"00");
        refuse(abi.encodeWithSelector(IRollupInbox.HeaderMalformed.selector, 298));
        inbox.postCalldata(id, other, batch, "");
        other = anchor(0);
        other.commitment = anchor(1).commitment;
        refuse(NamespaceProof.RootMismatch.selector);
        inbox.postCalldata(id, other, batch, "");
        other = anchor(0);
        other.account = anchor(1).account;
        refuse(NamespaceProof.RootMismatch.selector);
        inbox.postCalldata(id, other, batch, "");
        post(0);
    }

    function test_theAccountOfAnotherNamespaceIsNoAnchor() public {
        Anchor memory other = anchorAt("$.stranger");
        bytes memory batch = batchOf(0);
        refuse(abi.encodeWithSelector(IRollupInbox.OtherNamespace.selector, 9, namespace));
        inbox.postCalldata(id, other, batch, "");
    }

    function test_anAccountThatBeganAnewIsNoAnchor() public {
        post(0);
        Anchor memory again = anchorAt("$.restarted");
        believe(again);
        refuse(abi.encodeWithSelector(IRollupInbox.Restarted.selector, uint64(2), uint64(3)));
        inbox.postCalldata(id, again, "", "");
    }

    function test_blobsAreRecordedByTheirHashesAndOnlyByThePoster() public {
        (Anchor memory known, bytes memory leaves) = (anchor(0), leavesOf(0));
        bytes32[] memory hashes = blobs(2);
        refuse(abi.encodeWithSelector(IRollupInbox.NotPoster.selector, id, STRANGER, POSTER));
        inbox.postBlobs(id, known, leaves, "");
        vm.prank(POSTER, POSTER);
        vm.expectEmit(address(inbox));
        emit IRollupInbox.BlobsPosted(id, 0, hashes);
        inbox.postBlobs(id, known, leaves, "");
        IRollupInbox.Rollup memory found = inbox.rollup(id);
        bytes32 content = keccak256(abi.encode(hashes, leaves));
        bytes32 name = keccak256(abi.encode(bytes32(0), Carrier.Blobs, uint64(3), inputsOf(0), content));
        equal(found.batches, name, "the name has all of it");
        equal(found.inputs, inputsOf(0), "inputs");
    }

    function test_blobsInPiecesCoverWhatTheirLeavesName() public {
        (, bytes memory first) = blockOf(0);
        (, bytes memory second) = blockOf(1);
        Anchor memory known = anchor(0);
        blobs(1);
        vm.prank(POSTER, POSTER);
        inbox.postBlobs(id, known, first, second);
        equal(inbox.rollup(id).height, 1, "height of the last leaf");
        vm.prank(POSTER, POSTER);
        inbox.postBlobs(id, known, second, "");
        equal(inbox.rollup(id).height, 3, "everything below the anchor");
    }

    function test_blobsWithoutBlobsOrWithOtherLeavesAreRefused() public {
        (Anchor memory known, bytes memory leaves) = (anchor(0), leavesOf(0));
        vm.prank(POSTER, POSTER);
        vm.expectRevert(IRollupInbox.BlobsMissing.selector);
        inbox.postBlobs(id, known, leaves, "");
        blobs(1);
        vm.prank(POSTER, POSTER);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.BatchMalformed.selector, 0));
        inbox.postBlobs(id, known, "", leaves);
        bytes memory cut = bytes.concat(leaves, hex"00");
        vm.prank(POSTER, POSTER);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.BatchMalformed.selector, 89));
        inbox.postBlobs(id, known, cut, "");
        leaves[50] ^= 0x01;
        vm.prank(POSTER, POSTER);
        vm.expectPartialRevert(IRollupInbox.InputsMismatch.selector);
        inbox.postBlobs(id, known, leaves, "");
    }

    function test_anybodyRepublishesWhatBlobsDoNotHold() public {
        blobs(1);
        (Anchor memory known, bytes memory leaves) = (anchor(0), leavesOf(0));
        vm.prank(POSTER, POSTER);
        inbox.postBlobs(id, known, leaves, "");
        post(1);
        (bytes memory first, bytes memory leaf) = blockOf(0);
        (bytes memory second, bytes memory next) = blockOf(1);
        vm.prank(STRANGER, STRANGER);
        vm.expectEmit(address(inbox));
        emit IRollupInbox.Republished(id, 0, 0, reachedBy(0, ""), keccak256(first));
        inbox.republish(id, 0, "", first, next);
        vm.prank(STRANGER, STRANGER);
        inbox.republish(id, 0, leaf, second, "");
        refuse(IRollupInbox.InputsMismatch.selector);
        inbox.republish(id, 0, "", second, leaf);
        refuse(abi.encodeWithSelector(IRollupInbox.BatchUnknown.selector, id, 2));
        inbox.republish(id, 2, "", first, next);
        bytes memory epoch = batchOf(1);
        vm.prank(STRANGER, STRANGER);
        inbox.republish(id, 1, "", epoch, "");
        equal(inbox.rollup(id).count, 2, "nothing is added");
    }

    function test_whoeverIsFarBehindTracesNamesBackFromAnAnchor() public {
        Anchor memory known = anchor(1);
        (bytes memory first,) = blockOf(0);
        (bytes memory second, bytes memory leaf) = blockOf(1);
        bytes32 from = reachedBy(0, "");
        bytes memory leaves = bytes.concat(leaf, leavesOf(1));
        bytes memory epoch = leavesOf(1);
        Anchor memory traced;
        traced.traced = from;
        refuse(abi.encodeWithSelector(IRollupInbox.NotTraced.selector, id, from));
        inbox.postCalldata(id, traced, first, "");
        refuse(IRollupInbox.InputsMismatch.selector);
        inbox.trace(id, known, from, epoch);
        vm.prank(STRANGER, STRANGER);
        vm.expectEmit(address(inbox));
        emit IRollupInbox.Traced(id, from, 1);
        inbox.trace(id, known, from, leaves);
        vm.prank(STRANGER, STRANGER);
        inbox.postCalldata(id, traced, first, "");
        equal(inbox.rollup(id).height, 1, "what the name covers");
        equal(inbox.tracedHeight(id, from), 1, "recorded");
        // A name can be traced from a traced one, and an old one is no anchor any more.
        refuse(abi.encodeWithSelector(IRollupInbox.NothingNew.selector, uint64(1)));
        inbox.postCalldata(id, traced, "", "");
        bytes32 next = reachedBy(1, from);
        bytes memory later = leavesOf(1);
        vm.prank(STRANGER, STRANGER);
        inbox.trace(id, known, next, later);
        traced.traced = next;
        vm.prank(STRANGER, STRANGER);
        inbox.postCalldata(id, traced, second, "");
        equal(inbox.rollup(id).height, 3, "all blocks before the next one with transactions");
    }

    function test_thePosterHandsItsPlaceOverInTwoSteps() public {
        refuse(abi.encodeWithSelector(IRollupInbox.NotPoster.selector, id, STRANGER, POSTER));
        inbox.offerPoster(id, STRANGER);
        vm.prank(POSTER);
        inbox.offerPoster(id, STRANGER);
        equal(inbox.rollup(id).poster, POSTER, "not yet");
        vm.prank(POSTER);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.NotPoster.selector, id, POSTER, STRANGER));
        inbox.acceptPoster(id);
        vm.prank(STRANGER);
        inbox.acceptPoster(id);
        equal(inbox.rollup(id).poster, STRANGER, "now");
        equal(inbox.rollup(id).pendingPoster, address(0), "offered to nobody");
    }

    function test_whatCannotBeRegistered() public {
        address none = address(0);
        address verifier = address(new ListedTransitions());
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.ModeMismatch.selector, Mode.None, address(0)));
        inbox.register(7, Mode.None, none, 0);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.ModeMismatch.selector, Mode.Zk, address(0)));
        inbox.register(7, Mode.Zk, none, 0);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.ModeMismatch.selector, Mode.Zk, STRANGER));
        inbox.register(7, Mode.Zk, STRANGER, 0);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.ModeMismatch.selector, Mode.Optimistic, verifier));
        inbox.register(7, Mode.Optimistic, verifier, 0);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.ModeMismatch.selector, Mode.Optimistic, address(0)));
        inbox.register(7, Mode.Optimistic, none, bytes32(uint256(1)));
        vm.expectRevert(IRollupInbox.ZeroAddress.selector);
        new RollupInbox(IKumoLightClient(address(0)));
        Anchor memory known = anchor(0);
        refuse(abi.encodeWithSelector(IRollupInbox.Unknown.selector, id + 1));
        inbox.postCalldata(id + 1, known, "", "");
        equal(inbox.count(), 1, "nothing was added");
    }

    function test_dataMustBeThatOfTheTransaction() public {
        Between between = new Between();
        bytes memory data = abi.encodeCall(inbox.postCalldata, (id, anchor(0), batchOf(0), ""));
        vm.prank(STRANGER, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IRollupInbox.NotDirect.selector, address(between)));
        between.forward(inbox, data);
        // An account with delegated code (EIP-7702) could be called by anybody.
        vm.etch(STRANGER, abi.encodePacked(hex"ef0100", address(between)));
        vm.prank(STRANGER, STRANGER);
        (bool taken,) = address(inbox).call(data);
        check(!taken, "delegated");
    }

    function test_aStateIsTakenWithAProofOfTheWholeTransition() public {
        (uint256 zk, ListedTransitions verifier) = zkRollup();
        Anchor memory known = anchor(0);
        Transition memory transition = Transition({
            namespace: namespace,
            height: 3,
            stateRoot: bytes32(uint256(1)),
            newStateRoot: bytes32(uint256(2)),
            inputs: 0,
            newInputs: inputsOf(0),
            stateDiff: keccak256("diff")
        });
        verifier.list(transition);
        refuse(IRollupInbox.ProofFalse.selector);
        inbox.postProof(zk, known, bytes32(uint256(3)), "diff", "");
        refuse(IRollupInbox.ProofFalse.selector);
        inbox.postProof(zk, known, bytes32(uint256(2)), "other", "");
        refuse(IRollupInbox.ProofFalse.selector);
        inbox.postProof(zk, known, bytes32(uint256(2)), "diff", "no proof");
        vm.prank(STRANGER, STRANGER);
        inbox.postProof(zk, known, bytes32(uint256(2)), "diff", "");
        IRollupInbox.Rollup memory found = inbox.rollup(zk);
        equal(found.stateRoot, bytes32(uint256(2)), "state");
        equal(found.inputs, inputsOf(0), "inputs");
        // The next one must extend it.
        (transition.height, transition.newInputs) = (7, inputsOf(1));
        verifier.list(transition);
        known = anchor(1);
        refuse(IRollupInbox.ProofFalse.selector);
        inbox.postProof(zk, known, bytes32(uint256(2)), "diff", "");
        (transition.stateRoot, transition.newStateRoot) = (bytes32(uint256(2)), bytes32(uint256(3)));
        transition.inputs = inputsOf(0);
        verifier.list(transition);
        vm.prank(STRANGER, STRANGER);
        inbox.postProof(zk, known, bytes32(uint256(3)), "diff", "");
        equal(inbox.rollup(zk).stateRoot, bytes32(uint256(3)), "state");
    }

    function test_eachModeTakesOnlyWhatIsIts() public {
        (uint256 zk,) = zkRollup();
        (Anchor memory known, bytes memory batch) = (anchor(0), batchOf(0));
        refuse(abi.encodeWithSelector(IRollupInbox.WrongMode.selector, zk, Mode.Zk));
        inbox.postCalldata(zk, known, batch, "");
        refuse(abi.encodeWithSelector(IRollupInbox.WrongMode.selector, zk, Mode.Zk));
        inbox.postBlobs(zk, known, batch, "");
        refuse(abi.encodeWithSelector(IRollupInbox.WrongMode.selector, zk, Mode.Zk));
        inbox.republish(zk, 0, "", batch, "");
        refuse(abi.encodeWithSelector(IRollupInbox.WrongMode.selector, id, Mode.Optimistic));
        inbox.postProof(id, known, 0, "", "");
    }

    function testFuzz_aChangedBatchIsRefused(uint256 at, uint8 mask) public {
        vm.assume(mask != 0);
        Anchor memory known = anchor(1);
        bytes memory batch = batchOf(1);
        at = bound(at, 0, batch.length - 1);
        batch[at] ^= bytes1(mask);
        post(0);
        vm.prank(STRANGER, STRANGER);
        (bool taken,) = address(inbox).call(abi.encodeCall(inbox.postCalldata, (id, known, batch, "")));
        check(!taken, "a changed byte was taken");
        equal(inbox.rollup(id).inputs, inputsOf(0), "nothing changed");
    }

    function testFuzz_anyOtherBytesAreRefused(bytes calldata batch, bytes calldata rest) public {
        Anchor memory known = anchor(0);
        vm.prank(STRANGER, STRANGER);
        (bool taken,) = address(inbox).call(abi.encodeCall(inbox.postCalldata, (id, known, batch, rest)));
        check(!taken, "nonsense was taken");
    }

    function testFuzz_aChangedAnchorIsRefused(uint256 which, uint256 at, uint8 mask) public {
        vm.assume(mask != 0);
        Anchor memory known = anchor(0);
        bytes memory part = which % 3 == 0 ? known.header : which % 3 == 1 ? known.commitment : known.account;
        at = bound(at, 0, part.length - 1);
        part[at] ^= bytes1(mask);
        bytes memory batch = batchOf(0);
        vm.prank(STRANGER, STRANGER);
        (bool taken,) = address(inbox).call(abi.encodeCall(inbox.postCalldata, (id, known, batch, "")));
        check(!taken, "a changed anchor was taken");
    }

    function zkRollup() private returns (uint256 zk, ListedTransitions verifier) {
        verifier = new ListedTransitions();
        vm.prank(POSTER);
        zk = inbox.register(namespace, Mode.Zk, address(verifier), bytes32(uint256(1)));
    }

    function blobs(uint256 number) private returns (bytes32[] memory hashes) {
        hashes = new bytes32[](number);
        for (uint256 i = 0; i < number; ++i) {
            hashes[i] = bytes32((uint256(1) << 248) | (i + 1));
        }
        vm.blobhashes(hashes);
    }

    /// @dev Name of the inputs after one block on others.
    function reachedBy(uint256 index, bytes32 inputs) private view returns (bytes32) {
        (, bytes memory leaf) = blockOf(index);
        return keccak256(bytes.concat(hex"0a", inputs, leaf));
    }

    function refuse(bytes4 selector) private {
        vm.prank(STRANGER, STRANGER);
        vm.expectPartialRevert(selector);
    }

    function refuse(bytes memory reason) private {
        vm.prank(STRANGER, STRANGER);
        vm.expectRevert(reason);
    }
}

/// @title Posts right and wrong things in any order, and remembers what must be.
contract InboxHandler is InboxSystem {
    uint256 public taken;
    uint256 public epochs;

    /// @dev Not in a constructor, which cannot call itself.
    function begin() external {
        deployInbox();
    }

    function tryEpoch(uint256 batch, uint256 known, uint256 pieces, bool asBlobs) external {
        (batch, known, pieces) = (batch % EPOCHS, known % EPOCHS, pieces % 3);
        (Anchor memory at, bytes memory data, bytes memory rest) = (anchor(known), batchOf(batch), bytes(""));
        if (pieces == 1 && batch == 0) {
            (data,) = blockOf(0);
            (, rest) = blockOf(1);
        } else if (pieces == 2 && batch == 0) {
            (data,) = blockOf(1);
        }
        bytes memory call_ = abi.encodeCall(inbox.postCalldata, (id, at, data, rest));
        if (asBlobs) {
            bytes32[] memory hashes = new bytes32[](1);
            hashes[0] = bytes32((uint256(1) << 248) | 1);
            vm.blobhashes(hashes);
            call_ = abi.encodeCall(inbox.postBlobs, (id, at, leavesOf(batch), rest));
        }
        vm.prank(POSTER, POSTER);
        (bool success,) = address(inbox).call(call_);
        if (success) ++taken;
    }

    function state() external view returns (IRollupInbox.Rollup memory) {
        return inbox.rollup(id);
    }

    /// @dev Name of the inputs of all blocks up to `height`, from the vectors alone.
    function nameUpTo(uint64 height) external view returns (bytes32 inputs) {
        for (uint256 index = 0; index < 5; ++index) {
            (, bytes memory leaf) = blockOf(index);
            if (uint64(bytes8(leaf)) > height) break;
            inputs = keccak256(bytes.concat(hex"0a", inputs, leaf));
        }
    }

    function recorded(uint256 index) external view returns (bytes32) {
        return inbox.inputsAt(id, index);
    }
}

contract RollupInboxInvariants is InboxSystem {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    InboxHandler private _handler;

    function setUp() public {
        _handler = new InboxHandler();
        _handler.begin();
    }

    /// @dev Without `begin`, which starts anew.
    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_handler);
        targets[0].selectors = new bytes4[](1);
        targets[0].selectors[0] = InboxHandler.tryEpoch.selector;
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// forge-config: default.invariant.runs = 32
    function invariant_whatIsNamedIsEverythingUpToTheHeight() public view {
        IRollupInbox.Rollup memory found = _handler.state();
        equal(found.inputs, _handler.nameUpTo(found.height), "inputs");
        equal(found.count, _handler.taken(), "count");
        if (found.count != 0) equal(_handler.recorded(found.count - 1), found.inputs, "recorded");
    }
}
