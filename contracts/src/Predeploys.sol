// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @notice The caller is not the system contract that this function is for.
error CallerNotAllowed(address caller);

/// @title Addresses at which genesis puts the system contracts.
/// @notice Constants instead of wiring: a peer cannot be replaced, and finding it costs no storage read.
library Predeploys {
    address internal constant WAKE = address(0xA4E001);
    address internal constant AKE_VOTES = address(0xA4E002);
    address internal constant STAKE_MANAGER = address(0xA4E003);
    address internal constant PROVIDER_REGISTRY = address(0xA4E004);
    address internal constant JOB_MARKET = address(0xA4E005);
    address internal constant ESCROW = address(0xA4E006);
    address internal constant REPUTATION = address(0xA4E007);
    address internal constant SLASHING_COURT = address(0xA4E008);
    address payable internal constant FEE_VAULT = payable(address(0xA4E009));
    address internal constant RANDOMNESS = address(0xA4E00b);
    address internal constant ACCESS_MANAGER = address(0xA4E00c);
    /// @notice Reserved: may mint, as far as genesis says so.
    address internal constant EMISSION_CONTROLLER = address(0xA4E00d);
    /// @notice Reserved: may mint, as far as genesis says so.
    address internal constant BRIDGE_GATEWAY = address(0xA4E00e);
    address internal constant ROLLUP_REGISTRY = address(0xA4E00f);
    address internal constant VALIDATOR_REGISTRY = address(0xA4E010);
    /// @notice Precompiles of the chain.
    address internal constant NATIVE_MINTER = address(0xA4E100);
    address internal constant CERTIFICATE_VERIFIER = address(0xA4E101);
    address internal constant STORAGE_PROOFS = address(0xA4E102);
    /// @notice Blocks whose randomness is remembered, the current one included.
    uint256 internal constant RANDOMNESS_BLOCKS = 8192;
    /// @notice Burned coin goes here; nobody has its key.
    address payable internal constant BURN = payable(0x000000000000000000000000000000000000dEaD);
    /// @notice Sender of the calls that the chain itself makes (EIP-4788).
    address internal constant SYSTEM = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;
}

/// @title Functions that only other system contracts may call.
abstract contract PeersOnly {
    modifier only(address peer) {
        if (msg.sender != peer) revert CallerNotAllowed(msg.sender);
        _;
    }

    /// @dev Those that reserve stake for a purpose of their own.
    modifier onlyReserver() {
        if (
            msg.sender != Predeploys.JOB_MARKET && msg.sender != Predeploys.SLASHING_COURT
                && msg.sender != Predeploys.VALIDATOR_REGISTRY
        ) revert CallerNotAllowed(msg.sender);
        _;
    }

    modifier onlyMarketOrCourt() {
        if (msg.sender != Predeploys.JOB_MARKET && msg.sender != Predeploys.SLASHING_COURT) {
            revert CallerNotAllowed(msg.sender);
        }
        _;
    }
}
