// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IRandomness } from "../src/interfaces/IRandomness.sol";
import { System } from "./System.sol";

contract RandomnessTest is System {
    function setUp() public {
        deploySystem();
    }

    function test_remembersTheRing() public {
        uint256 first = block.number + 1;
        nextBlocks(8193);
        check(isRemembered(block.number), "current");
        check(isRemembered(block.number - 4000), "between");
        check(isRemembered(first + 1), "oldest");
        vm.expectRevert(abi.encodeWithSelector(IRandomness.OutOfRange.selector, first, block.number));
        randomness.at(first);
    }

    function isRemembered(uint256 number) private view returns (bool) {
        return randomness.at(number) == keccak256(abi.encode("randomness", number));
    }

    function test_oneBlockBeforeTheRingIsRefused() public {
        vm.roll(20_000);
        randomness.at(20_000 - 8191);
        vm.expectRevert(abi.encodeWithSelector(IRandomness.OutOfRange.selector, 20_000 - 8192, 20_000));
        randomness.at(20_000 - 8192);
    }

    function test_theFutureIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(IRandomness.OutOfRange.selector, block.number + 1, block.number));
        randomness.at(block.number + 1);
    }

    function test_settledIsForBlocksBeforeThisOne() public {
        nextBlocks(3);
        check(randomness.settled(block.number - 1) == randomness.at(block.number - 1), "the same value");
        vm.expectRevert(abi.encodeWithSelector(IRandomness.NotSettled.selector, block.number, block.number));
        randomness.settled(block.number);
        vm.roll(20_000);
        vm.expectRevert(abi.encodeWithSelector(IRandomness.OutOfRange.selector, 1, 20_000));
        randomness.settled(1);
    }

    function test_onlyTheChainWritesIt() public {
        vm.expectRevert(abi.encodeWithSelector(IRandomness.NotSystem.selector, address(this)));
        randomness.set(bytes32(uint256(1)));
    }
}
