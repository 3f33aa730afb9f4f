// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IAccessManaged } from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import { Predeploys } from "../src/Predeploys.sol";
import { IJobMarket } from "../src/interfaces/IJobMarket.sol";
import { System } from "./System.sol";

/// @dev Opening, bidding, cancelling.
contract JobBidsTest is System {
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

    function test_openLocksTheWholeEscrow() public {
        uint256 before = CONSUMER.balance;
        uint256 jobId = openJob(3, PRICE, 2000);
        equal(jobId, 1, "first id");
        equal(market.jobCount(), 1, "count");
        equal(escrow.balanceOf(jobId), 6 ether, "prices and audit fees");
        equal(before - CONSUMER.balance, 6 ether, "paid");
        IJobMarket.Job memory j = market.job(jobId);
        equal(j.consumer, CONSUMER, "consumer");
        equal(j.bidEnd, block.timestamp + BID_SECONDS, "bid end");
        equal(j.deadline, j.bidEnd + JOB_SECONDS, "deadline");
        equal(j.escrowed, 6 ether, "escrowed");
        equal(jobState(jobId), uint256(IJobMarket.JobState.Bidding), "state");
    }

    function test_withoutAuditsNoAuditFeeIsLocked() public view {
        equal(market.escrowRequired(3, PRICE, 0), 3 ether, "required");
        equal(market.escrowRequired(3, PRICE, 1), 6 ether, "required with audits");
    }

    function test_oneWeiTooLittleIsRefused() public {
        IJobMarket.Terms memory terms = jobTerms(1, PRICE, 0);
        vm.startPrank(CONSUMER);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.EscrowUnderpaid.selector, PRICE - 1, PRICE));
        market.open{ value: PRICE - 1 }(terms);
        market.open{ value: PRICE }(terms);
    }

    function test_termsOneBeyondTheirLimitsAreRefused() public {
        IJobMarket.Terms memory t = jobTerms(1, PRICE, 0);
        t.tasks = 0;
        refused(t, "tasks", 0, 1, 1024);
        t.tasks = 1025;
        refused(t, "tasks", 1025, 1, 1024);
        t = jobTerms(1, 0, 0);
        refused(t, "priceMax", 0, 1, type(uint96).max);
        t = jobTerms(1, PRICE, 10_001);
        refused(t, "auditBps", 10_001, 0, 10_000);
        t = jobTerms(1, PRICE, 0);
        t.bidSeconds = 0;
        refused(t, "bidSeconds", 0, 1, 1 days);
        t.bidSeconds = 1 days + 1;
        refused(t, "bidSeconds", 1 days + 1, 1, 1 days);
        t = jobTerms(1, PRICE, 0);
        t.taskSeconds = 1 days + 1;
        refused(t, "taskSeconds", 1 days + 1, 1, 1 days);
        t = jobTerms(1, PRICE, 0);
        t.jobSeconds = 7 days + 1;
        refused(t, "jobSeconds", 7 days + 1, 1, 7 days);
        t = jobTerms(1, PRICE, 0);
        t.attemptsMax = 0;
        refused(t, "attemptsMax", 0, 1, 5);
        t.attemptsMax = 6;
        refused(t, "attemptsMax", 6, 1, 5);
        t = jobTerms(1, PRICE, 0);
        t.spec = 0;
        refused(t, "spec", 0, 1, type(uint256).max);
        t = jobTerms(1, PRICE, 0);
        t.consumerKey = 0;
        refused(t, "consumerKey", 0, 1, type(uint256).max);
    }

    function test_cancelRefundsEverything() public {
        uint256 before = CONSUMER.balance;
        uint256 jobId = openJob(3, PRICE, 2000);
        bid(p1, jobId, PRICE, 1);
        vm.prank(CONSUMER);
        market.cancel(jobId);
        equal(CONSUMER.balance, before, "refunded");
        equal(jobState(jobId), uint256(IJobMarket.JobState.Closed), "closed");
        equal(market.job(jobId).tasksFailed, 3, "all tasks are final");
        equal(market.job(jobId).refunded, 6 ether, "recorded");
    }

    function test_cancelIsForTheConsumerWhileBidsAreTaken() public {
        uint256 jobId = openJob(1, PRICE, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.NotConsumer.selector, jobId, STRANGER));
        vm.prank(STRANGER);
        market.cancel(jobId);
        uint64 end = market.job(jobId).bidEnd;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BidWindowClosed.selector, jobId, end));
        vm.prank(CONSUMER);
        market.cancel(jobId);
    }

    function test_unknownJobsAreRefused() public {
        bytes memory unknown = abi.encodeWithSelector(IJobMarket.UnknownJob.selector, 9);
        vm.expectRevert(unknown);
        market.job(9);
        vm.expectRevert(unknown);
        market.task(9, 0);
        vm.expectRevert(unknown);
        market.select(9);
        vm.expectRevert(unknown);
        market.bid(9, 1, 1);
        vm.expectRevert(unknown);
        market.cancel(9);
        vm.expectRevert(unknown);
        market.expire(9, 0);
        vm.expectRevert(unknown);
        market.isKeyHolder(9, CONSUMER);
    }

    function test_bidsAreRankedByScore() public {
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p1, jobId, 0.5 ether, 1);
        bid(p2, jobId, 0.4 ether, 2);
        bid(p3, jobId, 0.6 ether, 3);
        IJobMarket.Bid[] memory b = market.bids(jobId);
        equal(b[0].provider, p2, "first");
        equal(b[1].provider, p1, "second");
        equal(b[2].provider, p3, "third");
        equal(b[0].score, market.score(p2, 0.4 ether), "score");
        equal(b[0].capacity, 2, "capacity");
    }

    function test_betterReputationBeatsALowerPrice() public {
        vm.startPrank(Predeploys.SLASHING_COURT);
        for (uint256 i = 0; i < 10; ++i) {
            reputation.record(p1, true, 1e18);
        }
        vm.stopPrank();
        // 1.0 * (1 + 0.5 * 0.16) against 0.8 * (1 + 0.5 * 0.7887).
        equal(market.score(p1, 1 ether), 1.08 ether, "trusted");
        equal(market.score(p2, 0.8 ether), 1.11544 ether, "newcomer");
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p2, jobId, 0.8 ether, 1);
        bid(p1, jobId, 1 ether, 1);
        equal(market.bids(jobId)[0].provider, p1, "trusted first");
    }

    function test_tiesGoToTheLowerHash() public {
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p1, jobId, PRICE, 1);
        bid(p2, jobId, PRICE, 1);
        bid(p3, jobId, PRICE, 1);
        IJobMarket.Bid[] memory b = market.bids(jobId);
        for (uint256 i = 1; i < b.length; ++i) {
            check(tie(jobId, b[i - 1].provider) < tie(jobId, b[i].provider), "order");
        }
    }

    function test_betterBidEvictsTheWorst() public {
        setParameter(address(market), "bidsMax", 2);
        uint256 jobId = openJob(1, PRICE, 0);
        bid(p1, jobId, 0.5 ether, 1);
        bid(p2, jobId, 0.8 ether, 1);
        vm.expectEmit(address(market));
        emit IJobMarket.BidEvicted(jobId, p2);
        bid(p3, jobId, 0.4 ether, 1);
        IJobMarket.Bid[] memory b = market.bids(jobId);
        equal(b.length, 2, "still two");
        equal(b[0].provider, p3, "best");
        equal(b[1].provider, p1, "kept");
        uint256 worst = b[1].score;
        uint256 asked = market.score(p2, 0.6 ether);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BidNotCompetitive.selector, jobId, asked, worst));
        bid(p2, jobId, 0.6 ether, 1);
        bid(p2, jobId, 0.1 ether, 1);
        equal(market.bids(jobId)[0].provider, p2, "an evicted bidder may do better");
    }

    function test_fullRankingStaysSorted(uint256 seed) public {
        setParameter(address(market), "bidsMax", 32);
        uint256 jobId = openJob(1, PRICE, 0);
        for (uint256 i = 0; i < 35; ++i) {
            address who = provider(string(abi.encodePacked("bidder", uint8(65 + i))));
            uint96 price = uint96(uint256(keccak256(abi.encode(seed, i))) % PRICE + 1);
            vm.prank(who);
            try market.bid(jobId, price, 1) { } catch { }
        }
        IJobMarket.Bid[] memory b = market.bids(jobId);
        equal(b.length, 32, "full");
        for (uint256 i = 1; i < b.length; ++i) {
            check(b[i - 1].score <= b[i].score, "sorted");
            for (uint256 k = 0; k < i; ++k) {
                check(b[k].provider != b[i].provider, "unique");
            }
        }
    }

    function test_bidsOutOfRangeAreRefused() public {
        uint256 jobId = openJob(1, PRICE, 0);
        vm.startPrank(p1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BidTooHigh.selector, jobId, PRICE + 1, PRICE));
        market.bid(jobId, PRICE + 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.TermOutOfRange.selector, bytes32("price"), 0, 1, PRICE));
        market.bid(jobId, 0, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarket.TermOutOfRange.selector, bytes32("capacity"), 0, 1, type(uint32).max)
        );
        market.bid(jobId, PRICE, 0);
        market.bid(jobId, PRICE, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.AlreadyBid.selector, jobId, p1));
        market.bid(jobId, PRICE, 1);
    }

    function test_bidsAfterTheWindowAreRefused() public {
        uint256 jobId = openJob(1, PRICE, 0);
        uint64 end = market.job(jobId).bidEnd;
        vm.warp(end - 1);
        bid(p1, jobId, PRICE, 1);
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.BidWindowClosed.selector, jobId, end));
        bid(p2, jobId, PRICE, 1);
    }

    function test_onlyEligibleProvidersWithFreeStakeBid() public {
        uint256 jobId = openJob(1, PRICE, 0);
        ineligible(jobId, STRANGER);
        ineligible(jobId, CONSUMER);
        vm.prank(Predeploys.SLASHING_COURT);
        registry.jail(p1, uint64(block.timestamp + 1));
        ineligible(jobId, p1);
        vm.startPrank(Predeploys.JOB_MARKET);
        stakes.reserve(p2, STAKE - 4 ether + 1);
        vm.stopPrank();
        ineligible(jobId, p2);
        vm.prank(Predeploys.JOB_MARKET);
        stakes.release(p2, 1);
        bid(p2, jobId, PRICE, 1);
    }

    function test_collateralHasAFloor() public view {
        equal(market.collateral(1), 1 ether, "floor");
        equal(market.collateral(0.25 ether), 1 ether, "at the floor");
        equal(market.collateral(10 ether), 40 ether, "4 times the price");
        equal(market.auditFee(10 ether), 10 ether, "as much as the work");
    }

    function test_parametersStayWithinTheirBounds() public {
        bytes32[15] memory names = [
            bytes32("takeBps"),
            "auditFeeBps",
            "collateralBps",
            "collateralMin",
            "reputationWeightBps",
            "bidsMax",
            "tasksMax",
            "attemptsMax",
            "bidSecondsMax",
            "taskSecondsMax",
            "jobSecondsMax",
            "assignBatch",
            "weightAccepted",
            "weightAudited",
            "weightMissed"
        ];
        for (uint256 i = 0; i < names.length; ++i) {
            (, uint256 min, uint256 max) = market.parameter(names[i]);
            setParameter(address(market), names[i], min);
            setParameter(address(market), names[i], max);
            vm.expectRevert(abi.encodeWithSelector(IJobMarket.TermOutOfRange.selector, names[i], max + 1, min, max));
            vm.prank(AUTHORITY);
            market.setParameter(names[i], max + 1);
        }
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, STRANGER));
        vm.prank(STRANGER);
        market.setParameter("takeBps", 0);
    }

    function test_laterFeesDoNotTouchOpenJobs() public {
        uint256 jobId = openJob(1, PRICE, 10_000);
        setParameter(address(market), "auditFeeBps", 20_000);
        setParameter(address(market), "takeBps", 2000);
        bid(p1, jobId, PRICE, 1);
        select(jobId);
        deliver(CONSUMER, jobId, p1);
        submit(jobId, 0, ROOT);
        draw(jobId, 0);
        address auditor = court.audit(jobId, 0).auditor;
        uint256 before = auditor.balance;
        vm.prank(auditor);
        court.confirm(jobId, 0, ROOT);
        equal(auditor.balance - before, PRICE, "audit fee of the opening");
        equal(market.job(jobId).paid, 2 ether, "all of the escrow, no more");
    }

    function ineligible(uint256 jobId, address who) private {
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.ProviderNotEligible.selector, who));
        bid(who, jobId, PRICE, 1);
    }

    function refused(IJobMarket.Terms memory t, bytes32 name, uint256 value, uint256 min, uint256 max) private {
        vm.expectRevert(abi.encodeWithSelector(IJobMarket.TermOutOfRange.selector, name, value, min, max));
        vm.prank(CONSUMER);
        market.open{ value: 10 ether }(t);
    }

    function tie(uint256 jobId, address who) private pure returns (bytes32) {
        return keccak256(abi.encode(jobId, who));
    }
}
