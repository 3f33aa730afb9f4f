// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title A number that anyone may change, within a limit.
contract Counter {
    uint256 public constant LIMIT = 1000;
    uint256 public number;

    event Changed(address indexed by, uint256 number);

    error TooLarge(uint256 asked, uint256 limit);

    function set(uint256 asked) external {
        if (asked > LIMIT) revert TooLarge(asked, LIMIT);
        number = asked;
        emit Changed(msg.sender, asked);
    }

    function fail(string calldata reason) external pure {
        revert(reason);
    }
}

/// @title Says who signed an order (EIP-712).
contract Orders is EIP712 {
    bytes32 private constant ORDER = keccak256("Order(address to,uint256 amount,string note)");

    constructor() EIP712("Orders", "1") { }

    function signer(address to, uint256 amount, string calldata note, bytes calldata signature)
        external
        view
        returns (address)
    {
        bytes32 order = keccak256(abi.encode(ORDER, to, amount, keccak256(bytes(note))));
        return ECDSA.recover(_hashTypedDataV4(order), signature);
    }
}

/// @title A token whose allowances can be signed (ERC-2612).
contract Token is ERC20, ERC20Permit {
    constructor() ERC20("Example", "EXA") ERC20Permit("Example") {
        _mint(msg.sender, 1000 ether);
    }
}
