// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { NamespaceProof } from "../src/NamespaceProof.sol";
import { Test } from "./Vm.sol";

/// @title What a rollup's contract would do with the library.
contract NamespaceReader {
    using NamespaceProof for bytes;

    function all(bytes32 root, uint64 namespace, bytes calldata proof)
        external
        view
        returns (bytes[] memory transactions)
    {
        bytes calldata section = NamespaceProof.verifyNamespace(root, namespace, proof);
        transactions = new bytes[](NamespaceProof.count(section));
        for (uint256 i = 0; i < transactions.length; ++i) {
            transactions[i] = NamespaceProof.transactionAt(section, i);
        }
    }

    function one(bytes32 root, uint64 namespace, uint256 index, bytes calldata proof)
        external
        view
        returns (bytes memory)
    {
        return NamespaceProof.verifyTransaction(root, namespace, index, proof);
    }

    function bundle(bytes32 root, bytes calldata proof) external view returns (bytes32) {
        return NamespaceProof.verifyBundle(root, proof);
    }

    function gasOfAll(bytes32 root, uint64 namespace, bytes calldata proof) external view returns (uint256) {
        uint256 before = gasleft();
        NamespaceProof.verifyNamespace(root, namespace, proof);
        return before - gasleft();
    }

    function gasOfOne(bytes32 root, uint64 namespace, uint256 index, bytes calldata proof)
        external
        view
        returns (uint256)
    {
        uint256 before = gasleft();
        NamespaceProof.verifyTransaction(root, namespace, index, proof);
        return before - gasleft();
    }

    function gasOfBundle(bytes32 root, bytes calldata proof) external view returns (uint256) {
        uint256 before = gasleft();
        NamespaceProof.verifyBundle(root, proof);
        return before - gasleft();
    }
}

