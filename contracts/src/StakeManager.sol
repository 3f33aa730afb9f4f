// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IAkeVotes } from "./AkeVotes.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { Parameters } from "./Parameters.sol";
import { PeersOnly, Predeploys } from "./Predeploys.sol";

/// @title Stake of providers, auditors and validators, in native AKE.
/// @notice active = free + reserved. Only free stake unbonds; only reserved stake is slashed. Active stake earns and votes.
contract StakeManager is IStakeManager, Parameters, PeersOnly, ReentrancyGuardTransient {
    using SafeCast for uint256;

    /// @dev Scale of `_rewardPerUnit`: with it the rounding of one reward is below 1 wei for 1e27 wei of stake.
    uint256 private constant REWARD_SCALE = 1e27;

    /// @param rewardPerUnit value of `_rewardPerUnit` up to which `rewards` is settled.
    struct Account {
        uint128 active;
        uint128 reserved;
        uint256 rewardPerUnit;
        uint256 rewards;
    }

    struct Leaving {
        uint128 amount;
        uint64 withdrawableAt;
    }

    mapping(address => Account) private _accounts;
    mapping(address => Leaving[]) private _leaving;
    uint256 private _totalActive;
    uint256 private _rewardPerUnit;
    /// @dev Rewards that came while nobody had stake, and what rounding left over.
    uint256 private _rewardCarry;

    constructor() {
        // Evidence may take 7 days (`sequencer::finality::EVIDENCE_SECONDS`): stake must not leave before, with a day to spare.
        _define("unbondSeconds", 21 days, 8 days, 90 days);
        _define("providerStakeMin", 100 ether, 1 ether, 10_000_000 ether);
        _define("unbondingsMax", 32, 1, 256);
    }

    /// @inheritdoc IStakeManager
    function stake() external payable {
        _stake(msg.sender);
    }

    /// @inheritdoc IStakeManager
    function stakeFor(address account) external payable {
        if (account == address(0)) revert ZeroAccount();
        _stake(account);
    }

    /// @inheritdoc IStakeManager
    function unbond(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        _requireFree(msg.sender, amount);
        Leaving[] storage leaving = _leaving[msg.sender];
        uint256 max = _value("unbondingsMax");
        if (leaving.length >= max) revert UnbondingsMax(msg.sender, max);
        uint64 withdrawableAt = (block.timestamp + _value("unbondSeconds")).toUint64();
        leaving.push(Leaving(amount.toUint128(), withdrawableAt));
        _deactivate(msg.sender, amount);
        emit Unbonding(msg.sender, amount, withdrawableAt);
    }

    /// @inheritdoc IStakeManager
    function withdraw() external nonReentrant returns (uint256 amount) {
        uint64 earliest;
        (amount, earliest) = _takeMatured(_leaving[msg.sender]);
        if (amount == 0) revert NothingToWithdraw(msg.sender, earliest);
        emit Withdrawn(msg.sender, amount);
        _send(msg.sender, amount);
    }

    /// @inheritdoc IStakeManager
    function claim() external nonReentrant returns (uint256 amount) {
        Account storage account = _settled(msg.sender);
        amount = account.rewards;
        account.rewards = 0;
        emit RewardClaimed(msg.sender, amount);
        _send(msg.sender, amount);
    }

    /// @inheritdoc IStakeManager
    function reserve(address account, uint256 amount) external onlyReserver {
        _requireFree(account, amount);
        uint256 reserved = _accounts[account].reserved + amount;
        _accounts[account].reserved = reserved.toUint128();
        emit Reserved(account, amount, reserved);
    }

    /// @inheritdoc IStakeManager
    function release(address account, uint256 amount) external onlyReserver {
        emit Released(account, amount, _unreserve(account, amount));
    }

    /// @inheritdoc IStakeManager
    function payOut(address account, uint256 amount) external only(Predeploys.VALIDATOR_REGISTRY) nonReentrant {
        _unreserve(account, amount);
        _deactivate(account, amount);
        emit Withdrawn(account, amount);
        _send(account, amount);
    }

    /// @inheritdoc IStakeManager
    function stakeAtGenesis(address account, uint256 amount) external only(Predeploys.VALIDATOR_REGISTRY) {
        uint256 uncredited = address(this).balance - _totalActive;
        if (block.number != 0 || uncredited < amount) revert StakeTooLow(account, uncredited, amount);
        _credit(account, amount);
    }

    /// @inheritdoc IStakeManager
    function slash(address account, uint256 amount, address beneficiary, uint256 reward)
        external
        onlyReserver
        nonReentrant
    {
        if (reward > amount) revert RewardTooHigh(reward, amount);
        _unreserve(account, amount);
        _deactivate(account, amount);
        if (reward != 0) _accounts[beneficiary].rewards += reward;
        emit Slashed(account, amount, beneficiary, reward);
        _send(Predeploys.FEE_VAULT, amount - reward);
    }

    /// @inheritdoc IStakeManager
    function addReward() external payable only(Predeploys.FEE_VAULT) {
        if (msg.value == 0) revert ZeroAmount();
        emit RewardAdded(msg.value);
        uint256 amount = msg.value + _rewardCarry;
        uint256 perUnit = _totalActive == 0 ? 0 : amount * REWARD_SCALE / _totalActive;
        _rewardPerUnit += perUnit;
        // Rounded up: the fractions of several rewards may add up to a wei in somebody's account.
        _rewardCarry = amount - Math.ceilDiv(perUnit * _totalActive, REWARD_SCALE);
    }

    /// @inheritdoc IStakeManager
    function setParameter(bytes32 name, uint256 value) external restricted {
        _setParameter(name, value);
    }

    /// @inheritdoc IStakeManager
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc IStakeManager
    function activeStake(address account) external view returns (uint256) {
        return _accounts[account].active;
    }

    /// @inheritdoc IStakeManager
    function reservedStake(address account) external view returns (uint256) {
        return _accounts[account].reserved;
    }

    /// @inheritdoc IStakeManager
    function freeStake(address account) public view returns (uint256) {
        return _accounts[account].active - _accounts[account].reserved;
    }

    /// @inheritdoc IStakeManager
    function totalActiveStake() external view returns (uint256) {
        return _totalActive;
    }

    /// @inheritdoc IStakeManager
    function pendingReward(address account) external view returns (uint256) {
        return _accounts[account].rewards + _unsettled(_accounts[account]);
    }

    /// @inheritdoc IStakeManager
    function unbondingStake(address account) external view returns (uint256 amount) {
        Leaving[] storage leaving = _leaving[account];
        for (uint256 i = 0; i < leaving.length; ++i) {
            amount += leaving[i].amount;
        }
    }

    function _stake(address account) private {
        if (msg.value == 0) revert ZeroAmount();
        _credit(account, msg.value);
    }

    function _credit(address account, uint256 amount) private {
        uint256 active = _settled(account).active + amount;
        _accounts[account].active = active.toUint128();
        _totalActive += amount;
        emit Staked(account, amount, active);
        IAkeVotes(Predeploys.AKE_VOTES).onUnitsMoved(address(0), account, amount);
    }

    /// @dev Takes `amount`, which the caller has checked to be free, out of the active stake.
    function _deactivate(address account, uint256 amount) private {
        _settled(account).active -= amount.toUint128();
        _totalActive -= amount;
        IAkeVotes(Predeploys.AKE_VOTES).onUnitsMoved(account, address(0), amount);
    }

    function _unreserve(address account, uint256 amount) private returns (uint256 reserved) {
        reserved = _accounts[account].reserved;
        if (reserved < amount) revert ReservationTooLow(account, reserved, amount);
        reserved -= amount;
        _accounts[account].reserved = reserved.toUint128();
    }

    /// @dev Removes every matured entry; the list is at most `unbondingsMax` long.
    function _takeMatured(Leaving[] storage leaving) private returns (uint256 amount, uint64 earliest) {
        uint256 i = 0;
        while (i < leaving.length) {
            Leaving memory entry = leaving[i];
            if (entry.withdrawableAt <= block.timestamp) {
                amount += entry.amount;
                leaving[i] = leaving[leaving.length - 1];
                leaving.pop();
            } else {
                if (earliest == 0 || entry.withdrawableAt < earliest) earliest = entry.withdrawableAt;
                ++i;
            }
        }
    }

    function _settled(address who) private returns (Account storage account) {
        account = _accounts[who];
        account.rewards += _unsettled(account);
        account.rewardPerUnit = _rewardPerUnit;
    }

    function _unsettled(Account storage account) private view returns (uint256) {
        return account.active * (_rewardPerUnit - account.rewardPerUnit) / REWARD_SCALE;
    }

    function _requireFree(address account, uint256 amount) private view {
        uint256 free = freeStake(account);
        if (free < amount) revert StakeTooLow(account, free, amount);
    }

    function _send(address to, uint256 amount) private {
        if (amount == 0) return;
        (bool sent,) = to.call{ value: amount }("");
        if (!sent) revert TransferFailed(to, amount);
    }
}
