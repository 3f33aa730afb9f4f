// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @notice What a checkpoint's root covers; `proof::checkpoint::Checkpoint`.
/// @param timestamp Unix time of its block, in seconds.
/// @param blockDigest Digest of its block's sequencer header.
/// @param application What the application wants light clients to see: for the settlement chain the hash of its EVM header.
/// @param electorate Root of those who vote on this checkpoint.
/// @param state Commitment to the finality state before it.
struct Checkpoint {
    uint64 epoch;
    uint64 height;
    uint64 timestamp;
    bytes32 blockDigest;
    bytes32 application;
    bytes32 electorate;
    bytes32 state;
}

/// @notice A link of the electorate from a justified checkpoint to a later one.
/// @param source Epoch of the source, which the light client knows to be justified.
struct Link {
    uint64 source;
    Checkpoint target;
}

/// @notice A validator of a set and its place in the tree.
/// @param key Point of G2 as EIP-2537 has it.
/// @param path Hashes from leaf to root.
struct Member {
    uint256 index;
    bytes32[8] key;
    uint256 stake;
    bytes32[] path;
}

/// @notice A signer who is not in the set it is listed with, but in set number `set` of the electorate.
struct Outsider {
    uint256 set;
    Member member;
}

/// @notice What a set's root covers, and how the signers differ from the set.
/// @param number Validators in the set.
/// @param stake Stake of all.
/// @param sum Sum of all keys.
/// @param tree Root over the validators.
/// @param missing Validators who did not sign, ascending by index.
/// @param outsiders Signers who are not in the set.
struct Voters {
    uint256 number;
    uint256 stake;
    bytes32[8] sum;
    bytes32 tree;
    Member[] missing;
    Outsider[] outsiders;
}

/// @notice Who signed, and the sum of their signatures.
/// @param sets Sets of the targets' electorate, the oldest first.
/// @param known Sets that the light client knows and the electorate has not, only where it changes.
/// @param signature Point of G1 as EIP-2537 has it: the sum of all signers' signatures over all links.
struct Witness {
    Voters[] sets;
    Voters[] known;
    bytes32[4] signature;
}

/// @title Finality of a Kumo network on another chain.
interface IKumoLightClient {
    /// @notice Two finalised checkpoints exclude each other: a third of the stake can be slashed, and nothing is taken any more.
    error Stopped();
    /// @notice Nothing was finalised for so long that those who voted may have withdrawn their stake.
    error TooOld(uint64 timestamp, uint64 trustSeconds);
    error LinkCount(uint256 count, uint256 max);
    /// @notice The source is not justified here.
    error SourceUnknown(uint64 epoch);
    /// @notice The target is not later than the source, or has the last epoch that there is.
    error Backward(uint64 source, uint64 target);
    /// @notice The sets do not make the electorate that a checkpoint names.
    error ElectorateMismatch(bytes32 computed, bytes32 named);
    /// @notice Too little stake of a set signed.
    error StakeTooLow(bytes32 set, uint256 voted, uint256 total);
    /// @notice The signers of two sets are not the same.
    error SignersDiffer(bytes32 set);
    /// @notice A set that is known here must agree to a new electorate.
    error SetMissing(bytes32 set);
    error SignatureFalse();
    /// @notice The checkpoint that becomes final is another one.
    error FinalisedMismatch(bytes32 computed, bytes32 root);
    /// @notice All of it is known.
    error NothingNew(uint64 justifiedEpoch);

    event Finalised(
        uint64 indexed epoch,
        bytes32 indexed root,
        uint64 height,
        uint64 timestamp,
        bytes32 blockDigest,
        bytes32 application
    );
    event ElectorateChanged(bytes32 indexed electorate, bytes32[] sets);
    event Conflict(uint64 indexed epoch, bytes32 known, bytes32 claimed);

    /// @notice Takes links that the same signers voted for, in order; the last source that becomes final is recorded.
    /// @param finalised That source. Anything if nothing becomes final.
    function advance(Link[] calldata links, Checkpoint calldata finalised, Witness calldata witness) external;

    /// @notice Chain id and genesis digest of the network that is followed.
    function domain() external view returns (uint64 chainId, bytes32 genesis);

    /// @notice Seconds without a finalised checkpoint after which nothing is taken any more.
    function trustSeconds() external view returns (uint64);

    /// @notice Whether two finalised checkpoints excluded each other.
    function isStopped() external view returns (bool);

