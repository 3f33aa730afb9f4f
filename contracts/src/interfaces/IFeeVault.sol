// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Fee vault: every fee (market take, base fee, slashes) is split burn / treasury / stakers.
interface IFeeVault {
    event FeesSplit(uint256 amount, uint256 burned, uint256 treasury, uint256 stakers);
    event TreasuryPaid(address indexed to, uint256 amount);
    event ParameterChanged(bytes32 indexed name, uint256 value);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);
    error TreasuryTooLow(uint256 balance, uint256 wanted);
    error TransferFailed(address to, uint256 amount);
    receive() external payable;
    /// @notice Splits everything received since the last call. Anybody may call.
    function distribute() external returns (uint256 amount);
    /// @notice Authority only.
    function payTreasury(address payable to, uint256 amount) external;
    function treasuryBalance() external view returns (uint256);
    function undistributed() external view returns (uint256);
    /// @notice Sum of everything sent to the burn address by this vault.
    function totalBurned() external view returns (uint256);
    /// @notice names: burnBps, treasuryBps (the rest goes to stakers; the sum is at most 10000).
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
