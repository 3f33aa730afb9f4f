#!/usr/bin/env bash
# cast: deploy, call, write, watch, every type of transaction, typed data, permits, errors.
cd "$(dirname "$0")" && source ./flow.sh
me=$(cast wallet address "$KUMO_KEY")
chain=$(cast chain-id)
zero=0x0000000000000000000000000000000000000000000000000000000000000000
send() { cast send --json --private-key "$KUMO_KEY" "$@"; }
deploy() { send --create "$(bytecode "$1")" | field .contractAddress; }
counter=$(deploy Counter)

deployed() { contains "$(cast code "$counter")" 0x6080; }
step "deploy" deployed
call() { equal "$(cast call "$counter" 'number()(uint256)')" 0; }
step "call" call
write() {
  equal "$(send "$counter" 'set(uint256)' 7 | field .status)" 0x1
  equal "$(cast call "$counter" 'number()(uint256)')" 7
}
step "write" write
logs() {
  local found
  found=$(cast logs --json --from-block 0 --address "$counter" 'Changed(address indexed,uint256)' "$me")
  equal "$(field .0.data <<<"$found")" "$(cast to-uint256 7)"
}
step "logs" logs
watch() {
  local heard pid
  heard=$(mktemp)
  # cast ends when the pipe that it writes to does; the reader ends after one event.
  timeout 15 cast logs --json --subscribe --rpc-url "${KUMO_RPC/http/ws}" --address "$counter" >"$heard" &
  pid=$!
  for _ in $(seq 20); do
    send "$counter" 'set(uint256)' 8 >/dev/null
    grep -q "${counter:2}" <(tr 'A-F' 'a-f' <"$heard") && break
  done
  kill "$pid" 2>/dev/null || true
  contains "$(tr 'A-F' 'a-f' <"$heard")" "${counter:2}"
  rm "$heard"
}
step "watch events over WebSocket" watch
dynamic() { equal "$(send "$me" --value 1 | field .type)" 0x2; }
step "EIP-1559 transaction" dynamic
access() {
  local list="[{\"address\":\"$counter\",\"storageKeys\":[\"$zero\"]}]"
  local sent
  sent=$(send "$counter" 'set(uint256)' 9 --legacy --access-list "$list" | field .transactionHash)
  equal "$(cast tx "$sent" --json | field .type)" 0x1
}
step "EIP-2930 transaction" access
list() { contains "$(cast access-list --from "$me" "$counter" 'set(uint256)' 11)" "$zero"; }
step "access list" list
legacy() { equal "$(send "$counter" 'set(uint256)' 10 --legacy | field .type)" 0x0; }
step "legacy transaction" legacy
delegation() {
  local other account
  other=$(cast wallet new --json | field .0.private_key)
  account=$(cast wallet address "$other")
  local authorization
  authorization=$(cast wallet sign-auth "$counter" --private-key "$other" --nonce 0 --chain "$chain")
  equal "$(send "$account" 'set(uint256)' 5 --auth "$authorization" | field .type)" 0x4
  equal "$(cast call "$account" 'number()(uint256)')" 5
  equal "$(cast code "$account")" "0xef0100${counter:2}"
}
step "EIP-7702 transaction" delegation
typed() {
  local orders order signature
  orders=$(deploy Orders)
  order='{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],"Order":[{"name":"to","type":"address"},{"name":"amount","type":"uint256"},{"name":"note","type":"string"}]},"primaryType":"Order","domain":{"name":"Orders","version":"1","chainId":'$chain',"verifyingContract":"'$orders'"},"message":{"to":"'$me'","amount":5,"note":"kumo"}}'
  signature=$(cast wallet sign --private-key "$KUMO_KEY" --data "$order")
  equal "$(cast call "$orders" 'signer(address,uint256,string,bytes)(address)' "$me" 5 kumo "$signature")" "$me"
}
step "EIP-712 signature" typed
permit() {
  local token spender max permit signature
  token=$(deploy Token)
  spender=0x000000000000000000000000000000000000dEaD
  max=115792089237316195423570985008687907853269984665640564039457584007913129639935
  permit='{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],"Permit":[{"name":"owner","type":"address"},{"name":"spender","type":"address"},{"name":"value","type":"uint256"},{"name":"nonce","type":"uint256"},{"name":"deadline","type":"uint256"}]},"primaryType":"Permit","domain":{"name":"Example","version":"1","chainId":'$chain',"verifyingContract":"'$token'"},"message":{"owner":"'$me'","spender":"'$spender'","value":"3","nonce":"0","deadline":"'$max'"}}'
  signature=$(cast wallet sign --private-key "$KUMO_KEY" --data "$permit")
  send "$token" 'permit(address,address,uint256,uint256,uint8,bytes32,bytes32)' "$me" "$spender" 3 "$max" \
    "0x${signature:130:2}" "0x${signature:2:64}" "0x${signature:66:64}" >/dev/null
  equal "$(cast call "$token" 'allowance(address,address)(uint256)' "$me" "$spender")" 3
}
step "ERC-20 permit" permit
reason() { contains "$(cast call "$counter" 'fail(string)' 'no rain' 2>&1 || true)" "no rain"; }
step "revert reason" reason
typed_error() {
  local answer selector
  answer=$(cast call "$counter" 'set(uint256)' 2000 2>&1 || true)
  selector=$(cast sig 'TooLarge(uint256,uint256)')
  contains "$answer" "${selector:2}"
  contains "$(send "$counter" 'set(uint256)' 2000 2>&1 || true)" "${selector:2}"
}
step "typed error" typed_error
reverted() { equal "$(send "$counter" 'set(uint256)' 2000 --gas-limit 100000 2>/dev/null | field .status)" 0x0; }
step "failed transaction" reverted
flight() {
  local first hashes=()
  first=$(cast nonce "$me" --block pending)
  for i in 0 1 2 3 4; do
    hashes+=("$(cast send --async --private-key "$KUMO_KEY" --nonce $((first + i)) --gas-limit 21000 "$me")")
    equal "$(cast nonce "$me" --block pending)" $((first + i + 1))
  done
  for hash in "${hashes[@]}"; do equal "$(cast receipt "$hash" --json | field .status)" 0x1; done
}
step "transactions in flight" flight
tags() {
  local safe finalized
  finalized=$(cast block finalized --field number)
  safe=$(cast block safe --field number)
  ((finalized > 0 && finalized <= safe)) || { echo "finalized $finalized, safe $safe"; return 1; }
}
step "safe and finalized" tags
proof() { contains "$(cast proof "$counter" "$zero")" storageProof; }
step "proof" proof
estimate() { (($(cast estimate --from "$me" "$counter" 'set(uint256)' 1) > 21000)); }
step "estimate" estimate
skip "batch" "cast sends one call at a time"
exit "$failed"
