// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

/// @title Signatures on BLS12-381 with keys in G2 and signatures in G1, by the precompiles of EIP-2537.
/// @notice Points are as EIP-2537 has them: field elements of 64 bytes, real parts first, zero for infinity. Messages are hashed
/// by RFC 9380 (expand_message_xmd with SHA-256, simplified SWU, two elements), as `proof::checkpoint` does.
library BLS12381 {
    /// @notice Domain of votes (draft-irtf-cfrg-bls-signature-05, section 4.2.3).
    bytes internal constant MESSAGE_DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    /// @notice Domain of proofs of possession.
    bytes internal constant POSSESSION_DST = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    /// @notice The precompile refused a point: it is not on the curve, or not of the subgroup.
    error PointInvalid();

    /// @dev The field's modulus.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    /// @dev (modulus - 1) / 2.
    uint256 private constant HALF_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;

    address private constant MODEXP = address(0x05);
    address private constant G1_ADD = address(0x0b);
    address private constant G2_ADD = address(0x0d);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_TO_G1 = address(0x10);

    /// @notice a + b.
    function addG1(bytes32[4] memory a, bytes32[4] memory b) internal view returns (bytes32[4] memory sum) {
        bytes memory input = abi.encodePacked(a, b);
        _call(G1_ADD, input, _at(sum), 128);
    }

    /// @notice a + b. Does not check the subgroup.
    function addG2(bytes32[8] memory a, bytes32[8] memory b) internal view returns (bytes32[8] memory sum) {
        bytes memory input = abi.encodePacked(a, b);
        _call(G2_ADD, input, _at(sum), 256);
    }

    /// @notice -point.
    function negateG2(bytes32[8] memory point) internal pure returns (bytes32[8] memory negative) {
        for (uint256 i = 0; i < 4; ++i) {
            negative[i] = point[i];
        }
        (negative[4], negative[5]) = _negate(point[4], point[5]);
        (negative[6], negative[7]) = _negate(point[6], point[7]);
    }

    /// @notice Whether `key` signed the message with this hash; never for the key at infinity.
    function verify(bytes32[8] memory key, bytes32[4] memory hash, bytes32[4] memory signature)
        internal
        view
        returns (bool)
    {
        if (isZero(key)) return false;
        // e(signature, -generator) * e(hash, key) == 1; the generator of G2 stands here with its y negated.
        bytes memory input = abi.encodePacked(
            signature,
            hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8",
            hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e",
            hex"000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa",
            hex"0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed",
            hash,
            key
        );
        uint256[1] memory result;
        uint256 at;
        assembly ("memory-safe") {
            at := result
        }
        _call(PAIRING, input, at, 32);
        return result[0] == 1;
    }

    /// @notice Hash of a message to a point of G1.
    function hashToG1(bytes memory message, bytes memory dst) internal view returns (bytes32[4] memory) {
        bytes memory suffix = bytes.concat(dst, bytes1(uint8(dst.length)));
        bytes32 b0 = sha256(abi.encodePacked(bytes32(0), bytes32(0), message, uint16(128), uint8(0), suffix));
        bytes32 b1 = sha256(abi.encodePacked(b0, uint8(1), suffix));
        bytes32 b2 = sha256(abi.encodePacked(b0 ^ b1, uint8(2), suffix));
        bytes32 b3 = sha256(abi.encodePacked(b0 ^ b2, uint8(3), suffix));
        bytes32 b4 = sha256(abi.encodePacked(b0 ^ b3, uint8(4), suffix));
        return addG1(_mapToG1(b1, b2), _mapToG1(b3, b4));
    }

    /// @notice A key as it is signed and sent: x with the imaginary part first, and three bits for form and sign of y.
    function compressG2(bytes32[8] memory key) internal pure returns (bytes memory) {
        bool isLarge = key[6] | key[7] == 0 ? _isLarge(key[4], key[5]) : _isLarge(key[6], key[7]);
        uint128 flags = isLarge ? uint128(0xa0 << 120) : uint128(0x80 << 120);
        return abi.encodePacked(uint128(uint256(key[2])) | flags, key[3], uint128(uint256(key[0])), key[1]);
    }

    /// @notice Whether the point is the one at infinity.
    function isZero(bytes32[8] memory point) internal pure returns (bool) {
        bytes32 bits;
        for (uint256 i = 0; i < 8; ++i) {
            bits |= point[i];
        }
        return bits == 0;
    }

    /// @dev A point from a number of 64 bytes, which is reduced first (RFC 9380 section 5.2).
    function _mapToG1(bytes32 high, bytes32 low) private view returns (bytes32[4] memory point) {
        bytes memory input = abi.encodePacked(uint256(64), uint256(1), uint256(64), high, low, uint8(1), P_HIGH, P_LOW);
        bytes memory element = new bytes(64);
        uint256 at;
        assembly ("memory-safe") {
            at := add(element, 0x20)
        }
        _call(MODEXP, input, at, 64);
        _call(MAP_TO_G1, element, _at(point), 128);
    }

    function _negate(bytes32 high, bytes32 low) private pure returns (bytes32, bytes32) {
        if (high | low == 0) return (high, low);
        unchecked {
            // A coordinate is less than the modulus, which the precompile checks; the borrow is the only carry.
            uint256 borrow = uint256(low) > P_LOW ? 1 : 0;
            return (bytes32(P_HIGH - uint256(high) - borrow), bytes32(P_LOW - uint256(low)));
        }
    }

    function _isLarge(bytes32 high, bytes32 low) private pure returns (bool) {
        return uint256(high) > HALF_HIGH || (uint256(high) == HALF_HIGH && uint256(low) > HALF_LOW);
    }

    function _at(bytes32[4] memory point) private pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := point
        }
    }

    function _at(bytes32[8] memory point) private pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := point
        }
    }

    function _call(address precompile, bytes memory input, uint256 output, uint256 length) private view {
        bool success;
        assembly ("memory-safe") {
            success := staticcall(gas(), precompile, add(input, 0x20), mload(input), output, length)
            // A chain without the precompile has an empty account there, which succeeds with nothing.
            success := and(success, eq(returndatasize(), length))
        }
        if (!success) revert PointInvalid();
    }
}
