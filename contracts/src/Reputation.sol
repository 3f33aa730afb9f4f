// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { IReputation } from "./interfaces/IReputation.sol";
import { Parameters } from "./Parameters.sol";
import { PeersOnly } from "./Predeploys.sol";

/// @title Beta evidence with decay, from verified events only.
/// @notice All in integers of ONE = 1e18, every division rounds down, so that any other program can repeat it:
///
///     decay(v, elapsed):  v' = v >> (elapsed / halfLife), 0 from 128 halvings on
///                         v'' = v' - v' * (elapsed % halfLife) / (2 * halfLife)
///     a = decay(good) + ONE,  b = decay(bad) + ONE,  n = a + b
///     mean = a * ONE / n
///     deviation = isqrt(mean * (ONE - mean) * ONE / (n + ONE))
///     penalty = zMilli * deviation / 1000
///     scoreBps = mean > penalty ? (mean - penalty) * 10000 / ONE : 0
///
/// Source: Josang and Ismail, "The Beta Reputation System" (2002); the deviation is that of Beta(a, b).
contract Reputation is IReputation, Parameters, PeersOnly {
    uint256 private constant ONE = 1e18;
    uint256 private constant BPS = 10_000;
    /// @dev Halvings after which nothing is left of a 96-bit number, with room to spare.
    uint256 private constant HALVINGS_MAX = 128;

    struct Evidence {
        uint96 good;
        uint96 bad;
        uint64 updatedAt;
    }

    mapping(address provider => Evidence) private _evidence;

    constructor() {
        _define("halfLifeSeconds", 30 days, 1 hours, 3650 days);
        _define("zMilli", 1000, 0, 3000);
        _define("weightMax", 10e18, 1e18, 1000e18);
    }

    /// @inheritdoc IReputation
    /// @dev A weight over `weightMax` counts as `weightMax`: a settlement must not fail because of it.
    function record(address provider, bool good, uint256 weight) external onlyMarketOrCourt {
        uint256 counted = Math.min(weight, _value("weightMax"));
        (uint256 goods, uint256 bads) = _decayed(provider);
        if (good) goods += counted;
        else bads += counted;
        _evidence[provider] = Evidence(_saturate(goods), _saturate(bads), uint64(block.timestamp));
        emit Recorded(provider, good, counted, _score(goods, bads));
    }

    /// @inheritdoc IReputation
    function setParameter(bytes32 name, uint256 value) external restricted {
        _setParameter(name, value);
    }

    /// @inheritdoc IReputation
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc IReputation
    function scoreBps(address provider) external view returns (uint256) {
        (uint256 good, uint256 bad) = _decayed(provider);
        return _score(good, bad);
    }

    /// @inheritdoc IReputation
    function evidence(address provider) external view returns (uint256 good, uint256 bad, uint64 updatedAt) {
        (good, bad) = _decayed(provider);
        updatedAt = _evidence[provider].updatedAt;
    }

    function _decayed(address provider) private view returns (uint256 good, uint256 bad) {
        Evidence storage e = _evidence[provider];
        uint256 elapsed = block.timestamp - e.updatedAt;
        uint256 halfLife = _value("halfLifeSeconds");
        return (_decay(e.good, elapsed, halfLife), _decay(e.bad, elapsed, halfLife));
    }

    /// @dev Exact at whole half-lives, linear between them: within 6 % of the exponential, without its cost.
    function _decay(uint256 value, uint256 elapsed, uint256 halfLife) private pure returns (uint256) {
        uint256 halvings = elapsed / halfLife;
        if (halvings >= HALVINGS_MAX) return 0;
        uint256 halved = value >> halvings;
        return halved - halved * (elapsed % halfLife) / (2 * halfLife);
    }

    function _score(uint256 good, uint256 bad) private view returns (uint256) {
        uint256 a = good + ONE;
        uint256 n = a + bad + ONE;
        uint256 mean = a * ONE / n;
        uint256 deviation = Math.sqrt(mean * (ONE - mean) * ONE / (n + ONE));
        uint256 penalty = _value("zMilli") * deviation / 1000;
        return mean > penalty ? (mean - penalty) * BPS / ONE : 0;
    }

    function _saturate(uint256 value) private pure returns (uint96) {
        return uint96(Math.min(value, type(uint96).max));
    }
}
