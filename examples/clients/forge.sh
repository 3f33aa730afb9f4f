#!/usr/bin/env bash
# forge script: simulate, send several transactions, create, decode what fails.
cd "$(dirname "$0")" && source ./flow.sh
me=$(cast wallet address "$KUMO_KEY")
script() { forge script script/Flow.s.sol:Flow --rpc-url "$KUMO_RPC" "$@"; }

simulate() { contains "$(script)" "SIMULATION COMPLETE"; }
step "simulate" simulate
broadcast() { contains "$(script --broadcast --slow)" "ONCHAIN EXECUTION COMPLETE & SUCCESSFUL"; }
step "broadcast" broadcast
run="build/broadcast/Flow.s.sol/$(cast chain-id)/run-latest.json"
receipts() {
  for index in 0 1 2 3 4; do equal "$(field ".receipts.$index.status" <"$run")" 0x1; done
  equal "$(field .receipts.4.type <"$run")" 0x4
}
step "receipts, EIP-7702 among them" receipts
state() {
  equal "$(cast call "$(field .returns.counter.value <"$run")" 'number()(uint256)')" 7
  equal "$(cast call "$(field .returns.token.value <"$run")" 'allowance(address,address)(uint256)' "$me" 0x0000000000000000000000000000000000000001)" 3
  equal "$(cast call "$(field .returns.delegated.value <"$run")" 'number()(uint256)')" 5
}
step "state after the script" state
legacy() { contains "$(script --broadcast --slow --legacy --sig 'plain()')" "ONCHAIN EXECUTION COMPLETE & SUCCESSFUL"; }
step "legacy transactions" legacy
typed_error() { contains "$(script --sig 'reverts()' 2>&1 || true)" "TooLarge(2000, 1000)"; }
step "typed error" typed_error
create() {
  local made
  made=$(forge create contracts/Examples.sol:Counter --broadcast --json --rpc-url "$KUMO_RPC" --private-key "$KUMO_KEY")
  contains "$(cast code "$(field .deployedTo <<<"$made")")" 0x6080
}
step "forge create" create
fork() { contains "$(forge test --fork-url "$KUMO_RPC" --match-path 'script/*.t.sol' 2>&1)" "1 passed"; }
step "test on a fork" fork
exit "$failed"
