// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IStakeManager } from "../src/interfaces/IStakeManager.sol";
import { IValidatorRegistry } from "../src/interfaces/IValidatorRegistry.sol";
import { BLS12381 } from "../src/l1/BLS12381.sol";
import { CallerNotAllowed, Predeploys } from "../src/Predeploys.sol";
import { Validators } from "./Validators.sol";

contract ValidatorRegistryTest is Validators {
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);

    function setUp() public {
        deploySystem();
        vm.deal(ALICE, 100_000 ether);
        vm.deal(BOB, 100_000 ether);
    }

    function test_registrationReservesStake() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        equal(id, 1, "id");
        equal(stakes.reservedStake(ALICE), SEAT, "reserved");
        equal(stakes.freeStake(ALICE), 0, "free");
        IValidatorRegistry.Validator memory v = validators.validator(id);
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        equal(v.owner, ALICE, "owner");
        equal(v.stake, SEAT, "stake");
        equal(v.consensusKey, keys.consensusKey, "consensus");
        equal(keccak256(v.voteKey), keccak256(BLS12381.compressG2(keys.voteKey)), "vote key");
        equal(keccak256(abi.encode(v.endpoint)), keccak256(abi.encode(endpoint())), "endpoint");
        equal(validators.idOfVoteKey(keccak256(v.voteKey)), id, "by vote key");
        equal(validators.idOfConsensusKey(keys.consensusKey), id, "by consensus key");
        equal(validators.count(), 1, "active");
        equal(validators.list(0, 9)[0].id, id, "listed");
        equal(validators.list(1, 9).length, 0, "beyond the end");
    }

    function test_stakeThatIsThereNeedNotBeSent() public {
        vm.prank(ALICE);
        stakes.stake{ value: 2 * SEAT }();
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        vm.prank(ALICE);
        validators.register(keys, endpoint(), SEAT);
        equal(stakes.freeStake(ALICE), SEAT, "free");
        keys = keysOf(8, ALICE);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeTooLow.selector, ALICE, SEAT, SEAT + 1));
        vm.prank(ALICE);
        validators.register(keys, endpoint(), SEAT + 1);
    }

    function test_lessThanASeatCostsIsRefused() public {
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.SeatStakeTooLow.selector, SEAT - 1, SEAT));
        vm.prank(ALICE);
        validators.register{ value: SEAT - 1 }(keys, endpoint(), SEAT - 1);
    }

    function test_keysOfSomebodyElseAreRefused() public {
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        bytes32 name = keccak256(BLS12381.compressG2(keys.voteKey));
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.PossessionFalse.selector, name));
        vm.prank(BOB);
        validators.register{ value: SEAT }(keys, endpoint(), SEAT);
        registerAs(ALICE, 7, SEAT);
        keys = keysOf(8, BOB);
        keys.consensusKey = keysOf(7, ALICE).consensusKey;
        vm.expectRevert(
            abi.encodeWithSelector(
                IValidatorRegistry.KeyTaken.selector, bytes32("consensusKey"), keys.consensusKey, uint64(1)
            )
        );
        vm.prank(BOB);
        validators.register{ value: SEAT }(keys, endpoint(), SEAT);
    }

    function test_aKeyIsRegisteredOnce() public {
        registerAs(ALICE, 7, SEAT);
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        keys.consensusKey = bytes32(uint256(1));
        vm.expectRevert();
        vm.prank(ALICE);
        validators.register{ value: SEAT }(keys, endpoint(), SEAT);
        keys.randomnessKey = bytes32(uint256(9));
        bytes32 name = keccak256(BLS12381.compressG2(keys.voteKey));
        vm.expectRevert(
            abi.encodeWithSelector(IValidatorRegistry.KeyTaken.selector, bytes32("voteKey"), name, uint64(1))
        );
        vm.prank(ALICE);
        validators.register{ value: SEAT }(keys, endpoint(), SEAT);
    }

    function test_pointsOffTheCurveAndZeroAreRefused() public {
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        keys.voteKey[1] = bytes32(uint256(keys.voteKey[1]) + 1);
        vm.expectRevert(BLS12381.PointInvalid.selector);
        vm.prank(ALICE);
        validators.register{ value: SEAT }(keys, endpoint(), SEAT);
        bytes32[8] memory zero;
        bytes32[4] memory none;
        (keys.voteKey, keys.possession) = (zero, none);
        vm.expectRevert();
        vm.prank(ALICE);
        validators.register{ value: SEAT }(keys, endpoint(), SEAT);
    }

    function test_malformedFieldsAreRefusedByName() public {
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        keys.randomnessKey = 0;
        refuse(keys, endpoint(), abi.encodeWithSelector(IValidatorRegistry.ZeroRandomnessKey.selector));
        keys = keysOf(7, ALICE);
        keys.proof = new bytes(49);
        refuse(
            keys, endpoint(), abi.encodeWithSelector(IValidatorRegistry.KeyLength.selector, bytes32("proof"), 49, 48)
        );
        keys = keysOf(7, ALICE);
        keys.consensusKey = 0;
        refuse(keys, endpoint(), abi.encodeWithSelector(IValidatorRegistry.ZeroConsensusKey.selector));
        keys = keysOf(7, ALICE);
        IValidatorRegistry.Endpoint memory at = endpoint();
        at.port = 0;
        refuse(keys, at, abi.encodeWithSelector(IValidatorRegistry.EndpointInvalid.selector, at.ip, 0));
        at = endpoint();
        at.ip = 0;
        refuse(keys, at, abi.encodeWithSelector(IValidatorRegistry.EndpointInvalid.selector, 0, at.port));
        at = endpoint();
        at.api = string(new bytes(129));
        refuse(keys, at, abi.encodeWithSelector(IValidatorRegistry.ApiInvalid.selector, 129, 128));
        at.api = "http://a b";
        refuse(keys, at, abi.encodeWithSelector(IValidatorRegistry.ApiInvalid.selector, 10, 128));
    }

    function test_rotationKeepsTheOldKeyLiable() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        bytes32 old = keccak256(validators.validator(id).voteKey);
        IValidatorRegistry.Keys memory keys = keysOf(8, ALICE);
        vm.prank(ALICE);
        validators.rotate(id, keys);
        bytes memory voteKey = validators.validator(id).voteKey;
        equal(keccak256(voteKey), keccak256(BLS12381.compressG2(keys.voteKey)), "new key");
        equal(validators.idOfVoteKey(old), id, "old key");
        equal(validators.idOfVoteKey(keccak256(voteKey)), id, "new key finds it too");
        // The old one never comes back, not even to its owner.
        keys = keysOf(7, ALICE);
        vm.expectRevert();
        vm.prank(ALICE);
        validators.rotate(id, keys);
        keys = keysOf(9, BOB);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotOwner.selector, id, BOB, ALICE));
        vm.prank(BOB);
        validators.rotate(id, keys);
    }

    function test_keysThatStayAreNamedAgain() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        IValidatorRegistry.Keys memory keys = keysOf(7, ALICE);
        keys.consensusKey = keccak256("another");
        vm.prank(ALICE);
        validators.rotate(id, keys);
        equal(validators.validator(id).consensusKey, keys.consensusKey, "changed");
    }

    function test_stakeOfWhoLeavesIsHeldAndThenPaid() public {
        registerAs(BOB, 6, SEAT);
        uint64 id = registerAs(ALICE, 7, SEAT);
        vm.prank(ALICE);
        validators.leave(id);
        equal(validators.count(), 1, "no candidate any more");
        equal(stakes.reservedStake(ALICE), SEAT, "still reserved");
        uint64 ready = uint64(block.timestamp + 21 days);
        vm.warp(ready - 1);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.StillHeld.selector, id, ready));
        vm.prank(ALICE);
        validators.withdraw(id);
        vm.warp(ready);
        uint256 before = ALICE.balance;
        vm.prank(ALICE);
        equal(validators.withdraw(id), SEAT, "amount");
        equal(ALICE.balance, before + SEAT, "paid");
        equal(stakes.activeStake(ALICE), 0, "nothing is left");
        equal(stateOf(id), uint256(IValidatorRegistry.State.Gone), "gone");
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NothingHeld.selector, id, 4));
        vm.prank(ALICE);
        validators.withdraw(id);
        convict(id);
        equal(stateOf(id), uint256(IValidatorRegistry.State.Gone), "too late");
    }

    function test_somebodyMustStay() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.LastValidator.selector, id));
        vm.prank(ALICE);
        validators.leave(id);
    }

    function test_whoHasTooLittleIsEjectedByAnybody() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        registerAs(BOB, 8, 2 * SEAT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.StillEnough.selector, id, SEAT, SEAT));
        validators.eject(id);
        setParameter(address(validators), "seatStakeMin", SEAT + 1);
        vm.prank(STRANGER);
        validators.eject(id);
        equal(stateOf(id), uint256(IValidatorRegistry.State.Leaving), "leaves");
        equal(stakes.reservedStake(ALICE), SEAT, "held");
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotActive.selector, id, 2));
        vm.prank(STRANGER);
        validators.eject(id);
    }

    function test_stakeCanGrow() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        vm.prank(ALICE);
        validators.addStake{ value: 5 ether }(id, 5 ether);
        equal(validators.validator(id).stake, SEAT + 5 ether, "stake");
        equal(stakes.reservedStake(ALICE), SEAT + 5 ether, "reserved");
        vm.expectRevert(IValidatorRegistry.ZeroStake.selector);
        vm.prank(ALICE);
        validators.addStake(id, 0);
    }

    function test_anOffenceCostsAllStakeOnce() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        registerAs(BOB, 8, SEAT);
        uint256 vaultBefore = address(vault).balance;
        convict(id);
        equal(stateOf(id), uint256(IValidatorRegistry.State.Slashed), "slashed");
        equal(validators.validator(id).slashed, SEAT, "amount");
        equal(stakes.activeStake(ALICE), 0, "taken");
        equal(address(vault).balance, vaultBefore + SEAT, "to the fee vault");
        equal(validators.count(), 1, "no candidate any more");
        convict(id);
        equal(address(vault).balance, vaultBefore + SEAT, "once");
        IValidatorRegistry.Keys memory keys = keysOf(9, ALICE);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotActive.selector, id, 3));
        vm.prank(ALICE);
        validators.rotate(id, keys);
    }

    function test_anOffenceAfterLeavingCostsAsMuch() public {
        registerAs(BOB, 8, SEAT);
        uint64 id = registerAs(ALICE, 7, SEAT);
        vm.prank(ALICE);
        validators.leave(id);
        vm.warp(block.timestamp + 20 days);
        convict(id);
        equal(stakes.activeStake(ALICE), 0, "taken");
        vm.warp(block.timestamp + 100 days);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NothingHeld.selector, id, 3));
        vm.prank(ALICE);
        validators.withdraw(id);
    }

    function test_whatASlashLeavesIsHeldAnew() public {
        registerAs(BOB, 8, SEAT);
        uint64 id = registerAs(ALICE, 7, SEAT);
        setParameter(address(validators), "slashBps", 2500);
        convict(id);
        equal(validators.validator(id).stake, SEAT * 3 / 4, "left");
        vm.expectRevert();
        vm.prank(ALICE);
        validators.withdraw(id);
        vm.warp(block.timestamp + 21 days);
        vm.prank(ALICE);
        equal(validators.withdraw(id), SEAT * 3 / 4, "paid");
    }

    function test_onlyTheChainConvictsAndMakesGenesis() public {
        uint64 id = registerAs(ALICE, 7, SEAT);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotSystem.selector, ALICE));
        vm.prank(ALICE);
        validators.slash(id);
        vm.expectRevert(abi.encodeWithSelector(IValidatorRegistry.NotSystem.selector, Predeploys.SYSTEM));
        vm.prank(Predeploys.SYSTEM);
        validators.registerAtGenesis(
            ALICE, bytes32(uint256(1)), bytes32(uint256(1)), new bytes(96), new bytes(48), SEAT
        );
        bytes memory refused = abi.encodeWithSelector(CallerNotAllowed.selector, ALICE);
        vm.startPrank(ALICE);
        vm.expectRevert(refused);
        stakes.payOut(ALICE, 1);
        vm.expectRevert(refused);
        stakes.stakeAtGenesis(ALICE, 1);
        vm.stopPrank();
        // Nobody and nothing: no effect, and no failure that would stop the chain.
        convict(0);
        convict(77);
    }

    function test_genesisStakesWhatIsThere() public {
        bytes[3] memory keys;
        for (uint256 i = 0; i < 3; ++i) {
            keys[i] = BLS12381.compressG2(publicKey(i + 1));
        }
        vm.roll(0);
        vm.deal(address(stakes), 2 * SEAT);
        genesis(ALICE, 1, keys[0]);
        genesis(BOB, 2, keys[1]);
        equal(stakes.totalActiveStake(), 2 * SEAT, "staked");
        equal(validators.list(0, 9)[1].owner, BOB, "in order");
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeTooLow.selector, ALICE, 0, SEAT));
        genesis(ALICE, 3, keys[2]);
    }

    function testFuzz_positionsStayRight(uint256 seed) public {
        for (uint256 i = 1; i <= 6; ++i) {
            registerAs(ALICE, i, SEAT);
        }
        for (uint256 i = 0; i < 5; ++i) {
            IValidatorRegistry.Validator[] memory active = validators.list(0, 10);
            uint64 id = active[seed % active.length].id;
            if (seed % 2 == 0) convict(id);
            else leaveAs(ALICE, id);
            seed = uint256(keccak256(abi.encode(seed)));
            active = validators.list(0, 10);
            equal(active.length, 5 - i, "one less");
            for (uint256 j = 0; j < active.length; ++j) {
                check(active[j].id != id, "not any more");
                equal(uint256(active[j].state), uint256(IValidatorRegistry.State.Active), "active");
            }
        }
    }

    function testFuzz_aSlashNeverTakesMoreOrLessThanItsShare(uint96 amount, uint16 bps) public {
        uint256 stake = bound(amount, SEAT, 90_000 ether);
        uint256 share = bound(bps, 1000, 10_000);
        setParameter(address(validators), "slashBps", share);
        uint64 id = registerAs(ALICE, 7, stake);
        convict(id);
        IValidatorRegistry.Validator memory v = validators.validator(id);
        equal(uint256(v.stake) + v.slashed, stake, "nothing is lost");
        atLeast(v.slashed * 10_000, stake * share, "rounded up");
        equal(stakes.reservedStake(ALICE), v.stake, "reserved");
    }

    function leaveAs(address owner, uint64 id) private {
        vm.prank(owner);
        validators.leave(id);
    }

    function genesis(address owner, uint256 secret, bytes memory voteKey) private {
        vm.prank(Predeploys.SYSTEM);
        validators.registerAtGenesis(owner, bytes32(secret), bytes32(secret), voteKey, point(secret, "proof"), SEAT);
    }

    function refuse(IValidatorRegistry.Keys memory keys, IValidatorRegistry.Endpoint memory at, bytes memory why)
        private
    {
        vm.expectRevert(why);
        vm.prank(ALICE);
        validators.register{ value: SEAT }(keys, at, SEAT);
    }
}

