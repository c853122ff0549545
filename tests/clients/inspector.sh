#!/usr/bin/env bash
# Drives a server with the CLI of the MCP Inspector.
#
#   inspector.sh URL [legacy|modern|auto]
#
# The server has the tools `hello` and `add`. Each check is one line of JSON on stdout, with what the Inspector printed:
#   {"check": "add", "ok": true, "detail": …}
# The exit code is 0 when all of them are ok. `tools` is strict: schemas that some client cannot take fail it.
set -euo pipefail

url=${1:?usage: inspector.sh URL [legacy|modern|auto]}
era=${2:-auto}
PATH=$(cd "$(dirname "$0")/.." && pwd)/.tools/node/node_modules/.bin:$PATH

# The Inspector keeps its state at home.
HOME=$(mktemp -d)
export HOME
trap 'rm -rf "$HOME"' EXIT

failed=0

# Runs the Inspector with the arguments that follow; a check is ok when it exits with 0 and its answer has all of `$2`.
check() {
    local name=$1 wanted=$2 answer ok=true
    shift 2
    answer=$(timeout 180 mcp-inspector --cli "$url" --transport http --protocol-era "$era" --stored-auth-only \
        --format json --quiet "$@" 2>&1) || ok=false
    [[ $answer =~ $wanted ]] || ok=false
    [[ $ok == true ]] || failed=1
    [[ $answer == \{* && $answer != *$'\n'* ]] || answer=$(node -p 'JSON.stringify(process.argv[1])' -- "$answer")
    printf '{"check": "%s", "ok": %s, "detail": %s}\n' "$name" "$ok" "$answer"
}

check tools '"name":"(add|hello)".*"name":"(add|hello)"' --method tools/list --strict
check hello 'Ada' --method tools/call --tool-name hello --tool-args-json '{"name":"Ada"}'
check add '"structuredContent":\{"result":5\}' --method tools/call --tool-name add --tool-args-json '{"a":2,"b":3}'
exit "$failed"
