// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { NamespaceProof } from "../NamespaceProof.sol";
import {
    Anchor,
    Carrier,
    IKumoLightClient,
    IProofVerifier,
    IRollupInbox,
    Mode,
    Transition
} from "../interfaces/IKumoL1.sol";
import { Votes } from "./Votes.sol";

/// @title What rollups on a Kumo network put on this chain, in order and without gaps.
/// @notice Every batch is checked against what stake has finalised. The account of a namespace, which the block of every checkpoint
/// commits to, names all that was ordered in the namespace since its first block, by a chain of hashes with one link for each
/// block. A batch must lead from the last name to that one:
///
///     checkpoint in KumoLightClient ─▶ header ─▶ namespaces root ─▶ root of accounts ─▶ account.inputs
///     last batch's inputs ─▶ blocks of this batch ─▶ leaves of what comes later ─────────────▲
///
/// So what is here is what was ordered, all of it, in order, whoever posts it, at once and without a time to object. The one thing
/// that cannot be checked is what blobs hold.
contract RollupInbox is IRollupInbox {
    /// @notice First byte of a batch.
    bytes1 public constant BATCH_VERSION = 0x01;

    /// @dev Of `proof::certificate::Header`: parent, height, view, time, one, reveal, randomness, three roots, commitment.
    uint256 private constant HEADER_BYTES = 297;
    uint256 private constant NAMESPACES_ROOT_AT = 169;
    bytes private constant HEADER_DOMAIN = "kumo/block/header/v3";
    bytes1 private constant COMMITMENT_TAG = 0x08;
    uint256 private constant LEAF_BYTES = 44;
    uint256 private constant BLOCK_HEAD_BYTES = 12;

    IKumoLightClient private immutable _client;
    uint256 private _count;
    mapping(uint256 id => Rollup) private _rollups;
    mapping(uint256 id => mapping(uint256 index => bytes32 inputs)) private _inputs;
    mapping(uint256 id => mapping(bytes32 inputs => uint64 height)) private _traced;

    /// @param client Says what is final.
    constructor(IKumoLightClient client) {
        if (address(client) == address(0)) revert ZeroAddress();
        _client = client;
    }

    /// @dev Data must be the data of the transaction. An account with delegated code could be called by anybody.
    modifier onlyDirect() {
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert NotDirect(msg.sender);
        _;
    }

    /// @inheritdoc IRollupInbox
    function register(uint64 namespace, Mode mode, address verifier, bytes32 stateRoot) external returns (uint256 id) {
        bool fits = mode == Mode.Zk
            ? verifier.code.length != 0
            : mode == Mode.Optimistic && verifier == address(0) && stateRoot == 0;
        if (!fits) revert ModeMismatch(mode, verifier);
        id = ++_count;
        Rollup storage rollup_ = _rollups[id];
        (rollup_.namespace, rollup_.mode, rollup_.poster) = (namespace, mode, msg.sender);
        (rollup_.verifier, rollup_.stateRoot) = (verifier, stateRoot);
        emit Registered(id, namespace, msg.sender, mode, verifier, stateRoot);
    }

    /// @inheritdoc IRollupInbox
    function offerPoster(uint256 id, address poster) external {
        Rollup storage known = _known(id);
        if (msg.sender != known.poster) revert NotPoster(id, msg.sender, known.poster);
        known.pendingPoster = poster;
        emit PosterOffered(id, poster);
    }

    /// @inheritdoc IRollupInbox
    function acceptPoster(uint256 id) external {
        Rollup storage known = _known(id);
        if (msg.sender != known.pendingPoster) revert NotPoster(id, msg.sender, known.pendingPoster);
        (known.poster, known.pendingPoster) = (msg.sender, address(0));
        emit PosterChanged(id, msg.sender);
    }

    /// @inheritdoc IRollupInbox
    function postCalldata(uint256 id, Anchor calldata anchor, bytes calldata batch, bytes calldata rest)
        external
        onlyDirect
    {
        Rollup storage known = _of(id, Mode.Optimistic);
        (bytes32 committed, uint64 covered) = _anchored(id, known, anchor);
        (bytes32 reached, uint64 last) = (known.inputs, 0);
        if (batch.length != 0) (reached, last) = _readBatch(known.namespace, reached, batch);
        _requireReached(_readLeaves(reached, rest), committed);
        // Without a rest everything below the anchor is covered, else what this batch holds.
        if (rest.length != 0) {
            if (batch.length == 0) revert BatchMalformed(0);
            covered = last;
        }
        _record(id, known, Carrier.Calldata, covered, reached, keccak256(batch));
    }

    /// @inheritdoc IRollupInbox
    function postBlobs(uint256 id, Anchor calldata anchor, bytes calldata leaves, bytes calldata rest)
        external
        onlyDirect
    {
        Rollup storage known = _of(id, Mode.Optimistic);
        if (msg.sender != known.poster) revert NotPoster(id, msg.sender, known.poster);
        (bytes32 committed, uint64 covered) = _anchored(id, known, anchor);
        if (leaves.length == 0) revert BatchMalformed(0);
        bytes32 reached = _readLeaves(known.inputs, leaves);
        _requireReached(_readLeaves(reached, rest), committed);
        if (rest.length != 0) covered = uint64(bytes8(leaves[leaves.length - LEAF_BYTES:]));
        bytes32[] memory hashes = _blobHashes();
        emit BlobsPosted(id, known.count, hashes);
        _record(id, known, Carrier.Blobs, covered, reached, keccak256(abi.encode(hashes, leaves)));
    }

    /// @inheritdoc IRollupInbox
    function postProof(
        uint256 id,
        Anchor calldata anchor,
        bytes32 newStateRoot,
        bytes calldata stateDiff,
        bytes calldata proof
    ) external onlyDirect {
        Rollup storage known = _of(id, Mode.Zk);
        (bytes32 committed, uint64 covered) = _anchored(id, known, anchor);
        bytes32 stateRoot = known.stateRoot;
        Transition memory transition = Transition({
            namespace: known.namespace,
            height: covered,
            stateRoot: stateRoot,
            newStateRoot: newStateRoot,
            inputs: known.inputs,
            newInputs: committed,
            stateDiff: keccak256(stateDiff)
        });
        if (!IProofVerifier(known.verifier).verify(transition, proof)) revert ProofFalse();
        known.stateRoot = newStateRoot;
        emit StateProven(id, known.count, stateRoot, newStateRoot);
        _record(id, known, Carrier.Proof, covered, committed, transition.stateDiff);
    }

    /// @inheritdoc IRollupInbox
    function republish(uint256 id, uint256 index, bytes calldata before, bytes calldata batch, bytes calldata rest)
        external
        onlyDirect
    {
        Rollup storage known = _of(id, Mode.Optimistic);
        if (index >= known.count) revert BatchUnknown(id, index);
        bytes32 from = _readLeaves(index == 0 ? bytes32(0) : _inputs[id][index - 1], before);
        (bytes32 to,) = _readBatch(known.namespace, from, batch);
        _requireReached(_readLeaves(to, rest), _inputs[id][index]);
        emit Republished(id, index, from, to, keccak256(batch));
    }

    /// @inheritdoc IRollupInbox
    function trace(uint256 id, Anchor calldata anchor, bytes32 from, bytes calldata leaves) external {
        Rollup storage known = _of(id, Mode.Optimistic);
        (bytes32 committed,) = _anchored(id, known, anchor);
        if (leaves.length == 0) revert BatchMalformed(0);
        _requireReached(_readLeaves(from, leaves), committed);
        // A chain of hashes has one way back, so these are the leaves, and nothing was ordered before the first one that `from` has not.
        uint64 height = uint64(bytes8(leaves)) - 1;
        _traced[id][from] = height;
        emit Traced(id, from, height);
    }

    /// @inheritdoc IRollupInbox
    function tracedHeight(uint256 id, bytes32 inputs) external view returns (uint64) {
        return _traced[id][inputs];
    }

    /// @inheritdoc IRollupInbox
    function rollup(uint256 id) external view returns (Rollup memory) {
        return _rollups[id];
    }

    /// @inheritdoc IRollupInbox
    function count() external view returns (uint256) {
        return _count;
    }

    /// @inheritdoc IRollupInbox
    function inputsAt(uint256 id, uint256 index) external view returns (bytes32) {
        if (index >= _rollups[id].count) revert BatchUnknown(id, index);
        return _inputs[id][index];
    }

    /// @inheritdoc IRollupInbox
    function lightClient() external view returns (address) {
        return address(_client);
    }

    function _known(uint256 id) private view returns (Rollup storage known) {
        known = _rollups[id];
        if (known.mode == Mode.None) revert Unknown(id);
    }

    function _of(uint256 id, Mode mode) private view returns (Rollup storage known) {
        known = _known(id);
        if (known.mode != mode) revert WrongMode(id, known.mode);
    }

    /// @dev Name of all inputs of the namespace up to an anchor, and the last block that it covers.
    function _anchored(uint256 id, Rollup storage known, Anchor calldata anchor)
        private
        returns (bytes32 inputs, uint64 covered)
    {
        if (anchor.traced == 0) {
            (inputs, covered) = _account(known, anchor);
        } else {
            (inputs, covered) = (anchor.traced, _traced[id][anchor.traced]);
            if (covered == 0) revert NotTraced(id, inputs);
        }
        if (covered <= known.height) revert NothingNew(known.height);
    }

    function _account(Rollup storage known, Anchor calldata anchor) private returns (bytes32 inputs, uint64 covered) {
        bytes32 root = Votes.root(anchor.checkpoint);
        if (!_client.isFinalised(anchor.checkpoint.epoch, root)) {
            revert CheckpointNotFinal(anchor.checkpoint.epoch, root);
        }
        bytes32 namespaces = _namespacesRoot(anchor.header, anchor.checkpoint.blockDigest);
        bytes calldata commitment = NamespaceProof.verifyTransaction(namespaces, 0, 0, anchor.commitment);
        if (commitment.length != 33 || commitment[0] != COMMITMENT_TAG) revert NotCommitted();
        NamespaceProof.Account memory account = NamespaceProof.verifyAccount(bytes32(commitment[1:]), anchor.account);
        if (account.namespace != known.namespace) revert OtherNamespace(account.namespace, known.namespace);
        // The block of a checkpoint is never the first one.
        covered = anchor.checkpoint.height - 1;
        if (known.since == 0) known.since = account.since;
        if (known.since != account.since) revert Restarted(account.since, known.height);
        inputs = account.inputs;
    }

    /// @dev The header is that of the digest; a digest covers every byte, so there is one.
    function _namespacesRoot(bytes calldata header, bytes32 digest) private pure returns (bytes32) {
        if (header.length != HEADER_BYTES) revert HeaderMalformed(header.length);
        bytes32 computed = sha256(bytes.concat(HEADER_DOMAIN, header));
        if (computed != digest) revert HeaderMismatch(computed, digest);
        return bytes32(header[NAMESPACES_ROOT_AT:NAMESPACES_ROOT_AT + 32]);
    }

    /// @dev Name of the inputs after the blocks of a batch, and the height of the last one.
    function _readBatch(uint64 namespace, bytes32 inputs, bytes calldata batch)
        private
        view
        returns (bytes32, uint64 height)
    {
        if (batch.length <= BLOCK_HEAD_BYTES || batch[0] != BATCH_VERSION) revert BatchMalformed(batch.length);
        for (uint256 at = 1; at < batch.length;) {
            if (at + BLOCK_HEAD_BYTES > batch.length) revert BatchMalformed(batch.length);
            height = uint64(bytes8(batch[at:at + 8]));
            uint256 start = at + BLOCK_HEAD_BYTES;
            at = start + uint32(bytes4(batch[start - 4:start]));
            if (at > batch.length) revert BatchMalformed(batch.length);
            bytes calldata section = batch[start:at];
            bytes32 root = NamespaceProof.sectionRoot(namespace, section);
            inputs = NamespaceProof.extendInputs(inputs, height, root, uint32(NamespaceProof.count(section)));
        }
        return (inputs, height);
    }

    /// @dev Name of the inputs after blocks of which only the leaves are here.
    function _readLeaves(bytes32 inputs, bytes calldata leaves) private pure returns (bytes32) {
        if (leaves.length % LEAF_BYTES != 0) revert BatchMalformed(leaves.length);
        for (uint256 at = 0; at < leaves.length; at += LEAF_BYTES) {
            bytes calldata leaf = leaves[at:at + LEAF_BYTES];
            (uint64 height, bytes32 root) = (uint64(bytes8(leaf)), bytes32(leaf[8:40]));
            inputs = NamespaceProof.extendInputs(inputs, height, root, uint32(bytes4(leaf[40:44])));
        }
        return inputs;
    }

    function _requireReached(bytes32 reached, bytes32 committed) private pure {
        if (reached != committed) revert InputsMismatch(reached, committed);
    }

    /// @dev All blobs of the transaction.
    function _blobHashes() private view returns (bytes32[] memory hashes) {
        uint256 blobs;
        while (blobhash(blobs) != 0) {
            ++blobs;
        }
        if (blobs == 0) revert BlobsMissing();
        hashes = new bytes32[](blobs);
        for (uint256 i = 0; i < blobs; ++i) {
            hashes[i] = blobhash(i);
        }
    }

    function _record(uint256 id, Rollup storage known, Carrier carrier, uint64 height, bytes32 inputs, bytes32 content)
        private
    {
        uint64 index = known.count;
        bytes32 batches = keccak256(abi.encode(known.batches, carrier, height, inputs, content));
        (known.count, known.height) = (index + 1, height);
        (known.inputs, known.batches) = (inputs, batches);
        _inputs[id][index] = inputs;
        emit BatchPosted(id, index, carrier, height, inputs, content, batches);
    }
}
