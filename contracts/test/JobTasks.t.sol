// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { CallerNotAllowed, Predeploys } from "../src/Predeploys.sol";
import { IJobMarket } from "../src/interfaces/IJobMarket.sol";
import { System } from "./System.sol";

/// @dev From the selection to the close, without audits.
contract JobTasksTest is System {
    uint96 private constant PRICE = 1 ether;
    address private p1;
    address private p2;
    address private p3;

    function setUp() public {
        deploySystem();
        p1 = provider("p1");
        p2 = provider("p2");
        p3 = provider("p3");
    }

    function test_happyPathPaysProviderFeeAndRefund() public {
        uint256 consumerBefore = CONSUMER.balance;
        uint256 jobId = running(2, 1);
        uint256 before = p1.balance;
        finishTask(jobId, 0);
        equal(p1.balance - before, 0.5 ether * 9750 / 10_000, "price without the take");
        equal(stakes.reservedStake(p1), 4 ether - 2 ether, "second task took the seat");
        finishTask(jobId, 1);
        IJobMarket.Job memory j = market.job(jobId);
        equal(uint256(j.state), uint256(IJobMarket.JobState.Closed), "closed");
        equal(j.paid, 1 ether, "paid");
        equal(j.refunded, 1 ether, "refunded");
        equal(consumerBefore - CONSUMER.balance, 1 ether, "cost");
        equal(escrow.totalHeld(), 0, "no escrow left");
        equal(stakes.reservedStake(p1), 0, "no stake left");
        equal(vault.undistributed(), 0, "fees are split at the close");
        equal(Predeploys.BURN.balance, 0.0125 ether, "half of the take is burned");
        atLeast(reputation.scoreBps(p1), 2113 + 1, "reputation rose");
    }

    function test_selectionWaitsForTheWindowAndHappensOnce() public {
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p1, jobId, PRICE, 1);
        uint64 end = market.job(jobId).bidEnd;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BidWindowOpen.selector, jobId, end));
        market.select(jobId);
        select(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobMarket.WrongJobState.selector, jobId, IJobMarket.JobState.Running, IJobMarket.JobState.Bidding
            )
        );
        market.select(jobId);
    }

    function test_withoutBidsTheJobIsRefunded() public {
        uint256 before = CONSUMER.balance;
        uint256 jobId = openJob(2, PRICE, 100);
        select(jobId);
        equal(CONSUMER.balance, before, "refunded");
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
    }

    function test_tasksGoRoundRobinInRankOrder() public {
        uint256 jobId = openJob(5, PRICE, 0);
        bid(p1, jobId, 0.3 ether, 1);
        bid(p2, jobId, 0.2 ether, 2);
        bid(p3, jobId, 0.1 ether, 9);
        select(jobId);
        address[5] memory wanted = [p3, p2, p1, p3, p2];
        for (uint32 i = 0; i < 5; ++i) {
            equal(market.task(jobId, i).provider, wanted[i], "provider");
        }
        equal(market.bids(jobId)[0].assigned, 2, "in progress");
        equal(market.job(jobId).tasksAssigned, 5, "assigned");
    }

    function test_selectionAssignsOneBatch() public {
        setParameter(address(market), "assignBatch", 2);
        uint256 jobId = openJob(5, PRICE, 0);
        bid(p1, jobId, 0.3 ether, 9);
        select(jobId);
        equal(market.job(jobId).tasksAssigned, 2, "batch");
        equal(market.assign(jobId, 1), 1, "one more");
        equal(market.assign(jobId, 9), 2, "the rest");
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NothingToDo.selector, jobId));
        market.assign(jobId, 9);
    }

    function test_freeStakeLimitsTheAssignments() public {
        uint256 jobId = openJob(5, PRICE, 0);
        bid(p1, jobId, PRICE, 9);
        vm.prank(Predeploys.JOB_MARKET);
        stakes.reserve(p1, STAKE - 9 ether);
        select(jobId);
        equal(market.job(jobId).tasksAssigned, 2, "4 AKE each, 9 free");
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NothingToDo.selector, jobId));
        market.assign(jobId, 9);
    }

    function test_receiptFreesTheSeatForAWaitingTask() public {
        uint256 jobId = running(2, 1);
        equal(state(jobId, 1), uint256(IJobMarket.TaskState.Open), "waits");
        deliver(CONSUMER, jobId, p1);
        submit(jobId, 0, ROOT);
        equal(state(jobId, 1), uint256(IJobMarket.TaskState.Assigned), "assigned");
    }

    function test_receiptIsStoredAsSigned() public {
        uint256 jobId = running(1, 1);
        IJobMarket.Receipt memory r = receiptOf(jobId, 0, ROOT);
        vm.expectEmit(address(market));
        emit IJobMarket.ReceiptSubmitted(jobId, 0, p1, 1, r.commitment, r.output);
        submit(jobId, 0, ROOT);
        IJobMarket.Task memory t = market.task(jobId, 0);
        equal(uint256(t.state), uint256(IJobMarket.TaskState.Receipted), "state");
        equal(t.commitment, r.commitment, "commitment");
        equal(t.output, r.output, "output");
        equal(t.receiptBlock, block.number, "block");
    }

    function test_receiptDigestIsThatOfTheTypedData() public view {
        IJobMarket.Receipt memory r = IJobMarket.Receipt(
            1, 2, 3, p1, bytes32(uint256(4)), bytes32(uint256(5)), bytes32(uint256(6)), 7, 8, 9, -10
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Kumo JobMarket"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        bytes32 hash = keccak256(
            bytes.concat(
                abi.encode(
                    keccak256(
                        "Receipt(uint256 jobId,uint32 task,uint8 attempt,address provider,bytes32 commitment,bytes32 output,bytes32 log,uint64 fuel,uint64 memoryBytes,uint64 wallMillis,int32 exitCode)"
                    ),
                    r.jobId,
                    r.task,
                    r.attempt,
                    r.provider
                ),
                abi.encode(r.commitment, r.output, r.log, r.fuel, r.memoryBytes, r.wallMillis, r.exitCode)
            )
        );
        equal(market.receiptDigest(r), keccak256(abi.encodePacked("\x19\x01", domain, hash)), "digest");
    }

    function test_falseReceiptsAreRefused() public {
        uint256 jobId = running(2, 1);
        IJobMarket.Receipt memory r = receiptOf(jobId, 0, ROOT);
        bytes memory signature = signed(r, p2);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BadSignature.selector, p2, p1));
        market.submitReceipt(r, signature);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BadSignature.selector, address(0), p1));
        market.submitReceipt(r, hex"00");
        r.attempt = 2;
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.StaleAttempt.selector, jobId, 0, 2, 1));
        market.submitReceipt(r, signature);
        r.provider = p2;
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NotAssigned.selector, jobId, 0, p2));
        market.submitReceipt(r, signature);
        r.task = 1;
        wrongTask(jobId, 1, IJobMarket.TaskState.Open, IJobMarket.TaskState.Assigned);
        market.submitReceipt(r, signature);
        r.task = 2;
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.TermOutOfRange.selector, bytes32("task"), 2, 0, 1));
        market.submitReceipt(r, signature);
    }

    function test_receiptAfterTheDeadlineIsRefused() public {
        uint256 jobId = running(1, 1);
        deliver(CONSUMER, jobId, p1);
        IJobMarket.Receipt memory r = receiptOf(jobId, 0, ROOT);
        bytes memory signature = signed(r, p1);
        uint64 deadline = market.task(jobId, 0).deadline;
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.DeadlinePassed.selector, deadline, deadline + 1));
        market.submitReceipt(r, signature);
        vm.warp(deadline);
        market.submitReceipt(r, signature);
        wrongTask(jobId, 0, IJobMarket.TaskState.Receipted, IJobMarket.TaskState.Assigned);
        market.submitReceipt(r, signature);
    }

    function test_missedDeadlineCostsTheWholeReservation() public {
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p1, jobId, 0.5 ether, 1);
        bid(p2, jobId, PRICE, 1);
        select(jobId);
        deliver(CONSUMER, jobId, p1);
        uint64 deadline = market.task(jobId, 0).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.DeadlineNotPassed.selector, deadline, deadline));
        market.expire(jobId, 0);
        vm.warp(deadline + 1);
        uint256 vaultBefore = address(vault).balance;
        vm.expectEmit(address(market));
        emit IJobMarket.TaskExpired(jobId, 0, p1, 1, 2 ether);
        market.expire(jobId, 0);
        equal(stakes.activeStake(p1), STAKE - 2 ether, "slashed");
        equal(stakes.reservedStake(p1), 0, "nothing reserved");
        equal(address(vault).balance - vaultBefore, 2 ether, "to the vault");
        check(reputation.scoreBps(p1) < 2113, "reputation fell");
        IJobMarket.Task memory t = market.task(jobId, 0);
        equal(t.provider, p2, "moved on at once");
        equal(t.attempt, 2, "second attempt");
    }

    function test_providerWithoutKeyLosesNothing() public {
        uint256 jobId = running(1, 1);
        vm.warp(market.task(jobId, 0).deadline + 1);
        market.expire(jobId, 0);
        equal(stakes.activeStake(p1), STAKE, "not slashed");
        equal(stakes.reservedStake(p1), 0, "released");
        equal(reputation.scoreBps(p1), 2113, "reputation as before");
    }

    function test_lateKeyStartsTheTimeAnew() public {
        uint256 jobId = running(1, 1);
        uint64 first = market.task(jobId, 0).deadline;
        vm.warp(first);
        deliver(CONSUMER, jobId, p1);
        equal(market.task(jobId, 0).deadline, first + TASK_SECONDS, "moved");
        vm.warp(first + TASK_SECONDS);
        deliver(CONSUMER, jobId, p1);
        equal(market.task(jobId, 0).deadline, first + TASK_SECONDS, "only by the first key");
        vm.warp(first + TASK_SECONDS + 1);
        market.expire(jobId, 0);
        equal(stakes.activeStake(p1), STAKE - 2 ether, "now it is its own fault");
    }

    function test_taskThatNobodyElseCanTakeFails() public {
        uint256 before = CONSUMER.balance;
        uint256 jobId = running(1, 1);
        deliver(CONSUMER, jobId, p1);
        vm.warp(market.task(jobId, 0).deadline + 1);
        vm.expectEmit(address(market));
        emit IJobMarket.TaskFailed(jobId, 0);
        market.expire(jobId, 0);
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
        equal(CONSUMER.balance, before, "refunded");
    }

    function test_taskFailsAfterItsAttempts() public {
        IJobMarket.Terms memory terms = jobTerms(1, PRICE, 0);
        terms.attemptsMax = 2;
        uint256 jobId = openJob(terms);
        bid(p1, jobId, PRICE, 1);
        bid(p2, jobId, PRICE, 1);
        bid(p3, jobId, PRICE, 1);
        select(jobId);
        expireNow(jobId, 0);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Assigned), "second attempt");
        expireNow(jobId, 0);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Failed), "no third");
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
    }

    function test_lostTaskWaitsForABusyBidder() public {
        uint256 jobId = openJob(2, PRICE, 0);
        bid(p1, jobId, 0.5 ether, 1);
        bid(p2, jobId, 0.6 ether, 1);
        select(jobId);
        deliver(CONSUMER, jobId, p2);
        uint64 deadline = market.task(jobId, 0).deadline;
        vm.warp(deadline + 1);
        market.expire(jobId, 0);
        equal(state(jobId, 0), uint256(IJobMarket.TaskState.Open), "p2 is busy, p1 lost it");
        vm.warp(deadline);
        submit(jobId, 1, ROOT);
        equal(market.task(jobId, 0).provider, p2, "p2 takes it with its receipt");
    }

    function test_waitingTasksOfJailedBiddersFailEarly() public {
        uint256 jobId = running(3, 1);
        deliver(CONSUMER, jobId, p1);
        vm.prank(Predeploys.SLASHING_COURT);
        registry.jail(p1, uint64(block.timestamp + 1 days));
        submit(jobId, 0, ROOT);
        equal(market.job(jobId).tasksFailed, 2, "nobody could take them");
        draw(jobId, 0);
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed with the last");
    }

    function test_finishFailsWhatWaitsPastTheDeadline() public {
        uint256 before = CONSUMER.balance;
        uint256 jobId = running(3, 1);
        uint64 deadline = market.job(jobId).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.DeadlineNotPassed.selector, deadline, deadline));
        market.finish(jobId, 9);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.DeadlinePassed.selector, deadline, deadline + 1));
        market.assign(jobId, 9);
        market.finish(jobId, 1);
        equal(market.job(jobId).tasksFailed, 1, "one at a time");
        market.finish(jobId, 9);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NothingToDo.selector, jobId));
        market.finish(jobId, 9);
        market.expire(jobId, 0);
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed by the last expiry");
        equal(CONSUMER.balance, before, "all is refunded");
    }

    function test_finishIsBoundedWhateverTheCount() public {
        uint256 jobId = openJob(1024, 0.001 ether, 0);
        bid(p1, jobId, 0.001 ether, 1);
        vm.warp(market.job(jobId).deadline + 1);
        market.select(jobId);
        for (uint256 i = 0; i < 4; ++i) {
            uint256 before = gasleft();
            market.finish(jobId, type(uint32).max);
            check(before - gasleft() < 12_000_000, "gas");
        }
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
    }

    function test_selectionPastTheDeadlineAssignsNothing() public {
        uint256 jobId = openJob(2, PRICE, 0);
        bid(p1, jobId, PRICE, 2);
        vm.warp(market.job(jobId).deadline + 1);
        market.select(jobId);
        equal(market.job(jobId).tasksAssigned, 0, "none");
        market.finish(jobId, 2);
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
    }

    function test_keysGoToHoldersOnly() public {
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p1, jobId, PRICE, 1);
        bid(p2, jobId, PRICE, 1);
        select(jobId);
        address holder = market.task(jobId, 0).provider;
        address other = holder == p1 ? p2 : p1;
        check(market.isKeyHolder(jobId, holder) && market.isKeyHolder(jobId, CONSUMER), "holders");
        check(!market.isKeyHolder(jobId, other), "a bidder without a task is none");
        (address[] memory to, bytes[] memory wrapped) = oneKey(holder);
        vm.expectEmit(address(market));
        emit IJobMarket.KeyDelivered(jobId, holder, CONSUMER, wrapped[0]);
        vm.prank(CONSUMER);
        market.deliverKeys(jobId, to, wrapped);
        equal(market.keyDeliveredAt(jobId, holder), block.timestamp, "noted");
        deliver(holder, jobId, CONSUMER);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NotRecipient.selector, jobId, other));
        deliver(CONSUMER, jobId, other);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NotConsumer.selector, jobId, other));
        deliver(other, jobId, holder);
    }

    function test_keysOfWrongShapeAreRefused() public {
        uint256 jobId = running(1, 1);
        (address[] memory to, bytes[] memory wrapped) = oneKey(p1);
        vm.startPrank(CONSUMER);
        wrapped[0] = new bytes(4097);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.WrappedKeySize.selector, 4097, 4096));
        market.deliverKeys(jobId, to, wrapped);
        wrapped[0] = "";
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.WrappedKeySize.selector, 0, 4096));
        market.deliverKeys(jobId, to, wrapped);
        wrapped[0] = new bytes(4096);
        market.deliverKeys(jobId, to, wrapped);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.LengthMismatch.selector, 1, 0));
        market.deliverKeys(jobId, to, new bytes[](0));
    }

    function test_onlyTheCourtJudges() public {
        uint256 jobId = running(1, 1);
        bytes memory refused = abi.encodeWithSelector(CallerNotAllowed.selector, STRANGER);
        vm.startPrank(STRANGER);
        vm.expectRevert(refused);
        market.accept(jobId, 0, STRANGER);
        vm.expectRevert(refused);
        market.reject(jobId, 0, 0);
        vm.expectRevert(refused);
        market.setAudit(jobId, 0, IJobMarket.TaskState.Audited, STRANGER);
        vm.stopPrank();
        vm.startPrank(Predeploys.SLASHING_COURT);
        wrongTask(jobId, 0, IJobMarket.TaskState.Assigned, IJobMarket.TaskState.Receipted);
        market.accept(jobId, 0, address(0));
        wrongTask(jobId, 0, IJobMarket.TaskState.Assigned, IJobMarket.TaskState.Receipted);
        market.reject(jobId, 0, 0);
        vm.stopPrank();
        submit(jobId, 0, ROOT);
        vm.startPrank(Predeploys.SLASHING_COURT);
        wrongTask(jobId, 0, IJobMarket.TaskState.Paid, IJobMarket.TaskState.Audited);
        market.setAudit(jobId, 0, IJobMarket.TaskState.Paid, address(0));
    }

    function test_taskPagesStopAtTheEnd() public {
        uint256 jobId = running(3, 1);
        equal(market.tasks(jobId, 0, 9).length, 3, "all");
        IJobMarket.Task[] memory page = market.tasks(jobId, 2, 1);
        equal(page.length, 1, "one");
        equal(page[0].provider, address(0), "third waits");
        equal(market.tasks(jobId, 3, 1).length, 0, "none");
    }

    function test_everyWeiOfAnyJobIsPaidOrRefunded(uint8 tasks, uint96 price, uint96 asked, uint16 take) public {
        tasks = uint8(bound(tasks, 1, 12));
        price = uint96(bound(price, 1, 20 ether));
        asked = uint96(bound(asked, 1, price));
        setParameter(address(market), "takeBps", bound(take, 0, 2000));
        uint256 before = CONSUMER.balance;
        uint256 jobId = openJob(tasks, price, 0);
        bid(p1, jobId, asked, 3);
        bid(p2, jobId, asked, 2);
        select(jobId);
        for (uint32 i = 0; i < tasks; ++i) {
            finishTask(jobId, i);
        }
        IJobMarket.Job memory j = market.job(jobId);
        equal(uint256(j.state), uint256(IJobMarket.JobState.Closed), "closed");
        equal(j.paid, uint256(asked) * tasks, "paid");
        equal(j.paid + j.refunded, j.escrowed, "nothing lost");
        equal(before - CONSUMER.balance, j.paid, "cost");
        equal(address(escrow).balance, 0, "escrow empty");
    }

    /// @dev A transaction may use 16,777,216 gas (EIP-7825).
    function test_fullBatchOverManyBiddersFitsInATransaction() public {
        uint256 jobId = openJob(64, PRICE, 0);
        for (uint256 i = 0; i < 20; ++i) {
            bid(provider(string(abi.encodePacked("bidder", uint8(65 + i)))), jobId, PRICE, 64);
        }
        vm.warp(market.job(jobId).bidEnd);
        uint256 before = gasleft();
        market.select(jobId);
        check(before - gasleft() < 12_000_000, "gas");
        equal(market.job(jobId).tasksAssigned, 64, "all");
    }

    /// @dev A job whose only bidder is p1, at half the maximum price.
    function running(uint32 tasks, uint32 capacity) private returns (uint256 jobId) {
        jobId = openJob(tasks, PRICE, 0);
        bid(p1, jobId, 0.5 ether, capacity);
        select(jobId);
    }

    function finishTask(uint256 jobId, uint32 task) private {
        submit(jobId, task, ROOT);
        draw(jobId, task);
    }

    function expireNow(uint256 jobId, uint32 task) private {
        deliver(CONSUMER, jobId, market.task(jobId, task).provider);
        vm.warp(market.task(jobId, task).deadline + 1);
        market.expire(jobId, task);
    }

    function wrongTask(uint256 jobId, uint32 task, IJobMarket.TaskState is_, IJobMarket.TaskState wanted) private {
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.WrongTaskState.selector, jobId, task, is_, wanted));
    }
}