/// @title Owners who register, rotate, add, leave, withdraw, and a chain that convicts, in any order.
contract ValidatorHandler is Validators {
    uint256 private constant OWNERS = 3;
    uint256 public registered;
    uint256 private _secrets;
    mapping(bytes32 move => uint256) public made;

    function register(uint256 seed, uint96 amount) external {
        address who = ownerOf(seed);
        uint256 stake = bound(amount, SEAT, 3 * SEAT);
        if (who.balance < stake || registered >= 24) return;
        registered = registerAs(who, ++_secrets, stake);
        ++made["register"];
    }

    function rotate(uint256 seed) external {
        (uint64 id, address owner, uint256 state) = any(seed);
        if (state != 1) return;
        IValidatorRegistry.Keys memory keys = keysOf(++_secrets, owner);
        vm.prank(owner);
        validators.rotate(id, keys);
        ++made["rotate"];
    }

    function addStake(uint256 seed, uint64 amount) external {
        (uint64 id, address owner, uint256 state) = any(seed);
        uint256 more = bound(amount, 1, 10 ether);
        if (state != 1 || owner.balance < more) return;
        vm.prank(owner);
        validators.addStake{ value: more }(id, more);
        ++made["add"];
    }

    function leave(uint256 seed) external {
        (uint64 id, address owner, uint256 state) = any(seed);
        if (state != 1 || validators.count() == 1) return;
        vm.prank(owner);
        validators.leave(id);
        ++made["leave"];
    }

    function withdraw(uint256 seed, bool late) external {
        (uint64 id, address owner, uint256 state) = any(seed);
        if (state < 2) return;
        if (late) vm.warp(block.timestamp + 22 days);
        vm.prank(owner);
        try validators.withdraw(id) {
            ++made["withdraw"];
        } catch { }
    }

    function slash(uint256 seed, uint16 bps) external {
        (uint64 id,,) = any(seed);
        if (seed % 3 != 0 || id == 0) return;
        setParameter(address(validators), "slashBps", bound(bps, 1000, 10_000));
        convict(id);
        ++made["slash"];
    }

    function ownerOf(uint256 seed) public pure returns (address) {
        return address(uint160(0xB0B0 + seed % OWNERS));
    }

    function any(uint256 seed) private view returns (uint64 id, address owner, uint256 state) {
        if (registered == 0) return (0, address(0), 0);
        id = uint64(1 + seed % registered);
        return (id, validators.validator(id).owner, stateOf(id));
    }
}