    /// @notice The last finalised checkpoint.
    function latest()
        external
        view
        returns (uint64 epoch, bytes32 root, uint64 height, uint64 timestamp, bytes32 blockDigest, bytes32 application);

    /// @notice Root of the finalised checkpoint of `epoch`; zero if none was recorded.
    function finalisedRoot(uint64 epoch) external view returns (bytes32);

    /// @notice Whether the checkpoint was recorded as final; never while stopped.
    function isFinalised(uint64 epoch, bytes32 root) external view returns (bool);

    /// @notice Up to four last justified checkpoints, in no order; root zero where there is none.
    function justified() external view returns (uint64[4] memory epochs, bytes32[4] memory roots);

    /// @notice Electorate of the last justified checkpoint, its sets, and the set in force at the last finalised one.
    function electorate() external view returns (bytes32 root, bytes32[] memory sets, bytes32 settled);

    /// @notice Whether an electorate was ever accepted.
    function isElectorate(bytes32 root) external view returns (bool);
}

/// @notice A vote and how it is shown that a key signed it.
/// @param signature The key's own, or an aggregate's.
/// @param electorate Empty for the key's own signature, else the sets of an electorate that the light client knows.
/// @param set Which of them says who signed, and has the key.
/// @param accused Place of the key in that set.
struct SignedVote {
    uint64 sourceEpoch;
    bytes32 sourceRoot;
    uint64 targetEpoch;
    bytes32 targetRoot;
    bytes32[4] signature;
    Voters[] electorate;
    uint256 set;
    Member accused;
}

/// @title Stake of validators of a Kumo network, on a chain that they do not order.
interface IStakeVault {
    error ZeroAmount();
    error ZeroAddress();
    /// @notice A constructor argument is out of its bounds.
    error OutOfBounds(bytes32 name, uint256 value, uint256 min, uint256 max);
    error DepositTooLow(uint256 amount, uint256 min);
    /// @notice The token took a fee.
    error TransferShort(uint256 received, uint256 amount);
    error PossessionFalse();
    error KeyTaken(bytes32 key, address owner);
    error KeyUnknown(bytes32 key);
    error NotOwner(address caller, address owner);
    error AlreadySlashed(bytes32 key);
    error StakeTooLow(uint256 active, uint256 amount);
    error UnbondingsMax(bytes32 key, uint256 max);
    error NothingToWithdraw(bytes32 key, uint64 earliest);
    error NothingOwed(address account);
    /// @notice Both votes may be cast.
    error Harmless(uint64 firstSource, uint64 firstTarget, uint64 secondSource, uint64 secondTarget);
    error ElectorateUnknown(bytes32 electorate);
    /// @notice The accused is not among the signers.
    error NotSigned(uint64 targetEpoch);
    error VoteSignatureFalse(uint64 targetEpoch);

    event Deposited(bytes32 indexed key, address indexed owner, uint256 amount, uint256 active);
    event Unbonding(bytes32 indexed key, uint256 amount, uint64 withdrawableAt);
    event Withdrawn(bytes32 indexed key, address indexed to, uint256 amount);
    event Slashed(bytes32 indexed key, address indexed reporter, uint256 amount, uint256 reward, bool surround);
    event Paid(address indexed account, uint256 amount);

    /// @notice Locks stake behind a key that is new here.
    /// @param possession Signature of the key over `possessionMessage(key, msg.sender)`.
    function deposit(bytes32[8] calldata key, bytes32[4] calldata possession, uint256 amount) external;

    /// @notice Locks more stake behind the caller's key.
    function add(bytes32 key, uint256 amount) external;

    /// @notice Begins to release stake; it can be slashed until it is withdrawn.
    function unbond(bytes32 key, uint256 amount) external;

    /// @notice Pays out what has been unbonding long enough.
    function withdraw(bytes32 key) external returns (uint256 amount);

    /// @notice Slashes a key that signed two votes that exclude each other; the reporter is owed a reward.
    function slash(bytes32[8] calldata key, SignedVote calldata first, SignedVote calldata second) external;

    /// @notice Pays what the caller is owed for reports, or as treasury.
    function claim() external returns (uint256 amount);

    /// @notice What a key signs, in the domain of possession, to be registered by `owner`.
    function possessionMessage(bytes32[8] calldata key, address owner) external pure returns (bytes memory);

