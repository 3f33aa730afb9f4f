// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Fee vault: every fee (market take, base fee, slashes) is split burn / treasury / stakers.
interface IFeeVault {
    event FeesSplit(uint256 amount, uint256 burned, uint256 treasury, uint256 stakers);
    event TreasuryPaid(address indexed to, uint256 amount);
    event NamespaceDeposited(uint64 indexed namespace, uint256 amount);
    event NamespaceCharged(uint64 indexed namespace, uint256 amount, uint256 share);
    event NamespaceWithdrawn(uint64 indexed namespace, address indexed to, uint256 amount);
    event NamespaceSharePaid(uint64 indexed namespace, address indexed to, uint256 amount);
    event ParameterChanged(bytes32 indexed name, uint256 value);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);
    error TreasuryTooLow(uint256 balance, uint256 wanted);
    error DepositTooLow(uint64 namespace, uint256 balance, uint256 wanted);
    error TransferFailed(address to, uint256 amount);
    receive() external payable;
    /// @notice Splits everything received since the last call. Anybody may call.
    function distribute() external returns (uint256 amount);
    /// @notice Authority only.
    function payTreasury(address payable to, uint256 amount) external;
    /// @notice RollupRegistry only: keeps the coin for fees of the namespace.
    function deposit(uint64 namespace) external payable;
    /// @notice RollupRegistry only: takes `amount` of the deposit as a fee; `share` of it stays for the namespace's recipient.
    function charge(uint64 namespace, uint256 amount, uint256 share) external;
    /// @notice RollupRegistry only: gives back a part of the deposit.
    function withdraw(uint64 namespace, address payable to, uint256 amount) external;
    /// @notice RollupRegistry only: pays out the whole share of a namespace.
    function payShare(uint64 namespace, address payable to) external returns (uint256 amount);
    function depositOf(uint64 namespace) external view returns (uint256);
    /// @notice What the recipient of the namespace can claim.
    function shareOf(uint64 namespace) external view returns (uint256);
    /// @notice Sum of all deposits and shares.
    function heldForNamespaces() external view returns (uint256);
    function treasuryBalance() external view returns (uint256);
    function undistributed() external view returns (uint256);
    /// @notice Sum of everything sent to the burn address by this vault.
    function totalBurned() external view returns (uint256);
    /// @notice names: burnBps, treasuryBps (the rest goes to stakers; the sum is at most 10000).
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
