// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Rollup registry: who owns a namespace, by which rules it is ordered, what it owes, and what it gets back.
interface IRollupRegistry {
    /// @notice Which transactions of the namespace validators order.
    enum Ordering {
        /// First come, first served.
        Open,
        /// Only through the encrypted lane.
        Encrypted,
        /// Both.
        Both
    }

    /// @notice How a namespace is ordered. Validators keep to it: a block that does not is refused.
    struct Policy {
        Ordering ordering;
        /// @notice Most bytes of the namespace in one block, tables included (0: no limit, or 1024 and more). It bounds what the
        /// namespace can be charged for one block.
        uint32 quotaBytes;
    }

    struct Rollup {
        /// @notice Zero if the namespace is not registered.
        address owner;
        /// @notice Who may accept the ownership, or zero.
        address pendingOwner;
        /// @notice Who gets the share of the fees.
        address payable feeRecipient;
        Policy policy;
        /// @notice Fees that the deposit did not cover.
        uint256 debt;
        /// @notice Validators order nothing of it: it owes more than `debtMax`.
        bool suspended;
        /// @notice First block of the account that was settled last, and what it owed in all.
        uint64 settledSince;
        uint128 settledOwed;
        /// @notice Prepaid, and claimable by the recipient.
        uint256 deposit;
        uint256 share;
    }

    event RollupRegistered(uint64 indexed namespace, address indexed owner, address feeRecipient);
    event PolicyChanged(uint64 indexed namespace, Policy policy);
    event OwnershipOffered(uint64 indexed namespace, address indexed owner, address indexed to);
    event OwnershipTransferred(uint64 indexed namespace, address indexed from, address indexed to);
    event FeeRecipientChanged(uint64 indexed namespace, address recipient);
    event FeesSettled(uint64 indexed namespace, uint64 since, uint128 owed, uint256 due);
    event DebtChanged(uint64 indexed namespace, uint256 debt, bool suspended);
    event ParameterChanged(bytes32 indexed name, uint256 value);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);
    /// @notice Namespaces 0 and 1 belong to the protocol and to this chain.
    error NamespaceReserved(uint64 namespace);
    error NamespaceTaken(uint64 namespace, address owner);
    error NotOwner(uint64 namespace, address caller, address owner);
    error NotOffered(uint64 namespace, address caller, address offered);
    error QuotaOutOfRange(uint32 quotaBytes, uint32 min);
    error FeeTooLow(uint256 paid, uint256 fee);
    error ZeroAddress();
    error InDebt(uint64 namespace, uint256 debt);
    /// @notice No header, too many, one that is none, or one that is not the child of the one before.
    error HeaderMalformed(uint256 index);
    /// @notice The block of this second does not follow on the last header.
    error HeaderUnknown(bytes32 digest, bytes32 known);
    /// @notice The first transaction of namespace 0 is no root of accounts.
    error NotCommitted();
    /// @notice The account was settled already, or a newer one was.
    error NothingToSettle(uint64 namespace, uint128 owed, uint128 settled);

    /// @notice Registers a namespace (2 and more) for the caller, who takes over what it owes. Costs `registrationFee`; what is
    /// paid beyond it is the first deposit.
    function register(uint64 namespace, address payable feeRecipient, Policy calldata policy) external payable;
    /// @notice Owner only; in force from the next block on.
    function setPolicy(uint64 namespace, Policy calldata policy) external;
    /// @notice Owner only.
    function setFeeRecipient(uint64 namespace, address payable feeRecipient) external;
    /// @notice Owner only: `to` becomes the owner when it accepts. The zero address takes an offer back.
    function offerOwnership(uint64 namespace, address to) external;
    function acceptOwnership(uint64 namespace) external;
    /// @notice Pays for fees of any namespace, what it owes first. Anybody may.
    function deposit(uint64 namespace) external payable;
    /// @notice Owner only: takes back what is prepaid, unless the namespace is in debt.
    function withdraw(uint64 namespace, address payable to, uint256 amount) external;
    /// @notice Charges a namespace for what it owes since the last time. Anybody may.
    /// @param timestamp Second of a block of this chain, the newest of that second, which follows on the last header (EIP-4788).
    /// @param headers Encoded sequencer headers, each the child of the one before; the first opens an epoch.
    /// @param commitment Proof of transaction 0 of namespace 0 in the first.
    /// @param account Proof of the account under it.
    /// @return namespace Which one it was.
    /// @return due What it was charged, wei.
    function settle(uint64 timestamp, bytes[] calldata headers, bytes calldata commitment, bytes calldata account)
        external
        returns (uint64 namespace, uint256 due);
    /// @notice Pays the share of the namespace to its fee recipient. Anybody may.
    function claim(uint64 namespace) external returns (uint256 amount);
    function rollup(uint64 namespace) external view returns (Rollup memory);
    /// @notice Registered namespaces.
    function count() external view returns (uint256);
    /// @notice At most `max` registered namespaces from number `from` on.
    function list(uint256 from, uint256 max) external view returns (uint64[] memory namespaces);
    /// @notice names: shareBps (of every fee, for the recipient of a registered namespace), debtMax (wei), registrationFee (wei).
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
