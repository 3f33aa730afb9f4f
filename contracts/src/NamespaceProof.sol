// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Whether these are all the transactions of a namespace in a block, or one of them, or there are none, and what it owes.
/// @notice For contracts that settle a rollup: roots come from a header that `ICertificateVerifier` found to be final. Decides
/// the same bytes as `proof::namespace`, `proof::bundle` and `proof::account`; docs/formats.md has the encodings.
library NamespaceProof {
    /// @notice Most namespaces with transactions in one block.
    uint256 internal constant NAMESPACES_MAX = 4096;
    /// @notice Most transactions in one block.
    uint256 internal constant TRANSACTIONS_MAX = 131_072;
    /// @notice Most bytes of one transaction, and of all transactions of a bundle.
    uint256 internal constant TRANSACTION_BYTES_MAX = 1 << 20;
    /// @notice Most bytes of the payload of one block.
    uint256 internal constant PAYLOAD_BYTES_MAX = 8 << 20;
    /// @notice Most bundles in one block.
    uint256 internal constant BUNDLES_MAX = 4096;
    /// @notice Most transactions of a bundle.
    uint256 internal constant MEMBERS_MAX = 64;

    /// @notice Most accounts under one root.
    uint256 internal constant ACCOUNTS_MAX = 65_536;

    uint256 private constant ACCOUNT_BYTES = 96;
    uint256 private constant LEAF_BYTES = 52;
    bytes1 private constant ACCOUNT_LEAF = 0x07;
    bytes1 private constant ACCOUNTS_ROOT = 0x08;
    bytes1 private constant INPUTS = 0x0a;
    bytes1 private constant NAMESPACE_LEAF = 0x02;
    bytes1 private constant NAMESPACES_ROOT = 0x03;
    bytes1 private constant BUNDLE_LEAF = 0x04;
    bytes1 private constant BUNDLES_ROOT = 0x05;
    bytes private constant BUNDLE_DOMAIN = "kumo/bundle/v1";

    /// @notice Not the encoding of a proof, or of something that no block holds.
    error ProofMalformed(uint256 length);
    /// @notice The neighbours do not enclose the namespace.
    error NotAbsent(uint64 namespace);
    /// @notice The proof is about another transaction.
    error OtherTransaction(uint256 found, uint256 asked);
    /// @notice Transactions of the bundle in this namespace do not follow on each other.
    error BundleScattered(uint64 namespace, uint256 index);
    /// @notice The proof does not belong to this header.
    error RootMismatch(bytes32 computed, bytes32 committed);

    /// @notice All transactions of `namespace` in the block with this namespaces root: a table that `count` and `transactionAt`
    /// read. Empty if there are none. Reverts if the proof shows neither.
    function verifyNamespace(bytes32 root, uint64 namespace, bytes calldata proof)
        internal
        view
        returns (bytes calldata section)
    {
        (uint256 namespaces, uint256 index) = (_u32(proof, 0), _u32(proof, 5));
        if (namespaces > NAMESPACES_MAX || proof[4] > 0x01) revert ProofMalformed(proof.length);
        if (proof[4] == 0x00) {
            _checkAbsent(root, namespace, namespaces, index, proof);
            return proof[:0];
        }
        uint256 start = _u32(proof, 9);
        bytes calldata path = _path(proof, 13, index, namespaces);
        section = proof[13 + path.length:];
        uint256 end = start + section.length;
        if (section.length > PAYLOAD_BYTES_MAX || end > type(uint32).max) revert ProofMalformed(proof.length);
        bytes32 leaf = _leaf(namespace, sectionRoot(namespace, section), count(section), start, end);
        _checkRoot(NAMESPACES_ROOT, root, leaf, index, namespaces, path);
    }

    /// @notice Transactions in a section that `verifyNamespace` returned.
    function count(bytes calldata section) internal pure returns (uint256) {
        return section.length == 0 ? 0 : _u32(section, 0);
    }

    /// @notice Transaction number `index` of a section that `verifyNamespace` returned.
    function transactionAt(bytes calldata section, uint256 index) internal pure returns (bytes calldata) {
        uint256 first = 4 + 4 * count(section);
        uint256 start = index == 0 ? 0 : _u32(section, 4 * index);
        return section[first + start:first + _u32(section, 4 + 4 * index)];
    }

    /// @notice Transaction number `index` of `namespace` in the block with this namespaces root.
    function verifyTransaction(bytes32 root, uint64 namespace, uint256 index, bytes calldata proof)
        internal
        view
        returns (bytes calldata transaction)
    {
        (uint256 namespaces, uint256 place) = (_u32(proof, 0), _u32(proof, 4));
        if (namespaces > NAMESPACES_MAX) revert ProofMalformed(proof.length);
        bytes calldata path = _path(proof, 8, place, namespaces);
        bytes32 leaf;
        (leaf, transaction) = _leafOfOne(namespace, index, proof[8 + path.length:]);
        _checkRoot(NAMESPACES_ROOT, root, leaf, place, namespaces, path);
    }

    /// @notice Name of a bundle that stands whole and contiguous in the block with this bundles root.
    function verifyBundle(bytes32 root, bytes calldata proof) internal view returns (bytes32 bundle) {
        (uint256 bundles, uint256 index) = (_u32(proof, 0), _u32(proof, 4));
        if (bundles > BUNDLES_MAX) revert ProofMalformed(proof.length);
        (bytes memory positions, bytes memory hashes, uint256 end) = _members(proof);
        bundle = sha256(bytes.concat(BUNDLE_DOMAIN, hashes));
        bytes calldata path = _path(proof, end, index, bundles);
        if (end + path.length != proof.length) revert ProofMalformed(proof.length);
        _checkRoot(BUNDLES_ROOT, root, keccak256(bytes.concat(BUNDLE_LEAF, bundle, positions)), index, bundles, path);
    }

    /// @notice What a namespace used and owes after the block before the one that commits to `root`: the transaction in namespace 0
    /// that `verifyTransaction` returned, without its first byte.
    struct Account {
        uint64 namespace;
        /// First block that is counted.
        uint64 since;
        /// Newest block with transactions of the namespace.
        uint64 height;
        uint64 transactions;
        uint64 bytesUsed;
        /// In wei per byte, after that block.
        uint64 baseFee;
        uint128 owed;
        /// Name of everything that was ordered since; `extendInputs`.
        bytes32 inputs;
    }

    /// @notice The account that stands under a root of accounts.
    function verifyAccount(bytes32 root, bytes calldata proof) internal pure returns (Account memory account) {
        (uint256 accounts, uint256 index) = (_u32(proof, 0), _u32(proof, 4));
        if (accounts > ACCOUNTS_MAX) revert ProofMalformed(proof.length);
        bytes calldata path = _path(proof, 8, index, accounts);
        bytes calldata fields = proof[8 + path.length:];
        if (fields.length != ACCOUNT_BYTES) revert ProofMalformed(proof.length);
        bytes32 leaf = keccak256(bytes.concat(ACCOUNT_LEAF, fields));
        _checkRoot(ACCOUNTS_ROOT, root, leaf, index, accounts, path);
        account = Account({
            namespace: _u64(fields, 0),
            since: _u64(fields, 8),
            height: _u64(fields, 16),
            transactions: _u64(fields, 24),
            bytesUsed: _u64(fields, 32),
            baseFee: _u64(fields, 40),
            owed: uint128(bytes16(fields[48:64])),
            inputs: bytes32(fields[64:96])
        });
    }

    /// @notice Name of what was ordered up to and with the block of `height`, in which the namespace has so many transactions under
    /// this root.
    function extendInputs(bytes32 inputs, uint64 height, bytes32 root, uint32 transactions)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(INPUTS, inputs, height, root, transactions));
    }

    /// @dev The leaf of a namespace, and its transaction number `index`, from what follows the path of the leaf in a proof.
    function _leafOfOne(uint64 namespace, uint256 index, bytes calldata rest)
        private
        view
        returns (bytes32, bytes calldata transaction)
    {
        uint256 total = _u32(rest, 8);
        if (total > TRANSACTIONS_MAX) revert ProofMalformed(rest.length);
        if (_u32(rest, 12) != index) revert OtherTransaction(_u32(rest, 12), index);
        bytes calldata path = _path(rest, 16, index, total);
        transaction = rest[16 + path.length:];
        if (transaction.length == 0 || transaction.length > TRANSACTION_BYTES_MAX) revert ProofMalformed(rest.length);
        bytes32 transactionsRoot = _climb(_transactionHash(namespace, transaction), index, total, path);
        return (_leaf(namespace, transactionsRoot, total, _u32(rest, 0), _u32(rest, 4)), transaction);
    }

    /// @dev Positions (12 bytes each) and hashes of the members of a bundle, and where they end in the proof.
    function _members(bytes calldata proof)
        private
        view
        returns (bytes memory positions, bytes memory hashes, uint256 at)
    {
        uint256 members = _u32(proof, 6) & 0xffff;
        if (members < 2 || members > MEMBERS_MAX) revert ProofMalformed(proof.length);
        (positions, hashes, at) = (new bytes(12 * members), new bytes(32 * members), 10);
        uint256 total;
        for (uint256 i = 0; i < members; ++i) {
            (uint64 namespace, uint256 index, uint256 length) =
                (_u64(proof, at), _u32(proof, at + 8), _u32(proof, at + 12));
            at += 16;
            total += length;
            bool fits = length > 0 && total <= TRANSACTION_BYTES_MAX && index < TRANSACTIONS_MAX;
            if (!fits || at + length > proof.length) revert ProofMalformed(proof.length);
            bytes32 hash = _transactionHash(namespace, proof[at:at + length]);
            at += length;
            _checkFollows(positions, i, namespace, index);
            // Positions end in 20 bytes that the next one, or the free memory behind the last, does not need yet.
            uint256 packed = (uint256(namespace) << 192) | (index << 160);
            assembly ("memory-safe") {
                let slot := add(add(positions, 0x20), mul(12, i))
                let kept := and(mload(slot), sub(shl(160, 1), 1))
                mstore(slot, or(packed, kept))
                mstore(add(add(hashes, 0x20), mul(32, i)), hash)
            }
        }
    }

    /// @dev Whether a member follows on the one before it in its namespace, if there is one.
    function _checkFollows(bytes memory positions, uint256 members, uint64 namespace, uint256 index) private pure {
        for (uint256 i = members; i > 0; --i) {
            uint256 word;
            assembly ("memory-safe") {
                word := mload(add(add(positions, 0x20), mul(12, sub(i, 1))))
            }
            if (word >> 192 != namespace) continue;
            if (uint32(word >> 160) + uint256(1) != index) revert BundleScattered(namespace, index);
            return;
        }
    }

    function _checkAbsent(bytes32 root, uint64 namespace, uint256 namespaces, uint256 index, bytes calldata proof)
        private
        pure
    {
        if (index > namespaces) revert ProofMalformed(proof.length);
        uint256 at = 9;
        if (index > 0) {
            if (_u64(proof, at) >= namespace) revert NotAbsent(namespace);
            at = _checkNeighbour(root, proof, at, index - 1, namespaces);
        }
        if (index < namespaces) {
            if (_u64(proof, at) <= namespace) revert NotAbsent(namespace);
            at = _checkNeighbour(root, proof, at, index, namespaces);
        }
        if (at != proof.length) revert ProofMalformed(proof.length);
        if (namespaces == 0) _compare(_countedRoot(NAMESPACES_ROOT, 0, 0), root);
    }

    /// @dev Checks the leaf that begins at `at`; returns where what follows its path begins.
    function _checkNeighbour(bytes32 root, bytes calldata proof, uint256 at, uint256 index, uint256 namespaces)
        private
        pure
        returns (uint256)
    {
        uint256 end = at + LEAF_BYTES;
        bytes calldata path = _path(proof, end, index, namespaces);
        bytes32 leaf = keccak256(bytes.concat(NAMESPACE_LEAF, proof[at:end]));
        _checkRoot(NAMESPACES_ROOT, root, leaf, index, namespaces, path);
        return end + path.length;
    }

    function _checkRoot(bytes1 domain, bytes32 root, bytes32 leaf, uint256 index, uint256 leaves, bytes calldata path)
        private
        pure
    {
        _compare(_countedRoot(domain, leaves, _climb(leaf, index, leaves, path)), root);
    }

    function _compare(bytes32 computed, bytes32 committed) private pure {
        if (computed != committed) revert RootMismatch(computed, committed);
    }

    function _countedRoot(bytes1 domain, uint256 leaves, bytes32 tree) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(domain, uint32(leaves), tree));
    }

    function _leaf(uint64 namespace, bytes32 transactionsRoot, uint256 transactions, uint256 start, uint256 end)
        private
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encodePacked(
                NAMESPACE_LEAF, namespace, transactionsRoot, uint32(transactions), uint32(start), uint32(end)
            )
        );
    }

    /// @notice Root over the transactions of a section, whose table is checked.
    function sectionRoot(uint64 namespace, bytes calldata section) internal view returns (bytes32) {
        uint256 left = count(section);
        uint256 first = 4 + 4 * left;
        if (left == 0 || left > TRANSACTIONS_MAX || first > section.length) revert ProofMalformed(section.length);
        bytes32[] memory hashes = new bytes32[](left);
        uint256 start;
        for (uint256 i = 0; i < left; ++i) {
            uint256 end = _u32(section, 4 + 4 * i);
            bool fits = end > start && end - start <= TRANSACTION_BYTES_MAX && first + end <= section.length;
            if (!fits) revert ProofMalformed(section.length);
            hashes[i] = _transactionHash(namespace, section[first + start:first + end]);
            start = end;
        }
        if (first + start != section.length) revert ProofMalformed(section.length);
        return _treeRoot(hashes);
    }

    /// @dev Overwrites `level`. The last of an odd number goes up as it is.
    function _treeRoot(bytes32[] memory level) private pure returns (bytes32) {
        uint256 left = level.length;
        while (left > 1) {
            uint256 pairs = left / 2;
            for (uint256 i = 0; i < pairs; ++i) {
                level[i] = _node(level[2 * i], level[2 * i + 1]);
            }
            if (left % 2 == 1) level[pairs] = level[left - 1];
            left = (left + 1) / 2;
        }
        return level[0];
    }

    /// @dev Root that follows from leaf `index` of `leaves` and its path, which has its length.
    function _climb(bytes32 hash, uint256 index, uint256 leaves, bytes calldata path) private pure returns (bytes32) {
        uint256 at;
        for (uint256 last = leaves - 1; last > 0; last >>= 1) {
            if (index & 1 == 1) {
                hash = _node(bytes32(path[at:at + 32]), hash);
                at += 32;
            } else if (index < last) {
                hash = _node(hash, bytes32(path[at:at + 32]));
                at += 32;
            }
            index >>= 1;
        }
        return hash;
    }

    /// @dev The path of leaf `index` of `leaves`, which begins at `at`.
    function _path(bytes calldata proof, uint256 at, uint256 index, uint256 leaves)
        private
        pure
        returns (bytes calldata)
    {
        if (index >= leaves) revert ProofMalformed(proof.length);
        uint256 length;
        uint256 place = index;
        for (uint256 last = leaves - 1; last > 0; last >>= 1) {
            if (place & 1 == 1 || place < last) length += 32;
            place >>= 1;
        }
        if (at + length > proof.length) revert ProofMalformed(proof.length);
        return proof[at:at + length];
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 0x01)
            mstore(add(free, 0x01), left)
            mstore(add(free, 0x21), right)
            hash := keccak256(free, 0x41)
        }
    }

    /// @dev SHA-256 over the namespace and the transaction. Uses memory without keeping it, so that many small ones cost no more.
    function _transactionHash(uint64 namespace, bytes calldata transaction) private view returns (bytes32 hash) {
        bool success;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, shl(192, namespace))
            calldatacopy(add(free, 0x08), transaction.offset, transaction.length)
            success := staticcall(gas(), 0x02, free, add(transaction.length, 0x08), free, 0x20)
            hash := mload(free)
        }
        // Only for want of gas.
        if (!success) revert ProofMalformed(transaction.length);
    }

    function _u32(bytes calldata data, uint256 at) private pure returns (uint256) {
        if (data.length < at + 4) revert ProofMalformed(data.length);
        return uint32(bytes4(data[at:at + 4]));
    }

    function _u64(bytes calldata data, uint256 at) private pure returns (uint64) {
        if (data.length < at + 8) revert ProofMalformed(data.length);
        return uint64(bytes8(data[at:at + 8]));
    }
}
