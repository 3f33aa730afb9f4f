// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { CallerNotAllowed, Predeploys } from "../src/Predeploys.sol";
import { IEscrow } from "../src/interfaces/IEscrow.sol";
import { System } from "./System.sol";

/// @dev Refuses money, or burns all the gas it gets, or tries to be paid twice.
contract BadRecipient {
    enum Mode {
        Refuse,
        Burn,
        Accept,
        Reenter
    }

    Mode public mode;

    function set(Mode next) external {
        mode = next;
    }

    function withdraw(IEscrow escrow) external {
        escrow.withdraw();
    }

    receive() external payable {
        if (mode == Mode.Refuse) revert("no");
        while (mode == Mode.Burn) { }
        if (mode == Mode.Reenter) IEscrow(Predeploys.ESCROW).withdraw();
    }
}

contract EscrowTest is System {
    BadRecipient private bad;

    function setUp() public {
        deploySystem();
        bad = new BadRecipient();
        vm.deal(Predeploys.JOB_MARKET, 100);
        vm.prank(Predeploys.JOB_MARKET);
        escrow.deposit{ value: 100 }(1, CONSUMER);
    }

    function test_paysAndRefundsWhatItHolds() public {
        uint256 before = STRANGER.balance;
        uint256 vaultBefore = address(vault).balance;
        vm.startPrank(Predeploys.JOB_MARKET);
        escrow.pay(1, STRANGER, 30);
        escrow.payFee(1, 5);
        equal(escrow.balanceOf(1), 65, "left");
        equal(escrow.refund(1, CONSUMER), 65, "refunded");
        vm.stopPrank();
        equal(STRANGER.balance, before + 30, "paid");
        equal(address(vault).balance, vaultBefore + 5, "fee");
        equal(escrow.totalHeld(), 0, "held");
        equal(address(escrow).balance, 0, "empty");
    }

    function test_neverPaysMoreThanTheJobHas() public {
        bytes memory tooLow = abi.encodeWithSelector(IEscrow.EscrowTooLow.selector, 1, 100, 101);
        vm.startPrank(Predeploys.JOB_MARKET);
        vm.expectRevert(tooLow);
        escrow.pay(1, STRANGER, 101);
        vm.expectRevert(tooLow);
        escrow.payFee(1, 101);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.EscrowTooLow.selector, 2, 0, 1));
        escrow.pay(2, STRANGER, 1);
    }

    function test_refusedMoneyIsKeptForItsOwner() public {
        vm.prank(Predeploys.JOB_MARKET);
        escrow.pay(1, address(bad), 40);
        equal(escrow.keptFor(address(bad)), 40, "kept");
        equal(escrow.totalHeld(), 100, "still held");
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferFailed.selector, address(bad), 40));
        bad.withdraw(escrow);
        bad.set(BadRecipient.Mode.Accept);
        bad.withdraw(escrow);
        equal(address(bad).balance, 40, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingKept.selector, address(bad)));
        bad.withdraw(escrow);
    }

    function test_recipientCannotBurnTheCallersGas() public {
        bad.set(BadRecipient.Mode.Burn);
        uint256 before = gasleft();
        vm.prank(Predeploys.JOB_MARKET);
        escrow.pay(1, address(bad), 40);
        check(before - gasleft() < 300_000, "gas is bounded");
        equal(escrow.keptFor(address(bad)), 40, "kept");
    }

    function test_recipientCannotWithdrawTwice() public {
        vm.prank(Predeploys.JOB_MARKET);
        escrow.pay(1, address(bad), 40);
        bad.set(BadRecipient.Mode.Reenter);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TransferFailed.selector, address(bad), 40));
        bad.withdraw(escrow);
        equal(escrow.keptFor(address(bad)), 40, "still kept");
    }

    function test_onlyTheMarketMovesIt() public {
        bytes memory refused = abi.encodeWithSelector(CallerNotAllowed.selector, address(this));
        vm.expectRevert(refused);
        escrow.deposit(1, address(this));
        vm.expectRevert(refused);
        escrow.pay(1, address(this), 1);
        vm.expectRevert(refused);
        escrow.payFee(1, 1);
        vm.expectRevert(refused);
        escrow.refund(1, address(this));
    }
}
