// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { CallerNotAllowed } from "../src/Predeploys.sol";
import { System } from "./System.sol";

contract AkeVotesTest is System {
    function setUp() public {
        deploySystem();
    }

    function test_unitsAreWrappedPlusStaked() public {
        vm.startPrank(STRANGER);
        wake.deposit{ value: 3 }();
        stakes.stake{ value: 4 }();
        vm.stopPrank();
        equal(votes.unitsOf(STRANGER), 7, "units");
        equal(votes.getVotes(STRANGER), 7, "votes for itself from the first unit on");
        equal(votes.totalUnits(), 7, "total");
    }

    function test_unbondingStakeHasNoVote() public {
        vm.startPrank(STRANGER);
        stakes.stake{ value: 4 }();
        stakes.unbond(3);
        vm.stopPrank();
        equal(votes.getVotes(STRANGER), 1, "votes");
        equal(votes.totalUnits(), 1, "total");
    }

    function test_transferMovesVotes() public {
        vm.startPrank(STRANGER);
        wake.deposit{ value: 3 }();
        wake.transfer(CONSUMER, 2);
        vm.stopPrank();
        equal(votes.getVotes(STRANGER), 1, "sender");
        equal(votes.getVotes(CONSUMER), 2, "receiver");
        equal(votes.totalUnits(), 3, "total");
    }

    function test_delegationIsKeptWhenUnitsArrive() public {
        vm.startPrank(STRANGER);
        wake.deposit{ value: 3 }();
        votes.delegate(CONSUMER);
        stakes.stake{ value: 4 }();
        vm.stopPrank();
        equal(votes.getVotes(CONSUMER), 7, "delegate");
        equal(votes.getVotes(STRANGER), 0, "delegator");
    }

    function test_transferOfNothingDelegatesNothing() public {
        vm.prank(STRANGER);
        wake.transfer(CONSUMER, 0);
        equal(votes.delegates(CONSUMER), address(0), "no delegate");
    }

    function test_pastVotesAreByTimestamp() public {
        vm.prank(STRANGER);
        wake.deposit{ value: 3 }();
        uint256 before = block.timestamp;
        vm.warp(before + 10);
        vm.prank(STRANGER);
        wake.deposit{ value: 3 }();
        vm.warp(before + 11);
        equal(votes.getPastVotes(STRANGER, before), 3, "before");
        equal(votes.getPastVotes(STRANGER, before + 10), 6, "after");
        equal(votes.getPastTotalSupply(before), 3, "total before");
        equal(votes.clock(), block.timestamp, "clock");
        equal(keccak256(bytes(votes.CLOCK_MODE())), keccak256("mode=timestamp"), "mode");
    }

    function test_onlyTheTokenAndTheStakesMoveUnits() public {
        vm.expectRevert(abi.encodeWithSelector(CallerNotAllowed.selector, address(this)));
        votes.onUnitsMoved(address(0), STRANGER, 1);
    }
}
