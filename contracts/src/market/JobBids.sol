// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IEscrow } from "../interfaces/IEscrow.sol";
import { IFeeVault } from "../interfaces/IFeeVault.sol";
import { IJobMarket } from "../interfaces/IJobMarket.sol";
import { IProviderRegistry } from "../interfaces/IProviderRegistry.sol";
import { IReputation } from "../interfaces/IReputation.sol";
import { IStakeManager } from "../interfaces/IStakeManager.sol";
import { Predeploys } from "../Predeploys.sol";
import { JobStore } from "./JobStore.sol";

/// @title A job from its opening to the end of its bid window, and its close.
abstract contract JobBids is JobStore, ReentrancyGuardTransient {
    using SafeCast for uint256;

    IEscrow internal constant ESCROW = IEscrow(Predeploys.ESCROW);
    IStakeManager internal constant STAKES = IStakeManager(Predeploys.STAKE_MANAGER);
    IProviderRegistry internal constant REGISTRY = IProviderRegistry(Predeploys.PROVIDER_REGISTRY);
    IReputation internal constant REPUTATION = IReputation(Predeploys.REPUTATION);
    /// @dev Bit number of the role of compute providers.
    uint8 internal constant ROLE_COMPUTE = 0;

    /// @inheritdoc IJobMarket
    function open(Terms calldata terms) external payable nonReentrant returns (uint256 jobId) {
        _checkTerms(terms);
        uint256 required = escrowRequired(terms.tasks, terms.priceMax, terms.auditBps);
        if (msg.value < required) revert EscrowUnderpaid(msg.value, required);
        Ledger storage j;
        (jobId, j) = _newLedger();
        j.terms = terms;
        j.consumer = msg.sender;
        j.state = JobState.Bidding;
        j.openedAt = block.timestamp.toUint64();
        j.bidEnd = (block.timestamp + terms.bidSeconds).toUint64();
        j.deadline = j.bidEnd + terms.jobSeconds;
        j.escrowed = msg.value.toUint128();
        j.takeBps = _value("takeBps").toUint16();
        j.auditFeeBps = _value("auditFeeBps").toUint16();
        emit JobOpened(jobId, msg.sender, terms.spec, terms.tasks, terms.priceMax, j.bidEnd);
        ESCROW.deposit{ value: msg.value }(jobId, msg.sender);
    }

    /// @inheritdoc IJobMarket
    function cancel(uint256 jobId) external nonReentrant {
        Ledger storage j = _biddingLedger(jobId);
        if (msg.sender != j.consumer) revert NotConsumer(jobId, msg.sender);
        _closeUnstarted(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function bid(uint256 jobId, uint96 price, uint32 capacity) external nonReentrant {
        Ledger storage j = _biddingLedger(jobId);
        if (price > j.terms.priceMax) revert BidTooHigh(jobId, price, j.terms.priceMax);
        _requireWithin("price", price, 1, j.terms.priceMax);
        _requireWithin("capacity", capacity, 1, type(uint32).max);
        if (j.access[msg.sender].hasBid) revert AlreadyBid(jobId, msg.sender);
        if (msg.sender == j.consumer || !_mayWork(msg.sender, collateral(j.terms.priceMax))) {
            revert ProviderNotEligible(msg.sender);
        }
        Bid memory b = Bid(msg.sender, price, capacity, 0, score(msg.sender, price));
        _place(jobId, j, b);
        emit BidPlaced(jobId, msg.sender, price, capacity, b.score);
    }

    /// @inheritdoc IJobMarket
    function score(address provider, uint96 price) public view returns (uint256) {
        uint256 doubt = BPS - REPUTATION.scoreBps(provider);
        return price * (BPS + _value("reputationWeightBps") * doubt / BPS) / BPS;
    }

    /// @dev Closes a job of which no task was ever assigned.
    function _closeUnstarted(uint256 jobId, Ledger storage j) internal {
        j.tasksFailed = j.terms.tasks;
        _close(jobId, j);
    }

    /// @dev Refunds what is left and splits the fees. A vault that fails must not keep the consumer from its money.
    function _close(uint256 jobId, Ledger storage j) internal {
        j.state = JobState.Closed;
        uint256 refunded = ESCROW.balanceOf(jobId);
        j.refunded = refunded.toUint128();
        emit JobClosed(jobId, j.tasksPaid, j.tasksFailed, j.paid, refunded);
        ESCROW.refund(jobId, j.consumer);
        try IFeeVault(Predeploys.FEE_VAULT).distribute() { } catch { }
    }

    /// @dev Whether `provider` may take a compute task that reserves `stake`.
    function _mayWork(address provider, uint256 stake) internal view returns (bool) {
        return REGISTRY.isEligible(provider, ROLE_COMPUTE) && STAKES.freeStake(provider) >= stake;
    }

    function _checkTerms(Terms calldata terms) private view {
        _requireWithin("spec", uint256(terms.spec), 1, type(uint256).max);
        _requireWithin("consumerKey", uint256(terms.consumerKey), 1, type(uint256).max);
        _requireWithin("tasks", terms.tasks, 1, _value("tasksMax"));
        _requireWithin("priceMax", terms.priceMax, 1, type(uint96).max);
        _requireWithin("bidSeconds", terms.bidSeconds, 1, _value("bidSecondsMax"));
        _requireWithin("taskSeconds", terms.taskSeconds, 1, _value("taskSecondsMax"));
        _requireWithin("jobSeconds", terms.jobSeconds, 1, _value("jobSecondsMax"));
        _requireWithin("auditBps", terms.auditBps, 0, BPS);
        _requireWithin("attemptsMax", terms.attemptsMax, 1, _value("attemptsMax"));
    }

    function _biddingLedger(uint256 jobId) private view returns (Ledger storage j) {
        j = _ledgerIn(jobId, JobState.Bidding);
        if (block.timestamp >= j.bidEnd) revert BidWindowClosed(jobId, j.bidEnd);
    }

    /// @dev Adds `b`, in the place of the worst bid when there is no other.
    function _place(uint256 jobId, Ledger storage j, Bid memory b) private {
        uint256 count = j.bids.length;
        uint256 index = count;
        if (count < _value("bidsMax")) {
            j.bids.push(b);
        } else {
            index = _ranked(j, --count);
            Bid storage worst = j.bids[index];
            if (!_before(jobId, b, worst)) revert BidNotCompetitive(jobId, b.score, worst.score);
            j.access[worst.provider].hasBid = false;
            emit BidEvicted(jobId, worst.provider);
            j.bids[index] = b;
        }
        j.access[b.provider].hasBid = true;
        _rank(jobId, j, b, index, count);
    }

    /// @dev Inserts `index` into the ranking of the `count` bids before it, at most `BIDS_MAX - 1`.
    function _rank(uint256 jobId, Ledger storage j, Bid memory b, uint256 index, uint256 count) private {
        uint256 rank = count;
        while (rank > 0 && _before(jobId, b, j.bids[_ranked(j, rank - 1)])) --rank;
        uint256 better = j.ranking & ((1 << (8 * rank)) - 1);
        uint256 worse = j.ranking & ((1 << (8 * count)) - 1) & ~((1 << (8 * rank)) - 1);
        j.ranking = better | (index << (8 * rank)) | (worse << 8);
    }

    function _before(uint256 jobId, Bid memory a, Bid storage b) private view returns (bool) {
        if (a.score != b.score) return a.score < b.score;
        return keccak256(abi.encode(jobId, a.provider)) < keccak256(abi.encode(jobId, b.provider));
    }
}