/// @title What holds for validators after any sequence of moves.
contract ValidatorInvariantsTest is Validators {
    ValidatorHandler private handler;
    uint256 private supply;

    function setUp() public {
        deploySystem();
        handler = new ValidatorHandler();
        for (uint256 i = 0; i < 3; ++i) {
            vm.deal(handler.ownerOf(i), 100_000 ether);
        }
        supply = allBalances();
    }

    /// @dev Tells forge whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// forge-config: default.invariant.runs = 32
    function invariant_reservationsAreTheStakesOfValidators() public view {
        uint256[3] memory sums;
        uint256 active = 0;
        for (uint64 id = 1; id <= handler.registered(); ++id) {
            IValidatorRegistry.Validator memory v = validators.validator(id);
            for (uint256 i = 0; i < 3; ++i) {
                if (v.owner == handler.ownerOf(i)) sums[i] += v.stake;
            }
            if (v.state == IValidatorRegistry.State.Active) ++active;
            else atLeast(v.withdrawableAt, 1, "its time is known");
            equal(validators.idOfVoteKey(keccak256(v.voteKey)), id, "its key finds it");
        }
        for (uint256 i = 0; i < 3; ++i) {
            equal(stakes.reservedStake(handler.ownerOf(i)), sums[i], "reserved");
        }
        equal(validators.count(), active, "listed");
    }

    /// forge-config: default.invariant.runs = 32
    function invariant_noCoinIsHereOrLost() public view {
        equal(address(validators).balance, 0, "the registry holds nothing");
        equal(allBalances(), supply, "sum of all balances");
        atLeast(address(stakes).balance, stakes.totalActiveStake(), "all of it is there");
    }

    function test_handlerReachesEveryMove() public {
        for (uint256 i = 0; i < 200; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i)));
            if (i % 7 == 0) handler.register(a, uint96(a));
            else if (i % 7 == 1) handler.rotate(a);
            else if (i % 7 == 2) handler.addStake(a, uint64(a));
            else if (i % 7 == 3) handler.leave(a);
            else if (i % 7 == 4) handler.slash(a, uint16(a));
            else handler.withdraw(a, a % 3 == 0);
        }
        bytes32[6] memory moves = [bytes32("register"), "rotate", "add", "leave", "slash", "withdraw"];
        for (uint256 i = 0; i < moves.length; ++i) {
            atLeast(handler.made(moves[i]), 1, string(abi.encodePacked(moves[i])));
        }
        invariant_reservationsAreTheStakesOfValidators();
        invariant_noCoinIsHereOrLost();
    }

    function allBalances() private view returns (uint256 sum) {
        for (uint256 i = 0; i < 3; ++i) {
            sum += handler.ownerOf(i).balance;
        }
        return sum + address(stakes).balance + address(vault).balance + address(validators).balance;
    }
}
