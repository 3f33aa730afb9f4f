// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { IWAKE } from "../src/interfaces/IWAKE.sol";
import { System } from "./System.sol";

/// @dev Takes no money.
contract Refuser {
    function wrapAndUnwrap(IWAKE wake) external payable {
        wake.deposit{ value: msg.value }();
        wake.withdraw(msg.value);
    }
}

contract WAKETest is System {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function setUp() public {
        deploySystem();
    }

    function test_wrapsAndUnwrapsOneToOne(uint96 amount) public {
        amount = uint96(bound(amount, 1, 1_000_000 ether));
        uint256 before = STRANGER.balance;
        vm.startPrank(STRANGER);
        wake.deposit{ value: amount }();
        equal(wake.balanceOf(STRANGER), amount, "wrapped");
        equal(wake.totalSupply(), address(wake).balance, "backed");
        wake.withdraw(amount);
        vm.stopPrank();
        equal(STRANGER.balance, before, "unwrapped");
        equal(wake.totalSupply(), 0, "supply");
    }

    function test_plainTransferWraps() public {
        vm.prank(STRANGER);
        (bool sent,) = address(wake).call{ value: 3 }("");
        check(sent, "sent");
        equal(wake.balanceOf(STRANGER), 3, "wrapped");
    }

    function test_depositForAnotherAccount() public {
        vm.prank(STRANGER);
        wake.depositFor{ value: 5 }(CONSUMER);
        equal(wake.balanceOf(CONSUMER), 5, "beneficiary");
        equal(wake.balanceOf(STRANGER), 0, "payer");
    }

    function test_withdrawBeyondTheBalanceFails() public {
        vm.startPrank(STRANGER);
        wake.deposit{ value: 5 }();
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, STRANGER, 5, 6));
        wake.withdraw(6);
    }

    function test_refusedUnwrapFails() public {
        Refuser refuser = new Refuser();
        vm.expectRevert(abi.encodeWithSelector(IWAKE.TransferFailed.selector, address(refuser), 1));
        vm.prank(STRANGER);
        refuser.wrapAndUnwrap{ value: 1 }(wake);
    }

    function test_permitNeedsTheOwnersSignature() public {
        address owner = account("owner");
        bytes32 hash = keccak256(abi.encode(PERMIT, owner, STRANGER, 7, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", wake.DOMAIN_SEPARATOR(), hash));
        address thief = account("thief");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[thief], digest);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, thief, owner));
        wake.permit(owner, STRANGER, 7, block.timestamp, v, r, s);
        (v, r, s) = vm.sign(keyOf[owner], digest);
        wake.permit(owner, STRANGER, 7, block.timestamp, v, r, s);
        equal(wake.allowance(owner, STRANGER), 7, "allowance");
    }
}
