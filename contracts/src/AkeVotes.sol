// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Votes } from "@openzeppelin/contracts/governance/utils/Votes.sol";
import { Time } from "@openzeppelin/contracts/utils/types/Time.sol";
import { CallerNotAllowed, Predeploys } from "./Predeploys.sol";
import { IStakeManager } from "./interfaces/IStakeManager.sol";
import { IWAKE } from "./interfaces/IWAKE.sol";

/// @title What WAKE and StakeManager report to.
interface IAkeVotes {
    /// @notice WAKE and StakeManager only: `amount` units went from one account to another; zero is outside.
    /// @dev To be called after the balance behind the units has changed.
    function onUnitsMoved(address from, address to, uint256 amount) external;
}

/// @title Voting units of an account = its WAKE + its active stake, checkpointed by timestamp.
/// @notice An account votes for itself from its first unit on, until it delegates elsewhere. Unbonding stake has no vote.
contract AkeVotes is Votes, IAkeVotes {
    constructor() EIP712("AkeVotes", "1") { }

    /// @inheritdoc IAkeVotes
    function onUnitsMoved(address from, address to, uint256 amount) external {
        if (msg.sender != Predeploys.WAKE && msg.sender != Predeploys.STAKE_MANAGER) {
            revert CallerNotAllowed(msg.sender);
        }
        _transferVotingUnits(from, to, amount);
        // A transfer of nothing must not undo somebody's choice of no delegate.
        if (amount == 0 || to == address(0) || delegates(to) != address(0)) return;
        if (_getVotingUnits(to) == amount) _delegate(to, to);
    }

    /// @notice Units of `account` now, whoever votes with them.
    function unitsOf(address account) external view returns (uint256) {
        return _getVotingUnits(account);
    }

    /// @notice All units now: everything wrapped and everything actively staked.
    function totalUnits() external view returns (uint256) {
        return _getTotalSupply();
    }

    /// @notice Unix seconds (ERC-6372): several blocks may share one.
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    /// @notice ERC-6372 description of the clock.
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    function _getVotingUnits(address account) internal view override returns (uint256) {
        return IWAKE(Predeploys.WAKE).balanceOf(account) + IStakeManager(Predeploys.STAKE_MANAGER).activeStake(account);
    }
}
