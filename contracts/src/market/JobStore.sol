// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IJobMarket } from "../interfaces/IJobMarket.sol";
import { Parameters } from "../Parameters.sol";

/// @title What the market remembers of jobs, its parameters, and the views on both.
abstract contract JobStore is IJobMarket, Parameters {
    using SafeCast for uint256;

    uint256 internal constant BPS = 10_000;
    /// @dev A ranking is one word of one byte per bid.
    uint128 internal constant BIDS_MAX = 32;

    /// @dev One job. `takeBps` and `auditFeeBps` are those of its opening, so that the escrow always suffices.
    /// @param nextTask first task that was never assigned. @param waiting tasks to be assigned again.
    /// @param scan where the next look at `waiting` begins. @param turn rank whose turn it is in the round-robin.
    /// @param ranking byte r, from the least significant on, is the index in `bids` of rank r.
    struct Ledger {
        Terms terms;
        address consumer;
        JobState state;
        uint64 openedAt;
        uint64 bidEnd;
        uint64 deadline;
        uint32 tasksAssigned;
        uint32 tasksPaid;
        uint32 tasksFailed;
        uint128 escrowed;
        uint128 paid;
        uint128 refunded;
        uint32 nextTask;
        uint32 scan;
        uint8 turn;
        uint16 takeBps;
        uint16 auditFeeBps;
        uint256 ranking;
        Bid[] bids;
        uint32[] waiting;
        mapping(uint32 index => Entry) tasks;
        mapping(address account => Access) access;
    }

    /// @param bid index of the provider's bid. @param tried bit i: the bidder with index i lost this task.
    struct Entry {
        TaskState state;
        uint8 attempt;
        uint8 bid;
        address provider;
        uint64 deadline;
        uint96 price;
        uint96 reserved;
        uint64 receiptBlock;
        bytes32 commitment;
        bytes32 output;
        uint32 tried;
    }

    /// @param holder may be given the job's key. @param hasBid has a bid in `bids`.
    /// @param keyAt first key from anybody. @param keyFromConsumerAt first key from the consumer.
    struct Access {
        bool holder;
        bool hasBid;
        uint64 keyAt;
        uint64 keyFromConsumerAt;
    }

    uint256 private _jobCount;
    mapping(uint256 jobId => Ledger) private _ledgers;

    constructor() {
        _define("takeBps", 250, 0, 2000);
        _define("auditFeeBps", 10_000, 0, 20_000);
        // With an audit in five, 4 times the price makes cheating a loss even when it saves all the work.
        _define("collateralBps", 40_000, 0, 1_000_000);
        _define("collateralMin", 1 ether, 0, 1_000_000 ether);
        _define("reputationWeightBps", 5000, 0, 10_000);
        _define("bidsMax", 20, 1, BIDS_MAX);
        _define("tasksMax", 1024, 1, 65_536);
        _define("attemptsMax", 5, 1, 16);
        _define("bidSecondsMax", 1 days, 1, 30 days);
        _define("taskSecondsMax", 1 days, 1, 30 days);
        _define("jobSecondsMax", 7 days, 1, 365 days);
        _define("assignBatch", 64, 1, 128);
        _define("weightAccepted", 0.25e18, 0, 10e18);
        _define("weightAudited", 1e18, 0, 10e18);
        _define("weightMissed", 1e18, 0, 10e18);
    }

    /// @inheritdoc IJobMarket
    function setParameter(bytes32 name, uint256 value) external restricted {
        _setParameter(name, value);
    }

    /// @inheritdoc IJobMarket
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc IJobMarket
    function jobCount() external view returns (uint256) {
        return _jobCount;
    }

    /// @inheritdoc IJobMarket
    function job(uint256 jobId) external view returns (Job memory) {
        Ledger storage j = _ledger(jobId);
        return Job({
            terms: j.terms,
            consumer: j.consumer,
            state: j.state,
            openedAt: j.openedAt,
            bidEnd: j.bidEnd,
            deadline: j.deadline,
            tasksAssigned: j.tasksAssigned,
            tasksPaid: j.tasksPaid,
            tasksFailed: j.tasksFailed,
            escrowed: j.escrowed,
            paid: j.paid,
            refunded: j.refunded
        });
    }

    /// @inheritdoc IJobMarket
    function task(uint256 jobId, uint32 index) external view returns (Task memory) {
        Ledger storage j = _ledger(jobId);
        return _view(j, _entry(j, index));
    }

    /// @inheritdoc IJobMarket
    function tasks(uint256 jobId, uint32 from, uint32 count) external view returns (Task[] memory page) {
        Ledger storage j = _ledger(jobId);
        uint32 left = from < j.terms.tasks ? j.terms.tasks - from : 0;
        page = new Task[](Math.min(left, count));
        for (uint32 i = 0; i < page.length; ++i) {
            page[i] = _view(j, j.tasks[from + i]);
        }
    }

    /// @inheritdoc IJobMarket
    function bids(uint256 jobId) external view returns (Bid[] memory ranked) {
        Ledger storage j = _ledger(jobId);
        ranked = new Bid[](j.bids.length);
        for (uint256 rank = 0; rank < ranked.length; ++rank) {
            ranked[rank] = j.bids[_ranked(j, rank)];
        }
    }

    /// @inheritdoc IJobMarket
    function isKeyHolder(uint256 jobId, address account) external view returns (bool) {
        return _mayHoldKey(_ledger(jobId), account);
    }

    /// @inheritdoc IJobMarket
    function keyDeliveredAt(uint256 jobId, address account) external view returns (uint64) {
        return _ledger(jobId).access[account].keyAt;
    }

    /// @inheritdoc IJobMarket
    function escrowRequired(uint32 taskCount, uint96 priceMax, uint16 auditBps) public view returns (uint256) {
        return taskCount * (uint256(priceMax) + (auditBps == 0 ? 0 : auditFee(priceMax)));
    }

    /// @inheritdoc IJobMarket
    function collateral(uint96 price) public view returns (uint96) {
        return Math.max(_value("collateralMin"), price * _value("collateralBps") / BPS).toUint96();
    }

    /// @inheritdoc IJobMarket
    function auditFee(uint96 price) public view returns (uint96) {
        return (price * _value("auditFeeBps") / BPS).toUint96();
    }

    /// @dev Ids begin at 1.
    function _newLedger() internal returns (uint256 jobId, Ledger storage j) {
        jobId = ++_jobCount;
        j = _ledgers[jobId];
    }

    function _ledger(uint256 jobId) internal view returns (Ledger storage j) {
        j = _ledgers[jobId];
        if (j.state == JobState.None) revert UnknownJob(jobId);
    }

    function _ledgerIn(uint256 jobId, JobState wanted) internal view returns (Ledger storage j) {
        j = _ledger(jobId);
        if (j.state != wanted) revert WrongJobState(jobId, j.state, wanted);
    }

    function _entry(Ledger storage j, uint32 index) internal view returns (Entry storage) {
        _requireWithin("task", index, 0, j.terms.tasks - 1);
        return j.tasks[index];
    }

    function _ranked(Ledger storage j, uint256 rank) internal view returns (uint8) {
        // One byte by design.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(j.ranking >> (8 * rank));
    }

    function _mayHoldKey(Ledger storage j, address account) internal view returns (bool) {
        return account == j.consumer || j.access[account].holder;
    }

    /// @dev Deadline of an assigned task: `taskSeconds` from the assignment or from the consumer's key, whichever is later.
    function _deadline(Ledger storage j, Entry storage t) internal view returns (uint64) {
        uint64 keyAt = j.access[t.provider].keyFromConsumerAt;
        if (t.state != TaskState.Assigned || keyAt == 0) return t.deadline;
        uint64 fromKey = keyAt + j.terms.taskSeconds;
        return fromKey > t.deadline ? fromKey : t.deadline;
    }

    function _view(Ledger storage j, Entry storage t) private view returns (Task memory) {
        return Task({
            state: t.state,
            attempt: t.attempt,
            provider: t.provider,
            price: t.price,
            reserved: t.reserved,
            deadline: _deadline(j, t),
            receiptBlock: t.receiptBlock,
            commitment: t.commitment,
            output: t.output
        });
    }
}
