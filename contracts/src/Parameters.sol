// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { AccessManaged } from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import { Predeploys } from "./Predeploys.sol";

/// @title What every contract with parameters tells the world.
interface IParameters {
    event ParameterChanged(bytes32 indexed name, uint256 value);

    error TermOutOfRange(bytes32 name, uint256 value, uint256 min, uint256 max);
    error UnknownParameter(bytes32 name);
}

/// @title Named numbers that the authority may change within bounds fixed at genesis.
/// @notice A name is its ASCII text, left-aligned in 32 bytes.
abstract contract Parameters is AccessManaged {
    /// @dev The value has a slot of its own, so that reading one costs one storage read.
    struct Parameter {
        uint256 value;
        uint128 min;
        uint128 max;
    }

    mapping(bytes32 name => Parameter) private _parameters;

    constructor() AccessManaged(Predeploys.ACCESS_MANAGER) { }

    /// @dev Only from constructors. A maximum of 0 would mean "unknown", so it is refused.
    function _define(bytes32 name, uint256 value, uint128 min, uint128 max) internal {
        assert(max != 0 && min <= value && value <= max);
        _parameters[name] = Parameter(value, min, max);
        emit IParameters.ParameterChanged(name, value);
    }

    function _value(bytes32 name) internal view returns (uint256) {
        return _parameters[name].value;
    }

    function _parameter(bytes32 name) internal view returns (uint256 value, uint256 min, uint256 max) {
        Parameter storage p = _parameters[name];
        if (p.max == 0) revert IParameters.UnknownParameter(name);
        return (p.value, p.min, p.max);
    }

    function _setParameter(bytes32 name, uint256 value) internal {
        (, uint256 min, uint256 max) = _parameter(name);
        _requireWithin(name, value, min, max);
        _parameters[name].value = value;
        emit IParameters.ParameterChanged(name, value);
    }

    function _requireWithin(bytes32 name, uint256 value, uint256 min, uint256 max) internal pure {
        if (value < min || value > max) revert IParameters.TermOutOfRange(name, value, min, max);
    }
}
