// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { IValidatorRegistry } from "./interfaces/IValidatorRegistry.sol";
import { BLS12381 } from "./l1/BLS12381.sol";
import { Parameters } from "./Parameters.sol";
import { Predeploys } from "./Predeploys.sol";

/// @title Validators: their keys, and the reserved stake behind each registration.
/// @notice No coin is here: stake is reserved in `StakeManager` in the name of the owner. It can be slashed from the moment it is
/// reserved until it is paid out, `unbondSeconds` after its validator left, which outlives the time that evidence may take.
///
/// A validator is slashed once, by the chain, for evidence in a block: two votes on checkpoints, or two votes of the engine, that
/// exclude each other. Any key that it ever had is enough. Nobody is rewarded, so nobody gains by reporting itself.
contract ValidatorRegistry is IValidatorRegistry, Parameters {
    using SafeCast for uint256;

    /// @notice Registrations that are active at a time; also what a validator set of Casper FFG may have.
    uint256 public constant VALIDATORS_MAX = 1024;
    uint256 private constant BPS = 10_000;
    uint256 private constant POINT_BYTES = 48;
    uint256 private constant VOTE_KEY_BYTES = 96;
    uint256 private constant API_BYTES_MAX = 128;
    IStakeManager private constant STAKES = IStakeManager(Predeploys.STAKE_MANAGER);

    /// @param position Place among the active, plus one; 0 for all others.
    struct Record {
        address owner;
        State state;
        uint64 withdrawableAt;
        uint128 stake;
        uint128 slashed;
        uint64 position;
        bytes32 consensusKey;
        bytes32 randomnessKey;
        bytes voteKey;
        bytes proof;
        Endpoint endpoint;
    }

    uint64 private _last;
    uint64[] private _active;
    mapping(uint64 id => Record) private _records;
    /// @dev Keys that are or were registered, for ever.
    mapping(bytes32 key => uint64 id) private _byConsensusKey;
    mapping(bytes32 key => uint64 id) private _byRandomnessKey;
    mapping(bytes32 keyHash => uint64 id) private _byVoteKey;

    constructor() {
        // At most what a committee may have (`sequencer::limits::COMMITTEE_MAX`).
        _define("seatsMax", 128, 4, 256);
        _define("seatStakeMin", 1000 ether, 1 ether, 10_000_000 ether);
        _define("slashBps", 10_000, 1000, 10_000);
    }

    /// @inheritdoc IValidatorRegistry
    function register(Keys calldata keys, Endpoint calldata endpoint, uint256 amount)
        external
        payable
        returns (uint64 id)
    {
        _requireReachable(endpoint);
        bytes memory voteKey = _possessed(keys);
        id = _open(msg.sender, amount);
        _setKeys(id, keys.consensusKey, keys.randomnessKey, voteKey, keys.proof);
        _records[id].endpoint = endpoint;
        _stakeSent();
        STAKES.reserve(msg.sender, amount);
        emit Registered(id, msg.sender, keys.consensusKey, voteKey, amount);
        emit Moved(id, endpoint.ip, endpoint.port, endpoint.api);
    }

    /// @inheritdoc IValidatorRegistry
    function rotate(uint64 id, Keys calldata keys) external {
        _requireActive(_owned(id), id);
        bytes memory voteKey = _possessed(keys);
        _setKeys(id, keys.consensusKey, keys.randomnessKey, voteKey, keys.proof);
        emit Rotated(id, keys.consensusKey, voteKey);
    }

    /// @inheritdoc IValidatorRegistry
    function move(uint64 id, Endpoint calldata endpoint) external {
        Record storage r = _owned(id);
        _requireActive(r, id);
        _requireReachable(endpoint);
        r.endpoint = endpoint;
        emit Moved(id, endpoint.ip, endpoint.port, endpoint.api);
    }

    /// @inheritdoc IValidatorRegistry
    function addStake(uint64 id, uint256 amount) external payable {
        Record storage r = _owned(id);
        _requireActive(r, id);
        if (amount == 0) revert ZeroStake();
        uint256 stake = r.stake + amount;
        r.stake = stake.toUint128();
        _stakeSent();
        STAKES.reserve(msg.sender, amount);
        emit StakeAdded(id, amount, stake);
    }

    /// @inheritdoc IValidatorRegistry
    function leave(uint64 id) external {
        _leave(_owned(id), id, false);
    }

    /// @inheritdoc IValidatorRegistry
    function eject(uint64 id) external {
        Record storage r = _records[id];
        uint256 min = _value("seatStakeMin");
        if (r.stake >= min) revert StillEnough(id, r.stake, min);
        _leave(r, id, true);
    }

    /// @inheritdoc IValidatorRegistry
    function withdraw(uint64 id) external returns (uint256 amount) {
        Record storage r = _owned(id);
        amount = r.stake;
        if ((r.state != State.Leaving && r.state != State.Slashed) || amount == 0) {
            revert NothingHeld(id, uint8(r.state));
        }
        if (block.timestamp < r.withdrawableAt) revert StillHeld(id, r.withdrawableAt);
        r.stake = 0;
        if (r.state == State.Leaving) r.state = State.Gone;
        emit Withdrawn(id, r.owner, amount);
        STAKES.payOut(r.owner, amount);
    }

    /// @inheritdoc IValidatorRegistry
    function registerAtGenesis(
        address owner,
        bytes32 consensusKey,
        bytes32 randomnessKey,
        bytes calldata voteKey,
        bytes calldata proof,
        uint256 amount
    ) external {
        if (msg.sender != Predeploys.SYSTEM || block.number != 0) {
            revert NotSystem(msg.sender);
        }
        _requireLength("voteKey", voteKey.length, VOTE_KEY_BYTES);
        uint64 id = _open(owner, amount);
        _setKeys(id, consensusKey, randomnessKey, voteKey, proof);
        STAKES.stakeAtGenesis(owner, amount);
        STAKES.reserve(owner, amount);
        emit Registered(id, owner, consensusKey, voteKey, amount);
    }

    /// @inheritdoc IValidatorRegistry
    function slash(uint64 id) external {
        if (msg.sender != Predeploys.SYSTEM) revert NotSystem(msg.sender);
        Record storage r = _records[id];
        if (r.state != State.Active && r.state != State.Leaving) return;
        uint256 amount = Math.ceilDiv(uint256(r.stake) * _value("slashBps"), BPS);
        r.stake -= amount.toUint128();
        r.slashed = amount.toUint128();
        _deactivate(r);
        _hold(r, State.Slashed);
        emit Convicted(id, r.owner, amount, r.stake);
        STAKES.slash(r.owner, amount, address(0), 0);
    }

    /// @inheritdoc IValidatorRegistry
    function setParameter(bytes32 name, uint256 value) external restricted {
        _setParameter(name, value);
    }

    /// @inheritdoc IValidatorRegistry
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc IValidatorRegistry
    function count() external view returns (uint256) {
        return _active.length;
    }

    /// @inheritdoc IValidatorRegistry
    function list(uint256 from, uint256 max) external view returns (Validator[] memory validators) {
        uint256 total = _active.length;
        uint256 left = from < total ? total - from : 0;
        validators = new Validator[](Math.min(left, max));
        for (uint256 i = 0; i < validators.length; ++i) {
            validators[i] = validator(_active[from + i]);
        }
    }

    /// @inheritdoc IValidatorRegistry
    function validator(uint64 id) public view returns (Validator memory) {
        Record storage r = _records[id];
        return Validator({
            id: id,
            owner: r.owner,
            state: r.state,
            withdrawableAt: r.withdrawableAt,
            stake: r.stake,
            slashed: r.slashed,
            consensusKey: r.consensusKey,
            randomnessKey: r.randomnessKey,
            voteKey: r.voteKey,
            proof: r.proof,
            endpoint: r.endpoint
        });
    }

    /// @inheritdoc IValidatorRegistry
    function idOfVoteKey(bytes32 keyHash) external view returns (uint64) {
        return _byVoteKey[keyHash];
    }

    /// @inheritdoc IValidatorRegistry
    function idOfConsensusKey(bytes32 key) external view returns (uint64) {
        return _byConsensusKey[key];
    }

    /// @inheritdoc IValidatorRegistry
    function possessionMessage(bytes32[8] calldata voteKey, address owner) public pure returns (bytes memory) {
        return abi.encodePacked(BLS12381.compressG2(voteKey), owner);
    }

    /// @dev A new record of `owner` among the active.
    function _open(address owner, uint256 amount) private returns (uint64 id) {
        uint256 min = _value("seatStakeMin");
        if (amount < min) revert SeatStakeTooLow(amount, min);
        if (_active.length >= VALIDATORS_MAX) revert RegistryFull(VALIDATORS_MAX);
        id = ++_last;
        _active.push(id);
        Record storage r = _records[id];
        r.owner = owner;
        r.state = State.Active;
        r.stake = amount.toUint128();
        r.position = _active.length.toUint64();
    }

    /// @dev The compressed vote key, whose secret the caller has shown to hold.
    function _possessed(Keys calldata keys) private view returns (bytes memory voteKey) {
        // The hash is over the compressed key, so points that are not on the curve fail in `verify` at the latest.
        bytes32[4] memory hash = BLS12381.hashToG1(possessionMessage(keys.voteKey, msg.sender), BLS12381.POSSESSION_DST);
        voteKey = BLS12381.compressG2(keys.voteKey);
        if (!BLS12381.verify(keys.voteKey, hash, keys.possession)) revert PossessionFalse(keccak256(voteKey));
    }

    /// @dev Keys that this validator has already may stay; every other one must never have been registered.
    function _setKeys(
        uint64 id,
        bytes32 consensusKey,
        bytes32 randomnessKey,
        bytes memory voteKey,
        bytes calldata proof
    ) private {
        if (consensusKey == 0) revert ZeroConsensusKey();
        if (randomnessKey == 0) revert ZeroRandomnessKey();
        _requireLength("proof", proof.length, POINT_BYTES);
        Record storage r = _records[id];
        if (r.consensusKey != consensusKey) _claim(_byConsensusKey, "consensusKey", consensusKey, id);
        if (r.randomnessKey != randomnessKey) _claim(_byRandomnessKey, "randomnessKey", randomnessKey, id);
        if (keccak256(r.voteKey) != keccak256(voteKey)) _claim(_byVoteKey, "voteKey", keccak256(voteKey), id);
        r.consensusKey = consensusKey;
        r.randomnessKey = randomnessKey;
        r.voteKey = voteKey;
        r.proof = proof;
    }

    function _claim(mapping(bytes32 => uint64) storage keys, bytes32 field, bytes32 key, uint64 id) private {
        if (keys[key] != 0) revert KeyTaken(field, key, keys[key]);
        keys[key] = id;
    }

    function _leave(Record storage r, uint64 id, bool ejected) private {
        _requireActive(r, id);
        if (_active.length == 1) revert LastValidator(id);
        _deactivate(r);
        _hold(r, State.Leaving);
        emit Left(id, ejected, r.withdrawableAt);
    }

    /// @dev The last of the active takes the place that becomes free.
    function _deactivate(Record storage r) private {
        uint64 position = r.position;
        if (position == 0) return;
        uint64 moved = _active[_active.length - 1];
        _active[position - 1] = moved;
        _records[moved].position = position;
        _active.pop();
        r.position = 0;
    }

    function _hold(Record storage r, State state) private {
        (uint256 unbondSeconds,,) = STAKES.parameter("unbondSeconds");
        r.state = state;
        r.withdrawableAt = (block.timestamp + unbondSeconds).toUint64();
    }

    function _stakeSent() private {
        if (msg.value != 0) STAKES.stakeFor{ value: msg.value }(msg.sender);
    }

    function _owned(uint64 id) private view returns (Record storage r) {
        r = _records[id];
        if (r.owner != msg.sender) revert NotOwner(id, msg.sender, r.owner);
    }

    function _requireActive(Record storage r, uint64 id) private view {
        if (r.state != State.Active) revert NotActive(id, uint8(r.state));
    }

    function _requireReachable(Endpoint calldata endpoint) private pure {
        if (endpoint.ip == 0 || endpoint.port == 0) revert EndpointInvalid(endpoint.ip, endpoint.port);
        bytes calldata api = bytes(endpoint.api);
        if (api.length > API_BYTES_MAX) revert ApiInvalid(api.length, API_BYTES_MAX);
        for (uint256 i = 0; i < api.length; ++i) {
            if (api[i] <= 0x20 || api[i] >= 0x7f) revert ApiInvalid(api.length, API_BYTES_MAX);
        }
    }

    function _requireLength(bytes32 field, uint256 length, uint256 wanted) private pure {
        if (length != wanted) revert KeyLength(field, length, wanted);
    }
}
