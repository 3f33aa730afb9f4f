// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Reputation: Beta evidence with decay, from verified events only.
/// @notice Evidence halves every `halfLifeSeconds`. The score is a lower bound of the share of good work, so that little
/// evidence scores low: mean - z * sqrt(mean * (1 - mean) / (n + 1)), with a Beta(1,1) prior.
interface IReputation {
    event Recorded(address indexed provider, bool good, uint256 weight, uint256 scoreBps);
    event ParameterChanged(bytes32 indexed name, uint256 value);
    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);
    /// @notice Market and court only. `weight` in 1e18 = one event.
    function record(address provider, bool good, uint256 weight) external;
    /// @return bps 0..=10000
    function scoreBps(address provider) external view returns (uint256 bps);
    /// @return good decayed good evidence, 1e18 = one event. @return bad likewise.
    function evidence(address provider) external view returns (uint256 good, uint256 bad, uint64 updatedAt);
    /// @notice names: halfLifeSeconds, zMilli, weightMax.
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max);
    function setParameter(bytes32 name, uint256 value) external;
}
