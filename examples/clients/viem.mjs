// viem 2: deploy, call, write, watch, every type of transaction, typed data, permits, errors, proofs.
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, encodeFunctionData,
  http as overHttp, maxUint256, parseSignature, publicActions, webSocket, zeroHash,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { verifyAccount } from "./proof.mjs";
import { artifact, equal, failure, finish, http, key, skip, socket, soon, step } from "./flow.mjs";

const chainId = await createPublicClient({ transport: overHttp(http) }).getChainId();
const chain = defineChain({
  id: chainId,
  name: "Kumo",
  nativeCurrency: { name: "AKE", symbol: "AKE", decimals: 18 },
  rpcUrls: { default: { http: [http], webSocket: [socket] } },
});
const account = privateKeyToAccount(key);
const client = createWalletClient({ account, chain, transport: overHttp(), pollingInterval: 100 }).extend(publicActions);
const mined = async (hash) => client.waitForTransactionReceipt({ hash });
const deploy = async (name) => {
  const { abi, bytecode } = artifact(name);
  const { contractAddress } = await mined(await client.deployContract({ abi, bytecode }));
  return { abi, address: contractAddress };
};
const read = (contract, functionName, args = []) => client.readContract({ ...contract, functionName, args });
const write = async (contract, functionName, args, more = {}) =>
  mined(await client.writeContract({ ...contract, functionName, args, ...more }));

