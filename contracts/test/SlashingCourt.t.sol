// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IAccessManaged } from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import { IJobMarket } from "../src/interfaces/IJobMarket.sol";
import { ISlashingCourt } from "../src/interfaces/ISlashingCourt.sol";
import { System } from "./System.sol";

/// @dev Audits: who is drawn, who is believed, who pays. Prices are 1 AKE, so every reservation is 4 AKE.
contract SlashingCourtTest is System {
    uint256 private constant RESERVED = 4 ether;

    function setUp() public {
        deploySystem();
        provider("p1");
        provider("p2");
        provider("p3");
        provider("p4");
    }

    function test_confirmedWorkIsPaidAndSoIsTheAuditor() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(ROOT);
        check(auditor != worker && auditor != CONSUMER, "independent");
        equal(stakes.reservedStake(auditor), RESERVED, "auditor has stake at risk");
        check(market.isKeyHolder(jobId, auditor), "auditor may have the key");
        (uint256 workerBefore, uint256 auditorBefore) = (worker.balance, auditor.balance);
        vm.prank(auditor);
        court.confirm(jobId, 0, ROOT);
        equal(worker.balance - workerBefore, 0.975 ether, "worker");
        equal(auditor.balance - auditorBefore, 1 ether, "auditor");
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
        equal(market.job(jobId).refunded, 0, "all used");
        noReservationsLeft();
        (uint256 good,,) = reputation.evidence(worker);
        equal(good, 1e18, "audited work counts in full");
    }

    function test_auditorThatDidNotExecuteCannotConfirm() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(ROOT);
        bytes32 committed = commitment(ROOT, worker, jobId, 0);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.RootDoesNotMatch.selector, WRONG_ROOT, committed));
        vm.prank(auditor);
        court.confirm(jobId, 0, WRONG_ROOT);
    }

    function test_cheatIsSlashedJailedAndItsTaskRunAgain() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        address second = disputed(jobId, auditor, ROOT);
        check(second != worker && second != auditor && second != CONSUMER, "independent");
        uint256 vaultBefore = address(vault).balance;
        vm.expectEmit(address(court));
        emit ISlashingCourt.DisputeResolved(jobId, 0, worker, auditor, ROOT);
        vm.prank(second);
        court.resolve(jobId, 0, ROOT);
        equal(stakes.activeStake(worker), STAKE - RESERVED, "slashed");
        equal(stakes.pendingReward(auditor), 1 ether, "first auditor's half of the reward");
        equal(stakes.pendingReward(second), 1 ether, "second's half");
        equal(address(vault).balance - vaultBefore, 2 ether, "the rest is a fee");
        equal(registry.jailedUntil(worker), block.timestamp + 1 days, "jailed");
        check(reputation.scoreBps(worker) < 200, "a newcomer has 2113");
        IJobMarket.Task memory t = market.task(jobId, 0);
        equal(uint256(t.state), uint256(IJobMarket.TaskState.Assigned), "runs again");
        check(t.provider != worker, "with another provider");
        equal(t.attempt, 2, "second attempt");
        honestEnd(jobId, t.provider);
    }

    function test_lyingAuditorIsSlashedAndTheProviderPaid() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(ROOT);
        address second = disputed(jobId, auditor, WRONG_ROOT);
        (uint256 workerBefore, uint256 secondBefore) = (worker.balance, second.balance);
        vm.prank(second);
        court.resolve(jobId, 0, ROOT);
        equal(stakes.activeStake(auditor), STAKE - RESERVED, "slashed");
        // And its share of the fees, which the close has split.
        check(stakes.pendingReward(second) >= 2 ether && stakes.pendingReward(second) < 2.2 ether, "reward");
        equal(second.balance - secondBefore, 1 ether, "audit fee");
        equal(worker.balance - workerBefore, 0.975 ether, "worker paid");
        check(!registry.isEligible(auditor, 0), "jailed");
        equal(registry.jailedUntil(worker), 0, "worker free");
        noReservationsLeft();
    }

    function test_auditorDisputingItsOwnFindingIsTheLiar() public {
        (uint256 jobId,, address auditor) = auditedJob(ROOT);
        address second = disputed(jobId, auditor, ROOT);
        vm.prank(second);
        court.resolve(jobId, 0, ROOT);
        equal(stakes.activeStake(auditor), STAKE - RESERVED, "slashed");
    }

    function test_threeDifferentRootsHurtNobody() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        address second = disputed(jobId, auditor, ROOT);
        vm.expectEmit(address(court));
        emit ISlashingCourt.DisputeUndecided(jobId, 0);
        vm.prank(second);
        court.resolve(jobId, 0, keccak256("a third"));
        equal(stakes.activeStake(worker), STAKE, "worker");
        equal(stakes.activeStake(auditor), STAKE, "auditor");
        equal(stakes.reservedStake(worker), 0, "released");
        check(market.task(jobId, 0).provider != worker, "run again by another");
    }

    function test_copiedCommitmentIsWorthless() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        // The auditor copies what the provider committed to, hoping that the second finds it right.
        vm.prank(auditor);
        court.dispute(jobId, 0, commitment(WRONG_ROOT, worker, jobId, 0));
        nextBlocks(3);
        court.drawSecond(jobId, 0);
        address second = court.audit(jobId, 0).second;
        vm.prank(second);
        court.resolve(jobId, 0, ROOT);
        equal(stakes.pendingReward(auditor), 0, "nothing gained");
    }

    function test_withoutASecondAuditorTheDisputeIsUndecided() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        for (uint256 i = 0; i < 4; ++i) {
            address other = registry.at(i);
            if (other == worker || other == auditor) continue;
            vm.prank(other);
            stakes.unbond(STAKE - 3 ether);
        }
        vm.prank(auditor);
        court.dispute(jobId, 0, commitment(ROOT, auditor, jobId, 0));
        nextBlocks(3);
        vm.expectEmit(address(court));
        emit ISlashingCourt.DisputeUndecided(jobId, 0);
        court.drawSecond(jobId, 0);
        equal(stakes.activeStake(worker), STAKE, "not slashed");
        equal(stakes.reservedStake(auditor), market.task(jobId, 0).provider == auditor ? RESERVED : 0, "released");
    }

    function test_withoutAnyAuditorTheReceiptStands() public {
        uint256 jobId = openJob(1, 1 ether, 10_000);
        bid(registry.at(0), jobId, 1 ether, 1);
        select(jobId);
        submit(jobId, 0, ROOT);
        for (uint256 i = 1; i < 4; ++i) {
            vm.prank(registry.at(i));
            stakes.unbond(STAKE);
        }
        nextBlocks(3);
        vm.expectEmit(address(court));
        emit ISlashingCourt.NotDrawn(jobId, 0, 1);
        court.draw(jobId, 0);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Paid), "paid");
    }

    function test_drawWaitsForRandomnessNobodyKnew() public {
        uint256 jobId = receipted(10_000);
        uint256 at = court.drawBlock(jobId, 0);
        equal(at, block.number + 2, "two blocks after the receipt");
        nextBlocks(2);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.DrawTooEarly.selector, at, at));
        court.draw(jobId, 0);
        nextBlock();
        court.draw(jobId, 0);
        equal(court.drawBlock(jobId, 0), 0, "no draw is pending");
    }

    function test_forgottenRandomnessIsReplacedByALaterBlock() public {
        uint256 jobId = receipted(10_000);
        uint256 at = court.drawBlock(jobId, 0);
        vm.roll(at + 8192);
        court.draw(jobId, 0);
        equal(court.drawBlock(jobId, 0), at + 8192 + 2, "a new draw");
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Receipted), "still pending");
        nextBlocks(3);
        court.draw(jobId, 0);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Audited), "drawn");
    }

    function test_auditRateIsThatOfTheTerms() public {
        uint256 drawn = 0;
        for (uint256 i = 0; i < 200; ++i) {
            uint256 jobId = receipted(2500);
            draw(jobId, 0);
            if (state(jobId, 0) != uint256(IJobMarket.TaskState.Audited)) continue;
            ++drawn;
            address auditor = court.audit(jobId, 0).auditor;
            vm.prank(auditor);
            court.confirm(jobId, 0, ROOT);
        }
        // 50 expected; the deviation is 6.1.
        check(drawn >= 30 && drawn <= 70, "near a quarter");
    }

    function test_lapsedAuditorPaysAndAnotherIsDrawn() public {
        (uint256 jobId,, address auditor) = auditedJob(ROOT);
        uint64 deadline = court.audit(jobId, 0).deadline;
        equal(deadline, block.timestamp + TASK_SECONDS, "time to run the task");
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.AuditDeadlineNotPassed.selector, deadline, deadline));
        court.lapse(jobId, 0);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.AuditDeadlinePassed.selector, deadline, deadline + 1));
        vm.prank(auditor);
        court.confirm(jobId, 0, ROOT);
        court.lapse(jobId, 0);
        equal(stakes.activeStake(auditor), STAKE - RESERVED / 10, "a tenth");
        equal(stakes.reservedStake(auditor), 0, "the rest is free");
        draw(jobId, 0);
        ISlashingCourt.Audit memory a = court.audit(jobId, 0);
        check(a.auditor != auditor, "another one");
        equal(a.redraws, 1, "counted");
        vm.prank(a.auditor);
        court.confirm(jobId, 0, ROOT);
        noReservationsLeft();
    }

    function test_afterTooManyLapsesTheReceiptStands() public {
        setParameter(address(court), "redrawsMax", 1);
        (uint256 jobId, address worker,) = auditedJob(ROOT);
        lapseNow(jobId);
        draw(jobId, 0);
        address auditor = court.audit(jobId, 0).auditor;
        deliver(worker, jobId, auditor);
        lapseNow(jobId);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Paid), "paid");
        noReservationsLeft();
    }

    function test_secondAuditorsThatLapseLeaveItUndecided() public {
        setParameter(address(court), "redrawsMax", 0);
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        address second = disputed(jobId, auditor, ROOT);
        lapseNow(jobId);
        equal(stakes.activeStake(second), STAKE - RESERVED / 10, "second paid for it");
        equal(stakes.activeStake(worker), STAKE, "undecided");
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Assigned), "run again");
    }

    function test_lapsedSecondAuditorIsReplaced() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        address second = disputed(jobId, auditor, ROOT);
        lapseNow(jobId);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Disputed), "still disputed");
        provider("p5");
        nextBlocks(3);
        court.drawSecond(jobId, 0);
        address third = court.audit(jobId, 0).second;
        check(third != second && third != auditor && third != worker, "independent");
        vm.prank(third);
        court.resolve(jobId, 0, ROOT);
        equal(stakes.activeStake(worker), STAKE - RESERVED, "slashed");
    }

    function test_providerThatWithholdsTheKeyFromTheAuditorPays() public {
        uint256 jobId = receipted(10_000);
        address worker = market.task(jobId, 0).provider;
        draw(jobId, 0);
        address auditor = court.audit(jobId, 0).auditor;
        vm.warp(court.audit(jobId, 0).deadline + 1);
        court.lapse(jobId, 0);
        equal(stakes.activeStake(auditor), STAKE, "auditor is not to blame");
        equal(stakes.activeStake(worker), STAKE - RESERVED, "provider is");
        check(state(jobId, 0) != uint256(IJobMarket.TaskState.Paid), "not paid");
    }

    function test_lateKeyStartsTheAuditorsTimeAnew() public {
        uint256 jobId = receipted(10_000);
        draw(jobId, 0);
        address auditor = court.audit(jobId, 0).auditor;
        uint64 first = court.audit(jobId, 0).deadline;
        vm.warp(first);
        deliver(CONSUMER, jobId, auditor);
        equal(court.audit(jobId, 0).deadline, first + TASK_SECONDS, "moved");
        vm.warp(first + TASK_SECONDS);
        vm.prank(auditor);
        court.confirm(jobId, 0, ROOT);
    }

    function test_onlyTheDrawnAuditorSpeaks() public {
        (uint256 jobId,, address auditor) = auditedJob(ROOT);
        bytes memory refused = abi.encodeWithSelector(ISlashingCourt.NotAuditor.selector, jobId, 0, STRANGER);
        vm.startPrank(STRANGER);
        vm.expectRevert(refused);
        court.confirm(jobId, 0, ROOT);
        vm.expectRevert(refused);
        court.dispute(jobId, 0, ROOT);
        vm.stopPrank();
        disputed(jobId, auditor, ROOT);
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.NotAuditor.selector, jobId, 0, auditor));
        vm.prank(auditor);
        court.resolve(jobId, 0, ROOT);
    }

    function test_everyStepNeedsItsState() public {
        uint256 jobId = openJob(1, 1 ether, 10_000);
        bid(registry.at(0), jobId, 1 ether, 1);
        select(jobId);
        bytes memory wrong =
            abi.encodeWithSelector(ISlashingCourt.WrongTaskState.selector, jobId, 0, IJobMarket.TaskState.Assigned);
        vm.expectRevert(wrong);
        court.draw(jobId, 0);
        vm.expectRevert(wrong);
        court.confirm(jobId, 0, ROOT);
        vm.expectRevert(wrong);
        court.dispute(jobId, 0, ROOT);
        vm.expectRevert(wrong);
        court.drawSecond(jobId, 0);
        vm.expectRevert(wrong);
        court.resolve(jobId, 0, ROOT);
        vm.expectRevert(wrong);
        court.lapse(jobId, 0);
        equal(court.drawBlock(jobId, 0), 0, "no draw");
    }

    function test_secondAuditorIsDrawnOnce() public {
        (uint256 jobId,, address auditor) = auditedJob(WRONG_ROOT);
        disputed(jobId, auditor, ROOT);
        vm.expectRevert(
            abi.encodeWithSelector(ISlashingCourt.WrongTaskState.selector, jobId, 0, IJobMarket.TaskState.Disputed)
        );
        court.drawSecond(jobId, 0);
    }

    function test_aNewAttemptIsANewCase() public {
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        address second = disputed(jobId, auditor, ROOT);
        vm.prank(second);
        court.resolve(jobId, 0, ROOT);
        address next = market.task(jobId, 0).provider;
        check(next != worker, "another provider");
        submit(jobId, 0, ROOT);
        draw(jobId, 0);
        ISlashingCourt.Audit memory a = court.audit(jobId, 0);
        equal(a.second, address(0), "nothing of the old case");
        equal(a.commitment, 0, "no commitment");
        equal(a.root, 0, "no root");
        vm.prank(a.auditor);
        court.confirm(jobId, 0, ROOT);
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
        noReservationsLeft();
    }

    function test_slashIsTheShareOfTheParameter(uint16 slashBps, uint16 rewardBps) public {
        slashBps = uint16(bound(slashBps, 1000, 10_000));
        rewardBps = uint16(bound(rewardBps, 0, 5000));
        setParameter(address(court), "slashBps", slashBps);
        setParameter(address(court), "rewardBps", rewardBps);
        (uint256 jobId, address worker, address auditor) = auditedJob(WRONG_ROOT);
        address second = disputed(jobId, auditor, ROOT);
        vm.prank(second);
        court.resolve(jobId, 0, ROOT);
        uint256 slashed = RESERVED * slashBps / 10_000;
        equal(STAKE - stakes.activeStake(worker), slashed, "slashed");
        equal(stakes.reservedStake(worker), 0, "the rest is released");
        uint256 rewards = stakes.pendingReward(auditor) + stakes.pendingReward(second);
        check(rewards <= slashed / 2 && rewards + 2 >= slashed * rewardBps / 10_000, "rewards");
    }

    function test_parametersStayWithinTheirBounds() public {
        bytes32[9] memory names = [
            bytes32("drawDelayBlocks"),
            "auditSeconds",
            "slashBps",
            "rewardBps",
            "lapseBps",
            "jailSeconds",
            "redrawsMax",
            "weightFault",
            "weightLapsed"
        ];
        for (uint256 i = 0; i < names.length; ++i) {
            (, uint256 min, uint256 max) = court.parameter(names[i]);
            setParameter(address(court), names[i], min);
            setParameter(address(court), names[i], max);
            vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.TermOutOfRange.selector, names[i], max + 1, min, max));
            vm.prank(AUTHORITY);
            court.setParameter(names[i], max + 1);
        }
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, STRANGER));
        vm.prank(STRANGER);
        court.setParameter("slashBps", 1000);
    }

    /// @dev A receipt of the first provider, pending its draw.
    function receipted(uint16 auditBps) private returns (uint256 jobId) {
        jobId = openJob(1, 1 ether, auditBps);
        bid(registry.at(0), jobId, 1 ether, 1);
        select(jobId);
        deliver(CONSUMER, jobId, registry.at(0));
        submit(jobId, 0, ROOT);
    }

    /// @dev The first auditor disputes with `root`; the second is drawn and has the key.
    function disputed(uint256 jobId, address auditor, bytes32 root) private returns (address second) {
        vm.prank(auditor);
        court.dispute(jobId, 0, commitment(root, auditor, jobId, 0));
        nextBlocks(3);
        court.drawSecond(jobId, 0);
        second = court.audit(jobId, 0).second;
        deliver(CONSUMER, jobId, second);
    }

    function lapseNow(uint256 jobId) private {
        vm.warp(court.audit(jobId, 0).deadline + 1);
        court.lapse(jobId, 0);
    }

    function honestEnd(uint256 jobId, address worker) private {
        deliver(CONSUMER, jobId, worker);
        submit(jobId, 0, ROOT);
        draw(jobId, 0);
        address auditor = court.audit(jobId, 0).auditor;
        vm.prank(auditor);
        court.confirm(jobId, 0, ROOT);
        IJobMarket.Job memory j = market.job(jobId);
        equal(uint256(j.state), uint256(IJobMarket.JobState.Closed), "closed");
        equal(j.paid + j.refunded, j.escrowed, "nothing lost");
        noReservationsLeft();
    }

    function noReservationsLeft() private view {
        for (uint256 i = 0; i < registry.count(); ++i) {
            equal(stakes.reservedStake(registry.at(i)), 0, "reserved");
        }
    }
}
