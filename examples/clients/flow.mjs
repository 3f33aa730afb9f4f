// What the flows share: the network, the compiled contracts, and one line of output per step.
import { readFileSync } from "node:fs";

/** URL of the JSON-RPC; the same port speaks HTTP and WebSocket. */
export const http = process.env.KUMO_RPC;
export const socket = http.replace(/^http/, "ws");
/** A funded account of this flow alone. */
export const key = process.env.KUMO_KEY;

/** ABI and creation code of a contract of contracts/Examples.sol (written by compile.mjs). */
export const artifact = (name) => JSON.parse(readFileSync(new URL(`build/${name}.json`, import.meta.url)));

let failed = 0;

/** Runs one step of the flow and says how it went; a failed one does not stop the flow. */
export async function step(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${String(error?.message ?? error).replaceAll("\n", " ").slice(0, 600)}`);
  }
}

/** Says that a client cannot do a step. */
export const skip = (name, reason) => console.log(`skip ${name}: ${reason}`);

export const finish = () => process.exit(failed === 0 ? 0 : 1);

export function equal(got, wanted, what = "value") {
  const text = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? v.toString() : v));
  if (text(got) !== text(wanted)) throw new Error(`${what}: got ${text(got)}, wanted ${text(wanted)}`);
}

/** The error of a promise that must fail. */
export async function failure(promise) {
  const result = await promise.then((value) => ({ value }), (error) => ({ error }));
  if (!result.error) throw new Error("it succeeded");
  return result.error;
}

/** A promise that fails when nothing happened for ten seconds. */
export function soon(promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`no ${what} within 10 s`)), 10_000).unref());
  return Promise.race([promise, late]);
}
