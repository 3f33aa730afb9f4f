// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { KumoLightClient } from "../../src/l1/KumoLightClient.sol";
import { StakeVault } from "../../src/l1/StakeVault.sol";
import { IKumoLightClient, IStakeVault } from "../../src/interfaces/IKumoL1.sol";
import { L1System } from "./L1System.sol";

/// @title AKE of an L1, for tests; may take a fee or call back.
contract Token is ERC20("Ake", "AKE") {
    uint256 public fee;
    address public hook;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFee(uint256 amount) external {
        fee = amount;
    }

    function setHook(address target) external {
        hook = target;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (fee != 0 && from != address(0)) super._update(to, address(0xfee), fee);
        if (to == hook) Thief(to).onTokens();
    }
}

/// @title An account that tries to be paid twice.
contract Thief {
    StakeVault private immutable _vault;
    bool public wasStopped;

    constructor(StakeVault vault) {
        _vault = vault;
    }

    function slash(bytes calldata data) external {
        (bool taken,) = address(_vault).call(data);
        require(taken);
    }

    function claim() external {
        _vault.claim();
    }

    function onTokens() external {
        try _vault.claim() { }
        catch {
            wasStopped = true;
        }
    }
}

/// @title Four validators with stake, and evidence that `proof::checkpoint` made and judged.
abstract contract Vault is L1System {
    struct Staker {
        address owner;
        bytes32[8] key;
        bytes32[4] possession;
        bytes32 name;
    }

    uint256 internal constant STAKE = 1000 ether;
    uint64 internal constant UNBOND_SECONDS = 21 days;
    address internal constant TREASURY = address(0x7ea);

    Token internal token;
    KumoLightClient internal client;
    StakeVault internal vault;
    Staker[4] internal stakers;

    function setUpVault() internal {
        loadVectors();
        (token, client) = (new Token(), deployClient(0));
        vault = new StakeVault(token, client, terms());
        for (uint256 i = 0; i < 4; ++i) {
            string memory at = string.concat("$.evidence.validators[", digits(i), "].");
            Staker storage one = stakers[i];
            one.owner = vm.parseJsonAddress(json, string.concat(at, "owner"));
            one.key = abi.decode(vm.parseJsonBytes(json, string.concat(at, "key")), (bytes32[8]));
            one.possession = abi.decode(vm.parseJsonBytes(json, string.concat(at, "possession")), (bytes32[4]));
            one.name = vault.keyOf(one.key);
            token.mint(one.owner, 10 * STAKE);
            vm.prank(one.owner);
            token.approve(address(vault), type(uint256).max);
        }
    }

    function terms() internal pure returns (StakeVault.Terms memory) {
        return StakeVault.Terms(UNBOND_SECONDS, 7 days, 100 ether, 5000, 1000, TREASURY);
    }

    function depositOf(uint256 i) internal {
        Staker memory one = stakers[i];
        vm.prank(one.owner);
        vault.deposit(one.key, one.possession, STAKE);
    }

    function evidence(uint256 number)
        internal
        view
        returns (bytes memory data, uint256 offender, bytes memory selector)
    {
        string memory at = string.concat("$.evidence.cases[", digits(number), "].");
        data = vm.parseJsonBytes(json, string.concat(at, "data"));
        offender = vm.parseJsonUint(json, string.concat(at, "offender"));
        selector = vm.parseJsonBytes(json, string.concat(at, "revert"));
    }

    function checkSolvent() internal view {
        uint256 owed = vault.totalActive() + vault.totalUnbonding() + vault.totalOwed();
        equal(token.balanceOf(address(vault)), owed, "holds what it owes");
        (uint256 active, uint256 unbonding) = (0, 0);
        for (uint256 i = 0; i < 4; ++i) {
            (, uint256 a, uint256 u,) = vault.validator(stakers[i].name);
            (active, unbonding) = (active + a, unbonding + u);
        }
        equal(vault.totalActive(), active, "active");
        equal(vault.totalUnbonding(), unbonding, "unbonding");
    }
}

