// Checks an answer of eth_getProof against a state root with the Merkle-Patricia trie of ethereumjs.
import { RLP } from "@ethereumjs/rlp";
import { verifyMerkleProof } from "@ethereumjs/mpt";
import { bytesToHex, hexToBytes } from "@ethereumjs/util";
import { keccak256 } from "ethers";
import { equal } from "./flow.mjs";

const prove = async (root, key, proof) =>
  verifyMerkleProof(hexToBytes(keccak256(key)), proof.map(hexToBytes), { root: hexToBytes(root) });

/** Checks the account and each slot; `slots` says what the slots must hold, as numbers. */
export async function verifyAccount(stateRoot, proof, slots) {
  const account = RLP.decode(await prove(stateRoot, proof.address, proof.accountProof));
  const number = (bytes) => BigInt(bytes.length === 0 ? "0x0" : bytesToHex(bytes));
  equal([number(account[0]), number(account[1])], [BigInt(proof.nonce), BigInt(proof.balance)], "account");
  equal([bytesToHex(account[2]), bytesToHex(account[3])], [proof.storageHash, proof.codeHash], "account");
  for (const { key, value, proof: nodes } of proof.storageProof) {
    const slot = "0x" + BigInt(key).toString(16).padStart(64, "0");
    const proven = await prove(proof.storageHash, slot, nodes);
    equal(number(proven === null ? new Uint8Array() : RLP.decode(proven)), BigInt(value), `slot ${slot}`);
    equal(BigInt(value), BigInt(slots[slot]), `slot ${slot}`);
  }
}
