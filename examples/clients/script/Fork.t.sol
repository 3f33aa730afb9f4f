// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import { IERC20Metadata } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

/// @title Runs on a fork of the network: its predeploys are there.
contract ForkTest {
    IERC20Metadata private constant WAKE = IERC20Metadata(address(0xA4E001));

    function test_the_wrapped_coin_is_there() external view {
        require(keccak256(bytes(WAKE.symbol())) == keccak256("WAKE"), "symbol");
    }
}