/// @title The library against the vectors that the sequencer makes: blocks of 1, 16 and 256 namespaces.
contract NamespaceProofTest is Test {
    struct Vector {
        bytes32 root;
        bytes32 bundlesRoot;
        uint64 namespace;
        bytes present;
        bytes[] transactions;
        uint64 absentNamespace;
        bytes absent;
        bytes transactionProof;
        bytes32 bundle;
        bytes bundleProof;
    }

    event log_named_uint(string key, uint256 val);

    uint256 private constant VECTORS = 3;
    NamespaceReader private reader;
    Vector[VECTORS] private vectors;

    function setUp() public {
        reader = new NamespaceReader();
        string memory json = vm.readFile("../crates/proof/vectors/namespaces.json");
        for (uint256 i = 0; i < VECTORS; ++i) {
            string memory at = string.concat("$[", i == 0 ? "0" : i == 1 ? "1" : "2", "].");
            vectors[i] = Vector({
                root: vm.parseJsonBytes32(json, string.concat(at, "namespacesRoot")),
                bundlesRoot: vm.parseJsonBytes32(json, string.concat(at, "bundlesRoot")),
                namespace: uint64(vm.parseJsonUint(json, string.concat(at, "namespace"))),
                present: vm.parseJsonBytes(json, string.concat(at, "present")),
                transactions: vm.parseJsonBytesArray(json, string.concat(at, "transactions")),
                absentNamespace: uint64(vm.parseJsonUint(json, string.concat(at, "absentNamespace"))),
                absent: vm.parseJsonBytes(json, string.concat(at, "absent")),
                transactionProof: vm.parseJsonBytes(json, string.concat(at, "transactionProof")),
                bundle: vm.parseJsonBytes32(json, string.concat(at, "bundle")),
                bundleProof: vm.parseJsonBytes(json, string.concat(at, "bundleProof"))
            });
        }
    }

    function test_allTransactionsOfANamespace() public view {
        for (uint256 i = 0; i < VECTORS; ++i) {
            Vector memory v = vectors[i];
            bytes[] memory found = reader.all(v.root, v.namespace, v.present);
            equal(found.length, v.transactions.length, "count");
            equal(found.length, 3, "three in the vector");
            for (uint256 n = 0; n < found.length; ++n) {
                equal(keccak256(found[n]), keccak256(v.transactions[n]), "transaction");
            }
        }
    }

    function test_aNamespaceWithoutTransactions() public view {
        for (uint256 i = 0; i < VECTORS; ++i) {
            Vector memory v = vectors[i];
            equal(reader.all(v.root, v.absentNamespace, v.absent).length, 0, "none");
        }
    }

    function test_oneTransaction() public view {
        for (uint256 i = 0; i < VECTORS; ++i) {
            Vector memory v = vectors[i];
            bytes memory found = reader.one(v.root, v.namespace, 1, v.transactionProof);
            equal(keccak256(found), keccak256(v.transactions[1]), "transaction");
        }
    }

    function test_aBundle() public view {
        for (uint256 i = 1; i < VECTORS; ++i) {
            Vector memory v = vectors[i];
            equal(reader.bundle(v.bundlesRoot, v.bundleProof), v.bundle, "name of the bundle");
        }
    }

    function test_anEmptyBlock() public {
        bytes memory proof = hex"000000000000000000";
        bytes32 root = keccak256(abi.encodePacked(bytes1(0x03), uint32(0), bytes32(0)));
        equal(reader.all(root, 7, proof).length, 0, "none");
        vm.expectRevert(abi.encodeWithSelector(NamespaceProof.RootMismatch.selector, root, vectors[0].root));
        reader.all(vectors[0].root, 7, proof);
    }

    function test_aProofIsAboutOneNamespaceAndOneRoot() public {
        Vector memory v = vectors[1];
        vm.expectRevert();
        reader.all(v.root, v.namespace + 10, v.present);
        vm.expectRevert();
        reader.all(vectors[2].root, v.namespace, v.present);
        vm.expectRevert(abi.encodeWithSelector(NamespaceProof.NotAbsent.selector, v.namespace));
        reader.all(v.root, v.namespace, v.absent);
        vm.expectRevert(abi.encodeWithSelector(NamespaceProof.NotAbsent.selector, v.namespace + 10));
        reader.all(v.root, v.namespace + 10, v.absent);
        vm.expectRevert(abi.encodeWithSelector(NamespaceProof.OtherTransaction.selector, 1, 2));
        reader.one(v.root, v.namespace, 2, v.transactionProof);
        vm.expectRevert();
        reader.bundle(vectors[2].bundlesRoot, v.bundleProof);
    }

    function test_truncatedProofsAreRefused() public {
        Vector memory v = vectors[1];
        for (uint256 length = 0; length < v.absent.length; length += 7) {
            vm.expectRevert();
            reader.all(v.root, v.absentNamespace, cut(v.absent, length));
        }
        for (uint256 length = 0; length < v.present.length; length += 31) {
            vm.expectRevert();
            reader.all(v.root, v.namespace, cut(v.present, length));
        }
        for (uint256 length = 0; length < v.bundleProof.length; length += 31) {
            vm.expectRevert();
            reader.bundle(v.bundlesRoot, cut(v.bundleProof, length));
        }
    }

    function test_longerProofsAreRefused() public {
        Vector memory v = vectors[1];
        vm.expectRevert();
        reader.all(v.root, v.namespace, bytes.concat(v.present, hex"00"));
        vm.expectRevert();
        reader.all(v.root, v.absentNamespace, bytes.concat(v.absent, hex"00"));
        vm.expectRevert();
        reader.one(v.root, v.namespace, 1, bytes.concat(v.transactionProof, hex"00"));
        vm.expectRevert();
        reader.bundle(v.bundlesRoot, bytes.concat(v.bundleProof, hex"00"));
    }

    function testFuzz_aChangedByteProvesNothing(uint256 place, uint256 position, uint8 flip) public {
        Vector memory v = vectors[bound(place, 0, VECTORS - 1)];
        bytes1 change = bytes1(uint8(bound(flip, 1, 255)));
        bytes memory proof = changed(v.present, position, change);
        vm.expectRevert();
        reader.all(v.root, v.namespace, proof);
        proof = changed(v.absent, position, change);
        vm.expectRevert();
        reader.all(v.root, v.absentNamespace, proof);
        proof = changed(v.transactionProof, position, change);
        vm.expectRevert();
        reader.one(v.root, v.namespace, 1, proof);
        if (v.bundleProof.length == 0) return;
        proof = changed(v.bundleProof, position, change);
        vm.expectRevert();
        reader.bundle(v.bundlesRoot, proof);
    }

    function testFuzz_garbageProvesNothing(bytes32 root, uint64 namespace, bytes calldata proof) public {
        vm.expectRevert();
        reader.all(root, namespace, proof);
        vm.expectRevert();
        reader.one(root, namespace, 0, proof);
        vm.expectRevert();
        reader.bundle(root, proof);
    }

    /// @dev Seen with `forge test -vv`; docs/build-on.md has the figures.
    function test_gas() public {
        string[VECTORS] memory names = ["1 namespace", "16 namespaces", "256 namespaces"];
        for (uint256 i = 0; i < VECTORS; ++i) {
            Vector memory v = vectors[i];
            uint256 all = reader.gasOfAll(v.root, v.namespace, v.present);
            uint256 absent = reader.gasOfAll(v.root, v.absentNamespace, v.absent);
            uint256 one = reader.gasOfOne(v.root, v.namespace, 1, v.transactionProof);
            emit log_named_uint(string.concat(names[i], ", three transactions"), all);
            emit log_named_uint(string.concat(names[i], ", absent"), absent);
            emit log_named_uint(string.concat(names[i], ", one transaction"), one);
            check(all < 30_000 && absent < 30_000 && one < 30_000, "a proof is cheap");
            if (i == 0) continue;
            uint256 bundle = reader.gasOfBundle(v.bundlesRoot, v.bundleProof);
            emit log_named_uint(string.concat(names[i], ", a bundle of two"), bundle);
            check(bundle < 30_000, "a bundle is cheap");
        }
    }

    function changed(bytes memory proof, uint256 position, bytes1 change) private pure returns (bytes memory copy) {
        if (proof.length == 0) return proof;
        copy = bytes.concat(proof);
        position = position % copy.length;
        copy[position] = copy[position] ^ change;
    }

    function cut(bytes memory proof, uint256 length) private pure returns (bytes memory short) {
        short = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            short[i] = proof[i];
        }
    }
}
