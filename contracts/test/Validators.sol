// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IValidatorRegistry } from "../src/interfaces/IValidatorRegistry.sol";
import { BLS12381 } from "../src/l1/BLS12381.sol";
import { Predeploys } from "../src/Predeploys.sol";
import { System } from "./System.sol";

/// @title Validators with real keys: a secret is a number, and EIP-2537 multiplies.
abstract contract Validators is System {
    uint256 internal constant SEAT = 1000 ether;

    function publicKey(uint256 secret) internal view returns (bytes32[8] memory key) {
        bytes memory input = abi.encodePacked(
            hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8",
            hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e",
            hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801",
            hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be",
            secret
        );
        (bool done, bytes memory product) = address(0x0e).staticcall(input);
        check(done, "multiplied in G2");
        key = abi.decode(product, (bytes32[8]));
    }

    function signatureOf(uint256 secret, bytes memory message) internal view returns (bytes32[4] memory) {
        bytes32[4] memory hash = BLS12381.hashToG1(message, BLS12381.POSSESSION_DST);
        (bool done, bytes memory product) = address(0x0c).staticcall(abi.encodePacked(hash, secret));
        check(done, "multiplied in G1");
        return abi.decode(product, (bytes32[4]));
    }

    /// @dev Keys that follow from a number, possessed by `owner`.
    function keysOf(uint256 secret, address owner) internal view returns (IValidatorRegistry.Keys memory keys) {
        keys.consensusKey = keccak256(abi.encode("consensus", secret));
        keys.randomnessKey = keccak256(abi.encode("randomness", secret));
        keys.voteKey = publicKey(secret);
        keys.possession = signatureOf(secret, validators.possessionMessage(keys.voteKey, owner));
        keys.proof = point(secret, "proof");
    }

    function point(uint256 secret, string memory what) internal pure returns (bytes memory) {
        return abi.encodePacked(keccak256(abi.encode(what, secret)), bytes16(uint128(secret)));
    }

    function endpoint() internal pure returns (IValidatorRegistry.Endpoint memory) {
        return IValidatorRegistry.Endpoint(0xffff0a000001, 9000, "http://10.0.0.1:9001");
    }

    function registerAs(address owner, uint256 secret, uint256 amount) internal returns (uint64) {
        IValidatorRegistry.Keys memory keys = keysOf(secret, owner);
        vm.prank(owner);
        return validators.register{ value: amount }(keys, endpoint(), amount);
    }

    function convict(uint64 id) internal {
        vm.prank(Predeploys.SYSTEM);
        validators.slash(id);
    }

    function stateOf(uint64 id) internal view returns (uint256) {
        return uint256(validators.validator(id).state);
    }
}
