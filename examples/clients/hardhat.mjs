// hardhat 2 (run it with `hardhat run hardhat.mjs`): what its network provider and its ethers plugin do.
import hre from "hardhat";
import { equal, failure, finish, skip, step } from "./flow.mjs";

const { ethers, network } = hre;
const [wallet] = await ethers.getSigners();
const { chainId } = await ethers.provider.getNetwork();
const send = (method, ...params) => network.provider.send(method, params);
const deploy = async (name) => (await ethers.deployContract(name)).waitForDeployment();

let counter;
await step("compile and deploy", async () => {
  counter = await deploy("Counter");
});
await step("call", async () => equal(await counter.number(), 0n));
let receipt;
await step("write", async () => {
  receipt = await (await counter.set(7)).wait();
  equal([receipt.status, receipt.type, await counter.number()], [1, 2, 7n]);
});
await step("logs", async () => {
  const [event] = await counter.queryFilter("Changed", receipt.blockNumber);
  equal([event.args.by, event.args.number], [wallet.address, 7n]);
});
await step("watch events by polling", async () => {
  const event = new Promise((resolve) => counter.once("Changed", (by, number) => resolve(number)));
  await (await counter.set(8)).wait();
  equal(await event, 8n);
});
await step("EIP-2930 transaction", async () => {
  // Without a price hardhat makes every transaction type 2.
  const { gasPrice } = await ethers.provider.getFeeData();
  const accessList = [{ address: counter.target, storageKeys: [ethers.ZeroHash] }];
  equal((await (await counter.set(9, { accessList, gasPrice })).wait()).type, 1);
});
await step("legacy transaction", async () => {
  equal((await (await counter.set(10, { gasPrice: (await ethers.provider.getFeeData()).gasPrice })).wait()).type, 0);
});
await step("EIP-712 signature", async () => {
  const orders = await deploy("Orders");
  const domain = { name: "Orders", version: "1", chainId, verifyingContract: orders.target };
  const types = { Order: [{ name: "to", type: "address" }, { name: "amount", type: "uint256" }, { name: "note", type: "string" }] };
  const signature = await wallet.signTypedData(domain, types, { to: wallet.address, amount: 5n, note: "雲" });
  equal(await orders.signer(wallet.address, 5n, "雲", signature), wallet.address);
});
await step("ERC-20 permit", async () => {
  const token = await deploy("Token");
  const spender = ethers.Wallet.createRandom().address;
  const domain = { name: "Example", version: "1", chainId, verifyingContract: token.target };
  const kinds = { owner: "address", spender: "address", value: "uint256", nonce: "uint256", deadline: "uint256" };
  const types = { Permit: Object.entries(kinds).map(([name, type]) => ({ name, type })) };
  const permit = { owner: wallet.address, spender, value: 3n, nonce: 0n, deadline: ethers.MaxUint256 };
  const { v, r, s } = ethers.Signature.from(await wallet.signTypedData(domain, types, permit));
  await (await token.permit(wallet.address, spender, 3n, permit.deadline, v, r, s)).wait();
  equal(await token.allowance(wallet.address, spender), 3n);
});
await step("revert reason", async () => {
  const error = await failure(counter.fail.staticCall("no rain"));
  equal([error.code, error.message], [3, "execution reverted: no rain"]);
});
await step("typed error", async () => {
  const { data } = await failure(counter.set.staticCall(2000));
  const { name, args } = counter.interface.parseError(data);
  equal([name, args.toArray()], ["TooLarge", [2000n, 1000n]]);
});
await step("failed transaction", async () => {
  equal((await failure((await counter.set(2000, { gasLimit: 100_000 })).wait())).receipt.status, 0);
});
await step("transactions in flight", async () => {
  const first = Number(await send("eth_getTransactionCount", wallet.address, "pending"));
  const sent = [];
  for (let i = 0; i < 5; i++) sent.push(await wallet.sendTransaction({ to: wallet.address, value: i }));
  equal(sent.map((tx) => tx.nonce), [0, 1, 2, 3, 4].map((i) => first + i));
  for (const tx of sent) equal((await tx.wait()).status, 1);
});
await step("safe and finalized", async () => {
  const [safe, finalized] = await Promise.all(["safe", "finalized"].map((tag) => send("eth_getBlockByNumber", tag, false)));
  equal(Number(finalized.number) > 0 && Number(finalized.number) <= Number(safe.number) + 1, true);
});
skip("EIP-7702 transaction", "hardhat 2 signs types 0 to 2 for a remote network");
skip("batch", "hardhat 2 sends one call at a time");
skip("proof", "hardhat 2 verifies none");
finish();
