// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Slashing court: audit by re-execution.
/// @notice A receipt hides its output root behind `commitment = keccak256(abi.encode(root, provider, jobId, task))`.
/// The auditor is drawn from the randomness of block `receiptBlock + drawDelayBlocks`, which nobody knew when the
/// provider committed. An auditor that re-executed knows the root; one that did not cannot confirm it.
interface ISlashingCourt {
    /// @param deadline of the auditor whose turn it is. @param redraws auditors that lapsed in this stage.
    /// @param root what was shown by the auditor that confirmed or resolved.
    /// @param commitment what the first auditor found when it disagreed: keccak256(abi.encode(root, auditor, jobId, task)).
    struct Audit {
        address auditor;
        address second;
        uint64 deadline;
        uint96 reserved;
        uint96 reservedSecond;
        uint8 redraws;
        bytes32 commitment;
        bytes32 root;
    }

    event NotDrawn(uint256 indexed jobId, uint32 indexed task, uint8 attempt);
    event AuditorDrawn(
        uint256 indexed jobId, uint32 indexed task, address indexed auditor, uint8 attempt, bool second, uint64 deadline
    );
    event AuditConfirmed(uint256 indexed jobId, uint32 indexed task, address indexed auditor, bytes32 root);
    event AuditDisputed(uint256 indexed jobId, uint32 indexed task, address indexed auditor, bytes32 commitment);
    event DisputeResolved(
        uint256 indexed jobId, uint32 indexed task, address indexed loser, address winner, bytes32 root
    );
    event DisputeUndecided(uint256 indexed jobId, uint32 indexed task);
    event AuditLapsed(uint256 indexed jobId, uint32 indexed task, address indexed auditor);
    event Slashed(
        uint256 indexed jobId,
        uint32 indexed task,
        address indexed offender,
        uint256 amount,
        address beneficiary,
        uint256 reward
    );
    event ParameterChanged(bytes32 indexed name, uint256 value);

    error DrawTooEarly(uint256 drawBlock, uint256 at);
    error NotAuditor(uint256 jobId, uint32 task, address caller);
    error RootDoesNotMatch(bytes32 root, bytes32 commitment);
    error AuditDeadlineNotPassed(uint64 deadline, uint64 at);
    error AuditDeadlinePassed(uint64 deadline, uint64 at);
    error WrongTaskState(uint256 jobId, uint32 task, uint8 state);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);

    /// @notice Decides by the fixed randomness whether a receipt is audited, and by whom. Anybody may call. A receipt that
    /// is not drawn, or for which no eligible auditor exists, is paid at once.
    function draw(uint256 jobId, uint32 task) external;
    /// @notice The first auditor agrees: it knows the root. The provider is paid, the auditor earns its fee.
    function confirm(uint256 jobId, uint32 task, bytes32 root) external;
    /// @notice The first auditor disagrees, hiding its own root from the second, who is drawn now or by `drawSecond`.
    function dispute(uint256 jobId, uint32 task, bytes32 commitment) external;
    /// @notice Draws the second auditor once the randomness after the dispute is fixed. Anybody may call.
    function drawSecond(uint256 jobId, uint32 task) external;
    /// @notice The second auditor's root decides who is slashed: provider, first auditor, or (no match) nobody. The first
    /// and second auditor share the reward out of a provider's slash; the second alone has that of the first's.
    function resolve(uint256 jobId, uint32 task, bytes32 root) external;
    /// @notice An auditor that missed its deadline loses part of its reservation, and another is drawn; after `redrawsMax`
    /// of them the receipt stands (first audit) or the dispute is undecided (second). An auditor that nobody handed the
    /// job's key loses nothing: then the provider, who could have, is slashed and the receipt falls. Anybody may call.
    function lapse(uint256 jobId, uint32 task) external;
    function audit(uint256 jobId, uint32 task) external view returns (Audit memory);
    /// @notice Block whose randomness decides the pending draw of a task; 0 if none is pending.
    function drawBlock(uint256 jobId, uint32 task) external view returns (uint256);
    /// @notice names: drawDelayBlocks, auditSeconds, slashBps, rewardBps, lapseBps, jailSeconds, redrawsMax, weightFault,
    /// weightLapsed. An auditor has the larger of `auditSeconds` and the job's `taskSeconds`, from its draw or its key.
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
