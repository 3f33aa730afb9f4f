// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { EnumerableSet } from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import { IFeeVault } from "./interfaces/IFeeVault.sol";
import { IRollupRegistry } from "./interfaces/IRollupRegistry.sol";
import { NamespaceProof } from "./NamespaceProof.sol";
import { Parameters } from "./Parameters.sol";
import { Predeploys } from "./Predeploys.sol";

/// @title Who owns a namespace, by which rules it is ordered, what it owes, and what it gets back.
/// @notice The sequencer keeps an account of every namespace, and the block that opens an epoch commits to all of them. Whoever
/// shows an account with its path, and the headers from that block to one whose child this chain has executed (EIP-4788), has the
/// namespace charged for the difference to the last time. So nothing depends on who calls, or how often.
/// All coin is in `FeeVault`. Validators read `_terms` before they vote: its place in storage and its packing are part of the
/// protocol (`kumo::policy`).
contract RollupRegistry is IRollupRegistry, Parameters {
    using EnumerableSet for EnumerableSet.UintSet;

    /// @dev One storage slot. From the lowest bit: owner, quota, ordering, suspended.
    struct Terms {
        address owner;
        uint32 quotaBytes;
        Ordering ordering;
        bool suspended;
    }

    /// @dev What was settled last, and is not paid.
    struct Settled {
        uint128 owed;
        uint64 since;
        uint256 debt;
    }

    /// @notice Most headers between the block that commits to an account and the newest one.
    uint256 public constant HEADERS_MAX = 256;
    /// @notice Smallest quota: a transaction of that size still fits.
    uint32 public constant QUOTA_BYTES_MIN = 1024;

    uint256 private constant BPS = 10_000;
    uint64 private constant FIRST_NAMESPACE = 2;
    uint256 private constant HEADER_BYTES = 297;
    uint256 private constant NAMESPACES_ROOT_AT = 169;
    bytes private constant HEADER_DOMAIN = "kumo/block/header/v3";
    bytes1 private constant COMMITMENT_TAG = 0x08;
    /// @dev EIP-4788.
    address private constant BEACON_ROOTS = 0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02;

    mapping(uint64 namespace => Terms) private _terms;
    mapping(uint64 namespace => address) private _offered;
    mapping(uint64 namespace => address payable) private _recipients;
    mapping(uint64 namespace => Settled) private _settled;
    EnumerableSet.UintSet private _namespaces;

    modifier onlyOwner(uint64 namespace) {
        address owner = _terms[namespace].owner;
        if (msg.sender != owner) revert NotOwner(namespace, msg.sender, owner);
        _;
    }

    constructor() {
        _define("shareBps", 2000, 0, 10_000);
        _define("debtMax", 10 ether, 0, 1_000_000 ether);
        _define("registrationFee", 1 ether, 0, 1_000_000 ether);
    }

    /// @inheritdoc IRollupRegistry
    function register(uint64 namespace, address payable feeRecipient, Policy calldata policy) external payable {
        _checkNamespace(namespace);
        address owner = _terms[namespace].owner;
        if (owner != address(0)) revert NamespaceTaken(namespace, owner);
        uint256 fee = _value("registrationFee");
        if (msg.value < fee) revert FeeTooLow(msg.value, fee);
        _terms[namespace].owner = msg.sender;
        _namespaces.add(namespace);
        emit RollupRegistered(namespace, msg.sender, feeRecipient);
        _setRecipient(namespace, feeRecipient);
        _setPolicy(namespace, policy);
        _vault().deposit{ value: msg.value }(namespace);
        if (fee != 0) _vault().charge(namespace, fee, 0);
        _collect(namespace);
    }

    /// @inheritdoc IRollupRegistry
    function setPolicy(uint64 namespace, Policy calldata policy) external onlyOwner(namespace) {
        _setPolicy(namespace, policy);
    }

    /// @inheritdoc IRollupRegistry
    function setFeeRecipient(uint64 namespace, address payable feeRecipient) external onlyOwner(namespace) {
        _setRecipient(namespace, feeRecipient);
        emit FeeRecipientChanged(namespace, feeRecipient);
    }

    /// @inheritdoc IRollupRegistry
    function offerOwnership(uint64 namespace, address to) external onlyOwner(namespace) {
        _offered[namespace] = to;
        emit OwnershipOffered(namespace, msg.sender, to);
    }

    /// @inheritdoc IRollupRegistry
    function acceptOwnership(uint64 namespace) external {
        address offered = _offered[namespace];
        // The zero address calls nothing, so an offer that was not made cannot be accepted.
        if (msg.sender != offered) revert NotOffered(namespace, msg.sender, offered);
        emit OwnershipTransferred(namespace, _terms[namespace].owner, msg.sender);
        _terms[namespace].owner = msg.sender;
        delete _offered[namespace];
    }

    /// @inheritdoc IRollupRegistry
    function deposit(uint64 namespace) external payable {
        _checkNamespace(namespace);
        _vault().deposit{ value: msg.value }(namespace);
        _collect(namespace);
    }

    /// @inheritdoc IRollupRegistry
    function withdraw(uint64 namespace, address payable to, uint256 amount) external onlyOwner(namespace) {
        uint256 debt = _settled[namespace].debt;
        if (debt != 0) revert InDebt(namespace, debt);
        if (to == address(0)) revert ZeroAddress();
        _vault().withdraw(namespace, to, amount);
    }

    /// @inheritdoc IRollupRegistry
    function settle(uint64 timestamp, bytes[] calldata headers, bytes calldata commitment, bytes calldata account)
        external
        returns (uint64 namespace, uint256 due)
    {
        bytes calldata root = NamespaceProof.verifyTransaction(_namespacesRoot(timestamp, headers), 0, 0, commitment);
        if (root.length != 33 || root[0] != COMMITMENT_TAG) revert NotCommitted();
        NamespaceProof.Account memory found = NamespaceProof.verifyAccount(bytes32(root[1:]), account);
        namespace = found.namespace;
        _checkNamespace(namespace);
        Settled storage s = _settled[namespace];
        bool again = found.since == s.since;
        if (found.since < s.since || (again && found.owed <= s.owed)) {
            revert NothingToSettle(namespace, found.owed, s.owed);
        }
        // An account that was forgotten began anew: all of it is new.
        due = again ? found.owed - s.owed : found.owed;
        (s.since, s.owed) = (found.since, found.owed);
        s.debt += due;
        emit FeesSettled(namespace, found.since, found.owed, due);
        _collect(namespace);
    }

    /// @inheritdoc IRollupRegistry
    function claim(uint64 namespace) external returns (uint256 amount) {
        address payable recipient = _recipients[namespace];
        if (recipient == address(0)) revert ZeroAddress();
        return _vault().payShare(namespace, recipient);
    }

    /// @inheritdoc IRollupRegistry
    function setParameter(bytes32 name, uint256 value) external restricted {
        _setParameter(name, value);
    }

    /// @inheritdoc IRollupRegistry
    function parameter(bytes32 name) external view returns (uint256 value, uint256 min, uint256 max) {
        return _parameter(name);
    }

    /// @inheritdoc IRollupRegistry
    function rollup(uint64 namespace) external view returns (Rollup memory) {
        Terms memory terms = _terms[namespace];
        Settled memory settled = _settled[namespace];
        return Rollup({
            owner: terms.owner,
            pendingOwner: _offered[namespace],
            feeRecipient: _recipients[namespace],
            policy: Policy(terms.ordering, terms.quotaBytes),
            debt: settled.debt,
            suspended: terms.suspended,
            settledSince: settled.since,
            settledOwed: settled.owed,
            deposit: _vault().depositOf(namespace),
            share: _vault().shareOf(namespace)
        });
    }

    /// @inheritdoc IRollupRegistry
    function count() external view returns (uint256) {
        return _namespaces.length();
    }

    /// @inheritdoc IRollupRegistry
    function list(uint256 from, uint256 max) external view returns (uint64[] memory namespaces) {
        uint256 total = _namespaces.length();
        uint256 left = from < total ? total - from : 0;
        namespaces = new uint64[](left < max ? left : max);
        for (uint256 i = 0; i < namespaces.length; ++i) {
            namespaces[i] = uint64(_namespaces.at(from + i));
        }
    }

    /// @dev Takes what is owed from the deposit, as far as it goes.
    function _collect(uint64 namespace) private {
        Settled storage s = _settled[namespace];
        (uint256 debt, uint256 prepaid) = (s.debt, _vault().depositOf(namespace));
        uint256 amount = debt < prepaid ? debt : prepaid;
        if (amount != 0) {
            bool registered = _terms[namespace].owner != address(0);
            uint256 share = registered ? amount * _value("shareBps") / BPS : 0;
            debt -= amount;
            s.debt = debt;
            _vault().charge(namespace, amount, share);
        }
        bool suspended = debt > _value("debtMax");
        _terms[namespace].suspended = suspended;
        emit DebtChanged(namespace, debt, suspended);
    }

    function _setRecipient(uint64 namespace, address payable feeRecipient) private {
        if (feeRecipient == address(0)) revert ZeroAddress();
        _recipients[namespace] = feeRecipient;
    }

    function _setPolicy(uint64 namespace, Policy calldata policy) private {
        uint32 quota = policy.quotaBytes;
        if (quota != 0 && quota < QUOTA_BYTES_MIN) revert QuotaOutOfRange(quota, QUOTA_BYTES_MIN);
        (_terms[namespace].quotaBytes, _terms[namespace].ordering) = (quota, policy.ordering);
        emit PolicyChanged(namespace, policy);
    }

    /// @dev Namespaces root of the first header, which the block of that second is a descendant of.
    function _namespacesRoot(uint64 timestamp, bytes[] calldata headers) private view returns (bytes32) {
        if (headers.length == 0 || headers.length > HEADERS_MAX) revert HeaderMalformed(headers.length);
        bytes32 digest;
        for (uint256 i = 0; i < headers.length; ++i) {
            bytes calldata header = headers[i];
            bool follows = i == 0 || bytes32(header[:32]) == digest;
            if (header.length != HEADER_BYTES || !follows) revert HeaderMalformed(i);
            digest = sha256(bytes.concat(HEADER_DOMAIN, header));
        }
        (bool found, bytes memory answer) = BEACON_ROOTS.staticcall(abi.encode(uint256(timestamp)));
        bytes32 known = found && answer.length == 32 ? abi.decode(answer, (bytes32)) : bytes32(0);
        if (known != digest) revert HeaderUnknown(digest, known);
        return bytes32(headers[0][NAMESPACES_ROOT_AT:NAMESPACES_ROOT_AT + 32]);
    }

    function _checkNamespace(uint64 namespace) private pure {
        if (namespace < FIRST_NAMESPACE) revert NamespaceReserved(namespace);
    }

    function _vault() private pure returns (IFeeVault) {
        return IFeeVault(Predeploys.FEE_VAULT);
    }
}
