// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

import { IProofVerifier, Transition } from "../interfaces/IKumoL1.sol";

/// @title Checks Groth16 proofs over BN254 of a rollup's transitions, with the key of the rollup's own circuit.
/// @notice The circuit has nine public inputs: namespace · 2^64 + height, state root, new state root, and high and low half of inputs,
/// new inputs and hash of the state difference. State roots are numbers of the scalar field. Source: Groth (2016); EIP-196, EIP-197.
/// A key comes from a ceremony: whoever knows its secrets proves what he likes.
contract Groth16Verifier is IProofVerifier {
    /// @notice Public inputs of the circuit.
    uint256 public constant INPUTS = 9;
    /// @notice A key with another number of points.
    error KeyMalformed(uint256 length, uint256 expected);

    /// @dev Order of the curve.
    uint256 private constant ORDER =
        21_888_242_871_839_275_222_246_405_745_257_275_088_548_364_400_416_034_343_698_204_186_575_808_495_617;
    uint256 private constant PRIME =
        21_888_242_871_839_275_222_246_405_745_257_275_088_696_311_157_297_823_662_689_037_894_645_226_208_583;
    uint256 private constant PROOF_BYTES = 256;
    /// @dev Alpha in G1; beta, gamma and delta in G2; one point of G1 for each input, and one for the constant.
    uint256 private constant KEY_WORDS = 2 + 3 * 4 + 2 * (INPUTS + 1);

    uint256[] private _key;

    /// @param key Coordinates as the precompiles take them: alpha, beta, gamma, delta, then the points of constant and inputs.
    constructor(uint256[] memory key) {
        if (key.length != KEY_WORDS) revert KeyMalformed(key.length, KEY_WORDS);
        _key = key;
    }

    /// @inheritdoc IProofVerifier
    function verify(Transition calldata transition, bytes calldata proof) external view returns (bool) {
        if (proof.length != PROOF_BYTES) return false;
        (uint256 stateRoot, uint256 newStateRoot) = (uint256(transition.stateRoot), uint256(transition.newStateRoot));
        // Two words for one state would be two roots of it.
        if (stateRoot >= ORDER || newStateRoot >= ORDER) return false;
        uint256[INPUTS] memory inputs = [
            (uint256(transition.namespace) << 64) | transition.height,
            stateRoot,
            newStateRoot,
            uint256(transition.inputs) >> 128,
            uint128(uint256(transition.inputs)),
            uint256(transition.newInputs) >> 128,
            uint128(uint256(transition.newInputs)),
            uint256(transition.stateDiff) >> 128,
            uint128(uint256(transition.stateDiff))
        ];
        (bool success, uint256[2] memory sum) = _sum(inputs);
        return success && _pairs(abi.decode(proof, (uint256[8])), sum);
    }

    /// @dev The key's point of the constant, and those of the inputs times them.
    function _sum(uint256[INPUTS] memory inputs) private view returns (bool success, uint256[2] memory sum) {
        sum = [_key[14], _key[15]];
        uint256[3] memory factor;
        uint256[4] memory terms;
        success = true;
        for (uint256 i = 0; i < INPUTS && success; ++i) {
            factor = [_key[16 + 2 * i], _key[17 + 2 * i], inputs[i]];
            (terms[0], terms[1]) = (sum[0], sum[1]);
            assembly ("memory-safe") {
                success := staticcall(gas(), 0x07, factor, 0x60, add(terms, 0x40), 0x40)
                success := and(success, staticcall(gas(), 0x06, terms, 0x80, sum, 0x40))
            }
        }
    }

    /// @dev e(A, B) = e(alpha, beta) · e(sum, gamma) · e(C, delta). The precompile refuses what is no point.
    function _pairs(uint256[8] memory proof, uint256[2] memory sum) private view returns (bool) {
        uint256[24] memory terms;
        (terms[0], terms[1]) = (proof[0], proof[1] == 0 ? 0 : PRIME - proof[1] % PRIME);
        if (proof[1] >= PRIME) return false;
        for (uint256 i = 0; i < 4; ++i) {
            (terms[2 + i], terms[8 + i], terms[14 + i], terms[20 + i]) =
            (proof[2 + i], _key[2 + i], _key[6 + i], _key[10 + i]);
        }
        (terms[6], terms[7]) = (_key[0], _key[1]);
        (terms[12], terms[13]) = (sum[0], sum[1]);
        (terms[18], terms[19]) = (proof[6], proof[7]);
        uint256[1] memory answer;
        bool success;
        assembly ("memory-safe") {
            success := staticcall(gas(), 0x08, terms, 0x300, answer, 0x20)
        }
        return success && answer[0] == 1;
    }
}
