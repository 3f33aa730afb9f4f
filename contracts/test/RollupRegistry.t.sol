// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { CallerNotAllowed } from "../src/Predeploys.sol";
import { IFeeVault } from "../src/interfaces/IFeeVault.sol";
import { IRollupRegistry } from "../src/interfaces/IRollupRegistry.sol";
import { Roots, Settling } from "./Settling.sol";

contract RollupRegistryTest is Settling {
    uint64 private constant ROLLUP = 7_000;
    uint256 private constant FEE = 1 ether;
    address payable private constant RECIPIENT = payable(address(0x5EC));
    address private constant OWNER = address(0x0E00);

    function setUp() public {
        deploySystem();
        placeRoots();
        vm.deal(OWNER, 1_000_000 ether);
    }

    function test_registeringCostsTheFeeAndTheRestIsPrepaid() public {
        register(FEE + 3 ether);
        IRollupRegistry.Rollup memory r = rollups.rollup(ROLLUP);
        equal(r.owner, OWNER, "owner");
        equal(r.feeRecipient, RECIPIENT, "recipient");
        equal(r.deposit, 3 ether, "deposit");
        equal(vault.undistributed(), FEE, "the fee is split like every other");
        equal(address(rollups).balance, 0, "the registry holds nothing");
        equal(rollups.count(), 1, "count");
        equal(rollups.list(0, 5)[0], ROLLUP, "listed");
        equal(rollups.list(1, 5).length, 0, "end of the list");
    }

    function test_whatCannotBeRegistered() public {
        vm.startPrank(OWNER);
        for (uint64 reserved = 0; reserved < 2; ++reserved) {
            vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.NamespaceReserved.selector, reserved));
            rollups.register{ value: FEE }(reserved, RECIPIENT, open());
        }
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.FeeTooLow.selector, FEE - 1, FEE));
        rollups.register{ value: FEE - 1 }(ROLLUP, RECIPIENT, open());
        vm.expectRevert(IRollupRegistry.ZeroAddress.selector);
        rollups.register{ value: FEE }(ROLLUP, payable(0), open());
        IRollupRegistry.Policy memory small = IRollupRegistry.Policy(IRollupRegistry.Ordering.Both, 1023);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.QuotaOutOfRange.selector, 1023, 1024));
        rollups.register{ value: FEE }(ROLLUP, RECIPIENT, small);
        vm.stopPrank();
        register(FEE);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.NamespaceTaken.selector, ROLLUP, OWNER));
        rollups.register{ value: FEE }(ROLLUP, RECIPIENT, open());
    }

    function test_onlyTheOwnerChangesWhatBelongsToTheRollup() public {
        register(FEE + 1);
        vm.startPrank(STRANGER);
        bytes memory refused = abi.encodeWithSelector(IRollupRegistry.NotOwner.selector, ROLLUP, STRANGER, OWNER);
        vm.expectRevert(refused);
        rollups.setPolicy(ROLLUP, open());
        vm.expectRevert(refused);
        rollups.setFeeRecipient(ROLLUP, RECIPIENT);
        vm.expectRevert(refused);
        rollups.offerOwnership(ROLLUP, STRANGER);
        vm.expectRevert(refused);
        rollups.withdraw(ROLLUP, payable(STRANGER), 1);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.NotOffered.selector, ROLLUP, STRANGER, address(0)));
        rollups.acceptOwnership(ROLLUP);
        vm.stopPrank();
        vm.startPrank(OWNER);
        rollups.setPolicy(ROLLUP, IRollupRegistry.Policy(IRollupRegistry.Ordering.Encrypted, 1024));
        rollups.setFeeRecipient(ROLLUP, payable(STRANGER));
        vm.stopPrank();
        IRollupRegistry.Rollup memory r = rollups.rollup(ROLLUP);
        equal(uint256(r.policy.ordering), 1, "ordering");
        equal(r.policy.quotaBytes, 1024, "quota");
        equal(r.feeRecipient, STRANGER, "recipient");
    }

    function test_ownershipGoesOverInTwoSteps() public {
        register(FEE);
        vm.prank(OWNER);
        rollups.offerOwnership(ROLLUP, STRANGER);
        equal(rollups.rollup(ROLLUP).owner, OWNER, "not yet");
        equal(rollups.rollup(ROLLUP).pendingOwner, STRANGER, "offered");
        vm.prank(OWNER);
        rollups.offerOwnership(ROLLUP, address(0));
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.NotOffered.selector, ROLLUP, STRANGER, address(0)));
        rollups.acceptOwnership(ROLLUP);
        vm.prank(OWNER);
        rollups.offerOwnership(ROLLUP, STRANGER);
        vm.prank(STRANGER);
        rollups.acceptOwnership(ROLLUP);
        equal(rollups.rollup(ROLLUP).owner, STRANGER, "now");
        equal(rollups.rollup(ROLLUP).pendingOwner, address(0), "the offer is used");
    }

    function test_settlesWhatTheSequencerCommitsTo() public {
        string memory json = vm.readFile("../crates/proof/vectors/accounts.json");
        bytes[] memory headers = vm.parseJsonBytesArray(json, "$.headers");
        bytes memory commitment = vm.parseJsonBytes(json, "$.commitment");
        Roots(BEACON_ROOTS).set(5, vm.parseJsonBytes32(json, "$.digest"));
        for (uint256 i = 0; i < 4; ++i) {
            string memory at = string.concat("$.accounts[", i == 0 ? "0" : i == 1 ? "1" : i == 2 ? "2" : "3", "]");
            uint64 namespace = uint64(vm.parseJsonUint(json, string.concat(at, ".namespace")));
            bytes memory proof = vm.parseJsonBytes(json, string.concat(at, ".proof"));
            if (namespace == 1) {
                vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.NamespaceReserved.selector, namespace));
                rollups.settle(5, headers, commitment, proof);
                continue;
            }
            (uint64 found, uint256 due) = rollups.settle(5, headers, commitment, proof);
            equal(found, namespace, "namespace");
            equal(due, vm.parseJsonUint(json, string.concat(at, ".owed")), "due");
            equal(rollups.rollup(namespace).settledSince, vm.parseJsonUint(json, string.concat(at, ".since")), "since");
        }
    }

    function test_chargesTheDifferenceAndSharesIt(uint64 first, uint64 more, uint16 shareBps) public {
        first = uint64(bound(first, 1, type(uint64).max));
        more = uint64(bound(more, 1, type(uint64).max));
        shareBps = uint16(bound(shareBps, 0, 10_000));
        setParameter(address(rollups), "shareBps", shareBps);
        register(FEE + 1000 ether);
        equal(settleFor(statement(ROLLUP, 3, first, 0)), first, "all of it");
        equal(settleFor(statement(ROLLUP, 3, uint128(first) + more, 4)), more, "the difference");
        uint256 owed = uint256(first) + more;
        IRollupRegistry.Rollup memory r = rollups.rollup(ROLLUP);
        equal(r.deposit, 1000 ether - owed, "deposit");
        equal(r.debt, 0, "no debt");
        uint256 share = uint256(first) * shareBps / 10_000 + uint256(more) * shareBps / 10_000;
        equal(r.share, share, "share");
        equal(vault.undistributed(), FEE + owed - share, "the rest is split like every fee");
        equal(rollups.claim(ROLLUP), share, "claimed");
        equal(RECIPIENT.balance, share, "paid");
        equal(rollups.rollup(ROLLUP).share, 0, "once");
    }

    function test_debtIsPaidFirstAndSuspendsBeyondTheLimit() public {
        settleFor(statement(ROLLUP, 3, 10 ether, 0));
        check(!rollups.rollup(ROLLUP).suspended, "at the limit");
        settleFor(statement(ROLLUP, 3, 10 ether + 1, 0));
        IRollupRegistry.Rollup memory r = rollups.rollup(ROLLUP);
        check(r.suspended, "beyond it, registered or not");
        equal(r.debt, 10 ether + 1, "debt");
        vm.prank(STRANGER);
        rollups.deposit{ value: 1 }(ROLLUP);
        check(!rollups.rollup(ROLLUP).suspended, "anybody may pay");
        equal(vault.shareOf(ROLLUP), 0, "nobody would get a share");
        register(FEE + 4 ether);
        r = rollups.rollup(ROLLUP);
        equal(r.debt, 6 ether, "who registers takes the debt over");
        equal(r.deposit, 0, "nothing is left");
        equal(r.share, 0.8 ether, "share of what was paid since");
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.InDebt.selector, ROLLUP, 6 ether));
        rollups.withdraw(ROLLUP, payable(OWNER), 0);
        rollups.deposit{ value: 7 ether }(ROLLUP);
        uint256 before = OWNER.balance;
        rollups.withdraw(ROLLUP, payable(OWNER), 1 ether);
        equal(OWNER.balance, before + 1 ether, "given back");
        vm.expectRevert(abi.encodeWithSelector(IFeeVault.DepositTooLow.selector, ROLLUP, 0, 1));
        rollups.withdraw(ROLLUP, payable(OWNER), 1);
        vm.stopPrank();
    }

    function test_nothingIsChargedTwice() public {
        Statement memory old = statement(ROLLUP, 3, 5, 0);
        vm.warp(block.timestamp + 1);
        Statement memory newer = statement(ROLLUP, 3, 9, 1);
        settleFor(newer);
        bytes memory refused = abi.encodeWithSelector(IRollupRegistry.NothingToSettle.selector, ROLLUP, 5, 9);
        vm.expectRevert(refused);
        rollups.settle(old.timestamp, old.headers, old.commitment, old.account);
        refused = abi.encodeWithSelector(IRollupRegistry.NothingToSettle.selector, ROLLUP, 9, 9);
        vm.expectRevert(refused);
        rollups.settle(newer.timestamp, newer.headers, newer.commitment, newer.account);
        equal(settleFor(statement(ROLLUP, 100, 2, 0)), 2, "an account that began anew");
        Statement memory before = statement(ROLLUP, 3, 90, 0);
        refused = abi.encodeWithSelector(IRollupRegistry.NothingToSettle.selector, ROLLUP, 90, 2);
        vm.expectRevert(refused);
        rollups.settle(before.timestamp, before.headers, before.commitment, before.account);
    }

    function test_forgedStatementsAreRefused(uint128 owed, uint16 place) public {
        Statement memory s = statement(ROLLUP, 3, owed, 2);
        uint256 at = bound(place, 0, s.account.length - 1);
        s.account[at] = bytes1(uint8(s.account[at]) ^ 1);
        vm.expectRevert();
        rollups.settle(s.timestamp, s.headers, s.commitment, s.account);
    }

    function test_headersMustLeadToABlockThatThisChainKnows() public {
        Statement memory s = statement(ROLLUP, 3, 5, 2);
        bytes32 last = digest(s.headers[2]);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.HeaderUnknown.selector, last, bytes32(0)));
        rollups.settle(s.timestamp + 1, s.headers, s.commitment, s.account);
        bytes[] memory none;
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.HeaderMalformed.selector, 0));
        rollups.settle(s.timestamp, none, s.commitment, s.account);
        bytes memory kept = s.headers[1];
        s.headers[1] = s.headers[0];
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.HeaderMalformed.selector, 1));
        rollups.settle(s.timestamp, s.headers, s.commitment, s.account);
        s.headers[1] = bytes.concat(kept, hex"00");
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.HeaderMalformed.selector, 1));
        rollups.settle(s.timestamp, s.headers, s.commitment, s.account);
        s.headers = new bytes[](257);
        vm.expectRevert(abi.encodeWithSelector(IRollupRegistry.HeaderMalformed.selector, 257));
        rollups.settle(s.timestamp, s.headers, s.commitment, s.account);
    }

    function test_onlyARootOfAccountsIsACommitment() public {
        bytes32 root = keccak256("any");
        bytes[3] memory others =
            [abi.encodePacked(uint8(1), root), abi.encodePacked(uint8(8), root, uint8(0)), bytes(hex"08")];
        Statement memory s = statement(ROLLUP, 3, 5, 0);
        for (uint256 i = 0; i < others.length; ++i) {
            bytes32 namespacesRoot;
            (namespacesRoot, s.commitment) = inNamespaceZero(others[i]);
            s.headers = chain(namespacesRoot, 0);
            Roots(BEACON_ROOTS).set(s.timestamp, digest(s.headers[0]));
            vm.expectRevert(IRollupRegistry.NotCommitted.selector);
            rollups.settle(s.timestamp, s.headers, s.commitment, s.account);
        }
    }

    function test_theVaultListensToTheRegistryAlone() public {
        vm.startPrank(STRANGER);
        bytes memory refused = abi.encodeWithSelector(CallerNotAllowed.selector, STRANGER);
        vm.expectRevert(refused);
        vault.deposit{ value: 1 }(ROLLUP);
        vm.expectRevert(refused);
        vault.charge(ROLLUP, 0, 0);
        vm.expectRevert(refused);
        vault.withdraw(ROLLUP, payable(STRANGER), 0);
        vm.expectRevert(refused);
        vault.payShare(ROLLUP, payable(STRANGER));
        vm.stopPrank();
    }

    function test_aDepositIsNeverSplit() public {
        register(FEE + 5 ether);
        vault.distribute();
        equal(vault.undistributed(), 0, "only the fee was there");
        equal(address(vault).balance, vault.treasuryBalance() + 5 ether, "the deposit stays");
        vm.prank(OWNER);
        rollups.withdraw(ROLLUP, payable(OWNER), 5 ether);
        equal(vault.heldForNamespaces(), 0, "all given back");
    }

    /// @dev The place of the terms in storage is part of the protocol: validators read it.
    function test_termsStandWhereValidatorsReadThem() public {
        register(FEE);
        vm.prank(OWNER);
        rollups.setPolicy(ROLLUP, IRollupRegistry.Policy(IRollupRegistry.Ordering.Both, 70_000));
        settleFor(statement(ROLLUP, 3, 11 ether, 0));
        uint256 expected =
            uint256(uint160(OWNER)) | (uint256(70_000) << 160) | (uint256(2) << 192) | (uint256(1) << 200);
        bytes32 word = vm.load(address(rollups), keccak256(abi.encode(uint256(ROLLUP), uint256(2))));
        equal(uint256(word), expected, "terms");
    }

    function register(uint256 value) private {
        vm.prank(OWNER);
        rollups.register{ value: value }(ROLLUP, RECIPIENT, open());
    }
}
