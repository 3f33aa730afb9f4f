// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { BLS12381 } from "./BLS12381.sol";
import { SetTree } from "./SetTree.sol";
import { Votes } from "./Votes.sol";
import { IKumoLightClient, IStakeVault, SignedVote, Voters } from "../interfaces/IKumoL1.sol";

/// @title Stake of validators of a Kumo network, on a chain that they do not order.
/// @notice Stake stands behind a vote key. Two votes that exclude each other prove an offence by themselves
/// (`proof::checkpoint::Evidence`); the vault then takes a share of everything the key has here, also of what is unbonding.
/// A key is slashed once: what is left of its stake is released, and the key is of no use any more.
///
/// There is no deadline for evidence: stake is liable until it is withdrawn, `unbondSeconds` after its owner asked at the earliest,
/// which is longer than evidence takes to arrive (`evidenceSeconds`) and than the light client believes old keys. Nobody owns
/// the vault. Slashing calls no token, so nobody can hinder it; who reported is owed the reward and claims it. A report
/// can be copied from the pool of transactions: that costs the reporter its reward, and the offender as much.
contract StakeVault is IStakeVault, ReentrancyGuardTransient {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// @notice Releases of one key that may wait at a time.
    uint256 public constant UNBONDINGS_MAX = 32;
    uint256 private constant BPS = 10_000;
    /// @dev Most of what is slashed that a reporter gets, so that an offender who reports itself still loses half.
    uint16 private constant REWARD_BPS_MAX = 5000;
    uint64 private constant UNBOND_SECONDS_MAX = 365 days;

    struct Release {
        uint128 amount;
        uint64 withdrawableAt;
    }

    struct Validator {
        address owner;
        bool isSlashed;
        uint128 active;
        Release[] releases;
    }

    /// @param depositMin Least active stake of a key that has any.
    /// @param slashBps Share of the stake that an offence costs (1..=10,000).
    /// @param rewardBps Share of that for the reporter (0..=5,000); the treasury gets the rest.
    struct Terms {
        uint64 unbondSeconds;
        uint64 evidenceSeconds;
        uint128 depositMin;
        uint16 slashBps;
        uint16 rewardBps;
        address treasury;
    }

    IERC20 public immutable TOKEN;
    IKumoLightClient public immutable CLIENT;
    uint64 private immutable _unbondSeconds;
    uint64 private immutable _evidenceSeconds;
    uint128 private immutable _depositMin;
    uint16 private immutable _slashBps;
    uint16 private immutable _rewardBps;
    address private immutable _treasury;
    uint64 private immutable _chainId;
    bytes32 private immutable _genesis;

    mapping(bytes32 key => Validator) private _validators;
    mapping(address account => uint256) private _owed;
    uint256 private _totalActive;
    uint256 private _totalUnbonding;
    uint256 private _totalOwed;

    constructor(IERC20 token, IKumoLightClient client, Terms memory fixedTerms) {
        if (address(token) == address(0) || fixedTerms.treasury == address(0)) revert ZeroAddress();
        (TOKEN, CLIENT) = (token, client);
        _requireBounds("evidenceSeconds", fixedTerms.evidenceSeconds, 1, UNBOND_SECONDS_MAX - 1);
        uint256 least = fixedTerms.evidenceSeconds;
        if (client.trustSeconds() > least) least = client.trustSeconds();
        _requireBounds("unbondSeconds", fixedTerms.unbondSeconds, least + 1, UNBOND_SECONDS_MAX);
        _requireBounds("depositMin", fixedTerms.depositMin, 1, SetTree.STAKE_MAX);
        _requireBounds("slashBps", fixedTerms.slashBps, 1, BPS);
        _requireBounds("rewardBps", fixedTerms.rewardBps, 0, REWARD_BPS_MAX);
        (_unbondSeconds, _evidenceSeconds) = (fixedTerms.unbondSeconds, fixedTerms.evidenceSeconds);
        (_slashBps, _rewardBps) = (fixedTerms.slashBps, fixedTerms.rewardBps);
        (_depositMin, _treasury) = (fixedTerms.depositMin, fixedTerms.treasury);
        (_chainId, _genesis) = client.domain();
    }

    /// @inheritdoc IStakeVault
    function deposit(bytes32[8] calldata key, bytes32[4] calldata possession, uint256 amount) external nonReentrant {
        bytes32 name = keyOf(key);
        Validator storage entry = _validators[name];
        if (entry.owner != address(0)) revert KeyTaken(name, entry.owner);
        bytes32[4] memory hash = BLS12381.hashToG1(possessionMessage(key, msg.sender), BLS12381.POSSESSION_DST);
        if (!BLS12381.verify(key, hash, possession)) revert PossessionFalse();
        entry.owner = msg.sender;
        _take(name, entry, amount);
    }

    /// @inheritdoc IStakeVault
    function add(bytes32 key, uint256 amount) external nonReentrant {
        Validator storage entry = _owned(key);
        if (entry.isSlashed) revert AlreadySlashed(key);
        if (amount == 0) revert ZeroAmount();
        _take(key, entry, amount);
    }

    /// @inheritdoc IStakeVault
    function unbond(bytes32 key, uint256 amount) external {
        Validator storage entry = _owned(key);
        if (amount == 0) revert ZeroAmount();
        if (amount > entry.active) revert StakeTooLow(entry.active, amount);
        uint256 left = entry.active - amount;
        if (left != 0 && left < _depositMin) revert DepositTooLow(left, _depositMin);
        if (entry.releases.length >= UNBONDINGS_MAX) revert UnbondingsMax(key, UNBONDINGS_MAX);
        _release(key, entry, amount);
    }

    /// @inheritdoc IStakeVault
    function withdraw(bytes32 key) external nonReentrant returns (uint256 amount) {
        Validator storage entry = _owned(key);
        uint64 earliest;
        (amount, earliest) = _takeMatured(entry.releases);
        if (amount == 0) revert NothingToWithdraw(key, earliest);
        _totalUnbonding -= amount;
        emit Withdrawn(key, msg.sender, amount);
        TOKEN.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeVault
    function slash(bytes32[8] calldata key, SignedVote calldata first, SignedVote calldata second) external {
        bytes32 name = keyOf(key);
        Validator storage entry = _validators[name];
        if (entry.owner == address(0)) revert KeyUnknown(name);
        if (entry.isSlashed) revert AlreadySlashed(name);
        bool surround = _offence(first, second);
        _checkSigned(key, name, first);
        _checkSigned(key, name, second);
        uint256 amount = _punish(name, entry);
        uint256 reward = amount * _rewardBps / BPS;
        _owed[msg.sender] += reward;
        _owed[_treasury] += amount - reward;
        _totalOwed += amount;
        emit Slashed(name, msg.sender, amount, reward, surround);
    }

    /// @inheritdoc IStakeVault
    function claim() external nonReentrant returns (uint256 amount) {
        amount = _owed[msg.sender];
        if (amount == 0) revert NothingOwed(msg.sender);
        _owed[msg.sender] = 0;
        _totalOwed -= amount;
        emit Paid(msg.sender, amount);
        TOKEN.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IStakeVault
    function possessionMessage(bytes32[8] calldata key, address owner) public pure returns (bytes memory) {
        return abi.encodePacked(BLS12381.compressG2(key), owner);
    }

    /// @inheritdoc IStakeVault
    function keyOf(bytes32[8] calldata key) public pure returns (bytes32) {
        return keccak256(abi.encode(key));
    }

    /// @inheritdoc IStakeVault
    function validator(bytes32 key)
        external
        view
        returns (address owner, uint256 active, uint256 unbonding, bool isSlashed)
    {
        Validator storage entry = _validators[key];
        for (uint256 i = 0; i < entry.releases.length; ++i) {
            unbonding += entry.releases[i].amount;
        }
        return (entry.owner, entry.active, unbonding, entry.isSlashed);
    }

    /// @inheritdoc IStakeVault
    function owedTo(address account) external view returns (uint256) {
        return _owed[account];
    }

    /// @inheritdoc IStakeVault
    function totalActive() external view returns (uint256) {
        return _totalActive;
    }

    /// @inheritdoc IStakeVault
    function totalUnbonding() external view returns (uint256) {
        return _totalUnbonding;
    }

    /// @inheritdoc IStakeVault
    function totalOwed() external view returns (uint256) {
        return _totalOwed;
    }

    /// @inheritdoc IStakeVault
    function terms() external view returns (uint64, uint64, uint256, uint16, uint16, address) {
        return (_unbondSeconds, _evidenceSeconds, _depositMin, _slashBps, _rewardBps, _treasury);
    }

    function _take(bytes32 key, Validator storage entry, uint256 amount) private {
        uint256 active = entry.active + amount;
        if (active < _depositMin) revert DepositTooLow(active, _depositMin);
        if (_totalActive + amount > SetTree.STAKE_MAX) {
            revert OutOfBounds("stake", _totalActive + amount, 1, SetTree.STAKE_MAX);
        }
        entry.active = active.toUint128();
        _totalActive += amount;
        emit Deposited(key, entry.owner, amount, active);
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = TOKEN.balanceOf(address(this)) - before;
        if (received != amount) revert TransferShort(received, amount);
    }

    function _release(bytes32 key, Validator storage entry, uint256 amount) private {
        uint64 withdrawableAt = uint64(block.timestamp) + _unbondSeconds;
        entry.active -= amount.toUint128();
        entry.releases.push(Release(amount.toUint128(), withdrawableAt));
        _totalActive -= amount;
        _totalUnbonding += amount;
        emit Unbonding(key, amount, withdrawableAt);
    }

    /// @dev Takes the share of all stake, rounded up, and releases what is left.
    function _punish(bytes32 key, Validator storage entry) private returns (uint256 amount) {
        entry.isSlashed = true;
        uint256 active = _share(entry.active);
        entry.active -= active.toUint128();
        _totalActive -= active;
        for (uint256 i = 0; i < entry.releases.length; ++i) {
            uint256 part = _share(entry.releases[i].amount);
            entry.releases[i].amount -= part.toUint128();
            amount += part;
        }
        _totalUnbonding -= amount;
        amount += active;
        // One more than the owner may begin, so that a full list hinders nothing.
        if (entry.active != 0) _release(key, entry, entry.active);
    }

    /// @dev Removes what may be paid out; the list has at most one more than `UNBONDINGS_MAX` entries.
    function _takeMatured(Release[] storage releases) private returns (uint256 amount, uint64 earliest) {
        uint256 i = 0;
        while (i < releases.length) {
            Release memory entry = releases[i];
            if (entry.withdrawableAt <= block.timestamp) {
                amount += entry.amount;
                releases[i] = releases[releases.length - 1];
                releases.pop();
            } else {
                if (earliest == 0 || entry.withdrawableAt < earliest) earliest = entry.withdrawableAt;
                ++i;
            }
        }
    }

    /// @dev True for a surround vote, false for a double vote; reverts if both votes may be cast.
    function _offence(SignedVote calldata a, SignedVote calldata b) private pure returns (bool) {
        bool isSame = a.sourceEpoch == b.sourceEpoch && a.sourceRoot == b.sourceRoot && a.targetRoot == b.targetRoot;
        if (a.targetEpoch == b.targetEpoch && !isSame) return false;
        if (_surrounds(a, b) || _surrounds(b, a)) return true;
        revert Harmless(a.sourceEpoch, a.targetEpoch, b.sourceEpoch, b.targetEpoch);
    }

    function _surrounds(SignedVote calldata outer, SignedVote calldata inner) private pure returns (bool) {
        return outer.sourceEpoch < inner.sourceEpoch && inner.targetEpoch < outer.targetEpoch;
    }

    /// @dev Reverts unless the key signed the vote, alone or within an aggregate.
    function _checkSigned(bytes32[8] calldata key, bytes32 name, SignedVote calldata vote) private view {
        bytes32[8] memory signing = vote.electorate.length == 0 ? key : _signers(name, vote);
        Votes.Domain memory network = Votes.Domain(_chainId, _genesis);
        bytes memory message =
            Votes.message(network, vote.sourceEpoch, vote.sourceRoot, vote.targetEpoch, vote.targetRoot);
        bytes32[4] memory hash = BLS12381.hashToG1(message, BLS12381.MESSAGE_DST);
        if (!BLS12381.verify(signing, hash, vote.signature)) revert VoteSignatureFalse(vote.targetEpoch);
    }

    /// @dev Sum of the signers' keys, of whom the accused is one. The electorate must be one that the light client accepted: a
    /// list of keys made up by the accuser could hold one that cancels the others.
    function _signers(bytes32 name, SignedVote calldata vote) private view returns (bytes32[8] memory signing) {
        bytes32 root = SetTree.electorate(SetTree.roots(vote.electorate));
        if (!CLIENT.isElectorate(root)) revert ElectorateUnknown(root);
        Voters calldata set = vote.electorate[vote.set];
        SetTree.check(vote.accused, set);
        if (keyOf(vote.accused.key) != name) revert NotSigned(vote.targetEpoch);
        for (uint256 i = 0; i < set.missing.length; ++i) {
            if (set.missing[i].index == vote.accused.index) revert NotSigned(vote.targetEpoch);
        }
        (signing,) = SetTree.signers(set, vote.electorate);
    }

    function _owned(bytes32 key) private view returns (Validator storage entry) {
        entry = _validators[key];
        if (entry.owner == address(0)) revert KeyUnknown(key);
        if (entry.owner != msg.sender) revert NotOwner(msg.sender, entry.owner);
    }

    function _share(uint256 amount) private view returns (uint256) {
        return (amount * _slashBps + BPS - 1) / BPS;
    }

    function _requireBounds(bytes32 name, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert OutOfBounds(name, value, min, max);
    }
}
