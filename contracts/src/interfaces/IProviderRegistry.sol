// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Who offers compute and storage, where, and with which keys.
interface IProviderRegistry {
    /// @param roles bit 0: compute (bids, audits). bit 1: storage (keeps shards).
    /// @param encryptionKey X25519 public key that job keys are wrapped to.
    /// @param endpoint URL of the node's service, at most 256 bytes; empty for compute nodes without one.
    /// @param attributes JSON facts about the machine, at most 2048 bytes.
    struct Profile {
        uint8 roles;
        bytes32 encryptionKey;
        string endpoint;
        string attributes;
    }

    event ProviderRegistered(
        address indexed provider, uint8 roles, bytes32 encryptionKey, string endpoint, string attributes
    );
    event ProviderRemoved(address indexed provider);
    event ProviderJailed(address indexed provider, uint64 until);

    error NotRegistered(address provider);
    error StakeTooLow(address provider, uint256 active, uint256 wanted);
    error StillStaked(address provider, uint256 active, uint256 min);
    error BadRoles(uint8 roles);
    error TooLong(bytes32 field, uint256 length, uint256 max);
    error ZeroKey();
    error StillReserved(address provider, uint256 reserved);

    /// @notice Registers or updates the caller; needs `providerStakeMin` of active stake.
    function register(Profile calldata profile) external;
    /// @notice Stakes the value sent and registers, in one transaction.
    function stakeAndRegister(Profile calldata profile) external payable;
    function deregister() external;
    /// @notice Removes a provider whose stake is below the minimum and backs nothing, so that draws do not stumble over
    /// the departed. Anybody may call.
    function prune(address provider) external;
    /// @notice Court only.
    function jail(address provider, uint64 until) external;
    function profile(address provider) external view returns (Profile memory);
    function isRegistered(address provider) external view returns (bool);
    /// @notice Registered for `role` (bit number), above the minimum stake, not jailed.
    function isEligible(address provider, uint8 role) external view returns (bool);
    function jailedUntil(address provider) external view returns (uint64);
    function count() external view returns (uint256);
    function at(uint256 index) external view returns (address);
    function list(uint256 from, uint256 max)
        external
        view
        returns (address[] memory providers, Profile[] memory profiles);
}
