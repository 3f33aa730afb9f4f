// hardhat 2 on a Kumo network. The compiler is the solc package, so nothing is downloaded.
require("@nomicfoundation/hardhat-ethers");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }) => ({
  compilerPath: require.resolve("solc/soljson.js"),
  isSolcJs: true,
  version: solcVersion,
  longVersion: require("solc").version(),
}));

module.exports = {
  solidity: { version: "0.8.37", settings: { evmVersion: "prague", optimizer: { enabled: true, runs: 200 } } },
  paths: { artifacts: "./build/hardhat", cache: "./build/hardhat-cache" },
  defaultNetwork: "kumo",
  networks: { kumo: { url: process.env.KUMO_RPC, accounts: [process.env.KUMO_KEY] } },
};
