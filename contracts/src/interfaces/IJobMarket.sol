// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Job market: escrowed jobs, public scoring of bids, tasks and signed receipts.
/// @notice Holds no money: `Escrow` does. All times are seconds, all amounts are wei of AKE.
interface IJobMarket {
    /// @notice None: no such job. Bidding: takes bids. Running: tasks are assigned. Closed: settled and refunded.
    enum JobState {
        None,
        Bidding,
        Running,
        Closed
    }
    /// @notice Open: waits for a provider. Assigned: a provider works. Receipted: output is committed, draw pending.
    /// Audited: an auditor re-executes. Disputed: a second auditor decides. Paid and Failed are final.
    enum TaskState {
        Open,
        Assigned,
        Receipted,
        Audited,
        Disputed,
        Paid,
        Failed
    }

    /// @notice What the consumer fixes when the job is opened.
    /// @param spec SHA-256 of the job specification block (its CID is CIDv1, raw, sha2-256).
    /// @param consumerKey X25519 public key that outputs are encrypted to.
    /// @param tasks number of tasks (1..=`tasksMax`).
    /// @param priceMax the most the consumer pays per task, wei.
    /// @param bidSeconds length of the bid window.
    /// @param taskSeconds time a provider has from assignment to receipt.
    /// @param jobSeconds time after the bid window in which tasks may be assigned again.
    /// @param auditBps probability that a receipt is re-executed, in 1/10000.
    /// @param attemptsMax times a task may be assigned (1..=`attemptsMax()`).
    struct Terms {
        bytes32 spec;
        bytes32 consumerKey;
        uint32 tasks;
        uint96 priceMax;
        uint32 bidSeconds;
        uint32 taskSeconds;
        uint32 jobSeconds;
        uint16 auditBps;
        uint8 attemptsMax;
    }

    /// @param tasksAssigned tasks in somebody's hands now: neither waiting nor final.
    /// @param escrowed what was paid in. @param paid to providers, auditors and fees. @param refunded at the close.
    struct Job {
        Terms terms;
        address consumer;
        JobState state;
        uint64 openedAt;
        uint64 bidEnd;
        uint64 deadline;
        uint32 tasksAssigned;
        uint32 tasksPaid;
        uint32 tasksFailed;
        uint256 escrowed;
        uint256 paid;
        uint256 refunded;
    }

    /// @param attempt number of the assignment, from 1. @param price the provider's bid. @param reserved its stake at risk.
    /// @param deadline for the receipt; while assigned it moves when the consumer hands over the key late.
    struct Task {
        TaskState state;
        uint8 attempt;
        address provider;
        uint96 price;
        uint96 reserved;
        uint64 deadline;
        uint64 receiptBlock;
        bytes32 commitment;
        bytes32 output;
    }

    /// @param capacity tasks that the bidder works on at a time.
    /// @param assigned tasks that it works on now: assigned, without a receipt yet.
    /// @param score price weighted by reputation at the time of the bid; lower is better (see `score`).
    /// Ties go to the lower keccak256(abi.encode(jobId, provider)).
    struct Bid {
        address provider;
        uint96 price;
        uint32 capacity;
        uint32 assigned;
        uint256 score;
    }

    /// @notice What a provider signs (EIP-712, domain "Kumo JobMarket" version "1").
    /// @param commitment keccak256(abi.encode(outputRoot, provider, jobId, task)).
    /// @param output SHA-256 of the output manifest block (raw CID), readable by the consumer only.
    /// @param log SHA-256 of the task's log bytes, plaintext.
    struct Receipt {
        uint256 jobId;
        uint32 task;
        uint8 attempt;
        address provider;
        bytes32 commitment;
        bytes32 output;
        bytes32 log;
        uint64 fuel;
        uint64 memoryBytes;
        uint64 wallMillis;
        int32 exitCode;
    }

    event JobOpened(
        uint256 indexed jobId,
        address indexed consumer,
        bytes32 indexed spec,
        uint32 tasks,
        uint96 priceMax,
        uint64 bidEnd
    );
    event BidPlaced(uint256 indexed jobId, address indexed provider, uint96 price, uint32 capacity, uint256 score);
    event BidEvicted(uint256 indexed jobId, address indexed provider);
    event JobSelected(uint256 indexed jobId, uint32 bids);
    event TaskAssigned(
        uint256 indexed jobId,
        uint32 indexed task,
        address indexed provider,
        uint8 attempt,
        uint96 price,
        uint96 reserved,
        uint64 deadline
    );
    event ReceiptSubmitted(
        uint256 indexed jobId,
        uint32 indexed task,
        address indexed provider,
        uint8 attempt,
        bytes32 commitment,
        bytes32 output
    );
    event TaskPaid(uint256 indexed jobId, uint32 indexed task, address indexed provider, uint256 amount, uint256 fee);
    event TaskRejected(uint256 indexed jobId, uint32 indexed task, address indexed provider, uint8 attempt);
    event TaskExpired(
        uint256 indexed jobId, uint32 indexed task, address indexed provider, uint8 attempt, uint256 slashed
    );
    event TaskFailed(uint256 indexed jobId, uint32 indexed task);
    event JobClosed(uint256 indexed jobId, uint32 tasksPaid, uint32 tasksFailed, uint256 paid, uint256 refunded);
    /// @notice A job key, wrapped with HPKE to one account's X25519 key.
    event KeyDelivered(uint256 indexed jobId, address indexed to, address indexed from, bytes wrapped);
    event ParameterChanged(bytes32 indexed name, uint256 value);

