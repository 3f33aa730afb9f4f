# What the flows of the command line share; sourced, not run. Prints one line per step.
set -uo pipefail
PATH="$PWD/node_modules/.bin:$PATH"
export ETH_RPC_URL="$KUMO_RPC" FOUNDRY_DISABLE_NIGHTLY_WARNING=1 NO_COLOR=1
failed=0

# step NAME FUNCTION: the function fails with a reason on its last line.
step() {
  local output
  if output=$( (set -e; "$2") 2>&1); then
    echo "ok $1"
  else
    failed=1
    echo "not ok $1: $(tail -n 3 <<<"$output" | tr '\n' ' ' | cut -c 1-600)"
  fi
}
skip() { echo "skip $1: $2"; }
equal() { [[ "${1,,}" == "${2,,}" ]] || { echo "got $1, wanted $2"; return 1; }; }
contains() { [[ "$1" == *"$2"* ]] || { echo "got $1, without $2"; return 1; }; }
# field .a.b < JSON: a field of a document.
field() { node -e 'let t="";process.stdin.on("data",d=>t+=d).on("end",()=>{let v=JSON.parse(t);for(const k of process.argv[1].split(".").filter(Boolean))v=v[k];console.log(typeof v==="object"?JSON.stringify(v):v)})' "$1"; }
bytecode() { field .bytecode <"build/$1.json"; }
