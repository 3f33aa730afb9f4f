// Compiles contracts/Examples.sol with the solc package and writes build/NAME.json.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
const input = {
  language: "Solidity",
  sources: { "contracts/Examples.sol": { content: read("contracts/Examples.sol") } },
  settings: {
    evmVersion: "prague",
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const output = JSON.parse(
  solc.compile(JSON.stringify(input), { import: (path) => ({ contents: read(`node_modules/${path}`) }) }),
);
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
mkdirSync(new URL("build/", import.meta.url), { recursive: true });
for (const [name, contract] of Object.entries(output.contracts["contracts/Examples.sol"])) {
  const artifact = { abi: contract.abi, bytecode: `0x${contract.evm.bytecode.object}` };
  writeFileSync(new URL(`build/${name}.json`, import.meta.url), JSON.stringify(artifact, null, 1));
}