contract StakeVaultTest is Vault {
    address private constant REPORTER = address(0x4e9);

    function setUp() public {
        setUpVault();
        for (uint256 i = 0; i < 3; ++i) {
            depositOf(i);
        }
    }

    function test_stakeIsMirrored() public view {
        (address owner, uint256 active, uint256 unbonding, bool isSlashed) = vault.validator(stakers[0].name);
        check(owner == stakers[0].owner && active == STAKE && unbonding == 0 && !isSlashed, "validator");
        equal(vault.totalActive(), 3 * STAKE, "total");
        checkSolvent();
    }

    function test_aKeyMustBePossessedByItsOwner() public {
        Staker memory last = stakers[3];
        bytes32[4] memory possession = stakers[2].possession;
        vm.expectRevert(IStakeVault.PossessionFalse.selector);
        vm.prank(last.owner);
        vault.deposit(last.key, possession, STAKE);
        // Somebody who saw the proof cannot register the key first.
        address other = stakers[2].owner;
        vm.expectRevert(IStakeVault.PossessionFalse.selector);
        vm.prank(other);
        vault.deposit(last.key, last.possession, STAKE);
        bytes32[8] memory none;
        vm.expectRevert(IStakeVault.PossessionFalse.selector);
        vm.prank(last.owner);
        vault.deposit(none, last.possession, STAKE);
        depositOf(3);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.KeyTaken.selector, last.name, last.owner));
        vm.prank(last.owner);
        vault.deposit(last.key, last.possession, STAKE);
    }

    function test_limitsOfDeposits() public {
        Staker memory last = stakers[3];
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.DepositTooLow.selector, 100 ether - 1, 100 ether));
        vm.prank(last.owner);
        vault.deposit(last.key, last.possession, 100 ether - 1);
        token.setFee(1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.TransferShort.selector, 100 ether - 1, 100 ether));
        vm.prank(last.owner);
        vault.deposit(last.key, last.possession, 100 ether);
    }

    function test_unbondingTakesItsTime() public {
        (bytes32 key, address owner) = (stakers[0].name, stakers[0].owner);
        vm.prank(owner);
        vault.unbond(key, 400 ether);
        uint64 due = uint64(block.timestamp) + UNBOND_SECONDS;
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.NothingToWithdraw.selector, key, due));
        vm.prank(owner);
        vault.withdraw(key);
        vm.warp(due);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.NotOwner.selector, address(this), owner));
        vault.withdraw(key);
        vm.prank(owner);
        equal(vault.withdraw(key), 400 ether, "paid");
        checkSolvent();
    }

    function test_stakeIsAllOrAtLeastTheMinimum() public {
        (bytes32 key, address owner) = (stakers[0].name, stakers[0].owner);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.DepositTooLow.selector, 100 ether - 1, 100 ether));
        vm.prank(owner);
        vault.unbond(key, STAKE - 100 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.StakeTooLow.selector, STAKE, STAKE + 1));
        vm.prank(owner);
        vault.unbond(key, STAKE + 1);
        vm.prank(owner);
        vault.unbond(key, STAKE);
    }

    /// @dev The verdict on every piece of evidence is that of `Evidence::verify`.
    function test_evidenceIsJudgedAsElsewhere() public {
        uint256 count = vm.parseJsonUint(json, "$.evidence.count");
        for (uint256 i = 0; i < count; ++i) {
            setUp();
            (bytes memory data, uint256 offender, bytes memory selector) = evidence(i);
            vm.prank(REPORTER);
            (bool taken, bytes memory answer) = address(vault).call(data);
            check(taken == (selector.length == 0), digits(i));
            if (!taken) check(bytes4(answer) == bytes4(selector), digits(i));
            (, uint256 active, uint256 unbonding, bool isSlashed) = vault.validator(stakers[offender].name);
            check(isSlashed == taken && (active == 0) == taken, "slashed and out");
            equal(unbonding, taken ? STAKE / 2 : 0, "what is left is released");
            equal(vault.owedTo(REPORTER), taken ? STAKE / 20 : 0, "a tenth of what was slashed");
            equal(vault.owedTo(TREASURY), taken ? STAKE / 2 - STAKE / 20 : 0, "and the rest");
            checkSolvent();
        }
        equal(count, 10, "cases");
    }

    function test_unbondingStakeIsSlashedToo() public {
        (bytes32 key, address owner) = (stakers[0].name, stakers[0].owner);
        vm.prank(owner);
        vault.unbond(key, STAKE);
        vm.warp(block.timestamp + UNBOND_SECONDS);
        // Due, and still here.
        slash(0);
        vm.prank(owner);
        equal(vault.withdraw(key), STAKE / 2, "half");
        checkSolvent();
    }

    function test_nothingIsSlashedAfterWithdrawal() public {
        (bytes32 key, address owner) = (stakers[0].name, stakers[0].owner);
        vm.prank(owner);
        vault.unbond(key, STAKE);
        vm.warp(block.timestamp + UNBOND_SECONDS);
        vm.prank(owner);
        vault.withdraw(key);
        slash(0);
        equal(vault.totalOwed(), 0, "nothing was left");
        checkSolvent();
    }

    function test_aKeyIsSlashedOnceAndIsOut() public {
        slash(0);
        (bytes memory data,,) = evidence(1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.AlreadySlashed.selector, stakers[0].name));
        forward(data);
        (bytes32 key, address owner) = (stakers[0].name, stakers[0].owner);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.AlreadySlashed.selector, key));
        vm.prank(owner);
        vault.add(key, STAKE);
        vm.expectRevert();
        vm.prank(owner);
        vault.withdraw(key);
        vm.warp(block.timestamp + UNBOND_SECONDS);
        vm.prank(owner);
        equal(vault.withdraw(key), STAKE / 2, "what is left, in time");
        checkSolvent();
    }

    function test_evidenceAboutAStrangerIsRefused() public {
        vault = new StakeVault(token, client, terms());
        (bytes memory data,,) = evidence(0);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.KeyUnknown.selector, stakers[0].name));
        forward(data);
    }

    function test_whatIsOwedIsPaidOnce() public {
        Thief thief = new Thief(vault);
        token.setHook(address(thief));
        (bytes memory data,,) = evidence(0);
        thief.slash(data);
        thief.claim();
        check(thief.wasStopped(), "no second time");
        equal(token.balanceOf(address(thief)), STAKE / 20, "reward");
        vm.prank(TREASURY);
        equal(vault.claim(), STAKE / 2 - STAKE / 20, "treasury");
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.NothingOwed.selector, TREASURY));
        vm.prank(TREASURY);
        vault.claim();
        checkSolvent();
    }

    function test_fullListOfReleasesDoesNotHinderASlash() public {
        (bytes32 key, address owner) = (stakers[0].name, stakers[0].owner);
        vm.startPrank(owner);
        for (uint256 i = 0; i < 32; ++i) {
            vault.unbond(key, 1 ether);
        }
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.UnbondingsMax.selector, key, 32));
        vault.unbond(key, 1 ether);
        vm.stopPrank();
        slash(0);
        vm.warp(block.timestamp + UNBOND_SECONDS);
        vm.prank(owner);
        equal(vault.withdraw(key), STAKE / 2, "half of everything");
        checkSolvent();
    }

    function test_termsHaveBounds() public {
        StakeVault.Terms memory bad = terms();
        bad.unbondSeconds = bad.evidenceSeconds;
        refuse(bad, "unbondSeconds");
        bad = terms();
        bad.evidenceSeconds = 1;
        bad.unbondSeconds = client.trustSeconds();
        refuse(bad, "unbondSeconds");
        bad = terms();
        bad.slashBps = 10_001;
        refuse(bad, "slashBps");
        bad = terms();
        bad.rewardBps = 5001;
        refuse(bad, "rewardBps");
        bad = terms();
        bad.depositMin = 0;
        refuse(bad, "depositMin");
        bad = terms();
        bad.treasury = address(0);
        vm.expectRevert(IStakeVault.ZeroAddress.selector);
        new StakeVault(token, client, bad);
    }

    function testFuzz_aChangedByteSlashesNobodyElse(uint256 place, uint256 position, uint8 flip) public {
        (bytes memory data, uint256 offender,) = evidence(bound(place, 0, 4));
        position = bound(position, 4, data.length - 1);
        data[position] = data[position] ^ bytes1(uint8(bound(flip, 1, 255)));
        (bool taken,) = address(vault).call{ gas: 5_000_000 }(data);
        for (uint256 i = 0; i < 3; ++i) {
            (,,, bool isSlashed) = vault.validator(stakers[i].name);
            check(isSlashed == (taken && i == offender), "only the offender");
        }
        checkSolvent();
    }

    function refuse(StakeVault.Terms memory bad, bytes32 name) private {
        try new StakeVault(token, client, bad) {
            check(false, "must be refused");
        } catch (bytes memory answer) {
            check(bytes4(answer) == IStakeVault.OutOfBounds.selector, "error");
            bytes32 found;
            assembly ("memory-safe") {
                found := mload(add(answer, 0x24))
            }
            equal(found, name, "names the term");
        }
    }

    function slash(uint256 number) private {
        (bytes memory data,,) = evidence(number);
        vm.prank(REPORTER);
        forward(data);
    }

    function forward(bytes memory data) private {
        (bool taken, bytes memory answer) = address(vault).call(data);
        if (taken) return;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }
}

