// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { BLS12381 } from "./BLS12381.sol";
import { SetTree } from "./SetTree.sol";
import { Votes } from "./Votes.sol";
import { Checkpoint, IKumoLightClient, Link, Voters, Witness } from "../interfaces/IKumoL1.sol";

/// @title What a Kumo network has finalised, believed by signatures alone.
/// @notice Follows the rules of `proof::checkpoint::Follower`: a link from a justified checkpoint, voted for by two thirds of every
/// set of the target's electorate and of every set known here from the one in force at the last final checkpoint on, justifies
/// its target; over one epoch, or over two with the one between justified, it finalises its source.
///
/// Nobody owns it. It stops for good when it sees two thirds contradict each other, and when nothing was finalised for
/// `trustSeconds`: those who voted may have withdrawn their stake by then, and people must agree on a new start.
contract KumoLightClient is IKumoLightClient {
    /// @notice Most links in one call.
    uint256 public constant LINKS_MAX = 32;
    /// @dev Justified checkpoints that are remembered, as in the follower.
    uint256 private constant JUSTIFIED_MAX = 4;

    /// @param span Epochs of the link that finalised this.
    struct Latest {
        uint64 epoch;
        uint64 height;
        uint64 timestamp;
        uint8 span;
        bool isStopped;
    }

    /// @param inForce Root of the set in force in the checkpoint's epoch.
    struct Justified {
        bytes32 root;
        bytes32 inForce;
    }

    /// @dev What a call changes, while it is not known yet whether it may.
    struct Progress {
        bytes32 inForce;
        bytes32[4] hash;
        uint256 epochs;
        uint64 last;
        bytes32 finalised;
        bytes32 settled;
        bool isChanged;
        uint64 conflictEpoch;
        bytes32 conflictKnown;
        bytes32 conflictClaimed;
    }

    uint64 private immutable _chainId;
    bytes32 private immutable _genesis;
    uint64 private immutable _trustSeconds;

    Latest private _latest;
    bytes32 private _blockDigest;
    bytes32 private _application;
    /// @dev Four epochs of 64 bits, each plus one; zero where there is none.
    uint256 private _epochs;
    Justified[JUSTIFIED_MAX] private _justified;
    /// @dev Electorate of the last justified checkpoint, and its sets.
    bytes32 private _electorate;
    bytes32[] private _sets;
    /// @dev Set in force at the last finalised checkpoint.
    bytes32 private _settled;
    mapping(uint64 epoch => bytes32 root) private _finalised;
    mapping(bytes32 electorate => bool isKnown) private _known;

    /// @param trusted A checkpoint that is final for sure; everything else follows from it.
    /// @param sets Roots of the sets of its electorate, the oldest first.
    /// @param trustPeriod Seconds of silence after which nothing is taken any more; less than stake stays bonded.
    constructor(uint64 chainId, bytes32 genesis, uint64 trustPeriod, Checkpoint memory trusted, bytes32[] memory sets) {
        bytes32 computed = SetTree.electorate(sets);
        if (sets.length == 0 || sets.length > SetTree.SETS_MAX || computed != trusted.electorate) {
            revert ElectorateMismatch(computed, trusted.electorate);
        }
        (_chainId, _genesis, _trustSeconds) = (chainId, genesis, trustPeriod);
        _latest = Latest(trusted.epoch, trusted.height, trusted.timestamp, 0, false);
        _requireFresh(_latest);
        bytes32 root = Votes.rootOf(trusted);
        // All places are written now, so that every later call costs the same; those without an epoch stand for nothing.
        for (uint256 i = 0; i < JUSTIFIED_MAX; ++i) {
            _justified[i] = Justified(root, sets[sets.length - 1]);
        }
        _epochs = uint256(trusted.epoch) + 1;
        _settled = sets[sets.length - 1];
        _setElectorate(computed, sets);
        _record(root, trusted);
    }

    /// @inheritdoc IKumoLightClient
    function advance(Link[] calldata links, Checkpoint calldata finalised, Witness calldata witness) external {
        Latest memory last = _latest;
        if (last.isStopped) revert Stopped();
        _requireFresh(last);
        if (links.length == 0 || links.length > LINKS_MAX) revert LinkCount(links.length, LINKS_MAX);
        Progress memory progress;
        bytes32[] memory sets = _checkElectorate(links, witness);
        progress.inForce = sets[sets.length - 1];
        progress.epochs = _epochs;
        for (uint256 i = 0; i < links.length; ++i) {
            _follow(links[i], last, progress);
        }
        bytes32[8] memory key = _checkStake(links[0].target.electorate, sets, witness);
        if (!BLS12381.verify(key, progress.hash, witness.signature)) revert SignatureFalse();
        _commit(links[0].target.electorate, sets, finalised, last, progress);
    }

    /// @inheritdoc IKumoLightClient
    function domain() external view returns (uint64, bytes32) {
        return (_chainId, _genesis);
    }

    /// @inheritdoc IKumoLightClient
    function trustSeconds() external view returns (uint64) {
        return _trustSeconds;
    }

    /// @inheritdoc IKumoLightClient
    function isStopped() external view returns (bool) {
        return _latest.isStopped;
    }

    /// @inheritdoc IKumoLightClient
    function latest() external view returns (uint64, bytes32, uint64, uint64, bytes32, bytes32) {
        Latest memory last = _latest;
        return (last.epoch, _finalised[last.epoch], last.height, last.timestamp, _blockDigest, _application);
    }

    /// @inheritdoc IKumoLightClient
    function finalisedRoot(uint64 epoch) external view returns (bytes32) {
        return _finalised[epoch];
    }

    /// @inheritdoc IKumoLightClient
    function isFinalised(uint64 epoch, bytes32 root) external view returns (bool) {
        return root != 0 && _finalised[epoch] == root && !_latest.isStopped;
    }

    /// @inheritdoc IKumoLightClient
    function justified() external view returns (uint64[4] memory epochs, bytes32[4] memory roots) {
        for (uint256 i = 0; i < JUSTIFIED_MAX; ++i) {
            uint256 entry = _entry(_epochs, i);
            if (entry != 0) (epochs[i], roots[i]) = (uint64(entry - 1), _justified[i].root);
        }
    }

    /// @inheritdoc IKumoLightClient
    function electorate() external view returns (bytes32, bytes32[] memory, bytes32) {
        return (_electorate, _sets, _settled);
    }

    /// @inheritdoc IKumoLightClient
    function isElectorate(bytes32 root) external view returns (bool) {
        return _known[root];
    }

    /// @dev All targets name one electorate, and these are its sets.
    function _checkElectorate(Link[] calldata links, Witness calldata witness)
        private
        pure
        returns (bytes32[] memory sets)
    {
        sets = SetTree.roots(witness.sets);
        bytes32 computed = SetTree.electorate(sets);
        for (uint256 i = 0; i < links.length; ++i) {
            bytes32 named = links[i].target.electorate;
            if (named != computed) revert ElectorateMismatch(computed, named);
        }
    }

    /// @dev Sum of the signers' keys, who have two thirds of every set: of the electorate, and of those known here if it is another.
    function _checkStake(bytes32 root, bytes32[] memory sets, Witness calldata witness)
        private
        view
        returns (bytes32[8] memory key)
    {
        key = _signers(witness.sets[0], sets[0], witness);
        bytes32 name = keccak256(abi.encode(key));
        for (uint256 i = 1; i < sets.length; ++i) {
            _requireSigners(name, witness.sets[i], sets[i], witness);
        }
        if (root == _electorate) return key;
        for (uint256 i = _firstNeeded(); i < _sets.length; ++i) {
            bytes32 set = _sets[i];
            if (!_contains(sets, set)) _requireSigners(name, _find(witness.known, set), set, witness);
        }
    }

    function _find(Voters[] calldata known, bytes32 set) private pure returns (Voters calldata) {
        for (uint256 i = 0; i < known.length; ++i) {
            if (SetTree.root(known[i]) == set) return known[i];
        }
        revert SetMissing(set);
    }

    function _requireSigners(bytes32 name, Voters calldata set, bytes32 root, Witness calldata witness) private view {
        if (keccak256(abi.encode(_signers(set, root, witness))) != name) revert SignersDiffer(root);
    }

    function _signers(Voters calldata set, bytes32 root, Witness calldata witness)
        private
        view
        returns (bytes32[8] memory key)
    {
        uint256 voted;
        (key, voted) = SetTree.signers(set, witness.sets);
        if (!SetTree.isSupermajority(voted, set.stake)) revert StakeTooLow(root, voted, set.stake);
    }

    /// @dev The last place of the set that was in force at the last final checkpoint.
    function _firstNeeded() private view returns (uint256) {
        for (uint256 i = _sets.length; i > 0; --i) {
            if (_sets[i - 1] == _settled) return i - 1;
        }
        return 0;
    }

    /// @dev Adds the link to what was signed, and does with it what the follower does. Storage of justified checkpoints is
    /// written at once: everything reverts unless the signature verifies.
    function _follow(Link calldata link, Latest memory last, Progress memory progress) private {
        (uint64 source, uint64 target) = (link.source, link.target.epoch);
        if (source >= target || target == type(uint64).max) revert Backward(source, target);
        uint256 place = _place(progress.epochs, source);
        if (place == JUSTIFIED_MAX) revert SourceUnknown(source);
        bytes32 sourceRoot = _justified[place].root;
        bytes32 root = Votes.root(link.target);
        _sign(progress, source, sourceRoot, target, root);
        if (_conflicts(source, target, root, last, progress)) return;
        if (_finalises(source, target, last, progress.epochs)) {
            (last.epoch, last.span) = (source, uint8(target - source));
            (progress.finalised, progress.settled) = (sourceRoot, _justified[place].inForce);
            progress.isChanged = true;
        }
        _justify(target, root, progress);
    }

    /// @dev Adds the hash of the vote; one key over several messages is checked by one pairing, as their hashes add up.
    function _sign(Progress memory progress, uint64 source, bytes32 sourceRoot, uint64 target, bytes32 root)
        private
        view
    {
        Votes.Domain memory network = Votes.Domain(_chainId, _genesis);
        bytes memory message = Votes.message(network, source, sourceRoot, target, root);
        bytes32[4] memory hash = BLS12381.hashToG1(message, BLS12381.MESSAGE_DST);
        progress.hash = BLS12381.addG1(progress.hash, hash);
    }

    /// @dev Two justified checkpoints of one epoch, or a link around the one that finalised: a third broke the rules either way.
    function _conflicts(uint64 source, uint64 target, bytes32 root, Latest memory last, Progress memory progress)
        private
        view
        returns (bool)
    {
        bytes32 known = target <= last.epoch ? _finalised[target] : bytes32(0);
        uint256 place = _place(progress.epochs, target);
        if (place != JUSTIFIED_MAX) known = _justified[place].root;
        if (source < last.epoch && target > uint256(last.epoch) + last.span) {
            known = progress.finalised != 0 ? progress.finalised : _finalised[last.epoch];
        }
        if (known == 0 || known == root) return false;
        if (progress.conflictClaimed == 0) {
            (progress.conflictEpoch, progress.conflictKnown, progress.conflictClaimed) = (target, known, root);
        }
        return true;
    }

    /// @dev k = 1, or k = 2 with the epoch between justified.
    function _finalises(uint64 source, uint64 target, Latest memory last, uint256 epochs) private pure returns (bool) {
        if (source <= last.epoch) return false;
        if (target - source == 1) return true;
        return target - source == 2 && _place(epochs, source + 1) != JUSTIFIED_MAX;
    }

    /// @dev Puts a checkpoint in the place of the oldest, unless it is known or older than all.
    function _justify(uint64 epoch, bytes32 root, Progress memory progress) private {
        if (_place(progress.epochs, epoch) != JUSTIFIED_MAX) return;
        (uint256 place, uint256 oldest) = (0, type(uint256).max);
        for (uint256 i = 0; i < JUSTIFIED_MAX; ++i) {
            uint256 entry = _entry(progress.epochs, i);
            if (entry < oldest) (place, oldest) = (i, entry);
        }
        if (uint256(epoch) + 1 < oldest) return;
        progress.epochs = progress.epochs & ~(uint256(type(uint64).max) << (64 * place));
        progress.epochs |= (uint256(epoch) + 1) << (64 * place);
        if (epoch > progress.last) progress.last = epoch;
        progress.isChanged = true;
        Justified storage slot = _justified[place];
        slot.root = root;
        if (slot.inForce != progress.inForce) slot.inForce = progress.inForce;
    }

    function _commit(
        bytes32 root,
        bytes32[] memory sets,
        Checkpoint calldata finalised,
        Latest memory last,
        Progress memory progress
    ) private {
        if (progress.conflictClaimed != 0) {
            _epochs = progress.epochs;
            _latest.isStopped = true;
            emit Conflict(progress.conflictEpoch, progress.conflictKnown, progress.conflictClaimed);
            return;
        }
        if (!progress.isChanged) revert NothingNew(_lastJustified(_epochs));
        bool isLast = progress.last > _lastJustified(_epochs);
        _epochs = progress.epochs;
        if (isLast && root != _electorate) _setElectorate(root, sets);
        if (progress.finalised == 0) return;
        bytes32 computed = Votes.root(finalised);
        if (computed != progress.finalised) revert FinalisedMismatch(computed, progress.finalised);
        (last.height, last.timestamp) = (finalised.height, finalised.timestamp);
        _latest = last;
        if (_settled != progress.settled) _settled = progress.settled;
        _record(computed, finalised);
    }

    function _record(bytes32 root, Checkpoint memory checkpoint) private {
        _finalised[checkpoint.epoch] = root;
        (_blockDigest, _application) = (checkpoint.blockDigest, checkpoint.application);
        emit Finalised(
            checkpoint.epoch,
            root,
            checkpoint.height,
            checkpoint.timestamp,
            checkpoint.blockDigest,
            checkpoint.application
        );
    }

    function _setElectorate(bytes32 root, bytes32[] memory sets) private {
        (_electorate, _sets, _known[root]) = (root, sets, true);
        emit ElectorateChanged(root, sets);
    }

    function _requireFresh(Latest memory last) private view {
        if (block.timestamp > uint256(last.timestamp) + _trustSeconds) revert TooOld(last.timestamp, _trustSeconds);
    }

    function _lastJustified(uint256 epochs) private pure returns (uint64) {
        uint256 last;
        for (uint256 i = 0; i < JUSTIFIED_MAX; ++i) {
            uint256 entry = _entry(epochs, i);
            if (entry > last) last = entry;
        }
        return uint64(last - 1);
    }

    /// @dev Place of the justified checkpoint of an epoch; `JUSTIFIED_MAX` if there is none.
    function _place(uint256 epochs, uint64 epoch) private pure returns (uint256 place) {
        while (place < JUSTIFIED_MAX && _entry(epochs, place) != uint256(epoch) + 1) {
            ++place;
        }
    }

    function _entry(uint256 epochs, uint256 place) private pure returns (uint256) {
        return uint64(epochs >> (64 * place));
    }

    function _contains(bytes32[] memory list, bytes32 word) private pure returns (bool) {
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == word) return true;
        }
        return false;
    }
}
