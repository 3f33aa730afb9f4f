// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { CallerNotAllowed, Predeploys } from "../src/Predeploys.sol";
import { IProviderRegistry } from "../src/interfaces/IProviderRegistry.sol";
import { System } from "./System.sol";

contract ProviderRegistryTest is System {
    function setUp() public {
        deploySystem();
    }

    function test_stakeAndRegisterInOneTransaction() public {
        address p = provider("p");
        check(registry.isRegistered(p), "registered");
        check(registry.isEligible(p, 0), "computes");
        check(!registry.isEligible(p, 1), "does not store");
        equal(stakes.activeStake(p), STAKE, "staked");
        equal(registry.count(), 1, "count");
        equal(registry.at(0), p, "at");
        equal(registry.profile(p).encryptionKey, keccak256("x25519"), "key");
    }

    function test_registeringAgainUpdates() public {
        address p = provider("p");
        vm.prank(p);
        registry.register(profile(3));
        check(registry.isEligible(p, 1), "stores now");
        equal(registry.count(), 1, "still one");
    }

    function test_oneWeiBelowTheMinimumIsRefused() public {
        vm.startPrank(STRANGER);
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.StakeTooLow.selector, STRANGER, 100 ether - 1, 100 ether)
        );
        registry.stakeAndRegister{ value: 100 ether - 1 }(profile(1));
        registry.stakeAndRegister{ value: 100 ether }(profile(1));
    }

    function test_eligibilityEndsBelowTheMinimum() public {
        address p = provider("p");
        vm.startPrank(p);
        stakes.unbond(STAKE - 100 ether);
        check(registry.isEligible(p, 0), "at the minimum");
        stakes.unbond(1);
        check(!registry.isEligible(p, 0), "below it");
    }

    function test_badProfilesAreRefused() public {
        vm.startPrank(STRANGER);
        stakes.stake{ value: STAKE }();
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.BadRoles.selector, 0));
        registry.register(profile(0));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.BadRoles.selector, 4));
        registry.register(profile(4));
        IProviderRegistry.Profile memory p = profile(3);
        p.encryptionKey = 0;
        vm.expectRevert(IProviderRegistry.ZeroKey.selector);
        registry.register(p);
        p = profile(3);
        p.endpoint = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.TooLong.selector, bytes32("endpoint"), 257, 256));
        registry.register(p);
        p.endpoint = string(new bytes(256));
        p.attributes = string(new bytes(2049));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.TooLong.selector, bytes32("attributes"), 2049, 2048));
        registry.register(p);
        p.attributes = string(new bytes(2048));
        registry.register(p);
    }

    function test_leavingNeedsNoOpenTask() public {
        address p = provider("p");
        vm.prank(Predeploys.JOB_MARKET);
        stakes.reserve(p, 1);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StillReserved.selector, p, 1));
        vm.prank(p);
        registry.deregister();
        vm.prank(Predeploys.JOB_MARKET);
        stakes.release(p, 1);
        vm.prank(p);
        registry.deregister();
        check(!registry.isRegistered(p) && !registry.isEligible(p, 0), "gone");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotRegistered.selector, p));
        vm.prank(p);
        registry.deregister();
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotRegistered.selector, p));
        registry.profile(p);
    }

    function test_jailOutlivesLeavingAndShorterTerms() public {
        address p = provider("p");
        uint64 until = uint64(block.timestamp + 100);
        vm.startPrank(Predeploys.SLASHING_COURT);
        registry.jail(p, until);
        registry.jail(p, until - 50);
        vm.stopPrank();
        equal(registry.jailedUntil(p), until, "the longer term stays");
        vm.startPrank(p);
        registry.deregister();
        registry.register(profile(1));
        vm.stopPrank();
        vm.warp(until - 1);
        check(!registry.isEligible(p, 0), "jailed");
        vm.warp(until);
        check(registry.isEligible(p, 0), "free");
    }

    function test_departedProvidersArePrunedByAnybody() public {
        address p = provider("p");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StillStaked.selector, p, STAKE, 100 ether));
        registry.prune(p);
        vm.prank(Predeploys.JOB_MARKET);
        stakes.reserve(p, 1);
        vm.prank(p);
        stakes.unbond(STAKE - 1);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StillReserved.selector, p, 1));
        registry.prune(p);
        vm.prank(Predeploys.JOB_MARKET);
        stakes.release(p, 1);
        registry.prune(p);
        equal(registry.count(), 0, "gone");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotRegistered.selector, p));
        registry.prune(p);
    }

    function test_onlyTheCourtJails() public {
        vm.expectRevert(abi.encodeWithSelector(CallerNotAllowed.selector, address(this)));
        registry.jail(STRANGER, 1);
    }

    function test_listPagesStopAtTheEnd() public {
        address a = provider("a");
        address b = provider("b");
        address c = provider("c");
        (address[] memory who, IProviderRegistry.Profile[] memory profiles) = registry.list(1, 5);
        equal(who.length, 2, "length");
        equal(profiles.length, 2, "profiles");
        equal(who[0], b, "first");
        equal(who[1], c, "second");
        (who,) = registry.list(0, 1);
        equal(who.length, 1, "one");
        equal(who[0], a, "a");
        (who,) = registry.list(3, 1);
        equal(who.length, 0, "past the end");
    }
}
