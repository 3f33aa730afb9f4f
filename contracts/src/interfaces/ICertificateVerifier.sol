// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Verification of finality certificates of the sequencer, for light clients: a precompile.
/// @notice Whoever calls it says which committee to believe. See docs/formats.md for the encodings.
interface ICertificateVerifier {
    /// @notice What a block's digest covers.
    struct FinalHeader {
        bytes32 digest;
        bytes32 parent;
        uint64 height;
        uint64 consensusView;
        uint64 timestampMillis;
        bytes32 randomness;
        /// What `NamespaceProof` verifies transactions against.
        bytes32 namespacesRoot;
        /// Root over the shards of the payload.
        bytes32 erasureRoot;
        /// What `NamespaceProof` verifies bundles against.
        bytes32 bundlesRoot;
        /// SHA-256 of the commitment; the commitment of a Kumo block is the RLP of its Ethereum header.
        bytes32 commitmentHash;
    }
    /// @notice Not 1 to 256 keys, strictly ascending.
    error CommitteeMalformed(uint256 size);
    error HeaderMalformed(uint256 length);
    error CertificateMalformed(uint256 length);
    /// @notice The certificate is about another block.
    error CertificateUnrelated(uint64 height);
    /// @notice Fewer than a quorum signed, or a signature is false.
    error QuorumMissing(uint64 height);
    /// @notice Reverts unless more than two thirds of `committee` finalised the block with this header.
    /// @param chainId Chain id of the network that the committee orders.
    /// @param committee Ed25519 consensus keys, strictly ascending.
    /// @param header Encoded sequencer header.
    /// @param certificate Encoded certificate, as `/v1/finalized` gives it.
    function verify(uint64 chainId, bytes32[] calldata committee, bytes calldata header, bytes calldata certificate)
        external
        view
        returns (FinalHeader memory);
}
