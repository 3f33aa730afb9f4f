// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { EnumerableSet } from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { PeersOnly, Predeploys } from "./Predeploys.sol";

/// @title Who offers compute and storage, where, and with which keys.
/// @notice Leaving the registry does not end a jail term.
contract ProviderRegistry is IProviderRegistry, PeersOnly {
    using EnumerableSet for EnumerableSet.AddressSet;

    /// @notice Largest endpoint, in bytes.
    uint256 public constant ENDPOINT_BYTES_MAX = 256;
    /// @notice Largest attributes, in bytes.
    uint256 public constant ATTRIBUTES_BYTES_MAX = 2048;
    /// @notice All role bits: 1 compute, 2 storage.
    uint8 public constant ROLES_ALL = 3;

    EnumerableSet.AddressSet private _providers;
    mapping(address provider => Profile) private _profiles;
    mapping(address provider => uint64) private _jailedUntil;

    /// @inheritdoc IProviderRegistry
    function register(Profile calldata profile_) external {
        _register(profile_);
    }

    /// @inheritdoc IProviderRegistry
    function stakeAndRegister(Profile calldata profile_) external payable {
        _stakes().stakeFor{ value: msg.value }(msg.sender);
        _register(profile_);
    }

    /// @inheritdoc IProviderRegistry
    function deregister() external {
        _remove(msg.sender);
    }

    /// @inheritdoc IProviderRegistry
    function prune(address provider) external {
        uint256 active = _stakes().activeStake(provider);
        uint256 min = _stakeMin();
        if (active >= min) revert StillStaked(provider, active, min);
        _remove(provider);
    }

    /// @inheritdoc IProviderRegistry
    function jail(address provider, uint64 until) external only(Predeploys.SLASHING_COURT) {
        // A shorter term never replaces a longer one.
        if (until <= _jailedUntil[provider]) return;
        _jailedUntil[provider] = until;
        emit ProviderJailed(provider, until);
    }

    /// @inheritdoc IProviderRegistry
    function profile(address provider) external view returns (Profile memory) {
        if (!_providers.contains(provider)) revert NotRegistered(provider);
        return _profiles[provider];
    }

    /// @inheritdoc IProviderRegistry
    function isRegistered(address provider) external view returns (bool) {
        return _providers.contains(provider);
    }

    /// @inheritdoc IProviderRegistry
    function isEligible(address provider, uint8 role) external view returns (bool) {
        // A removed profile has no roles, so this also asks whether it is registered.
        return (_profiles[provider].roles >> role) & 1 == 1 && _jailedUntil[provider] <= block.timestamp
            && _stakes().activeStake(provider) >= _stakeMin();
    }

    /// @inheritdoc IProviderRegistry
    function jailedUntil(address provider) external view returns (uint64) {
        return _jailedUntil[provider];
    }

    /// @inheritdoc IProviderRegistry
    function count() external view returns (uint256) {
        return _providers.length();
    }

    /// @inheritdoc IProviderRegistry
    function at(uint256 index) external view returns (address) {
        return _providers.at(index);
    }

    /// @inheritdoc IProviderRegistry
    function list(uint256 from, uint256 max)
        external
        view
        returns (address[] memory providers, Profile[] memory profiles)
    {
        uint256 total = _providers.length();
        uint256 left = from < total ? total - from : 0;
        uint256 size = left < max ? left : max;
        providers = new address[](size);
        profiles = new Profile[](size);
        for (uint256 i = 0; i < size; ++i) {
            providers[i] = _providers.at(from + i);
            profiles[i] = _profiles[providers[i]];
        }
    }

    function _register(Profile calldata p) private {
        _check(p);
        uint256 active = _stakes().activeStake(msg.sender);
        uint256 wanted = _stakeMin();
        if (active < wanted) revert StakeTooLow(msg.sender, active, wanted);
        _providers.add(msg.sender);
        _profiles[msg.sender] = p;
        emit ProviderRegistered(msg.sender, p.roles, p.encryptionKey, p.endpoint, p.attributes);
    }

    function _remove(address provider) private {
        if (!_providers.remove(provider)) revert NotRegistered(provider);
        uint256 reserved = _stakes().reservedStake(provider);
        if (reserved != 0) revert StillReserved(provider, reserved);
        delete _profiles[provider];
        emit ProviderRemoved(provider);
    }

    function _check(Profile calldata p) private pure {
        if (p.roles == 0 || p.roles > ROLES_ALL) revert BadRoles(p.roles);
        if (p.encryptionKey == 0) revert ZeroKey();
        _checkLength("endpoint", bytes(p.endpoint).length, ENDPOINT_BYTES_MAX);
        _checkLength("attributes", bytes(p.attributes).length, ATTRIBUTES_BYTES_MAX);
    }

    function _checkLength(bytes32 field, uint256 length, uint256 max) private pure {
        if (length > max) revert TooLong(field, length, max);
    }

    function _stakes() private pure returns (IStakeManager) {
        return IStakeManager(Predeploys.STAKE_MANAGER);
    }

    function _stakeMin() private view returns (uint256 value) {
        (value,,) = _stakes().parameter("providerStakeMin");
    }
}
