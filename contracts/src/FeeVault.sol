// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { IFeeVault } from "./interfaces/IFeeVault.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { Parameters } from "./Parameters.sol";
import { PeersOnly, Predeploys } from "./Predeploys.sol";

/// @title Splits every fee: market take, slashes, and the base fee of blocks, which arrives as a plain balance increase.
/// @notice Whatever the balance holds beyond the treasury and what belongs to namespaces is not split yet. Without stakers their
/// part goes to the treasury. Of namespaces it keeps what was paid in for their fees, and their share of the fees they paid;
/// `RollupRegistry` decides about both.
contract FeeVault is IFeeVault, Parameters, PeersOnly, ReentrancyGuardTransient {
    uint256 private constant BPS = 10_000;

    uint256 private _treasury;
    uint256 private _burned;
    uint256 private _held;
    mapping(uint64 namespace => uint256) private _deposits;
    mapping(uint64 namespace => uint256) private _shares;

    constructor() {
        _define("burnBps", 5000, 0, 10_000);
        _define("treasuryBps", 3000, 0, 10_000);
    }

    receive() external payable { }

    /// @inheritdoc IFeeVault
    function distribute() external nonReentrant returns (uint256 amount) {
        amount = undistributed();
        if (amount == 0) return 0;
        uint256 burned = amount * _value("burnBps") / BPS;
        uint256 treasury = amount * _value("treasuryBps") / BPS;
        uint256 stakers = amount - burned - treasury;
        if (IStakeManager(Predeploys.STAKE_MANAGER).totalActiveStake() == 0) {
            treasury += stakers;
            stakers = 0;
        }
        _treasury += treasury;
        _burned += burned;
        emit FeesSplit(amount, burned, treasury, stakers);
        _send(Predeploys.BURN, burned);
        if (stakers != 0) IStakeManager(Predeploys.STAKE_MANAGER).addReward{ value: stakers }();
    }

    /// @inheritdoc IFeeVault
    function payTreasury(address payable to, uint256 amount) external restricted nonReentrant {
        if (_treasury < amount) revert TreasuryTooLow(_treasury, amount);
        _treasury -= amount;
        emit TreasuryPaid(to, amount);
        _send(to, amount);
    }

    /// @inheritdoc IFeeVault
    function deposit(uint64 namespace) external payable only(Predeploys.ROLLUP_REGISTRY) {
        _deposits[namespace] += msg.value;
        _held += msg.value;
        emit NamespaceDeposited(namespace, msg.value);
    }

    /// @inheritdoc IFeeVault
    function charge(uint64 namespace, uint256 amount, uint256 share) external only(Predeploys.ROLLUP_REGISTRY) {
        uint256 balance = _deposits[namespace];
        if (balance < amount || amount < share) revert DepositTooLow(namespace, balance, amount);
        _deposits[namespace] = balance - amount;
        _shares[namespace] += share;
        _held -= amount - share;
        emit NamespaceCharged(namespace, amount, share);
    }

    /// @inheritdoc IFeeVault
    function withdraw(uint64 namespace, address payable to, uint256 amount)
        external
        only(Predeploys.ROLLUP_REGISTRY)
        nonReentrant
    {
        uint256 balance = _deposits[namespace];
        if (balance < amount) revert DepositTooLow(namespace, balance, amount);
        _deposits[namespace] = balance - amount;
        _held -= amount;
        emit NamespaceWithdrawn(namespace, to, amount);
        _send(to, amount);
    }

    /// @inheritdoc IFeeVault
    function payShare(uint64 namespace, address payable to)
        external
        only(Predeploys.ROLLUP_REGISTRY)
        nonReentrant
        returns (uint256 amount)
    {
        amount = _shares[namespace];
        delete _shares[namespace];
        _held -= amount;
        emit NamespaceSharePaid(namespace, to, amount);
        _send(to, amount);
    }

    /// @inheritdoc IFeeVault
    function setParameter(bytes32 name, uint256 value) external restricted {
        uint256 other = _value(name == "burnBps" ? bytes32("treasuryBps") : bytes32("burnBps"));
        _setParameter(name, value);
        _requireWithin(name, value, 0, BPS - other);
    }

    /// @inheritdoc IFeeVault
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc IFeeVault
    function treasuryBalance() external view returns (uint256) {
        return _treasury;
    }

    /// @inheritdoc IFeeVault
    function totalBurned() external view returns (uint256) {
        return _burned;
    }

    /// @inheritdoc IFeeVault
    function depositOf(uint64 namespace) external view returns (uint256) {
        return _deposits[namespace];
    }

    /// @inheritdoc IFeeVault
    function shareOf(uint64 namespace) external view returns (uint256) {
        return _shares[namespace];
    }

    /// @inheritdoc IFeeVault
    function heldForNamespaces() external view returns (uint256) {
        return _held;
    }

    /// @inheritdoc IFeeVault
    function undistributed() public view returns (uint256) {
        return address(this).balance - _treasury - _held;
    }

    function _send(address payable to, uint256 amount) private {
        (bool sent,) = to.call{ value: amount }("");
        if (!sent) revert TransferFailed(to, amount);
    }
}
