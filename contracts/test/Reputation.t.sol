// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IAccessManaged } from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import { CallerNotAllowed, Predeploys } from "../src/Predeploys.sol";
import { IReputation } from "../src/interfaces/IReputation.sol";
import { System } from "./System.sol";

contract ReputationTest is System {
    address private constant P = address(0xBEEF);

    function setUp() public {
        deploySystem();
    }

    /// @dev Vectors for any other program that computes the score; by hand: 1/2 - sqrt(1/12) = 0.2113, 2/3 - sqrt(1/18)
    /// = 0.4309, 1/3 - sqrt(1/18) = 0.0976, 11/12 - sqrt(11/144/13) = 0.8400.
    function test_scoresOfKnownEvidence() public {
        equal(reputation.scoreBps(P), 2113, "newcomer");
        record(true, 1e18);
        equal(reputation.scoreBps(P), 4309, "one good");
        vm.prank(Predeploys.SLASHING_COURT);
        reputation.record(address(1), false, 1e18);
        equal(reputation.scoreBps(address(1)), 976, "one bad");
        for (uint256 i = 0; i < 9; ++i) {
            record(true, 1e18);
        }
        equal(reputation.scoreBps(P), 8400, "ten good");
    }

    function test_evidenceHalvesEveryHalfLife() public {
        record(true, 8e18);
        record(false, 4e18);
        uint256 start = block.timestamp;
        check(evidenceIs(8e18, 4e18), "now");
        vm.warp(start + 15 days);
        check(evidenceIs(6e18, 3e18), "linear within");
        vm.warp(start + 30 days);
        check(evidenceIs(4e18, 2e18), "one");
        vm.warp(start + 60 days);
        check(evidenceIs(2e18, 1e18), "two");
        vm.warp(start + 30 days * 128);
        check(evidenceIs(0, 0), "forgotten");
        equal(reputation.scoreBps(P), 2113, "a newcomer again");
    }

    function test_weightIsCapped() public {
        record(true, 10e18 + 1);
        check(evidenceIs(10e18, 0), "capped");
    }

    function test_recordingAfterATimeAddsToTheDecayed() public {
        record(true, 8e18);
        vm.warp(block.timestamp + 30 days);
        record(true, 1e18);
        check(evidenceIs(5e18, 0), "4 + 1");
    }

    function test_goodRaisesAndBadLowersTheScore(uint96 good, uint96 bad) public {
        for (uint256 i = 0; i < 3; ++i) {
            record(true, bound(good, 0, 10e18));
            record(false, bound(bad, 0, 10e18));
        }
        uint256 before = reputation.scoreBps(P);
        record(true, 1e18);
        uint256 better = reputation.scoreBps(P);
        check(better >= before && better <= 10_000, "good raises");
        record(false, 2e18);
        check(reputation.scoreBps(P) <= better, "bad lowers");
    }

    function test_onlyMarketAndCourtRecord() public {
        vm.expectRevert(abi.encodeWithSelector(CallerNotAllowed.selector, address(this)));
        reputation.record(P, true, 1e18);
    }

    function test_parametersStayWithinTheirBounds() public {
        vm.startPrank(AUTHORITY);
        reputation.setParameter("zMilli", 0);
        equal(reputation.scoreBps(P), 5000, "the mean alone");
        vm.expectRevert(abi.encodeWithSelector(IReputation.TermOutOfRange.selector, bytes32("zMilli"), 3001, 0, 3000));
        reputation.setParameter("zMilli", 3001);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, address(this)));
        reputation.setParameter("zMilli", 1);
        (, uint256 min,) = reputation.parameter("halfLifeSeconds");
        equal(min, 1 hours, "min");
    }

    function record(bool good, uint256 weight) private {
        vm.prank(Predeploys.JOB_MARKET);
        reputation.record(P, good, weight);
    }

    function evidenceIs(uint256 good, uint256 bad) private view returns (bool) {
        (uint256 g, uint256 b,) = reputation.evidence(P);
        return g == good && b == bad;
    }
}