    /// @notice Name of a key: keccak256 of its 256 bytes.
    function keyOf(bytes32[8] calldata key) external pure returns (bytes32);

    /// @notice Owner, stake that counts, stake that is being released, and whether it was slashed.
    function validator(bytes32 key)
        external
        view
        returns (address owner, uint256 active, uint256 unbonding, bool isSlashed);

    function owedTo(address account) external view returns (uint256);
    function totalActive() external view returns (uint256);
    function totalUnbonding() external view returns (uint256);
    function totalOwed() external view returns (uint256);

    /// @notice What the constructor fixed.
    function terms()
        external
        view
        returns (
            uint64 unbondSeconds,
            uint64 evidenceSeconds,
            uint256 depositMin,
            uint16 slashBps,
            uint16 rewardBps,
            address treasury
        );
}

/// @notice What a rollup posts.
enum Mode {
    None,
    /// Everything that was ordered, so that anybody can execute it again.
    Optimistic,
    /// A proof of what became of it, and what changed.
    Zk
}

/// @notice Where what was posted is to be found.
enum Carrier {
    Calldata,
    Blobs,
    Proof
}

/// @notice What shows the account of a namespace in a block that stake has finalised, or a name that `trace` derived from one.
/// @param checkpoint Finalised in the light client.
/// @param header Header of its block.
/// @param commitment Proof that transaction 0 of namespace 0 stands in that block; it holds the root of accounts.
/// @param account Proof of the account under that root; it covers all blocks before this one.
/// @param traced A name that was traced, then the others count for nothing; zero for an account.
struct Anchor {
    Checkpoint checkpoint;
    bytes header;
    bytes commitment;
    bytes account;
    bytes32 traced;
}

/// @notice What a proof is about: executing everything that was ordered between two names of inputs leads from one state to another.
/// @param height Last block that is covered.
/// @param inputs Name of what was ordered before, from the first block on.
/// @param newInputs Name of what was ordered up to `height`.
/// @param stateDiff Keccak-256 of the state difference.
struct Transition {
    uint64 namespace;
    uint64 height;
    bytes32 stateRoot;
    bytes32 newStateRoot;
    bytes32 inputs;
    bytes32 newInputs;
    bytes32 stateDiff;
}

/// @title What decides whether a rollup's transition is right.
interface IProofVerifier {
    /// @notice True only if the proof shows it. The statement must cover every field, or say in its documentation what it leaves out.
    function verify(Transition calldata transition, bytes calldata proof) external view returns (bool);
}

/// @title What rollups on a Kumo network put on this chain.
interface IRollupInbox {
    /// @notice A rollup as this contract has it.
    /// @param poster Who may post blobs; calldata and proofs are checked, so anybody may post them.
    /// @param count Batches so far.
    /// @param height Last block that they cover.
    /// @param since First block of the namespace's account.
    /// @param inputs Name of everything that they cover.
    /// @param stateRoot State after it (zk).
    /// @param batches Name of all batches, each with the one before.
    struct Rollup {
        uint64 namespace;
        Mode mode;
        address poster;
        address pendingPoster;
        address verifier;
        uint64 count;
        uint64 height;
        uint64 since;
        bytes32 inputs;
        bytes32 stateRoot;
        bytes32 batches;
    }

    error ZeroAddress();
    error Unknown(uint256 id);
    /// @notice An optimistic rollup has no verifier and no state root, the one of the others is a contract.
    error ModeMismatch(Mode mode, address verifier);
    error NotPoster(uint256 id, address caller, address poster);
    /// @notice The mode of the rollup takes something else.
    error WrongMode(uint256 id, Mode mode);
    /// @notice Whoever derives the chain must find the data in the transaction itself.
    error NotDirect(address caller);
    error CheckpointNotFinal(uint64 epoch, bytes32 root);
    error HeaderMalformed(uint256 length);
    error HeaderMismatch(bytes32 computed, bytes32 checkpoint);
    /// @notice The first transaction of namespace 0 is no root of accounts.
    error NotCommitted();
    error OtherNamespace(uint64 found, uint64 expected);
    /// @notice The network forgot the account since the last batch, and began another one: what was ordered between is not named.
    error Restarted(uint64 since, uint64 height);
    /// @notice The anchor covers nothing that is new.
    error NothingNew(uint64 height);
    error BatchMalformed(uint256 length);
    /// @notice These are not the blocks that follow, or not all of them.
    error InputsMismatch(bytes32 reached, bytes32 committed);
    error BlobsMissing();
    error ProofFalse();
    error BatchUnknown(uint256 id, uint256 index);
    error NotTraced(uint256 id, bytes32 inputs);

