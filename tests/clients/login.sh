#!/usr/bin/env bash
# Logs in with a client that is a program of its own.
#
#   login.sh mcp-remote|inspector|conformance URL BROWSER [CLIENT_ID PORT]
#
# BROWSER is a program that takes a URL and lets somebody log in there; clients find it as $BROWSER and as xdg-open. The server has the
# tool `add`. `conformance` runs the authorization server's scenarios of the official suite with a client that is known beforehand and
# waits at http://127.0.0.1:PORT/callback; URL is the issuer then.
# Each check is one line of JSON on stdout; the exit code is 0 when all of them are ok.
set -euo pipefail

usage='usage: login.sh mcp-remote|inspector|conformance URL BROWSER [CLIENT_ID PORT]'
client=${1:?$usage}
url=${2:?$usage}
BROWSER=${3:?$usage}
PATH=$(cd "$(dirname "$0")/.." && pwd)/.tools/node/node_modules/.bin:$PATH

# Clients keep what they have at home.
HOME=$(mktemp -d)
trap 'rm -rf "$HOME"' EXIT
mkdir "$HOME/bin"
ln -s "$BROWSER" "$HOME/bin/xdg-open"
PATH=$HOME/bin:$PATH
export HOME BROWSER PATH

# mcp-remote ends with its standard input.
mkfifo "$HOME/silence"
exec 3<>"$HOME/silence"

failed=0

# Prints whether what a command said has all of `$2`.
report() {
    local name=$1 wanted=$2 said=$3 ok=true
    [[ $said =~ $wanted ]] || { ok=false failed=1; }
    node -p 'JSON.stringify({ check: process.argv[1], ok: process.argv[2] === "true", detail: process.argv[3] })' \
        -- "$name" "$ok" "$said"
}

mcp_remote() {
    local said
    export MCP_REMOTE_CONFIG_DIR=$HOME/mcp-auth
    said=$(timeout 180 mcp-remote-client "$url" --allow-http 2>&1 <&3) || true
    report login '"name": "add"' "$said"
    # The second run has its tokens.
    said=$(BROWSER=/bin/false timeout 180 mcp-remote-client "$url" --allow-http 2>&1 <&3) || true
    report again '"name": "add"' "$said"
}

inspector() {
    local said
    export MCP_AUTO_OPEN_ENABLED=true MCP_INSPECTOR_SECRET_STORE=file
    said=$(timeout 180 mcp-inspector --cli "$url" --transport http --format json --quiet --method tools/call \
        --tool-name add --tool-args-json '{"a":2,"b":3}' 2>&1 </dev/null) || true
    report login '"result": ?5' "$said"
    said=$(timeout 180 mcp-inspector --cli "$url" --transport http --stored-auth-only --format json --quiet \
        --method tools/list 2>&1 </dev/null) || true
    report again '"name": ?"add"' "$said"
}

conformance_suite() {
    local id=$1 port=$2 line
    # The suite prints where a person has to go.
    while IFS= read -r line; do
        echo "$line" >>"$HOME/said"
        if [[ $line == http*client_id=* ]]; then "$BROWSER" "$line" </dev/null >/dev/null; fi
    done < <(timeout 180 conformance authorization --url "$url" --client-id "$id" --resource "$url/mcp" -p "$port" \
        --output-dir "$HOME/results" 2>&1)
    local scenario file
    for scenario in authorization-server-metadata-endpoint authorization-code-grant; do
        file=$(find "$HOME/results" -path "*$scenario*" -name checks.json | head -n 1)
        if [[ -z $file ]]; then
            report "$scenario" 'never' "$(<"$HOME/said")"
        elif grep -q '"SUCCESS"' "$file" && ! grep -qE '"(FAILURE|WARNING|SKIPPED)"' "$file"; then
            report "$scenario" '' ''
        else
            report "$scenario" 'never' "$(<"$file")"
        fi
    done
}

case $client in
mcp-remote) mcp_remote ;;
inspector) inspector ;;
conformance) conformance_suite "${4:?$usage}" "${5:?$usage}" ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
exit "$failed"
