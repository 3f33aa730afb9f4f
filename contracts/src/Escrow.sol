// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { IEscrow } from "./interfaces/IEscrow.sol";
import { PeersOnly, Predeploys } from "./Predeploys.sol";

/// @title The money of open jobs.
/// @notice Payments are pushed with little gas; what a recipient refuses is kept for it, so nobody can block a settlement.
contract Escrow is IEscrow, PeersOnly, ReentrancyGuardTransient {
    /// @notice Gas that a recipient gets when it is paid: enough for a smart account to log, too little to do harm.
    uint256 public constant PUSH_GAS = 50_000;

    mapping(uint256 jobId => uint256) private _balances;
    mapping(address account => uint256) private _kept;
    uint256 private _totalHeld;

    /// @inheritdoc IEscrow
    function deposit(uint256 jobId, address payer) external payable only(Predeploys.JOB_MARKET) {
        _balances[jobId] += msg.value;
        _totalHeld += msg.value;
        emit Deposited(jobId, payer, msg.value);
    }

    /// @inheritdoc IEscrow
    function pay(uint256 jobId, address to, uint256 amount) external only(Predeploys.JOB_MARKET) nonReentrant {
        _take(jobId, amount);
        emit Paid(jobId, to, amount);
        _push(to, amount);
    }

    /// @inheritdoc IEscrow
    function payFee(uint256 jobId, uint256 amount) external only(Predeploys.JOB_MARKET) nonReentrant {
        _take(jobId, amount);
        emit FeePaid(jobId, amount);
        _push(Predeploys.FEE_VAULT, amount);
    }

    /// @inheritdoc IEscrow
    function refund(uint256 jobId, address to)
        external
        only(Predeploys.JOB_MARKET)
        nonReentrant
        returns (uint256 amount)
    {
        amount = _balances[jobId];
        _take(jobId, amount);
        emit Refunded(jobId, to, amount);
        _push(to, amount);
    }

    /// @inheritdoc IEscrow
    function withdraw() external nonReentrant returns (uint256 amount) {
        amount = _kept[msg.sender];
        if (amount == 0) revert NothingKept(msg.sender);
        _kept[msg.sender] = 0;
        _totalHeld -= amount;
        emit Withdrawn(msg.sender, amount);
        (bool sent,) = msg.sender.call{ value: amount }("");
        if (!sent) revert TransferFailed(msg.sender, amount);
    }

    /// @inheritdoc IEscrow
    function balanceOf(uint256 jobId) external view returns (uint256) {
        return _balances[jobId];
    }

    /// @inheritdoc IEscrow
    function keptFor(address account) external view returns (uint256) {
        return _kept[account];
    }

    /// @inheritdoc IEscrow
    function totalHeld() external view returns (uint256) {
        return _totalHeld;
    }

    function _take(uint256 jobId, uint256 amount) private {
        uint256 balance = _balances[jobId];
        if (balance < amount) revert EscrowTooLow(jobId, balance, amount);
        // Checked just above; the total covers every job.
        unchecked {
            _balances[jobId] = balance - amount;
            _totalHeld -= amount;
        }
    }

    /// @dev Sends `amount`, ignoring what the recipient returns (a long answer would cost the caller its gas).
    function _push(address to, uint256 amount) private {
        if (amount == 0) return;
        bool sent;
        assembly ("memory-safe") {
            sent := call(PUSH_GAS, to, amount, 0, 0, 0, 0)
        }
        if (sent) return;
        _kept[to] += amount;
        _totalHeld += amount;
        emit Kept(to, amount);
    }
}
