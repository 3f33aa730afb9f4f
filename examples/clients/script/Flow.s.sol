// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import { Counter, Orders, Token } from "../contracts/Examples.sol";

/// @dev The part of forge's cheat codes that the script uses.
interface Vm {
    struct Wallet {
        address addr;
        uint256 publicKeyX;
        uint256 publicKeyY;
        uint256 privateKey;
    }

    struct SignedDelegation {
        uint8 v;
        bytes32 r;
        bytes32 s;
        uint64 nonce;
        address implementation;
    }

    function addr(uint256 key) external pure returns (address);
    function envUint(string calldata name) external view returns (uint256);
    function randomUint() external returns (uint256);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function signAndAttachDelegation(address implementation, uint256 key) external returns (SignedDelegation memory);
    function startBroadcast(uint256 key) external;
    function stopBroadcast() external;
}

/// @title Deploys, writes, permits and delegates; forge sends what stands between start and stop.
contract Flow {
    bool public constant IS_SCRIPT = true;
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function run() external returns (Counter counter, Token token, address delegated) {
        uint256 key = VM.envUint("KUMO_KEY");
        VM.startBroadcast(key);
        counter = new Counter();
        counter.set(7);
        token = new Token();
        permit(token, key);
        delegated = delegate(counter);
        VM.stopBroadcast();
        require(counter.number() == 7, "the simulation wrote 7");
    }

    /// @dev One transaction; `--legacy` gives it type 0.
    function plain() external returns (Counter counter) {
        VM.startBroadcast(VM.envUint("KUMO_KEY"));
        counter = new Counter();
        VM.stopBroadcast();
    }

    /// @dev Fails before anything is sent.
    function reverts() external {
        Counter counter = new Counter();
        counter.set(2000);
    }

    function permit(Token token, uint256 key) private {
        address owner = VM.addr(key);
        bytes32 message = keccak256(abi.encode(PERMIT, owner, address(1), 3, 0, type(uint256).max));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), message));
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        token.permit(owner, address(1), 3, type(uint256).max, v, r, s);
    }

    function delegate(Counter counter) private returns (address account) {
        uint256 key = VM.randomUint() >> 8;
        account = VM.addr(key);
        VM.signAndAttachDelegation(address(counter), key);
        Counter(account).set(5);
    }
}
