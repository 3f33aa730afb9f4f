// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// The smallest honest ERC-20, and a few slots to write: the load of `cargo xtask bench chain`.
contract Token {
    mapping(address holder => uint256) public balanceOf;
    mapping(uint256 key => uint256) public stored;
    uint256 public totalSupply;

    event Transfer(address indexed from, address indexed to, uint256 value);

    error Insufficient(uint256 balance, uint256 value);

    /// Gives the caller `value` new tokens.
    function mint(uint256 value) external {
        totalSupply += value;
        balanceOf[msg.sender] += value;
        emit Transfer(address(0), msg.sender, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        uint256 balance = balanceOf[msg.sender];
        if (balance < value) revert Insufficient(balance, value);
        unchecked {
            balanceOf[msg.sender] = balance - value;
            balanceOf[to] += value;
        }
        emit Transfer(msg.sender, to, value);
        return true;
    }

    /// Writes two slots that are read by nobody else.
    function store(uint256 key, uint256 value) external {
        stored[key] = value;
        stored[key + 1] += value;
    }
}
