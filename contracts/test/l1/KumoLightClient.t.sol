// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { KumoLightClient } from "../../src/l1/KumoLightClient.sol";
import { Checkpoint, IKumoLightClient, Link, Witness } from "../../src/interfaces/IKumoL1.sol";
import { L1System } from "./L1System.sol";

/// @title Somebody who calls the light client, with nothing in memory that would make the call dearer.
contract Caller {
    function gasOf(address target, bytes calldata data) external returns (uint256) {
        bytes memory call = data;
        uint256 before = gasleft();
        (bool taken,) = target.call(call);
        require(taken);
        return before - gasleft();
    }
}

/// @title The contract does what the follower does with the same certificates.
contract KumoLightClientTest is L1System {
    event log_named_uint(string key, uint256 val);

    uint256 private constant FOUR = 0;
    uint256 private constant CHANGED = 1;
    uint256 private constant HUNDRED = 2;
    uint256 private constant DOUBLE = 3;
    uint256 private constant SURROUND = 4;

    KumoLightClient private started;
    Step private third;

    function setUp() public {
        loadVectors();
        started = deployClient(FOUR);
        forward(started, step(FOUR, 0).data);
        forward(started, step(FOUR, 1).data);
        third = step(FOUR, 2);
    }

    function test_fourValidators() public {
        replay(FOUR);
    }

    function test_changedSets() public {
        replay(CHANGED);
    }

    function test_aHundredValidators() public {
        replay(HUNDRED);
    }

    function test_twoCheckpointsOfOneEpochStopIt() public {
        KumoLightClient client = replay(DOUBLE);
        check(client.isStopped(), "stopped");
        (uint64 epoch, bytes32 root,,,,) = client.latest();
        check(!client.isFinalised(epoch, root), "nothing counts as final any more");
    }

    function test_aLinkAroundTheLastFinalOneStopsIt() public {
        KumoLightClient client = replay(SURROUND);
        check(client.isStopped(), "stopped");
        bytes memory data = step(SURROUND, 0).data;
        vm.expectRevert(IKumoLightClient.Stopped.selector);
        forward(client, data);
    }

    function test_whatIsFinalCanBeRead() public {
        KumoLightClient client = deployClient(FOUR);
        play(client, step(FOUR, 0));
        Step memory second = step(FOUR, 1);
        play(client, second);
        (uint64 epoch, bytes32 root, uint64 height, uint64 timestamp, bytes32 block_, bytes32 application) =
            client.latest();
        (Link[] memory links,,) = decode(step(FOUR, 0).data);
        Checkpoint memory first = links[0].target;
        check(epoch == 1 && height == first.height && timestamp == first.timestamp, "numbers");
        check(block_ == first.blockDigest && application == first.application, "digests");
        check(root == second.finalisedRoot && client.finalisedRoot(1) == root, "by epoch");
        check(client.isFinalised(1, root) && !client.isFinalised(1, bytes32(0)) && !client.isFinalised(2, root), "is");
        (bytes32 electorate, bytes32[] memory members, bytes32 settled) = client.electorate();
        check(client.isElectorate(electorate) && members.length == 1 && settled == members[0], "electorate");
    }

    function test_aKnownLinkIsNothingNew() public {
        KumoLightClient client = deployClient(FOUR);
        bytes memory data = step(FOUR, 0).data;
        forward(client, data);
        vm.expectRevert(abi.encodeWithSelector(IKumoLightClient.NothingNew.selector, uint64(1)));
        forward(client, data);
    }

    function test_afterTheTrustPeriodNothingIsTaken() public {
        KumoLightClient client = deployClient(FOUR);
        bytes memory data = step(FOUR, 0).data;
        uint64 period = client.trustSeconds();
        vm.warp(startSeconds + period + 1);
        vm.expectRevert(abi.encodeWithSelector(IKumoLightClient.TooOld.selector, uint64(startSeconds), period));
        forward(client, data);
        vm.warp(startSeconds + period);
        forward(client, data);
    }

    function test_aStartThatIsNoneIsRefused() public {
        Checkpoint memory start = trusted(FOUR);
        bytes32[] memory others = sets(CHANGED);
        others[0] = bytes32(uint256(1));
        vm.expectRevert();
        new KumoLightClient(5886, bytes32(0), 1000, start, others);
        vm.warp(startSeconds + 1001);
        bytes32[] memory members = sets(FOUR);
        vm.expectRevert(abi.encodeWithSelector(IKumoLightClient.TooOld.selector, uint64(startSeconds), uint64(1000)));
        new KumoLightClient(5886, bytes32(0), 1000, start, members);
    }

    function test_theCheckpointThatBecomesFinalMustBeShown() public {
        KumoLightClient client = deployClient(FOUR);
        play(client, step(FOUR, 0));
        (Link[] memory links, Checkpoint memory finalised, Witness memory witness) = decode(step(FOUR, 1).data);
        finalised.height += 1;
        vm.expectRevert();
        client.advance(links, finalised, witness);
    }

    function test_aSignatureOfAnotherNetworkIsFalse() public {
        KumoLightClient other =
            new KumoLightClient(5887, vm.parseJsonBytes32(json, "$.genesis"), 100_000, trusted(FOUR), sets(FOUR));
        bytes memory data = step(FOUR, 0).data;
        vm.expectRevert(IKumoLightClient.SignatureFalse.selector);
        forward(other, data);
    }

    function test_countOfLinksIsLimited() public {
        KumoLightClient client = deployClient(FOUR);
        (, Checkpoint memory finalised, Witness memory witness) = decode(step(FOUR, 1).data);
        for (uint256 count = 0; count < 34; count += 33) {
            Link[] memory links = new Link[](count);
            vm.expectRevert(abi.encodeWithSelector(IKumoLightClient.LinkCount.selector, count, 32));
            client.advance(links, finalised, witness);
        }
    }

    function test_whoIsMissingIsCountedOnce() public {
        KumoLightClient client = deployClient(FOUR);
        forward(client, step(FOUR, 0).data);
        forward(client, step(FOUR, 1).data);
        (Link[] memory links, Checkpoint memory finalised, Witness memory witness) = decode(step(FOUR, 2).data);
        witness.sets[0].missing[0].stake -= 1;
        vm.expectRevert();
        client.advance(links, finalised, witness);
        (links, finalised, witness) = decode(step(FOUR, 2).data);
        witness.sets[0].missing[0].index += 1;
        vm.expectRevert();
        client.advance(links, finalised, witness);
        (links, finalised, witness) = decode(step(FOUR, 2).data);
        witness.sets[0].missing[0].path = new bytes32[](0);
        vm.expectRevert();
        client.advance(links, finalised, witness);
    }

    /// @dev The new bytes may say the same in another way, but nothing else.
    function testFuzz_aChangedByteLeadsNowhereElse(uint256 position, uint8 flip) public {
        Step memory good = third;
        bytes memory data = bytes.concat(good.data);
        position = bound(position, 4, data.length - 1);
        data[position] = data[position] ^ bytes1(uint8(bound(flip, 1, 255)));
        (bool taken,) = address(started).call{ gas: 5_000_000 }(data);
        if (taken) compare(started, good);
        else check(!started.isStopped(), "a revert leaves no trace");
    }

    /// @dev Seen with `forge test -vv`; docs/benchmarks.md has the figures.
    function test_gas() public {
        measure(FOUR, 1, 250_000);
        measure(FOUR, 2, 260_000);
        measure(FOUR, 6, 510_000);
        measure(HUNDRED, 1, 250_000);
        measure(HUNDRED, 2, 265_000);
        measure(HUNDRED, 3, 425_000);
        measure(HUNDRED, 4, 850_000);
        measure(CHANGED, 2, 450_000);
    }

    /// @dev The steps before it, too: it is the last one that is measured, as a transaction of its own.
    function measure(uint256 index, uint256 number, uint256 max) private {
        KumoLightClient client = deployClient(index);
        for (uint256 i = 0; i < number; ++i) {
            play(client, step(index, i));
        }
        Step memory one = step(index, number);
        Caller caller = new Caller();
        vm.cool(address(client));
        uint256 gas = caller.gasOf(address(client), one.data) + intrinsic(one.data);
        emit log_named_uint(string.concat(one.name, ", bytes"), one.data.length);
        emit log_named_uint(string.concat(one.name, ", gas"), gas);
        check(gas <= max, one.name);
    }

    function replay(uint256 index) private returns (KumoLightClient client) {
        client = deployClient(index);
        for (uint256 i = 0; i < steps(index); ++i) {
            play(client, step(index, i));
        }
    }

    function play(KumoLightClient client, Step memory one) private {
        (bool taken, bytes memory answer) = address(client).call(one.data);
        if (one.revertSelector.length > 0) {
            check(!taken, string.concat("must revert: ", one.name));
            check(bytes4(answer) == bytes4(one.revertSelector), string.concat("another error: ", one.name));
        } else {
            check(taken, string.concat("must be taken: ", one.name));
        }
        check(client.isStopped() == one.stops, string.concat("stopped: ", one.name));
        if (!one.stops) compare(client, one);
    }

    function compare(KumoLightClient client, Step memory one) private view {
        (uint64 epoch, bytes32 root,,,,) = client.latest();
        equal(epoch, one.finalisedEpoch, string.concat("finalised: ", one.name));
        equal(root, one.finalisedRoot, string.concat("finalised root: ", one.name));
        (uint64[4] memory epochs, bytes32[4] memory roots) = client.justified();
        uint256 last = 0;
        for (uint256 i = 1; i < 4; ++i) {
            if (roots[i] != 0 && epochs[i] > epochs[last]) last = i;
        }
        equal(epochs[last], one.justifiedEpoch, string.concat("justified: ", one.name));
        equal(roots[last], one.justifiedRoot, string.concat("justified root: ", one.name));
        (bytes32 electorate,,) = client.electorate();
        equal(electorate, one.electorate, string.concat("electorate: ", one.name));
    }

    /// @dev As a call, with the error of the contract as it is.
    function forward(KumoLightClient client, bytes memory data) private {
        (bool taken, bytes memory answer) = address(client).call(data);
        if (taken) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    function decode(bytes memory data)
        private
        view
        returns (Link[] memory links, Checkpoint memory finalised, Witness memory witness)
    {
        return this.decodeTail(data);
    }

    function decodeTail(bytes calldata data) external pure returns (Link[] memory, Checkpoint memory, Witness memory) {
        return abi.decode(data[4:], (Link[], Checkpoint, Witness));
    }
}