let counter;
await step("deploy", async () => {
  counter = await deploy("Counter");
  equal((await client.getCode(counter)).length > 2, true, "has code");
});
await step("call", async () => equal(await read(counter, "number"), 0n));
let receipt;
await step("write", async () => {
  const { request } = await client.simulateContract({ ...counter, functionName: "set", args: [7n] });
  receipt = await mined(await client.writeContract(request));
  equal([receipt.status, await read(counter, "number")], ["success", 7n]);
});
await step("logs", async () => {
  const [event] = await client.getContractEvents({ ...counter, eventName: "Changed", fromBlock: receipt.blockNumber });
  equal([event.args.by, event.args.number, event.transactionHash], [account.address, 7n, receipt.transactionHash]);
});
await step("watch events over WebSocket", async () => {
  const watcher = createPublicClient({ chain, transport: webSocket() });
  let stop;
  const event = new Promise((resolve, reject) => {
    stop = watcher.watchContractEvent({ ...counter, eventName: "Changed", onLogs: resolve, onError: reject });
  });
  let stopBlocks;
  const block = new Promise((resolve, reject) => {
    stopBlocks = watcher.watchBlocks({ onBlock: resolve, onError: reject });
  });
  await watcher.getBlockNumber();
  await write(counter, "set", [8n]);
  const [log] = await soon(event, "event");
  equal([log.args.by, log.args.number], [account.address, 8n]);
  equal((await soon(block, "block")).number > 0n, true);
  stop();
  stopBlocks();
  (await watcher.transport.getRpcClient()).close();
});
await step("watch events by polling a filter", async () => {
  let stop;
  const event = new Promise((resolve, reject) => {
    stop = client.watchContractEvent({ ...counter, eventName: "Changed", onLogs: resolve, onError: reject, poll: true });
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await write(counter, "set", [6n]);
  const [log] = await soon(event, "event");
  stop();
  equal(log.args.number, 6n);
});
await step("EIP-1559 transaction", async () => {
  const receipt = await mined(await client.sendTransaction({ to: account.address, value: 1n }));
  equal([receipt.status, receipt.type], ["success", "eip1559"]);
});
await step("EIP-2930 transaction", async () => {
  const accessList = [{ address: counter.address, storageKeys: [zeroHash] }];
  const receipt = await write(counter, "set", [9n], { type: "eip2930", accessList });
  const sent = await client.getTransaction({ hash: receipt.transactionHash });
  equal([receipt.type, sent.accessList], ["eip2930", accessList]);
});
await step("access list", async () => {
  const data = encodeFunctionData({ abi: counter.abi, functionName: "set", args: [11n] });
  const { accessList, gasUsed } = await client.createAccessList({ account, to: counter.address, data });
  equal([accessList, gasUsed > 0n], [[{ address: counter.address, storageKeys: [zeroHash] }], true]);
});
await step("legacy transaction", async () => {
  equal((await write(counter, "set", [10n], { type: "legacy" })).type, "legacy");
});
await step("EIP-7702 transaction", async () => {
  const other = privateKeyToAccount(generatePrivateKey());
  const authorization = await client.signAuthorization({ account: other, contractAddress: counter.address });
  const data = encodeFunctionData({ abi: counter.abi, functionName: "set", args: [5n] });
  const hash = await client.sendTransaction({ authorizationList: [authorization], to: other.address, data });
  equal((await mined(hash)).type, "eip7702");
  equal(await read({ ...counter, address: other.address }, "number"), 5n, "number in the account's own storage");
  equal(await client.getCode({ address: other.address }), `0xef0100${counter.address.slice(2)}`);
});
await step("EIP-712 signature", async () => {
  const orders = await deploy("Orders");
  const message = { to: account.address, amount: 5n, note: "雲" };
  const signature = await account.signTypedData({
    domain: { name: "Orders", version: "1", chainId, verifyingContract: orders.address },
    types: { Order: [{ name: "to", type: "address" }, { name: "amount", type: "uint256" }, { name: "note", type: "string" }] },
    primaryType: "Order",
    message,
  });
  equal(await read(orders, "signer", [message.to, message.amount, message.note, signature]), account.address);
});
await step("ERC-20 permit", async () => {
  const token = await deploy("Token");
  const spender = privateKeyToAccount(generatePrivateKey()).address;
  const names = { owner: "address", spender: "address", value: "uint256", nonce: "uint256", deadline: "uint256" };
  const signature = await account.signTypedData({
    domain: { name: "Example", version: "1", chainId, verifyingContract: token.address },
    types: { Permit: Object.entries(names).map(([name, type]) => ({ name, type })) },
    primaryType: "Permit",
    message: { owner: account.address, spender, value: 3n, nonce: 0n, deadline: maxUint256 },
  });
  const { v, r, s } = parseSignature(signature);
  await write(token, "permit", [account.address, spender, 3n, maxUint256, Number(v), r, s]);
  equal(await read(token, "allowance", [account.address, spender]), 3n);
});
const reverted = (error) => {
  equal(error instanceof BaseError, true, "viem's error");
  const cause = error.walk((cause) => cause instanceof ContractFunctionRevertedError);
  if (!cause) throw new Error(`not a revert: ${error.message}`);
  return cause;
};
await step("revert reason", async () => {
  equal(reverted(await failure(read(counter, "fail", ["no rain"]))).reason, "no rain");
});
await step("typed error", async () => {
  const failed = client.simulateContract({ ...counter, functionName: "set", args: [2000n] });
  equal(reverted(await failure(failed)).data.errorName, "TooLarge");
  const estimated = client.estimateContractGas({ ...counter, functionName: "set", args: [2000n] });
  equal(reverted(await failure(estimated)).data.args, [2000n, 1000n]);
});
await step("failed transaction", async () => {
  equal((await write(counter, "set", [2000n], { gas: 100_000n })).status, "reverted");
});
await step("batch", async () => {
  const batched = createPublicClient({ chain, transport: overHttp(http, { batch: { batchSize: 20, wait: 20 } }) });
  const balances = await Promise.all(Array.from({ length: 20 }, () => batched.getBalance(account)));
  equal(new Set(balances).size, 1);
});
await step("state override", async () => {
  const stateDiff = [{ slot: zeroHash, value: "0x" + "77".padStart(64, "0") }];
  const stateOverride = [{ address: counter.address, stateDiff }];
  equal(await client.readContract({ ...counter, functionName: "number", stateOverride }), 0x77n);
});
await step("transactions in flight", async () => {
  const first = await client.getTransactionCount({ ...account, blockTag: "pending" });
  const hashes = [];
  for (let i = 0; i < 5; i++) hashes.push(await client.sendTransaction({ to: account.address, value: BigInt(i) }));
  for (const [i, hash] of hashes.entries()) {
    equal([(await mined(hash)).status, (await client.getTransaction({ hash })).nonce], ["success", first + i]);
  }
});
await step("send and wait in one call", async () => {
  const request = await client.prepareTransactionRequest({ to: account.address, value: 1n });
  const serializedTransaction = await client.signTransaction(request);
  equal((await client.sendRawTransactionSync({ serializedTransaction })).status, "success");
});
await step("safe and finalized", async () => {
  const tags = ["latest", "safe", "finalized"].map((blockTag) => client.getBlock({ blockTag }));
  const [latest, safe, finalized] = await Promise.all(tags);
  equal(finalized.number <= safe.number && safe.number <= latest.number + 1n && finalized.number > 0n, true);
});
await step("proof", async () => {
  const block = await client.getBlock();
  const proof = await client.getProof({ ...counter, storageKeys: [zeroHash], blockNumber: block.number });
  const number = await client.readContract({ ...counter, functionName: "number", blockNumber: block.number });
  await verifyAccount(block.stateRoot, proof, { [zeroHash]: number });
});
skip("blob transaction", "the chain takes no blobs");
finish();
