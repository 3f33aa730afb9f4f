// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IJobMarket } from "../src/interfaces/IJobMarket.sol";
import { ISlashingCourt } from "../src/interfaces/ISlashingCourt.sol";
import { Predeploys } from "../src/Predeploys.sol";
import { Settling } from "./Settling.sol";

/// @title Everybody at once: honest and dishonest providers, auditors and consumers, in any order that the fuzzer likes.
/// @notice Every move is one that some account could make on a real chain; what the contracts refuse is skipped.
contract Handler is Settling {
    uint256 private constant ACTORS = 6;
    address[] public actors;
    /// @notice Moves that were made, by kind: what the invariants were tried on.
    mapping(bytes32 move => uint256) public made;
    /// @notice What the sequencer said last that a namespace owes in all.
    mapping(uint64 namespace => uint128) public owedBy;

    constructor() {
        for (uint256 i = 0; i < ACTORS; ++i) {
            address who = account(string(abi.encodePacked("actor", uint8(65 + i))));
            actors.push(who);
            vm.deal(who, 10_000 ether);
            vm.prank(who);
            registry.stakeAndRegister{ value: STAKE }(profile(1));
        }
        actors.push(CONSUMER);
    }

    /// @notice Rollups come, pay, owe and get their share: namespaces 2 to 4.
    function rollup(uint256 seed, uint8 move, uint96 amount) external {
        address who = actor(seed);
        uint64 namespace = uint64(2 + seed % 3);
        uint256 value = bound(amount, 1, who.balance / 4 + 1);
        vm.prank(who);
        if (move % 5 == 0) {
            try rollups.register{ value: value }(namespace, payable(who), open()) {
                ++made["register"];
            } catch { }
        } else if (move % 5 == 1) {
            rollups.deposit{ value: value }(namespace);
        } else if (move % 5 == 2) {
            try rollups.withdraw(namespace, payable(who), value) {
                ++made["withdraw deposit"];
            } catch { }
        } else if (move % 5 == 3) {
            try rollups.claim(namespace) { } catch { }
        } else {
            vm.stopPrank();
            owedBy[namespace] += uint64(value);
            settleFor(statement(namespace, 1, owedBy[namespace], seed % 3));
            ++made["settle"];
        }
    }

    function actorCount() external view returns (uint256) {
        return actors.length;
    }

    function stake(uint256 seed, uint96 amount) external {
        address who = actor(seed);
        vm.prank(who);
        stakes.stake{ value: bound(amount, 1, who.balance / 2 + 1) }();
    }

    function unbond(uint256 seed, uint96 amount) external {
        address who = actor(seed);
        uint256 free = stakes.freeStake(who);
        if (free == 0) return;
        vm.prank(who);
        stakes.unbond(bound(amount, 1, free / 4 + 1));
    }

    function takeMoneyOut(uint256 seed) external {
        address who = actor(seed);
        vm.prank(who);
        try stakes.withdraw() {
            ++made["withdraw"];
        } catch { }
        vm.prank(who);
        stakes.claim();
        vm.prank(who);
        try escrow.withdraw() { } catch { }
    }

    function wrap(uint256 seed, uint96 amount) external {
        address who = actor(seed);
        vm.prank(who);
        wake.deposit{ value: bound(amount, 0, who.balance / 2) }();
    }

    function unwrap(uint256 seed, uint96 amount) external {
        address who = actor(seed);
        uint256 most = wake.balanceOf(who);
        vm.prank(who);
        wake.withdraw(bound(amount, 0, most));
    }

    function sendWrapped(uint256 from, uint256 to, uint96 amount) external {
        address who = actor(from);
        uint256 most = wake.balanceOf(who);
        vm.prank(who);
        wake.transfer(actor(to), bound(amount, 0, most));
    }

    /// @dev What the chain does with the base fee: somebody pays, the vault's balance grows.
    function payBaseFee(uint256 seed, uint64 amount) external {
        address who = actor(seed);
        uint256 fee = bound(amount, 0, who.balance / 100);
        vm.deal(who, who.balance - fee);
        vm.deal(Predeploys.FEE_VAULT, Predeploys.FEE_VAULT.balance + fee);
    }

    function distribute() external {
        vault.distribute();
    }

    function openJob(uint8 tasks, uint96 price, uint16 auditBps, uint8 attempts) external {
        IJobMarket.Terms memory terms =
            jobTerms(uint32(bound(tasks, 1, 5)), uint96(bound(price, 1, 20 ether)), uint16(bound(auditBps, 0, 10_000)));
        terms.attemptsMax = uint8(bound(attempts, 1, 4));
        openJob(terms);
        ++made["open"];
    }

    function cancel(uint256 seed) external {
        if (market.jobCount() == 0 || seed % 4 != 0) return;
        vm.prank(CONSUMER);
        try market.cancel(anyJob(seed)) { } catch { }
    }

    /// @dev One step of one job, whatever its state asks for; most of the fuzzing goes here.
    function work(uint256 jobSeed, uint256 taskSeed, uint256 choice) external {
        workOn(jobSeed, taskSeed, choice);
    }

    function workAgain(uint256 jobSeed, uint256 taskSeed, uint256 choice) external {
        workOn(jobSeed, taskSeed, choice);
    }

    function workStill(uint256 jobSeed, uint256 taskSeed, uint256 choice) external {
        workOn(jobSeed, taskSeed, choice);
    }

    function pass(uint16 time, uint8 blocks) external {
        vm.warp(block.timestamp + bound(time, 0, 200));
        nextBlocks(bound(blocks, 1, 4));
    }

    function passLong(uint256 time) external {
        if (time % 8 != 0) return;
        vm.warp(block.timestamp + bound(time, 0, 30 days));
    }

    function workOn(uint256 jobSeed, uint256 taskSeed, uint256 choice) private {
        if (market.jobCount() == 0) return;
        uint256 jobId = anyJob(jobSeed);
        IJobMarket.Job memory j = market.job(jobId);
        if (j.state == IJobMarket.JobState.Bidding) return bidOrSelect(jobId, j, choice);
        if (j.state != IJobMarket.JobState.Running) return;
        uint32 index = uint32(taskSeed % j.terms.tasks);
        IJobMarket.Task memory t = market.task(jobId, index);
        if (t.state == IJobMarket.TaskState.Open) assignOrFinish(jobId, j);
        else if (t.state == IJobMarket.TaskState.Assigned) receiptOrExpiry(jobId, index, t, choice);
        else if (t.state == IJobMarket.TaskState.Receipted) drawFirst(jobId, index);
        else if (t.state == IJobMarket.TaskState.Audited) judgeFirst(jobId, index, t, choice);
        else if (t.state == IJobMarket.TaskState.Disputed) judgeSecond(jobId, index, choice);
    }

    function bidOrSelect(uint256 jobId, IJobMarket.Job memory j, uint256 choice) private {
        if (choice % 3 != 0) {
            vm.prank(actor(choice >> 8));
            try market.bid(jobId, uint96(bound(choice >> 16, 1, j.terms.priceMax)), uint32(choice % 3)) { } catch { }
            return;
        }
        if (block.timestamp < j.bidEnd) vm.warp(j.bidEnd);
        market.select(jobId);
        ++made["select"];
    }

    function assignOrFinish(uint256 jobId, IJobMarket.Job memory j) private {
        if (block.timestamp > j.deadline) market.finish(jobId, 2);
        else try market.assign(jobId, 2) { } catch { }
    }

    function receiptOrExpiry(uint256 jobId, uint32 index, IJobMarket.Task memory t, uint256 choice) private {
        if (block.timestamp > t.deadline) {
            market.expire(jobId, index);
            ++made["expire"];
            return;
        }
        if (choice % 4 != 0) deliver(CONSUMER, jobId, t.provider);
        if (choice % 8 != 1) {
            submit(jobId, index, choice % 3 == 0 ? WRONG_ROOT : ROOT);
            ++made["receipt"];
        }
    }

    function drawFirst(uint256 jobId, uint32 index) private {
        nextBlocks(3);
        court.draw(jobId, index);
        ++made["draw"];
    }

    function judgeFirst(uint256 jobId, uint32 index, IJobMarket.Task memory t, uint256 choice) private {
        ISlashingCourt.Audit memory a = court.audit(jobId, index);
        if (block.timestamp > a.deadline) return lapse(jobId, index);
        if (choice % 4 != 0) deliver(t.provider, jobId, a.auditor);
        bool right = t.commitment == commitment(ROOT, t.provider, jobId, index);
        if (choice % 5 == 1) return;
        vm.prank(a.auditor);
        if (right && choice % 7 != 0) court.confirm(jobId, index, ROOT);
        else court.dispute(jobId, index, commitment(right ? WRONG_ROOT : ROOT, a.auditor, jobId, index));
        ++made[right && choice % 7 != 0 ? bytes32("confirm") : bytes32("dispute")];
    }

    function judgeSecond(uint256 jobId, uint32 index, uint256 choice) private {
        ISlashingCourt.Audit memory a = court.audit(jobId, index);
        if (a.second == address(0)) {
            nextBlocks(3);
            court.drawSecond(jobId, index);
            return;
        }
        if (block.timestamp > a.deadline) return lapse(jobId, index);
        if (choice % 4 != 0) deliver(CONSUMER, jobId, a.second);
        vm.prank(a.second);
        court.resolve(jobId, index, choice % 6 == 0 ? keccak256("a third") : ROOT);
        ++made["resolve"];
    }

    function lapse(uint256 jobId, uint32 index) private {
        court.lapse(jobId, index);
        ++made["lapse"];
    }

    function actor(uint256 seed) private view returns (address) {
        return actors[seed % ACTORS];
    }

    /// @dev One of the last four jobs, so that jobs get on.
    function anyJob(uint256 seed) private view returns (uint256) {
        uint256 count = market.jobCount();
        uint256 recent = count < 4 ? count : 4;
        return count - seed % recent;
    }
}