    event Registered(
        uint256 indexed id,
        uint64 indexed namespace,
        address indexed poster,
        Mode mode,
        address verifier,
        bytes32 stateRoot
    );
    event PosterOffered(uint256 indexed id, address poster);
    event PosterChanged(uint256 indexed id, address poster);
    /// @param height Last block that is covered, from the one behind the last batch on.
    /// @param inputs Name of everything up to it.
    /// @param content What was posted: Keccak-256 of the batch, of the blobs' versioned hashes and the leaves, or of the state difference.
    /// @param batches Name of all batches up to this one.
    event BatchPosted(
        uint256 indexed id,
        uint256 indexed index,
        Carrier carrier,
        uint64 height,
        bytes32 inputs,
        bytes32 content,
        bytes32 batches
    );
    event BlobsPosted(uint256 indexed id, uint256 indexed index, bytes32[] hashes);
    event StateProven(uint256 indexed id, uint256 indexed index, bytes32 stateRoot, bytes32 newStateRoot);
    event Traced(uint256 indexed id, bytes32 indexed inputs, uint64 height);
    /// @notice Blocks of an older batch were posted again, with the data.
    event Republished(uint256 indexed id, uint256 indexed index, bytes32 from, bytes32 to, bytes32 content);

    /// @notice Begins an inbox for a namespace; the caller posts its blobs. Nobody has a namespace for himself here: users of a
    /// rollup know which inbox is its own by `id`.
    /// @param verifier Of a zk rollup, for ever; zero for an optimistic one.
    /// @param stateRoot State of a zk rollup before its first transaction.
    function register(uint64 namespace, Mode mode, address verifier, bytes32 stateRoot) external returns (uint256 id);

    /// @notice Offers the place of the poster to somebody, who takes it with `acceptPoster`.
    function offerPoster(uint256 id, address poster) external;
    function acceptPoster(uint256 id) external;

    /// @notice Records the blocks that follow on the last batch, and checks that they are all that was ordered. Anybody may.
    /// @param batch The blocks (docs/formats.md); empty if nothing was ordered up to the anchor.
    /// @param rest Leaves of the blocks between the batch and the anchor, whose data comes with later batches.
    function postCalldata(uint256 id, Anchor calldata anchor, bytes calldata batch, bytes calldata rest) external;

    /// @notice Records the blobs of this transaction as the data of the blocks that follow. Checked is what the blocks are, by their
    /// leaves, and not what the blobs hold: whoever reads the blobs sees whether they do, and `republish` repairs it.
    /// @param leaves Leaves of the blocks in the blobs, at least one.
    function postBlobs(uint256 id, Anchor calldata anchor, bytes calldata leaves, bytes calldata rest) external;

    /// @notice Takes a new state that follows from everything up to the anchor, if the rollup's verifier agrees. Anybody may.
    function postProof(
        uint256 id,
        Anchor calldata anchor,
        bytes32 newStateRoot,
        bytes calldata stateDiff,
        bytes calldata proof
    ) external;

    /// @notice Puts the data of blocks of an older batch on this chain as calldata, where it is checked. Anybody may.
    /// @param before Leaves of blocks of the batch before these.
    /// @param rest Leaves of blocks of the batch behind these.
    function republish(uint256 id, uint256 index, bytes calldata before, bytes calldata batch, bytes calldata rest)
        external;

    /// @notice Records that `from` names everything before the first of these leaves, as they lead from there to the anchor. For
    /// those who are so far behind that the leaves up to an account do not fit into one call. Anybody may.
    function trace(uint256 id, Anchor calldata anchor, bytes32 from, bytes calldata leaves) external;

    function rollup(uint256 id) external view returns (Rollup memory);
    /// @notice Last block that a traced name covers; zero if it was not traced.
    function tracedHeight(uint256 id, bytes32 inputs) external view returns (uint64);
    /// @notice Rollups so far; ids begin at 1.
    function count() external view returns (uint256);
    /// @notice Name of everything that was ordered up to and with batch number `index`.
    function inputsAt(uint256 id, uint256 index) external view returns (bytes32);
    function lightClient() external view returns (address);
}
