// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Escrow: the money of open jobs. Only the market moves it; what cannot be pushed is kept for its owner.
interface IEscrow {
    event Deposited(uint256 indexed jobId, address indexed payer, uint256 amount);
    event Paid(uint256 indexed jobId, address indexed to, uint256 amount);
    event FeePaid(uint256 indexed jobId, uint256 amount);
    event Refunded(uint256 indexed jobId, address indexed to, uint256 amount);
    event Kept(address indexed to, uint256 amount);
    event Withdrawn(address indexed to, uint256 amount);

    error EscrowTooLow(uint256 jobId, uint256 balance, uint256 wanted);
    error NothingKept(address account);
    error TransferFailed(address to, uint256 amount);

    function deposit(uint256 jobId, address payer) external payable;
    function pay(uint256 jobId, address to, uint256 amount) external;
    function payFee(uint256 jobId, uint256 amount) external;
    function refund(uint256 jobId, address to) external returns (uint256 amount);
    /// @notice Takes out money that could not be pushed to the caller.
    function withdraw() external returns (uint256 amount);
    function balanceOf(uint256 jobId) external view returns (uint256);
    function keptFor(address account) external view returns (uint256);
    function totalHeld() external view returns (uint256);
}
