// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IJobMarket } from "./interfaces/IJobMarket.sol";
import { JobTasks } from "./market/JobTasks.sol";
import { PeersOnly, Predeploys } from "./Predeploys.sol";

/// @title Job market: from the end of the bid window to the last payment.
/// @notice Every state has a way out that anybody may take, so no escrow is ever locked: Bidding by `select`, Open by
/// `finish`, Assigned by `expire`, Receipted by the court's `draw`, Audited and Disputed by its `lapse` and `drawSecond`.
contract JobMarket is JobTasks, EIP712, PeersOnly {
    using SafeCast for uint256;

    /// @notice Largest wrapped key, in bytes.
    uint256 public constant WRAPPED_BYTES_MAX = 4096;

    /// @notice Tasks that one call of `finish` fails at most: what fits well into a transaction.
    uint32 public constant FINISH_TASKS_MAX = 256;

    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(uint256 jobId,uint32 task,uint8 attempt,address provider,bytes32 commitment,bytes32 output,bytes32 log,uint64 fuel,uint64 memoryBytes,uint64 wallMillis,int32 exitCode)"
    );

    constructor() EIP712("Kumo JobMarket", "1") { }

    /// @inheritdoc IJobMarket
    function select(uint256 jobId) external nonReentrant {
        Ledger storage j = _ledgerIn(jobId, JobState.Bidding);
        if (block.timestamp < j.bidEnd) revert BidWindowOpen(jobId, j.bidEnd);
        emit JobSelected(jobId, j.bids.length.toUint32());
        if (j.bids.length == 0) return _closeUnstarted(jobId, j);
        j.state = JobState.Running;
        _assignWaiting(jobId, j, type(uint256).max);
        _closeIfFinal(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function assign(uint256 jobId, uint32 count) external nonReentrant returns (uint32 assigned) {
        Ledger storage j = _ledgerIn(jobId, JobState.Running);
        _requireBefore(j.deadline);
        uint32 failed;
        (assigned, failed) = _assignWaiting(jobId, j, count);
        if (assigned + failed == 0) revert NothingToDo(jobId);
        _closeIfFinal(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function deliverKeys(uint256 jobId, address[] calldata to, bytes[] calldata wrapped) external {
        if (to.length != wrapped.length) revert LengthMismatch(to.length, wrapped.length);
        Ledger storage j = _ledger(jobId);
        if (!_mayHoldKey(j, msg.sender)) revert NotConsumer(jobId, msg.sender);
        for (uint256 i = 0; i < to.length; ++i) {
            uint256 length = wrapped[i].length;
            if (length == 0 || length > WRAPPED_BYTES_MAX) revert WrappedKeySize(length, WRAPPED_BYTES_MAX);
            if (!_mayHoldKey(j, to[i])) revert NotRecipient(jobId, to[i]);
            _noteKey(j, to[i]);
            emit KeyDelivered(jobId, to[i], msg.sender, wrapped[i]);
        }
    }

    /// @inheritdoc IJobMarket
    function submitReceipt(Receipt calldata receipt, bytes calldata signature) external nonReentrant {
        Ledger storage j = _ledger(receipt.jobId);
        Entry storage t = _entryIn(receipt.jobId, receipt.task, TaskState.Assigned);
        if (t.provider != receipt.provider) revert NotAssigned(receipt.jobId, receipt.task, receipt.provider);
        if (t.attempt != receipt.attempt) {
            revert StaleAttempt(receipt.jobId, receipt.task, receipt.attempt, t.attempt);
        }
        _requireBefore(_deadline(j, t));
        (address signer,,) = ECDSA.tryRecover(receiptDigest(receipt), signature);
        if (signer != receipt.provider) revert BadSignature(signer, receipt.provider);
        t.state = TaskState.Receipted;
        t.receiptBlock = block.number.toUint64();
        t.commitment = receipt.commitment;
        t.output = receipt.output;
        j.bids[t.bid].assigned -= 1;
        emit ReceiptSubmitted(
            receipt.jobId, receipt.task, receipt.provider, receipt.attempt, receipt.commitment, receipt.output
        );
        _advance(receipt.jobId, j);
    }

    /// @inheritdoc IJobMarket
    function expire(uint256 jobId, uint32 index) external nonReentrant {
        Ledger storage j = _ledger(jobId);
        Entry storage t = _entryIn(jobId, index, TaskState.Assigned);
        uint64 deadline = _deadline(j, t);
        if (block.timestamp <= deadline) revert DeadlineNotPassed(deadline, block.timestamp.toUint64());
        (address provider, uint8 attempt, uint96 reserved) = (t.provider, t.attempt, t.reserved);
        bool guilty = j.access[provider].keyFromConsumerAt != 0;
        j.bids[t.bid].assigned -= 1;
        emit TaskExpired(jobId, index, provider, attempt, guilty ? reserved : 0);
        _takeBack(jobId, j, index);
        if (guilty) {
            STAKES.slash(provider, reserved, address(0), 0);
            REPUTATION.record(provider, false, _value("weightMissed"));
        } else {
            STAKES.release(provider, reserved);
        }
        _advance(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function finish(uint256 jobId, uint32 count) external nonReentrant {
        Ledger storage j = _ledgerIn(jobId, JobState.Running);
        if (block.timestamp <= j.deadline) revert DeadlineNotPassed(j.deadline, block.timestamp.toUint64());
        uint32 most = count < FINISH_TASKS_MAX ? count : FINISH_TASKS_MAX;
        uint32 left = most;
        for (; left > 0 && j.waiting.length > 0; --left) {
            uint32 index = j.waiting[j.waiting.length - 1];
            j.waiting.pop();
            _fail(jobId, j, index);
        }
        for (; left > 0 && j.nextTask < j.terms.tasks; --left) {
            _fail(jobId, j, j.nextTask++);
        }
        if (left == most) revert NothingToDo(jobId);
        _closeIfFinal(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function accept(uint256 jobId, uint32 index, address auditor)
        external
        only(Predeploys.SLASHING_COURT)
        nonReentrant
    {
        Ledger storage j = _ledger(jobId);
        Entry storage t = _judgedEntry(jobId, index);
        (address provider, uint256 price, uint256 reserved) = (t.provider, t.price, t.reserved);
        uint256 fee = price * j.takeBps / BPS;
        uint256 audit = auditor == address(0) ? 0 : price * j.auditFeeBps / BPS;
        t.state = TaskState.Paid;
        t.reserved = 0;
        j.tasksAssigned -= 1;
        j.tasksPaid += 1;
        j.paid += (price + audit).toUint128();
        emit TaskPaid(jobId, index, provider, price - fee, fee);
        STAKES.release(provider, reserved);
        REPUTATION.record(
            provider, true, _value(auditor == address(0) ? bytes32("weightAccepted") : bytes32("weightAudited"))
        );
        ESCROW.payFee(jobId, fee);
        ESCROW.pay(jobId, provider, price - fee);
        if (audit != 0) ESCROW.pay(jobId, auditor, audit);
        _advance(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function reject(uint256 jobId, uint32 index, uint96 slashed) external only(Predeploys.SLASHING_COURT) nonReentrant {
        Ledger storage j = _ledger(jobId);
        Entry storage t = _judgedEntry(jobId, index);
        (address provider, uint256 rest) = (t.provider, t.reserved - slashed);
        emit TaskRejected(jobId, index, provider, t.attempt);
        _takeBack(jobId, j, index);
        STAKES.release(provider, rest);
        _advance(jobId, j);
    }

    /// @inheritdoc IJobMarket
    function setAudit(uint256 jobId, uint32 index, TaskState state, address auditor)
        external
        only(Predeploys.SLASHING_COURT)
    {
        Entry storage t = _judgedEntry(jobId, index);
        if (!_isJudged(state)) revert WrongTaskState(jobId, index, state, TaskState.Audited);
        t.state = state;
        if (auditor != address(0)) _ledger(jobId).access[auditor].holder = true;
    }

    /// @inheritdoc IJobMarket
    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        // Every member is one word, so the encoding of the struct is that of EIP-712.
        return _hashTypedDataV4(keccak256(abi.encode(RECEIPT_TYPEHASH, receipt)));
    }

    function _noteKey(Ledger storage j, address to) private {
        Access storage a = j.access[to];
        uint64 nowAt = block.timestamp.toUint64();
        if (a.keyAt == 0) a.keyAt = nowAt;
        if (a.keyFromConsumerAt == 0 && msg.sender == j.consumer) a.keyFromConsumerAt = nowAt;
    }

    function _entryIn(uint256 jobId, uint32 index, TaskState wanted) private view returns (Entry storage t) {
        t = _entry(_ledger(jobId), index);
        if (t.state != wanted) revert WrongTaskState(jobId, index, t.state, wanted);
    }

    /// @dev A task whose receipt the court has in hand.
    function _judgedEntry(uint256 jobId, uint32 index) private view returns (Entry storage t) {
        t = _entry(_ledger(jobId), index);
        if (!_isJudged(t.state)) revert WrongTaskState(jobId, index, t.state, TaskState.Receipted);
    }

    function _isJudged(TaskState state) private pure returns (bool) {
        return state == TaskState.Receipted || state == TaskState.Audited || state == TaskState.Disputed;
    }

    function _requireBefore(uint64 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp.toUint64());
    }
}
