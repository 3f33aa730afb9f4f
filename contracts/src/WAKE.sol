// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { IAkeVotes } from "./AkeVotes.sol";
import { IWAKE } from "./interfaces/IWAKE.sol";
import { Predeploys } from "./Predeploys.sol";

/// @title Wrapped AKE: the ERC-20 face of the coin, one to one, with permit; every move is reported to AkeVotes.
contract WAKE is ERC20, ERC20Permit, ReentrancyGuardTransient, IWAKE {
    constructor() ERC20("Wrapped AKE", "WAKE") ERC20Permit("Wrapped AKE") { }

    /// @notice Wraps what is sent.
    receive() external payable {
        _wrap(msg.sender);
    }

    /// @notice Wraps what is sent, for the sender.
    function deposit() external payable {
        _wrap(msg.sender);
    }

    /// @notice Wraps what is sent, for `account`.
    function depositFor(address account) external payable {
        _wrap(account);
    }

    /// @notice Unwraps `amount` to the sender; reverts when the sender cannot receive it.
    function withdraw(uint256 amount) external nonReentrant {
        _burn(msg.sender, amount);
        emit Withdrawal(msg.sender, amount);
        (bool sent,) = msg.sender.call{ value: amount }("");
        if (!sent) revert TransferFailed(msg.sender, amount);
    }

    /// @inheritdoc IWAKE
    function balanceOf(address account) public view override(ERC20, IWAKE) returns (uint256) {
        return super.balanceOf(account);
    }

    /// @inheritdoc IWAKE
    function totalSupply() public view override(ERC20, IWAKE) returns (uint256) {
        return super.totalSupply();
    }

    /// @inheritdoc IWAKE
    function transfer(address to, uint256 amount) public override(ERC20, IWAKE) returns (bool) {
        return super.transfer(to, amount);
    }

    /// @inheritdoc IWAKE
    function approve(address spender, uint256 amount) public override(ERC20, IWAKE) returns (bool) {
        return super.approve(spender, amount);
    }

    function _wrap(address account) private {
        _mint(account, msg.value);
        emit Deposit(account, msg.value);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        IAkeVotes(Predeploys.AKE_VOTES).onUnitsMoved(from, to, amount);
    }
}
