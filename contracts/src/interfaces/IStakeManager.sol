// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Stake of providers, auditors and validators, in native AKE.
/// @notice Active stake earns a share of fees and votes; the reserved part of it backs open tasks and validators,
/// and cannot leave.
interface IStakeManager {
    event Staked(address indexed account, uint256 amount, uint256 active);
    event Unbonding(address indexed account, uint256 amount, uint64 withdrawableAt);
    event Withdrawn(address indexed account, uint256 amount);
    event Reserved(address indexed account, uint256 amount, uint256 reserved);
    event Released(address indexed account, uint256 amount, uint256 reserved);
    event Slashed(address indexed account, uint256 amount, address indexed beneficiary, uint256 reward);
    event RewardAdded(uint256 amount);
    event RewardClaimed(address indexed account, uint256 amount);
    event ParameterChanged(bytes32 indexed name, uint256 value);

    error ZeroAmount();
    error ZeroAccount();
    error RewardTooHigh(uint256 reward, uint256 slashed);
    error StakeTooLow(address account, uint256 free, uint256 wanted);
    error ReservationTooLow(address account, uint256 reserved, uint256 wanted);
    error NothingToWithdraw(address account, uint64 withdrawableAt);
    error UnbondingsMax(address account, uint256 max);
    error TransferFailed(address to, uint256 amount);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);

    function stake() external payable;
    function stakeFor(address account) external payable;
    /// @notice Starts to take free stake out; it stops voting now and leaves after `unbondSeconds`.
    function unbond(uint256 amount) external;
    function withdraw() external returns (uint256 amount);
    function claim() external returns (uint256 amount);
    /// @notice Market, court and validator registry only, as the next two.
    function reserve(address account, uint256 amount) external;
    function release(address account, uint256 amount) external;
    /// @notice Takes `amount` out of the reserved stake; `reward` of it becomes claimable by
    /// `beneficiary` (see `claim`), the rest goes to the fee vault.
    function slash(address account, uint256 amount, address beneficiary, uint256 reward) external;
    /// @notice Validator registry only: takes `amount` out of the reserved stake and pays it to `account`, at once. The registry
    /// has held it for `unbondSeconds`.
    function payOut(address account, uint256 amount) external;
    /// @notice Validator registry only, at genesis: stakes coin that genesis put here.
    function stakeAtGenesis(address account, uint256 amount) external;
    /// @notice Fee vault only: adds to what all active stake shares.
    function addReward() external payable;
    /// @notice Stake that earns and votes: free plus reserved.
    function activeStake(address account) external view returns (uint256);
    function reservedStake(address account) external view returns (uint256);
    function freeStake(address account) external view returns (uint256);
    function totalActiveStake() external view returns (uint256);
    /// @notice Stake on its way out, matured or not.
    function unbondingStake(address account) external view returns (uint256);
    /// @notice What `claim` would pay: a share of fees, and rewards from slashes.
    function pendingReward(address account) external view returns (uint256);
    /// @notice names: unbondSeconds, providerStakeMin, unbondingsMax.
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
