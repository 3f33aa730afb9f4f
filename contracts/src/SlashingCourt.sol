// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IJobMarket } from "./interfaces/IJobMarket.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { IRandomness } from "./interfaces/IRandomness.sol";
import { IReputation } from "./interfaces/IReputation.sol";
import { ISlashingCourt } from "./interfaces/ISlashingCourt.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { Parameters } from "./Parameters.sol";
import { Predeploys } from "./Predeploys.sol";

/// @title Slashing court: audit by re-execution.
/// @notice The seed of a draw is keccak256(abi.encode(randomness, jobId, task, attempt, kind)), kind 0 for the first and 1
/// for the second auditor; keccak256(abi.encode(seed, "audit")) % 10000 < auditBps decides whether there is one.
contract SlashingCourt is ISlashingCourt, Parameters, ReentrancyGuardTransient {
    using SafeCast for uint256;

    /// @notice Random registry entries that a draw looks at before it walks on from another random one.
    uint256 public constant TRIES_MAX = 16;
    /// @notice Entries of that walk.
    uint256 public constant PROBES_MAX = 64;

    uint256 private constant BPS = 10_000;
    uint8 private constant ROLE_COMPUTE = 0;
    IJobMarket private constant MARKET = IJobMarket(Predeploys.JOB_MARKET);
    IStakeManager private constant STAKES = IStakeManager(Predeploys.STAKE_MANAGER);
    IProviderRegistry private constant REGISTRY = IProviderRegistry(Predeploys.PROVIDER_REGISTRY);
    IReputation private constant REPUTATION = IReputation(Predeploys.REPUTATION);

    enum Kind {
        First,
        Second
    }

    /// @param attempt of the task that this is about; another attempt starts a new record.
    /// @param pendingBlock decides the pending draw; 0: the one that follows from the receipt.
    /// @param windowSeconds an auditor's time. @param lapsed the last auditor that missed its deadline.
    struct Record {
        Audit audit;
        uint8 attempt;
        uint64 pendingBlock;
        uint32 windowSeconds;
        address lapsed;
    }

    mapping(uint256 jobId => mapping(uint32 task => Record)) private _records;

    constructor() {
        _define("drawDelayBlocks", 2, 1, 1000);
        _define("auditSeconds", 60, 5, 30 days);
        _define("slashBps", 10_000, 1000, 10_000);
        // At most half: whoever audits itself with a second account must lose by it.
        _define("rewardBps", 5000, 0, 5000);
        _define("lapseBps", 1000, 0, 10_000);
        _define("jailSeconds", 1 days, 0, 365 days);
        _define("redrawsMax", 3, 0, 16);
        _define("weightFault", 5e18, 0, 10e18);
        _define("weightLapsed", 1e18, 0, 10e18);
    }

    /// @inheritdoc ISlashingCourt
    function draw(uint256 jobId, uint32 task) external nonReentrant {
        IJobMarket.Task memory t = _taskIn(jobId, task, IJobMarket.TaskState.Receipted);
        Record storage r = _records[jobId][task];
        if (r.attempt != t.attempt) {
            delete _records[jobId][task];
            r.attempt = t.attempt;
        }
        (bool ready, bytes32 seed) = _seed(jobId, task, t, Kind.First);
        if (!ready) return;
        IJobMarket.Job memory j = MARKET.job(jobId);
        // Once drawn, a receipt stays drawn: a lapsed auditor must not be its way out.
        address auditor = r.audit.redraws > 0 || _isAudited(seed, j.terms.auditBps)
            ? _pick(seed, MARKET.collateral(t.price), [t.provider, j.consumer, r.lapsed, address(0)])
            : address(0);
        if (auditor == address(0)) {
            emit NotDrawn(jobId, task, t.attempt);
            return MARKET.accept(jobId, task, address(0));
        }
        r.audit.auditor = auditor;
        r.audit.reserved = _seat(r, j, auditor, t.price);
        emit AuditorDrawn(jobId, task, auditor, t.attempt, false, r.audit.deadline);
        MARKET.setAudit(jobId, task, IJobMarket.TaskState.Audited, auditor);
    }

    /// @inheritdoc ISlashingCourt
    function confirm(uint256 jobId, uint32 task, bytes32 root) external nonReentrant {
        IJobMarket.Task memory t = _taskIn(jobId, task, IJobMarket.TaskState.Audited);
        Record storage r = _turnOf(jobId, task, _records[jobId][task].audit.auditor);
        if (_commitment(root, t.provider, jobId, task) != t.commitment) revert RootDoesNotMatch(root, t.commitment);
        r.audit.root = root;
        emit AuditConfirmed(jobId, task, msg.sender, root);
        _releaseAuditors(r);
        MARKET.accept(jobId, task, msg.sender);
    }

    /// @inheritdoc ISlashingCourt
    function dispute(uint256 jobId, uint32 task, bytes32 commitment) external nonReentrant {
        _taskIn(jobId, task, IJobMarket.TaskState.Audited);
        Record storage r = _turnOf(jobId, task, _records[jobId][task].audit.auditor);
        r.audit.commitment = commitment;
        r.audit.deadline = 0;
        r.audit.redraws = 0;
        r.lapsed = address(0);
        r.pendingBlock = _nextDraw();
        emit AuditDisputed(jobId, task, msg.sender, commitment);
        MARKET.setAudit(jobId, task, IJobMarket.TaskState.Disputed, address(0));
    }

    /// @inheritdoc ISlashingCourt
    function drawSecond(uint256 jobId, uint32 task) external nonReentrant {
        IJobMarket.Task memory t = _taskIn(jobId, task, IJobMarket.TaskState.Disputed);
        Record storage r = _records[jobId][task];
        if (r.audit.second != address(0)) revert WrongTaskState(jobId, task, uint8(t.state));
        (bool ready, bytes32 seed) = _seed(jobId, task, t, Kind.Second);
        if (!ready) return;
        IJobMarket.Job memory j = MARKET.job(jobId);
        address second = _pick(seed, MARKET.collateral(t.price), [t.provider, j.consumer, r.audit.auditor, r.lapsed]);
        if (second == address(0)) return _leaveUndecided(jobId, task, r);
        r.audit.second = second;
        r.audit.reservedSecond = _seat(r, j, second, t.price);
        emit AuditorDrawn(jobId, task, second, t.attempt, true, r.audit.deadline);
        MARKET.setAudit(jobId, task, IJobMarket.TaskState.Disputed, second);
    }

    /// @inheritdoc ISlashingCourt
    function resolve(uint256 jobId, uint32 task, bytes32 root) external nonReentrant {
        IJobMarket.Task memory t = _taskIn(jobId, task, IJobMarket.TaskState.Disputed);
        Record storage r = _turnOf(jobId, task, _records[jobId][task].audit.second);
        r.audit.root = root;
        // The provider first: an auditor that disputes what it found itself is the one that lies.
        if (_commitment(root, t.provider, jobId, task) == t.commitment) {
            _punishAuditor(jobId, task, t, r);
        } else if (_commitment(root, r.audit.auditor, jobId, task) == r.audit.commitment) {
            _punishProvider(jobId, task, t, r);
        } else {
            _leaveUndecided(jobId, task, r);
        }
    }

    /// @inheritdoc ISlashingCourt
    function lapse(uint256 jobId, uint32 task) external nonReentrant {
        IJobMarket.Task memory t = MARKET.task(jobId, task);
        Record storage r = _records[jobId][task];
        bool second = t.state == IJobMarket.TaskState.Disputed && r.audit.second != address(0);
        if (!second && t.state != IJobMarket.TaskState.Audited) revert WrongTaskState(jobId, task, uint8(t.state));
        address auditor = second ? r.audit.second : r.audit.auditor;
        uint64 deadline = _deadline(jobId, r, auditor);
        if (block.timestamp <= deadline) revert AuditDeadlineNotPassed(deadline, block.timestamp.toUint64());
        emit AuditLapsed(jobId, task, auditor);
        if (MARKET.keyDeliveredAt(jobId, auditor) == 0) return _punishWithholding(jobId, task, t, r);
        _punishLapse(jobId, task, r, auditor, second);
        _redraw(jobId, task, r, second);
    }

    /// @inheritdoc ISlashingCourt
    function setParameter(bytes32 name, uint256 value) external restricted {
        _setParameter(name, value);
    }

    /// @inheritdoc ISlashingCourt
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc ISlashingCourt
    function audit(uint256 jobId, uint32 task) external view returns (Audit memory a) {
        Record storage r = _records[jobId][task];
        a = r.audit;
        if (a.deadline != 0) a.deadline = _deadline(jobId, r, a.second != address(0) ? a.second : a.auditor);
    }

    /// @inheritdoc ISlashingCourt
    function drawBlock(uint256 jobId, uint32 task) external view returns (uint256) {
        IJobMarket.Task memory t = MARKET.task(jobId, task);
        bool waits = t.state == IJobMarket.TaskState.Receipted
            || (t.state == IJobMarket.TaskState.Disputed && _records[jobId][task].audit.second == address(0));
        return waits ? _drawBlock(_records[jobId][task], t) : 0;
    }

    /// @dev Reserves the stake of a drawn auditor and starts its time.
    function _seat(Record storage r, IJobMarket.Job memory j, address auditor, uint96 price)
        private
        returns (uint96 reserved)
    {
        reserved = MARKET.collateral(price);
        r.pendingBlock = 0;
        r.windowSeconds = Math.max(_value("auditSeconds"), j.terms.taskSeconds).toUint32();
        r.audit.deadline = (block.timestamp + r.windowSeconds).toUint64();
        STAKES.reserve(auditor, reserved);
    }

    function _punishProvider(uint256 jobId, uint32 task, IJobMarket.Task memory t, Record storage r) private {
        address first = r.audit.auditor;
        emit DisputeResolved(jobId, task, t.provider, first, r.audit.root);
        uint256 amount = t.reserved * _value("slashBps") / BPS;
        uint256 half = amount / 2;
        _slash(jobId, task, t.provider, amount - half, first, (amount - half) * _value("rewardBps") / BPS);
        _slash(jobId, task, t.provider, half, r.audit.second, half * _value("rewardBps") / BPS);
        _punish(t.provider);
        _releaseAuditors(r);
        MARKET.reject(jobId, task, amount.toUint96());
    }

    function _punishAuditor(uint256 jobId, uint32 task, IJobMarket.Task memory t, Record storage r) private {
        (address first, address second) = (r.audit.auditor, r.audit.second);
        emit DisputeResolved(jobId, task, first, t.provider, r.audit.root);
        uint256 amount = r.audit.reserved * _value("slashBps") / BPS;
        r.audit.reserved -= amount.toUint96();
        _slash(jobId, task, first, amount, second, amount * _value("rewardBps") / BPS);
        _punish(first);
        _releaseAuditors(r);
        MARKET.accept(jobId, task, second);
    }

    /// @dev The provider let the auditor wait for the key: as good as no receipt.
    function _punishWithholding(uint256 jobId, uint32 task, IJobMarket.Task memory t, Record storage r) private {
        uint256 amount = t.reserved * _value("slashBps") / BPS;
        _slash(jobId, task, t.provider, amount, address(0), 0);
        REPUTATION.record(t.provider, false, _value("weightLapsed"));
        _releaseAuditors(r);
        MARKET.reject(jobId, task, amount.toUint96());
    }

    function _punishLapse(uint256 jobId, uint32 task, Record storage r, address auditor, bool second) private {
        uint96 reserved = second ? r.audit.reservedSecond : r.audit.reserved;
        uint256 amount = reserved * _value("lapseBps") / BPS;
        if (second) (r.audit.second, r.audit.reservedSecond) = (address(0), 0);
        else (r.audit.auditor, r.audit.reserved) = (address(0), 0);
        _slash(jobId, task, auditor, amount, address(0), 0);
        STAKES.release(auditor, reserved - amount);
        REPUTATION.record(auditor, false, _value("weightLapsed"));
        r.lapsed = auditor;
    }

    /// @dev Another auditor in place of the lapsed one, or the end when too many have lapsed.
    function _redraw(uint256 jobId, uint32 task, Record storage r, bool second) private {
        r.audit.redraws += 1;
        r.audit.deadline = 0;
        if (r.audit.redraws <= _value("redrawsMax")) {
            r.pendingBlock = _nextDraw();
            if (!second) MARKET.setAudit(jobId, task, IJobMarket.TaskState.Receipted, address(0));
        } else if (second) {
            _leaveUndecided(jobId, task, r);
        } else {
            MARKET.accept(jobId, task, address(0));
        }
    }

    function _leaveUndecided(uint256 jobId, uint32 task, Record storage r) private {
        emit DisputeUndecided(jobId, task);
        _releaseAuditors(r);
        MARKET.reject(jobId, task, 0);
    }

    function _releaseAuditors(Record storage r) private {
        (uint96 first, uint96 second) = (r.audit.reserved, r.audit.reservedSecond);
        r.audit.reserved = 0;
        r.audit.reservedSecond = 0;
        r.audit.deadline = 0;
        if (first != 0) STAKES.release(r.audit.auditor, first);
        if (second != 0) STAKES.release(r.audit.second, second);
    }

    function _slash(uint256 jobId, uint32 task, address who, uint256 amount, address beneficiary, uint256 reward)
        private
    {
        if (amount == 0) return;
        emit Slashed(jobId, task, who, amount, beneficiary, reward);
        STAKES.slash(who, amount, beneficiary, reward);
    }

    /// @dev What a wrong result costs besides stake.
    function _punish(address offender) private {
        REGISTRY.jail(offender, (block.timestamp + _value("jailSeconds")).toUint64());
        REPUTATION.record(offender, false, _value("weightFault"));
    }

    /// @dev Seed of the pending draw. Randomness that is forgotten by now is replaced by that of a block to come.
    function _seed(uint256 jobId, uint32 task, IJobMarket.Task memory t, Kind kind)
        private
        returns (bool ready, bytes32 seed)
    {
        Record storage r = _records[jobId][task];
        uint256 at = _drawBlock(r, t);
        if (block.number <= at) revert DrawTooEarly(at, block.number);
        if (block.number - at >= Predeploys.RANDOMNESS_BLOCKS) {
            r.pendingBlock = _nextDraw();
            return (false, 0);
        }
        bytes32 value = IRandomness(Predeploys.RANDOMNESS).at(at);
        return (true, keccak256(abi.encode(value, jobId, task, t.attempt, kind)));
    }

    function _nextDraw() private view returns (uint64) {
        return (block.number + _value("drawDelayBlocks")).toUint64();
    }

    function _drawBlock(Record storage r, IJobMarket.Task memory t) private view returns (uint256) {
        if (r.attempt == t.attempt && r.pendingBlock != 0) return r.pendingBlock;
        return t.receiptBlock + _value("drawDelayBlocks");
    }

    /// @dev Random candidates first, then a walk from a random place, both bounded; zero when neither finds anybody.
    function _pick(bytes32 seed, uint256 stake, address[4] memory excluded) private view returns (address) {
        uint256 count = REGISTRY.count();
        if (count == 0) return address(0);
        uint256 steps = TRIES_MAX + Math.min(count, PROBES_MAX);
        uint256 start = uint256(keccak256(abi.encode(seed, TRIES_MAX)));
        for (uint256 i = 0; i < steps; ++i) {
            uint256 index = i < TRIES_MAX ? uint256(keccak256(abi.encode(seed, i))) : start % count + i - TRIES_MAX;
            address candidate = REGISTRY.at(index % count);
            if (_mayAudit(candidate, stake, excluded)) return candidate;
        }
        return address(0);
    }

    function _mayAudit(address candidate, uint256 stake, address[4] memory excluded) private view returns (bool) {
        for (uint256 i = 0; i < excluded.length; ++i) {
            if (candidate == excluded[i]) return false;
        }
        return REGISTRY.isEligible(candidate, ROLE_COMPUTE) && STAKES.freeStake(candidate) >= stake;
    }

    function _isAudited(bytes32 seed, uint16 auditBps) private pure returns (bool) {
        return uint256(keccak256(abi.encode(seed, "audit"))) % BPS < auditBps;
    }

    function _commitment(bytes32 root, address who, uint256 jobId, uint32 task) private pure returns (bytes32) {
        return keccak256(abi.encode(root, who, jobId, task));
    }

    function _taskIn(uint256 jobId, uint32 task, IJobMarket.TaskState wanted)
        private
        view
        returns (IJobMarket.Task memory t)
    {
        t = MARKET.task(jobId, task);
        if (t.state != wanted) revert WrongTaskState(jobId, task, uint8(t.state));
    }

    /// @dev The record, if it is the turn of the caller, `auditor`, and it has time left.
    function _turnOf(uint256 jobId, uint32 task, address auditor) private view returns (Record storage r) {
        r = _records[jobId][task];
        if (msg.sender != auditor) revert NotAuditor(jobId, task, msg.sender);
        uint64 deadline = _deadline(jobId, r, auditor);
        if (block.timestamp > deadline) revert AuditDeadlinePassed(deadline, block.timestamp.toUint64());
    }

    /// @dev An auditor's time runs from its draw or from its key, whichever is later.
    function _deadline(uint256 jobId, Record storage r, address auditor) private view returns (uint64) {
        uint64 keyAt = MARKET.keyDeliveredAt(jobId, auditor);
        uint64 fromKey = keyAt == 0 ? 0 : keyAt + r.windowSeconds;
        return fromKey > r.audit.deadline ? fromKey : r.audit.deadline;
    }
}
