// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { AccessManager } from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import { AkeVotes } from "../src/AkeVotes.sol";
import { Escrow } from "../src/Escrow.sol";
import { FeeVault } from "../src/FeeVault.sol";
import { IJobMarket } from "../src/interfaces/IJobMarket.sol";
import { IProviderRegistry } from "../src/interfaces/IProviderRegistry.sol";
import { JobMarket } from "../src/JobMarket.sol";
import { Predeploys } from "../src/Predeploys.sol";
import { ProviderRegistry } from "../src/ProviderRegistry.sol";
import { Randomness } from "../src/Randomness.sol";
import { RollupRegistry } from "../src/RollupRegistry.sol";
import { Reputation } from "../src/Reputation.sol";
import { SlashingCourt } from "../src/SlashingCourt.sol";
import { StakeManager } from "../src/StakeManager.sol";
import { ValidatorRegistry } from "../src/ValidatorRegistry.sol";
import { WAKE } from "../src/WAKE.sol";
import { Test } from "./Vm.sol";

/// @title All system contracts at their addresses, as genesis puts them there, and the moves of consumers and providers.
abstract contract System is Test {
    WAKE internal constant wake = WAKE(payable(Predeploys.WAKE));
    AkeVotes internal constant votes = AkeVotes(Predeploys.AKE_VOTES);
    StakeManager internal constant stakes = StakeManager(Predeploys.STAKE_MANAGER);
    ProviderRegistry internal constant registry = ProviderRegistry(Predeploys.PROVIDER_REGISTRY);
    JobMarket internal constant market = JobMarket(Predeploys.JOB_MARKET);
    Escrow internal constant escrow = Escrow(Predeploys.ESCROW);
    Reputation internal constant reputation = Reputation(Predeploys.REPUTATION);
    SlashingCourt internal constant court = SlashingCourt(Predeploys.SLASHING_COURT);
    FeeVault internal constant vault = FeeVault(Predeploys.FEE_VAULT);
    Randomness internal constant randomness = Randomness(Predeploys.RANDOMNESS);
    RollupRegistry internal constant rollups = RollupRegistry(Predeploys.ROLLUP_REGISTRY);
    ValidatorRegistry internal constant validators = ValidatorRegistry(Predeploys.VALIDATOR_REGISTRY);
    AccessManager internal constant access = AccessManager(Predeploys.ACCESS_MANAGER);

    address internal constant AUTHORITY = address(0xA0);
    address internal constant CONSUMER = address(0xC0);
    address internal constant STRANGER = address(0x50);
    bytes32 internal constant ROOT = keccak256("the right output");
    bytes32 internal constant WRONG_ROOT = keccak256("a wrong output");
    uint32 internal constant BID_SECONDS = 10;
    uint32 internal constant TASK_SECONDS = 100;
    uint32 internal constant JOB_SECONDS = 1000;
    uint256 internal constant STAKE = 1000 ether;

    mapping(address => uint256) internal keyOf;

    function deploySystem() internal {
        vm.warp(1_000_000);
        vm.roll(100);
        place(Predeploys.WAKE, type(WAKE).creationCode);
        place(Predeploys.AKE_VOTES, type(AkeVotes).creationCode);
        place(Predeploys.STAKE_MANAGER, type(StakeManager).creationCode);
        place(Predeploys.PROVIDER_REGISTRY, type(ProviderRegistry).creationCode);
        place(Predeploys.JOB_MARKET, type(JobMarket).creationCode);
        place(Predeploys.ESCROW, type(Escrow).creationCode);
        place(Predeploys.REPUTATION, type(Reputation).creationCode);
        place(Predeploys.SLASHING_COURT, type(SlashingCourt).creationCode);
        place(Predeploys.FEE_VAULT, type(FeeVault).creationCode);
        place(Predeploys.RANDOMNESS, type(Randomness).creationCode);
        place(Predeploys.ROLLUP_REGISTRY, type(RollupRegistry).creationCode);
        place(Predeploys.VALIDATOR_REGISTRY, type(ValidatorRegistry).creationCode);
        place(Predeploys.ACCESS_MANAGER, abi.encodePacked(type(AccessManager).creationCode, abi.encode(AUTHORITY)));
        vm.deal(CONSUMER, 1_000_000 ether);
        vm.deal(STRANGER, 1_000_000 ether);
    }

    /// @dev Runs a constructor in place, so that its storage is there too.
    function place(address where, bytes memory creation) internal {
        vm.etch(where, creation);
        (bool done, bytes memory runtime) = where.call("");
        check(done, "constructor");
        vm.etch(where, runtime);
    }

    function setParameter(address target, bytes32 name, uint256 value) internal {
        vm.prank(AUTHORITY);
        (bool done,) = target.call(abi.encodeCall(IJobMarket.setParameter, (name, value)));
        check(done, "setParameter");
    }

    function account(string memory name) internal returns (address who) {
        uint256 key = uint256(keccak256(bytes(name)));
        who = vm.addr(key);
        keyOf[who] = key;
        vm.label(who, name);
    }

    function profile(uint8 roles) internal pure returns (IProviderRegistry.Profile memory) {
        return IProviderRegistry.Profile(roles, keccak256("x25519"), "http://127.0.0.1:1", "{}");
    }

    /// @dev A registered compute provider with `STAKE`.
    function provider(string memory name) internal returns (address who) {
        who = account(name);
        vm.deal(who, STAKE + 100 ether);
        vm.prank(who);
        registry.stakeAndRegister{ value: STAKE }(profile(1));
    }

    function jobTerms(uint32 tasks, uint96 priceMax, uint16 auditBps) internal pure returns (IJobMarket.Terms memory) {
        return IJobMarket.Terms({
            spec: keccak256("spec"),
            consumerKey: keccak256("consumer key"),
            tasks: tasks,
            priceMax: priceMax,
            bidSeconds: BID_SECONDS,
            taskSeconds: TASK_SECONDS,
            jobSeconds: JOB_SECONDS,
            auditBps: auditBps,
            attemptsMax: 3
        });
    }

    function openJob(uint32 tasks, uint96 priceMax, uint16 auditBps) internal returns (uint256) {
        return openJob(jobTerms(tasks, priceMax, auditBps));
    }

    function openJob(IJobMarket.Terms memory terms) internal returns (uint256) {
        uint256 required = market.escrowRequired(terms.tasks, terms.priceMax, terms.auditBps);
        vm.prank(CONSUMER);
        return market.open{ value: required }(terms);
    }

    function bid(address who, uint256 jobId, uint96 price, uint32 capacity) internal {
        vm.prank(who);
        market.bid(jobId, price, capacity);
    }

    function select(uint256 jobId) internal {
        vm.warp(market.job(jobId).bidEnd);
        market.select(jobId);
    }

    /// @dev Hands the job's key to one account.
    function deliver(address from, uint256 jobId, address to) internal {
        (address[] memory accounts, bytes[] memory wrapped) = oneKey(to);
        vm.prank(from);
        market.deliverKeys(jobId, accounts, wrapped);
    }

    function oneKey(address to) internal pure returns (address[] memory accounts, bytes[] memory wrapped) {
        accounts = new address[](1);
        wrapped = new bytes[](1);
        accounts[0] = to;
        wrapped[0] = hex"aa";
    }

    function commitment(bytes32 root, address who, uint256 jobId, uint32 task) internal pure returns (bytes32) {
        return keccak256(abi.encode(root, who, jobId, task));
    }

    function receiptOf(uint256 jobId, uint32 task, bytes32 root) internal view returns (IJobMarket.Receipt memory r) {
        IJobMarket.Task memory t = market.task(jobId, task);
        r.jobId = jobId;
        r.task = task;
        r.attempt = t.attempt;
        r.provider = t.provider;
        r.commitment = commitment(root, t.provider, jobId, task);
        r.output = keccak256("manifest");
        r.log = keccak256("log");
        (r.fuel, r.memoryBytes, r.wallMillis, r.exitCode) = (1, 2, 3, -4);
    }

    function signed(IJobMarket.Receipt memory r, address signer) internal view returns (bytes memory) {
        (uint8 v, bytes32 rr, bytes32 s) = vm.sign(keyOf[signer], market.receiptDigest(r));
        return abi.encodePacked(rr, s, v);
    }

    function submit(uint256 jobId, uint32 task, bytes32 root) internal {
        IJobMarket.Receipt memory r = receiptOf(jobId, task, root);
        market.submitReceipt(r, signed(r, r.provider));
    }

    /// @dev One block on, with its randomness.
    function nextBlock() internal {
        vm.roll(block.number + 1);
        vm.prank(Predeploys.SYSTEM);
        randomness.set(keccak256(abi.encode("randomness", block.number)));
    }

    function nextBlocks(uint256 count) internal {
        uint256 start = block.number;
        for (uint256 i = 1; i <= count; ++i) {
            vm.roll(start + i);
            vm.prank(Predeploys.SYSTEM);
            randomness.set(keccak256(abi.encode("randomness", start + i)));
        }
    }

    function draw(uint256 jobId, uint32 task) internal {
        nextBlocks(3);
        court.draw(jobId, task);
    }

    /// @dev A job of one task whose receipt is drawn for audit; the auditor has the key.
    function auditedJob(bytes32 root) internal returns (uint256 jobId, address worker, address auditor) {
        jobId = openJob(1, 1 ether, 10_000);
        address[] memory bidders = eligibleBidders();
        bid(bidders[0], jobId, 1 ether, 1);
        bid(bidders[1], jobId, 1 ether, 1);
        select(jobId);
        worker = market.task(jobId, 0).provider;
        deliver(CONSUMER, jobId, worker);
        submit(jobId, 0, root);
        draw(jobId, 0);
        auditor = court.audit(jobId, 0).auditor;
        deliver(worker, jobId, auditor);
    }

    /// @dev The first two entries of the registry.
    function eligibleBidders() internal view returns (address[] memory who) {
        (who,) = registry.list(0, 2);
    }

    function state(uint256 jobId, uint32 task) internal view returns (uint256) {
        return uint256(market.task(jobId, task).state);
    }

    function jobState(uint256 jobId) internal view returns (uint256) {
        return uint256(market.job(jobId).state);
    }
}