    error UnknownJob(uint256 jobId);
    error WrongJobState(uint256 jobId, JobState state, JobState wanted);
    error WrongTaskState(uint256 jobId, uint32 task, TaskState state, TaskState wanted);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);
    error EscrowUnderpaid(uint256 sent, uint256 required);
    error BidWindowOpen(uint256 jobId, uint64 endsAt);
    error BidWindowClosed(uint256 jobId, uint64 endedAt);
    error BidTooHigh(uint256 jobId, uint96 price, uint96 priceMax);
    error BidNotCompetitive(uint256 jobId, uint256 score, uint256 worst);
    error AlreadyBid(uint256 jobId, address provider);
    error ProviderNotEligible(address provider);
    error NotConsumer(uint256 jobId, address caller);
    error NotAssigned(uint256 jobId, uint32 task, address caller);
    error BadSignature(address signer, address wanted);
    error StaleAttempt(uint256 jobId, uint32 task, uint8 attempt, uint8 current);
    error DeadlinePassed(uint64 deadline, uint64 at);
    error DeadlineNotPassed(uint64 deadline, uint64 at);
    error NotRecipient(uint256 jobId, address to);
    error WrappedKeySize(uint256 length, uint256 max);
    error LengthMismatch(uint256 left, uint256 right);
    error NothingToDo(uint256 jobId);

    /// @notice Opens a job and locks its escrow, in one transaction. Anything above `escrowRequired` is refunded at the close.
    function open(Terms calldata terms) external payable returns (uint256 jobId);
    /// @notice What `open` must be paid: every task at `priceMax` plus one audit fee for each.
    function escrowRequired(uint32 tasks, uint96 priceMax, uint16 auditBps) external view returns (uint256);
    /// @notice Consumer takes the job back while it still takes bids.
    function cancel(uint256 jobId) external;
    /// @notice One bid per provider and job; when `bidsMax` is reached a better bid evicts the worst. The consumer cannot bid.
    function bid(uint256 jobId, uint96 price, uint32 capacity) external;
    /// @notice price * (10000 + reputationWeightBps * (10000 - reputationBps) / 10000) / 10000; the lowest wins.
    function score(address provider, uint96 price) external view returns (uint256);
    /// @notice Ends the bid window and assigns the first tasks. With no bid the job closes and is refunded. Anybody may call.
    /// Tasks go round-robin over the bids in rank order, each time to the next bidder that has room, is eligible, has the
    /// collateral free and has not lost this task before. A task that no bidder could ever take fails at once.
    function select(uint256 jobId) external;
    /// @notice Assigns waiting tasks to bidders with room, at most `count` and `assignBatch`. Anybody may call.
    function assign(uint256 jobId, uint32 count) external returns (uint32 assigned);
    /// @notice Hands wrapped job keys to providers that got a task, drawn auditors, or the consumer; nobody else. Callers
    /// are the same accounts: the consumer hands keys to providers, and it or the provider to auditors.
    function deliverKeys(uint256 jobId, address[] calldata to, bytes[] calldata wrapped) external;
    /// @notice Whether `account` may be given the job's key.
    function isKeyHolder(uint256 jobId, address account) external view returns (bool);
    /// @notice When anybody first handed `account` a key of the job, Unix seconds; 0 if nobody did.
    function keyDeliveredAt(uint256 jobId, address account) external view returns (uint64);
    function submitReceipt(Receipt calldata receipt, bytes calldata signature) external;
    /// @notice EIP-712 digest that the provider signs.
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32);
    /// @notice A provider that missed its deadline loses its reservation; the task is assigned again or fails. Anybody may call.
    /// A provider that the consumer never gave a key loses nothing, and its time begins anew when it gets one.
    function expire(uint256 jobId, uint32 task) external;
    /// @notice Fails every waiting task of a job past its deadline, at most `count` and 256, and closes it when all are
    /// final. Anybody may call.
    function finish(uint256 jobId, uint32 count) external;

    /// @notice Court only: the receipt stands; pays the provider, and `auditor` its fee if not zero.
    function accept(uint256 jobId, uint32 task, address auditor) external;
    /// @notice Court only: the receipt fell; the task is assigned again or fails. `slashed`: what the court took of the
    /// task's reservation; the rest is released.
    function reject(uint256 jobId, uint32 task, uint96 slashed) external;
    /// @notice Court only: moves a task between Receipted, Audited and Disputed, and lets `auditor` hold the job's key.
    function setAudit(uint256 jobId, uint32 task, TaskState state, address auditor) external;

    function jobCount() external view returns (uint256);
    function job(uint256 jobId) external view returns (Job memory);
    function task(uint256 jobId, uint32 index) external view returns (Task memory);
    function tasks(uint256 jobId, uint32 from, uint32 count) external view returns (Task[] memory);
    function bids(uint256 jobId) external view returns (Bid[] memory);
    /// @notice Stake reserved for a task at `price`.
    function collateral(uint96 price) external view returns (uint96);
    /// @notice Audit fee for a task at `price`.
    function auditFee(uint96 price) external view returns (uint96);
    /// @notice Current value and bounds of a parameter; names: takeBps, auditFeeBps, collateralBps, collateralMin,
    /// reputationWeightBps, bidsMax, tasksMax, attemptsMax, bidSecondsMax, taskSecondsMax, jobSecondsMax, assignBatch,
    /// and the evidence that a task leaves: weightAccepted (paid unseen), weightAudited (confirmed), weightMissed.
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    /// @notice Authority only; reverts outside the bounds.
    function setParameter(bytes32 name, uint256 value) external;
}