/// @title Random moves of validators, reporters and time.
contract VaultHandler is Vault {
    bytes[5] private proofs;
    uint256 public moves;

    constructor() {
        setUpVault();
        for (uint256 i = 0; i < 5; ++i) {
            (proofs[i],,) = evidence(i);
        }
        json = "";
    }

    function deposit(uint256 seed) external {
        Staker memory one = stakers[seed % 4];
        vm.prank(one.owner);
        try vault.deposit(one.key, one.possession, STAKE) {
            ++moves;
        } catch { }
    }

    function add(uint256 seed, uint96 amount) external {
        Staker memory one = stakers[seed % 4];
        vm.prank(one.owner);
        try vault.add(one.name, bound(amount, 1, STAKE)) {
            ++moves;
        } catch { }
    }

    function unbond(uint256 seed, uint96 amount) external {
        Staker memory one = stakers[seed % 4];
        vm.prank(one.owner);
        try vault.unbond(one.name, bound(amount, 1, STAKE)) {
            ++moves;
        } catch { }
    }

    function withdraw(uint256 seed) external {
        Staker memory one = stakers[seed % 4];
        uint256 before = token.balanceOf(one.owner);
        (,, uint256 unbonding,) = vault.validator(one.name);
        vm.prank(one.owner);
        try vault.withdraw(one.name) returns (uint256 amount) {
            check(amount <= unbonding && token.balanceOf(one.owner) == before + amount, "paid from what was unbonding");
            ++moves;
        } catch { }
    }

    function slash(uint256 seed) external {
        vm.prank(address(0x4e9));
        (bool taken,) = address(vault).call(proofs[seed % 5]);
        if (taken) ++moves;
    }

    function claim(bool asTreasury) external {
        vm.prank(asTreasury ? TREASURY : address(0x4e9));
        try vault.claim() {
            ++moves;
        } catch { }
    }

    function pass(uint32 time) external {
        vm.warp(block.timestamp + time % 15 days);
    }

    function verify() external view {
        checkSolvent();
        uint256 owed = vault.owedTo(TREASURY) + vault.owedTo(address(0x4e9));
        equal(vault.totalOwed(), owed, "owed");
        for (uint256 i = 0; i < 4; ++i) {
            (, uint256 active,, bool isSlashed) = vault.validator(stakers[i].name);
            check(active == 0 || active >= 100 ether, "nothing below the minimum");
            check(!isSlashed || active == 0, "who was slashed has no active stake");
        }
    }
}

contract StakeVaultInvariantsTest is L1System {
    VaultHandler private handler;

    function setUp() public {
        handler = new VaultHandler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = VaultHandler.deposit.selector;
        selectors[1] = VaultHandler.add.selector;
        selectors[2] = VaultHandler.unbond.selector;
        selectors[3] = VaultHandler.withdraw.selector;
        selectors[4] = VaultHandler.slash.selector;
        selectors[5] = VaultHandler.claim.selector;
        selectors[6] = VaultHandler.pass.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function invariant_vaultHoldsWhatItOwes() public view {
        handler.verify();
    }

    /// @dev The invariant says something only if the moves get that far.
    function test_handlerReachesEveryMove() public {
        handler.deposit(0);
        handler.add(0, 5);
        handler.unbond(0, 7);
        handler.pass(14 days);
        handler.pass(14 days);
        handler.withdraw(0);
        handler.slash(0);
        handler.claim(true);
        equal(handler.moves(), 6, "moves");
        handler.verify();
    }
}
