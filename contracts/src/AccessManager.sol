// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.27;

// Compiled as it is: who may change the parameters of the other contracts, and pay from the treasury.
import { AccessManager } from "@openzeppelin/contracts/access/manager/AccessManager.sol";
