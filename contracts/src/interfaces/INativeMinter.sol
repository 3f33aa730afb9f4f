// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title The only way to make coin after genesis: a precompile that few contracts may call.
/// @notice Who may mint, and how much per epoch, is fixed by genesis. Burning is a transfer to the burn address.
interface INativeMinter {
    event Minted(address indexed minter, address indexed to, uint256 amount, uint256 indexed epoch);
    error NotMinter(address caller);
    /// @notice The cap of this epoch (or of all amounts, 2^256 - 1) leaves less than what was asked for.
    error CapExceeded(uint256 epoch, uint256 asked, uint256 left);
    /// @notice The minter works on its own account: no DELEGATECALL, no CALLCODE.
    error NotDirect();
    /// @notice The call came through a STATICCALL.
    error ReadOnly();
    /// @notice Minters only. Adds `amount` wei to the balance of `to`; no code of `to` runs.
    function mint(address to, uint256 amount) external;
    function isMinter(address account) external view returns (bool);
    /// @notice Current epoch: block number divided by the blocks of an epoch. 0 where nobody may mint.
    function epoch() external view returns (uint256);
    /// @notice Wei that may be minted in one epoch.
    function cap() external view returns (uint256);
    /// @notice Wei minted in the current epoch.
    function mintedInEpoch() external view returns (uint256);
    /// @notice Wei minted since genesis.
    function minted() external view returns (uint256);
}
