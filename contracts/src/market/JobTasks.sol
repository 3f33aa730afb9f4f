// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { JobBids } from "./JobBids.sol";

/// @title Who works on which task: round-robin over the ranked bids, and again after a failure.
abstract contract JobTasks is JobBids {
    using SafeCast for uint256;

    /// @dev A bidder during one call. Loaded at the first look, because most calls need one or two of them.
    struct Seat {
        bool loaded;
        bool eligible;
        uint8 index;
        address provider;
        uint32 room;
        uint96 price;
        uint96 collateral;
        uint256 free;
    }

    enum Outcome {
        Given,
        Waits,
        Hopeless
    }

    /// @dev Gives at most `count` tasks, those that failed before first. Looks at no more than `assignBatch` of each kind.
    function _assignWaiting(uint256 jobId, Ledger storage j, uint256 count)
        internal
        returns (uint32 given, uint32 failed)
    {
        if (block.timestamp > j.deadline) return (0, 0);
        if (j.waiting.length == 0 && j.nextTask == j.terms.tasks) return (0, 0);
        Seat[] memory seats = new Seat[](j.bids.length);
        uint256 batch = _value("assignBatch");
        (given, failed) = _assignAgain(jobId, j, seats, Math.min(count, batch), batch);
        (uint32 givenFirst, uint32 failedFirst) = _assignFirst(jobId, j, seats, Math.min(count, batch) - given, batch);
        return (given + givenFirst, failed + failedFirst);
    }

    /// @dev A look at the tasks that came back, beginning where the last one ended, so that none is starved.
    function _assignAgain(uint256 jobId, Ledger storage j, Seat[] memory seats, uint256 count, uint256 batch)
        private
        returns (uint32 given, uint32 failed)
    {
        uint256 looks = Math.min(j.waiting.length, batch);
        uint256 i = j.scan;
        for (; looks > 0 && given < count; --looks) {
            if (i >= j.waiting.length) i = 0;
            uint32 index = j.waiting[i];
            Outcome outcome = _offer(jobId, j, index, seats);
            if (outcome == Outcome.Waits) {
                ++i;
                continue;
            }
            j.waiting[i] = j.waiting[j.waiting.length - 1];
            j.waiting.pop();
            if (outcome == Outcome.Given) ++given;
            else failed += _fail(jobId, j, index);
        }
        j.scan = i.toUint32();
    }

    /// @dev Fresh tasks are all alike: when nobody can take one, nobody can take the next.
    function _assignFirst(uint256 jobId, Ledger storage j, Seat[] memory seats, uint256 count, uint256 batch)
        private
        returns (uint32 given, uint32 failed)
    {
        uint32 index = j.nextTask;
        for (; batch > 0 && given < count && index < j.terms.tasks; --batch) {
            Outcome outcome = _offer(jobId, j, index, seats);
            if (outcome == Outcome.Waits) break;
            if (outcome == Outcome.Given) ++given;
            else failed += _fail(jobId, j, index);
            ++index;
        }
        j.nextTask = index;
    }

    /// @dev Gives a task to the next bidder in turn that can take it. Hopeless: every bidder lost it or left the market.
    function _offer(uint256 jobId, Ledger storage j, uint32 index, Seat[] memory seats)
        private
        returns (Outcome outcome)
    {
        uint256 tried = j.tasks[index].tried;
        uint256 turn = j.turn;
        outcome = Outcome.Hopeless;
        for (uint256 k = 0; k < seats.length; ++k) {
            uint256 rank = (turn + k) % seats.length;
            Seat memory seat = _seat(j, seats, rank);
            if ((tried >> seat.index) & 1 == 1 || (seat.room > 0 && !seat.eligible)) continue;
            outcome = Outcome.Waits;
            if (seat.room == 0 || seat.free < seat.collateral) continue;
            j.turn = ((rank + 1) % seats.length).toUint8();
            _give(jobId, j, index, seat);
            return Outcome.Given;
        }
    }

    function _seat(Ledger storage j, Seat[] memory seats, uint256 rank) private view returns (Seat memory seat) {
        seat = seats[rank];
        if (seat.loaded) return seat;
        seat.loaded = true;
        seat.index = _ranked(j, rank);
        Bid storage b = j.bids[seat.index];
        seat.provider = b.provider;
        seat.room = b.capacity - b.assigned;
        if (seat.room == 0) return seat;
        seat.eligible = REGISTRY.isEligible(seat.provider, ROLE_COMPUTE);
        seat.price = b.price;
        seat.collateral = collateral(b.price);
        seat.free = STAKES.freeStake(seat.provider);
    }

    function _give(uint256 jobId, Ledger storage j, uint32 index, Seat memory seat) private {
        seat.room -= 1;
        seat.free -= seat.collateral;
        j.bids[seat.index].assigned += 1;
        j.tasksAssigned += 1;
        Entry storage t = j.tasks[index];
        t.state = TaskState.Assigned;
        t.attempt += 1;
        t.bid = seat.index;
        t.provider = seat.provider;
        t.deadline = (block.timestamp + j.terms.taskSeconds).toUint64();
        t.price = seat.price;
        t.reserved = seat.collateral;
        j.access[seat.provider].holder = true;
        emit TaskAssigned(jobId, index, seat.provider, t.attempt, seat.price, seat.collateral, t.deadline);
        STAKES.reserve(seat.provider, seat.collateral);
    }

    /// @dev Takes a task from a provider that lost it: it waits for another, or fails when attempts or time are used up.
    function _takeBack(uint256 jobId, Ledger storage j, uint32 index) internal {
        Entry storage t = j.tasks[index];
        t.tried |= uint32(1) << t.bid;
        t.state = TaskState.Open;
        t.bid = 0;
        t.provider = address(0);
        t.deadline = 0;
        t.price = 0;
        t.reserved = 0;
        t.receiptBlock = 0;
        t.commitment = 0;
        t.output = 0;
        j.tasksAssigned -= 1;
        if (t.attempt >= j.terms.attemptsMax || block.timestamp > j.deadline) _fail(jobId, j, index);
        else j.waiting.push(index);
    }

    /// @return one task, to be counted.
    function _fail(uint256 jobId, Ledger storage j, uint32 index) internal returns (uint32) {
        j.tasks[index].state = TaskState.Failed;
        j.tasksFailed += 1;
        emit TaskFailed(jobId, index);
        return 1;
    }

    /// @dev After a task left a provider: gives the next one, and closes the job when every task is final.
    function _advance(uint256 jobId, Ledger storage j) internal {
        _assignWaiting(jobId, j, 1);
        _closeIfFinal(jobId, j);
    }

    function _closeIfFinal(uint256 jobId, Ledger storage j) internal {
        if (j.tasksPaid + j.tasksFailed == j.terms.tasks) _close(jobId, j);
    }
}
