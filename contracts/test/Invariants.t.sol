// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IRollupRegistry } from "../src/interfaces/IRollupRegistry.sol";
import { IJobMarket } from "../src/interfaces/IJobMarket.sol";
import { ISlashingCourt } from "../src/interfaces/ISlashingCourt.sol";
import { Predeploys } from "../src/Predeploys.sol";
import { Handler } from "./Handler.sol";
import { Settling } from "./Settling.sol";

/// @title What holds after any sequence of moves.
contract InvariantsTest is Settling {
    Handler private handler;
    uint256 private supply;

    function setUp() public {
        deploySystem();
        placeRoots();
        handler = new Handler();
        supply = allBalances();
    }

    /// @dev Tells forge whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_supplyIsConserved() public view {
        equal(allBalances(), supply, "sum of all balances");
    }

    function invariant_escrowIsSolvent() public view {
        uint256 owed = 0;
        for (uint256 id = 1; id <= market.jobCount(); ++id) {
            owed += escrow.balanceOf(id);
        }
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            owed += escrow.keptFor(handler.actors(i));
        }
        equal(escrow.totalHeld(), owed, "held is what is owed");
        atLeast(address(escrow).balance, owed, "and it is there");
    }

    function invariant_jobsAccountForEveryWei() public view {
        for (uint256 id = 1; id <= market.jobCount(); ++id) {
            IJobMarket.Job memory j = market.job(id);
            equal(escrow.balanceOf(id), j.escrowed - j.paid - j.refunded, "escrow of the job");
            atLeast(j.terms.tasks, j.tasksPaid + j.tasksFailed, "tasks");
            bool closed = j.state == IJobMarket.JobState.Closed;
            bool decided = j.tasksPaid + j.tasksFailed == j.terms.tasks;
            check(closed == decided, "closed exactly when every task is final");
            if (closed) equal(escrow.balanceOf(id), 0, "nothing stays behind");
        }
    }

    function invariant_stakeBacksReservationsAndPayouts() public view {
        uint256 active = 0;
        uint256 owed = 0;
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            address who = handler.actors(i);
            atLeast(stakes.activeStake(who), stakes.reservedStake(who), "reserved is part of active");
            equal(
                stakes.reservedStake(who), openReservations(who), "every reservation belongs to an open task or audit"
            );
            active += stakes.activeStake(who);
            owed += stakes.unbondingStake(who) + stakes.pendingReward(who);
        }
        equal(stakes.totalActiveStake(), active, "total");
        atLeast(address(stakes).balance, active + owed, "all of it is there");
    }

    function invariant_votingUnitsAreWrappedPlusStaked() public view {
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            address who = handler.actors(i);
            equal(votes.getVotes(who), wake.balanceOf(who) + stakes.activeStake(who), "votes");
        }
        equal(votes.totalUnits(), wake.totalSupply() + stakes.totalActiveStake(), "total");
        equal(wake.totalSupply(), address(wake).balance, "wrapped one to one");
    }

    function invariant_vaultHoldsItsTreasury() public view {
        atLeast(address(vault).balance, vault.treasuryBalance(), "treasury");
        equal(Predeploys.BURN.balance, vault.totalBurned(), "burned");
    }

    function invariant_vaultHoldsWhatNamespacesOwn() public view {
        uint256 held = 0;
        for (uint64 namespace = 2; namespace < 5; ++namespace) {
            IRollupRegistry.Rollup memory r = rollups.rollup(namespace);
            held += r.deposit + r.share;
            equal(r.settledOwed, handler.owedBy(namespace), "everything was settled once");
            check(r.debt == 0 || r.deposit == 0, "a debt leaves no deposit");
        }
        equal(vault.heldForNamespaces(), held, "deposits and shares");
        atLeast(address(vault).balance, vault.treasuryBalance() + held, "and it is there");
        equal(address(rollups).balance, 0, "the registry holds nothing");
    }

    /// @dev The invariants say something only if the moves get that far.
    function test_handlerReachesEveryStage() public {
        for (uint256 i = 0; i < 1500; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i)));
            if (i % 60 == 0) handler.openJob(uint8(a), uint96(a), uint16(8000 + a % 2000), 4);
            else if (i % 25 == 0) handler.pass(uint16(a), uint8(a));
            else if (i % 20 == 0) handler.rollup(a, uint8(a >> 8), uint96(a >> 16));
            else handler.work(a >> 8, a >> 16, a >> 24);
        }
        bytes32[12] memory moves = [
            bytes32("open"),
            "select",
            "receipt",
            "draw",
            "confirm",
            "dispute",
            "resolve",
            "lapse",
            "expire",
            "register",
            "settle",
            "withdraw deposit"
        ];
        for (uint256 i = 0; i < moves.length; ++i) {
            atLeast(handler.made(moves[i]), 1, string(abi.encodePacked(moves[i])));
        }
        invariant_supplyIsConserved();
        invariant_escrowIsSolvent();
        invariant_jobsAccountForEveryWei();
        invariant_stakeBacksReservationsAndPayouts();
        invariant_votingUnitsAreWrappedPlusStaked();
        invariant_vaultHoldsWhatNamespacesOwn();
    }

    /// @dev Stake of `who` that backs tasks it works on and audits it was drawn for.
    function openReservations(address who) private view returns (uint256 sum) {
        for (uint256 id = 1; id <= market.jobCount(); ++id) {
            IJobMarket.Task[] memory tasks = market.tasks(id, 0, type(uint32).max);
            for (uint32 i = 0; i < tasks.length; ++i) {
                if (tasks[i].provider == who) sum += tasks[i].reserved;
                ISlashingCourt.Audit memory a = court.audit(id, i);
                if (a.auditor == who) sum += a.reserved;
                if (a.second == who) sum += a.reservedSecond;
            }
        }
    }

    function allBalances() private view returns (uint256 sum) {
        for (uint256 i = 0; i < handler.actorCount(); ++i) {
            sum += handler.actors(i).balance;
        }
        for (uint160 a = 0xA4E001; a <= 0xA4E010; ++a) {
            sum += address(a).balance;
        }
        sum += Predeploys.BURN.balance;
    }
}
