// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IAccessManaged } from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import { IParameters } from "../src/Parameters.sol";
import { CallerNotAllowed, Predeploys } from "../src/Predeploys.sol";
import { IStakeManager } from "../src/interfaces/IStakeManager.sol";
import { System } from "./System.sol";

/// @dev Stakes, and takes no money back.
contract StuckStaker {
    function stake(IStakeManager stakes) external payable {
        stakes.stake{ value: msg.value }();
        stakes.unbond(msg.value);
    }

    function withdraw(IStakeManager stakes) external {
        stakes.withdraw();
    }
}

contract StakeManagerTest is System {
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);

    function setUp() public {
        deploySystem();
        vm.deal(ALICE, 1000 ether);
        vm.deal(BOB, 1000 ether);
        vm.deal(Predeploys.FEE_VAULT, 1000 ether);
    }

    function test_stakeIsActiveAndFree() public {
        stakeAs(ALICE, 5);
        vm.prank(BOB);
        stakes.stakeFor{ value: 2 }(ALICE);
        equal(stakes.activeStake(ALICE), 7, "active");
        equal(stakes.freeStake(ALICE), 7, "free");
        equal(stakes.totalActiveStake(), 7, "total");
    }

    function test_nothingAndNobodyAreRefused() public {
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        stakes.stake();
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        stakes.unbond(0);
        vm.expectRevert(IStakeManager.ZeroAccount.selector);
        stakes.stakeFor{ value: 1 }(address(0));
    }

    function test_unbondedStakeLeavesAfterItsTime() public {
        stakeAs(ALICE, 5);
        vm.prank(ALICE);
        stakes.unbond(3);
        uint64 ready = uint64(block.timestamp + 21 days);
        equal(stakes.activeStake(ALICE), 2, "active");
        equal(stakes.unbondingStake(ALICE), 3, "unbonding");
        vm.warp(ready - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.NothingToWithdraw.selector, ALICE, ready));
        vm.prank(ALICE);
        stakes.withdraw();
        vm.warp(ready);
        uint256 before = ALICE.balance;
        vm.prank(ALICE);
        stakes.withdraw();
        equal(ALICE.balance, before + 3, "paid");
        equal(stakes.unbondingStake(ALICE), 0, "nothing left");
    }

    function test_onlyMaturedEntriesLeave() public {
        stakeAs(ALICE, 10);
        uint256 start = block.timestamp;
        for (uint256 i = 1; i <= 3; ++i) {
            vm.warp(start + i);
            vm.prank(ALICE);
            stakes.unbond(i);
        }
        vm.warp(start + 2 + 21 days);
        vm.prank(ALICE);
        equal(stakes.withdraw(), 3, "first and second");
        vm.expectRevert(
            abi.encodeWithSelector(IStakeManager.NothingToWithdraw.selector, ALICE, uint64(start + 3 + 21 days))
        );
        vm.prank(ALICE);
        stakes.withdraw();
    }

    function test_unbondingsHaveALimit() public {
        setParameter(address(stakes), "unbondingsMax", 2);
        stakeAs(ALICE, 10);
        vm.startPrank(ALICE);
        stakes.unbond(1);
        stakes.unbond(1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.UnbondingsMax.selector, ALICE, 2));
        stakes.unbond(1);
    }

    function test_refusedWithdrawalFails() public {
        StuckStaker stuck = new StuckStaker();
        vm.prank(ALICE);
        stuck.stake{ value: 4 }(stakes);
        vm.warp(block.timestamp + 21 days);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.TransferFailed.selector, address(stuck), 4));
        stuck.withdraw(stakes);
    }

    function test_reservedStakeCannotLeaveNorBackTwoTasks() public {
        stakeAs(ALICE, 5);
        reserve(ALICE, 3);
        equal(stakes.reservedStake(ALICE), 3, "reserved");
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeTooLow.selector, ALICE, 2, 3));
        vm.prank(ALICE);
        stakes.unbond(3);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeTooLow.selector, ALICE, 2, 3));
        vm.prank(Predeploys.SLASHING_COURT);
        stakes.reserve(ALICE, 3);
        vm.prank(Predeploys.JOB_MARKET);
        stakes.release(ALICE, 3);
        vm.prank(ALICE);
        stakes.unbond(5);
    }

    function test_onlyWhatIsReservedCanBeReleasedOrSlashed() public {
        stakeAs(ALICE, 5);
        reserve(ALICE, 3);
        bytes memory tooLow = abi.encodeWithSelector(IStakeManager.ReservationTooLow.selector, ALICE, 3, 4);
        vm.startPrank(Predeploys.JOB_MARKET);
        vm.expectRevert(tooLow);
        stakes.release(ALICE, 4);
        vm.expectRevert(tooLow);
        stakes.slash(ALICE, 4, BOB, 0);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.RewardTooHigh.selector, 4, 3));
        stakes.slash(ALICE, 3, BOB, 4);
    }

    function test_slashPaysBeneficiaryAndVault() public {
        stakeAs(ALICE, 10);
        reserve(ALICE, 6);
        uint256 before = address(vault).balance;
        vm.prank(Predeploys.SLASHING_COURT);
        stakes.slash(ALICE, 5, BOB, 2);
        equal(stakes.activeStake(ALICE), 5, "active");
        equal(stakes.reservedStake(ALICE), 1, "reserved");
        equal(stakes.pendingReward(BOB), 2, "reward");
        equal(address(vault).balance, before + 3, "vault");
        before = BOB.balance;
        vm.prank(BOB);
        stakes.claim();
        equal(BOB.balance, before + 2, "claimed");
    }

    function test_rewardsAreSharedByActiveStake(uint96 reward, uint64 a, uint64 b) public {
        reward = uint96(bound(reward, 1, 100 ether));
        a = uint64(bound(a, 1, 100 ether));
        b = uint64(bound(b, 1, 100 ether));
        stakeAs(ALICE, a);
        stakeAs(BOB, b);
        addReward(reward);
        uint256 total = stakes.pendingReward(ALICE) + stakes.pendingReward(BOB);
        check(total <= reward && total + 2 >= reward, "all but rounding is shared");
        uint256 fair = uint256(reward) * a / (uint256(a) + b);
        check(stakes.pendingReward(ALICE) <= fair && stakes.pendingReward(ALICE) + 1 >= fair, "in proportion");
    }

    /// @dev 10 / 3 twice leaves 20 / 3 = 6.67: neither 3 + 3 for each nor more than there is.
    function test_fractionsOfSeveralRewardsNeverExceedThem() public {
        stakeAs(ALICE, 1);
        stakeAs(BOB, 2);
        addReward(10);
        addReward(10);
        uint256 owed = stakes.pendingReward(ALICE) + stakes.pendingReward(BOB);
        atLeast(address(stakes).balance, 3 + owed, "solvent");
        equal(stakes.pendingReward(ALICE), 6, "fractions add up");
        equal(stakes.pendingReward(BOB), 13, "of both");
    }

    function test_lateStakeHasNoShareOfEarlierRewards() public {
        stakeAs(ALICE, 5);
        addReward(10);
        stakeAs(BOB, 5);
        equal(stakes.pendingReward(ALICE), 10, "early");
        equal(stakes.pendingReward(BOB), 0, "late");
        vm.prank(ALICE);
        stakes.unbond(5);
        addReward(10);
        equal(stakes.pendingReward(ALICE), 10, "left");
        equal(stakes.pendingReward(BOB), 10, "stayed");
    }

    function test_rewardsWithoutStakersWaitForTheFirst() public {
        addReward(10);
        stakeAs(ALICE, 5);
        equal(stakes.pendingReward(ALICE), 0, "not yet");
        addReward(1);
        equal(stakes.pendingReward(ALICE), 11, "with the next");
    }

    function test_peersOnly() public {
        bytes memory refused = abi.encodeWithSelector(CallerNotAllowed.selector, ALICE);
        vm.startPrank(ALICE);
        vm.expectRevert(refused);
        stakes.reserve(ALICE, 1);
        vm.expectRevert(refused);
        stakes.release(ALICE, 1);
        vm.expectRevert(refused);
        stakes.slash(ALICE, 1, ALICE, 0);
        vm.expectRevert(refused);
        stakes.addReward{ value: 1 }();
        vm.stopPrank();
        vm.expectRevert(IStakeManager.ZeroAmount.selector);
        vm.prank(Predeploys.FEE_VAULT);
        stakes.addReward();
    }

    function test_parametersStayWithinTheirBounds() public {
        (uint256 value, uint256 min, uint256 max) = stakes.parameter("unbondSeconds");
        equal(value, 21 days, "value");
        atLeast(min, 7 days + 1 days, "outlives the time for evidence");
        vm.startPrank(AUTHORITY);
        stakes.setParameter("unbondSeconds", min);
        stakes.setParameter("unbondSeconds", max);
        bytes32 name = "unbondSeconds";
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.TermOutOfRange.selector, name, max + 1, min, max));
        stakes.setParameter(name, max + 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.TermOutOfRange.selector, name, min - 1, min, max));
        stakes.setParameter(name, min - 1);
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownParameter.selector, bytes32("nothing")));
        stakes.setParameter("nothing", 1);
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownParameter.selector, bytes32("nothing")));
        stakes.parameter("nothing");
    }

    function test_onlyTheAuthoritySetsParameters() public {
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, ALICE));
        vm.prank(ALICE);
        stakes.setParameter("unbondSeconds", 8 days);
    }

    function stakeAs(address who, uint256 amount) private {
        vm.prank(who);
        stakes.stake{ value: amount }();
    }

    function reserve(address who, uint256 amount) private {
        vm.prank(Predeploys.JOB_MARKET);
        stakes.reserve(who, amount);
    }

    function addReward(uint256 amount) private {
        vm.prank(Predeploys.FEE_VAULT);
        stakes.addReward{ value: amount }();
    }
}
