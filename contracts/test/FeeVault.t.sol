// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IAccessManaged } from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import { IParameters } from "../src/Parameters.sol";
import { Predeploys } from "../src/Predeploys.sol";
import { IFeeVault } from "../src/interfaces/IFeeVault.sol";
import { System } from "./System.sol";

contract FeeVaultTest is System {
    function setUp() public {
        deploySystem();
    }

    function test_splitsToTheWei(uint96 fee) public {
        fee = uint96(bound(fee, 1, 1000 ether));
        provider("staker");
        uint256 burnBefore = Predeploys.BURN.balance;
        uint256 stakesBefore = address(stakes).balance;
        payIn(fee);
        equal(vault.undistributed(), fee, "waits");
        equal(vault.distribute(), fee, "amount");
        uint256 burned = uint256(fee) * 5000 / 10_000;
        uint256 treasury = uint256(fee) * 3000 / 10_000;
        equal(Predeploys.BURN.balance - burnBefore, burned, "burned");
        equal(vault.totalBurned(), burned, "counted");
        equal(vault.treasuryBalance(), treasury, "treasury");
        equal(address(stakes).balance - stakesBefore, fee - burned - treasury, "stakers");
        equal(vault.undistributed(), 0, "nothing left");
        equal(vault.distribute(), 0, "nothing to do");
    }

    function test_withoutStakersTheirPartGoesToTheTreasury() public {
        payIn(1000);
        vault.distribute();
        equal(vault.treasuryBalance(), 500, "treasury");
        equal(Predeploys.BURN.balance, 500, "burned");
    }

    function test_baseFeeArrivesAsAPlainBalance() public {
        vm.deal(address(vault), 10);
        equal(vault.distribute(), 10, "split");
    }

    function test_treasuryPaysOnlyByTheAuthorityAndOnlyWhatItHas() public {
        payIn(1000);
        vault.distribute();
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, address(this)));
        vault.payTreasury(payable(STRANGER), 1);
        vm.startPrank(AUTHORITY);
        vm.expectRevert(abi.encodeWithSelector(IFeeVault.TreasuryTooLow.selector, 500, 501));
        vault.payTreasury(payable(STRANGER), 501);
        uint256 before = STRANGER.balance;
        vault.payTreasury(payable(STRANGER), 500);
        equal(STRANGER.balance, before + 500, "paid");
        vm.stopPrank();
        equal(vault.treasuryBalance(), 0, "spent");
    }

    function test_refusedGrantFails() public {
        payIn(1000);
        vault.distribute();
        vm.expectRevert(abi.encodeWithSelector(IFeeVault.TransferFailed.selector, address(escrow), 1));
        vm.prank(AUTHORITY);
        vault.payTreasury(payable(address(escrow)), 1);
    }

    function test_sharesNeverExceedTheWhole() public {
        vm.startPrank(AUTHORITY);
        vault.setParameter("burnBps", 7000);
        bytes32 name = "treasuryBps";
        vm.expectRevert(abi.encodeWithSelector(IFeeVault.TermOutOfRange.selector, name, 3001, 0, 3000));
        vault.setParameter(name, 3001);
        name = "burnBps";
        vm.expectRevert(abi.encodeWithSelector(IFeeVault.TermOutOfRange.selector, name, 7001, 0, 7000));
        vault.setParameter(name, 7001);
        vm.expectRevert(abi.encodeWithSelector(IParameters.UnknownParameter.selector, bytes32("x")));
        vault.setParameter("x", 0);
        vm.stopPrank();
        (uint256 value,,) = vault.parameter("burnBps");
        equal(value, 7000, "value");
    }

    function payIn(uint256 amount) private {
        vm.prank(STRANGER);
        (bool sent,) = address(vault).call{ value: amount }("");
        check(sent, "sent");
    }
}
