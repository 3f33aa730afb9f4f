// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Validators: their keys, and the reserved stake behind each registration.
/// @notice One registration is one seat while its stake is among the `seatsMax` largest and at least `seatStakeMin`. Whoever
/// has more stake registers more. What validators sign is judged by the sequencer; what it costs them is decided here.
interface IValidatorRegistry {
    /// @notice Active: may have a seat. Leaving: its stake is held until it is too late for evidence. Slashed: convicted,
    /// what is left is held as long. Gone: paid out; its keys are never taken again.
    enum State {
        None,
        Active,
        Leaving,
        Slashed,
        Gone
    }

    /// @param consensusKey Ed25519, for blocks.
    /// @param randomnessKey Ed25519, of the verifiable random function for the randomness of blocks.
    /// @param voteKey BLS12-381 in G2 as EIP-2537 has it, for votes on checkpoints.
    /// @param possession Signature with it over key and owner (docs/finality.md), a point of G1 as EIP-2537 has it.
    /// @param proof Signature with it over the key alone, compressed, 48 bytes: what validators ask for before they count a
    /// key. It is not checked here; a validator without a good one has neither seat nor vote.
    struct Keys {
        bytes32 consensusKey;
        bytes32 randomnessKey;
        bytes32[8] voteKey;
        bytes32[4] possession;
        bytes proof;
    }

    /// @param ip IPv6 address; IPv4 as `::ffff:a.b.c.d`.
    /// @param port for consensus; 0 stands at genesis alone: where the network file says.
    /// @param api URL of the node's API, printable ASCII, at most 128 bytes.
    struct Endpoint {
        uint128 ip;
        uint16 port;
        string api;
    }

    /// @param voteKey Compressed, 96 bytes.
    /// @param slashed What offences cost, wei.
    /// @param withdrawableAt Time from which the rest is paid out, 0 while active.
    struct Validator {
        uint64 id;
        address owner;
        State state;
        uint64 withdrawableAt;
        uint128 stake;
        uint128 slashed;
        bytes32 consensusKey;
        bytes32 randomnessKey;
        bytes voteKey;
        bytes proof;
        Endpoint endpoint;
    }

    event Registered(uint64 indexed id, address indexed owner, bytes32 consensusKey, bytes voteKey, uint256 stake);
    event Rotated(uint64 indexed id, bytes32 consensusKey, bytes voteKey);
    event Moved(uint64 indexed id, uint128 ip, uint16 port, string api);
    event StakeAdded(uint64 indexed id, uint256 amount, uint256 stake);
    event Left(uint64 indexed id, bool ejected, uint64 withdrawableAt);
    event Withdrawn(uint64 indexed id, address indexed owner, uint256 amount);
    event Convicted(uint64 indexed id, address indexed owner, uint256 amount, uint256 left);
    event ParameterChanged(bytes32 indexed name, uint256 value);

    error NotOwner(uint64 id, address caller, address owner);
    error NotActive(uint64 id, uint8 state);
    /// @notice Neither leaving nor slashed, or paid out already.
    error NothingHeld(uint64 id, uint8 state);
    error StillHeld(uint64 id, uint64 withdrawableAt);
    error SeatStakeTooLow(uint256 stake, uint256 min);
    error StillEnough(uint64 id, uint256 stake, uint256 min);
    error ZeroStake();
    error ZeroConsensusKey();
    error ZeroRandomnessKey();
    /// @notice A key has another length.
    error KeyLength(bytes32 field, uint256 length, uint256 wanted);
    /// @notice A key that is or was registered; keccak256 of it, but for those of Ed25519, which are as they are.
    error KeyTaken(bytes32 field, bytes32 key, uint64 id);
    error PossessionFalse(bytes32 voteKey);
    error EndpointInvalid(uint128 ip, uint16 port);
    error ApiInvalid(uint256 length, uint256 max);
    error RegistryFull(uint256 max);
    /// @notice Somebody must be left to go on.
    error LastValidator(uint64 id);
    /// @notice Only the chain itself may, and only at genesis for registrations.
    error NotSystem(address caller);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);

    /// @notice Registers with `amount` of the caller's free stake; what is sent along is staked for the caller first.
    function register(Keys calldata keys, Endpoint calldata endpoint, uint256 amount)
        external
        payable
        returns (uint64 id);
    /// @notice Replaces the keys; those that are to stay are named again. The old ones stay liable.
    function rotate(uint64 id, Keys calldata keys) external;
    function move(uint64 id, Endpoint calldata endpoint) external;
    /// @notice Reserves more of the owner's free stake; what is sent along is staked first.
    function addStake(uint64 id, uint256 amount) external payable;
    /// @notice Gives the seat up. The stake is held for `StakeManager.unbondSeconds`.
    function leave(uint64 id) external;
    /// @notice The same for a validator whose stake is below `seatStakeMin`. Anybody may call.
    function eject(uint64 id) external;
    /// @notice Pays the owner what was held long enough.
    function withdraw(uint64 id) external returns (uint256 amount);
    /// @notice The chain at genesis only: keys were checked with the network file, `amount` is in the stake's account already.
    function registerAtGenesis(
        address owner,
        bytes32 consensusKey,
        bytes32 randomnessKey,
        bytes calldata voteKey,
        bytes calldata proof,
        uint256 amount
    ) external;
    /// @notice The chain only, for evidence in the block. Never fails; once for each validator.
    function slash(uint64 id) external;

    /// @notice Validators that are active, whatever their stake.
    function count() external view returns (uint256);
    /// @notice Active validators, in no order.
    function list(uint256 from, uint256 max) external view returns (Validator[] memory);
    function validator(uint64 id) external view returns (Validator memory);
    /// @notice Who has or had this key (keccak256 of its 96 bytes); 0 if nobody.
    function idOfVoteKey(bytes32 keyHash) external view returns (uint64);
    /// @notice Who has or had this key; 0 if nobody.
    function idOfConsensusKey(bytes32 key) external view returns (uint64);
    /// @notice What `register` and `rotate` want signed with the vote key.
    function possessionMessage(bytes32[8] calldata voteKey, address owner) external pure returns (bytes memory);
    /// @notice names: seatsMax, seatStakeMin, slashBps.
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
