// ethers 6: deploy, call, write, watch, every type of transaction, typed data, permits, errors, proofs.
import { ContractFactory, Contract, JsonRpcProvider, Signature, Wallet, WebSocketProvider, ethers } from "ethers";
import { verifyAccount } from "./proof.mjs";
import { artifact, equal, failure, finish, http, key, skip, socket, soon, step } from "./flow.mjs";

const provider = new JsonRpcProvider(http, undefined, { pollingInterval: 100, cacheTimeout: -1 });
const wallet = new Wallet(key, provider);
const { chainId } = await provider.getNetwork();
const deploy = async (name) => {
  const { abi, bytecode } = artifact(name);
  const contract = await new ContractFactory(abi, bytecode, wallet).deploy();
  return contract.waitForDeployment();
};

let counter;
await step("deploy", async () => {
  counter = await deploy("Counter");
  equal((await provider.getCode(await counter.getAddress())).length > 2, true, "has code");
});
await step("call", async () => equal(await counter.number(), 0n));
let receipt;
await step("write", async () => {
  receipt = await (await counter.set(7)).wait();
  equal([receipt.status, await counter.number()], [1, 7n]);
});
await step("logs", async () => {
  const [event] = await counter.queryFilter(counter.filters.Changed(wallet.address), receipt.blockNumber);
  equal([event.args.by, event.args.number, event.transactionHash], [wallet.address, 7n, receipt.hash]);
});
await step("watch events over WebSocket", async () => {
  const watcher = new WebSocketProvider(socket);
  const watched = new Contract(await counter.getAddress(), counter.interface, watcher);
  let heard;
  const next = new Promise((resolve) => (heard = resolve));
  await watched.on("Changed", (by, number) => heard([by, number]));
  const head = new Promise((resolve) => watcher.once("block", resolve));
  await watcher.send("eth_blockNumber", []);
  await (await counter.set(8)).wait();
  equal(await soon(next, "event"), [wallet.address, 8n]);
  equal((await soon(head, "block")) > 0, true);
  await watcher.destroy();
});
await step("EIP-1559 transaction", async () => {
  const sent = await wallet.sendTransaction({ to: wallet.address, value: 1n });
  const { status, type, gasPrice } = await sent.wait();
  const { baseFeePerGas } = await provider.getBlock((await sent.wait()).blockNumber);
  equal([status, type, gasPrice >= baseFeePerGas], [1, 2, true]);
});
await step("EIP-2930 transaction", async () => {
  const accessList = [{ address: await counter.getAddress(), storageKeys: [ethers.ZeroHash] }];
  const sent = await counter.set(9, { type: 1, accessList });
  equal([(await sent.wait()).type, (await provider.getTransaction(sent.hash)).accessList.length], [1, 1]);
});
await step("legacy transaction", async () => {
  equal((await (await counter.set(10, { type: 0 })).wait()).type, 0);
});
await step("EIP-7702 transaction", async () => {
  const account = Wallet.createRandom(provider);
  const authorization = await account.authorize({ address: await counter.getAddress(), nonce: 0, chainId });
  const data = counter.interface.encodeFunctionData("set", [5]);
  const sent = await wallet.sendTransaction({ type: 4, to: account.address, data, authorizationList: [authorization] });
  equal((await sent.wait()).type, 4);
  equal(await counter.attach(account.address).number(), 5n, "number in the account's own storage");
  equal(await provider.getCode(account.address), ethers.concat(["0xef0100", await counter.getAddress()]).toLowerCase());
});
await step("EIP-712 signature", async () => {
  const orders = await deploy("Orders");
  const domain = { name: "Orders", version: "1", chainId, verifyingContract: await orders.getAddress() };
  const types = { Order: [{ name: "to", type: "address" }, { name: "amount", type: "uint256" }, { name: "note", type: "string" }] };
  const order = { to: wallet.address, amount: 5n, note: "雲" };
  const signature = await wallet.signTypedData(domain, types, order);
  equal(await orders.signer(order.to, order.amount, order.note, signature), wallet.address);
});
await step("ERC-20 permit", async () => {
  const token = await deploy("Token");
  const spender = Wallet.createRandom().address;
  const permit = { owner: wallet.address, spender, value: 3n, nonce: 0n, deadline: ethers.MaxUint256 };
  const domain = { name: "Example", version: "1", chainId, verifyingContract: await token.getAddress() };
  const types = { Permit: ["owner:address", "spender:address", "value:uint256", "nonce:uint256", "deadline:uint256"].map((field) => ({ name: field.split(":")[0], type: field.split(":")[1] })) };
  const { v, r, s } = Signature.from(await wallet.signTypedData(domain, types, permit));
  await (await token.permit(permit.owner, spender, permit.value, permit.deadline, v, r, s)).wait();
  equal(await token.allowance(wallet.address, spender), 3n);
});
await step("revert reason", async () => {
  const error = await failure(counter.fail("no rain"));
  equal([error.code, error.reason], ["CALL_EXCEPTION", "no rain"]);
});
await step("typed error", async () => {
  const error = await failure(counter.set.staticCall(2000));
  equal([error.revert.name, error.revert.args.asked, error.revert.args.limit], ["TooLarge", 2000n, 1000n]);
  const estimated = await failure(counter.set.estimateGas(2000));
  equal(estimated.code, "CALL_EXCEPTION");
});
await step("failed transaction", async () => {
  const error = await failure((await counter.set(2000, { gasLimit: 100_000 })).wait());
  equal([error.code, error.receipt.status], ["CALL_EXCEPTION", 0]);
});
await step("batch", async () => {
  const batched = new JsonRpcProvider(http, undefined, { batchMaxCount: 20, batchStallTime: 20 });
  const balances = await Promise.all(Array.from({ length: 20 }, () => batched.getBalance(wallet.address)));
  equal(new Set(balances).size, 1);
  batched.destroy();
});
await step("transactions in flight", async () => {
  const first = await provider.getTransactionCount(wallet.address, "pending");
  const sent = [];
  for (let i = 0; i < 5; i++) sent.push(await wallet.sendTransaction({ to: wallet.address, value: BigInt(i) }));
  equal(sent.map((tx) => tx.nonce), [0, 1, 2, 3, 4].map((i) => first + i));
  for (const tx of sent) equal((await tx.wait()).status, 1);
});
await step("safe and finalized", async () => {
  const [latest, safe, finalized] = await Promise.all(["latest", "safe", "finalized"].map((tag) => provider.getBlock(tag)));
  equal(finalized.number <= safe.number && safe.number <= latest.number + 1 && finalized.number > 0, true);
});
await step("proof", async () => {
  const block = await provider.getBlock("latest");
  const tag = ethers.toQuantity(block.number);
  const address = await counter.getAddress();
  const proof = await provider.send("eth_getProof", [address, [ethers.ZeroHash], tag]);
  await verifyAccount(block.stateRoot, proof, { [ethers.ZeroHash]: await counter.number({ blockTag: block.number }) });
});
skip("blob transaction", "the chain takes no blobs");
finish();
