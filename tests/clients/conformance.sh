#!/usr/bin/env bash
# Runs the official conformance suite against a server that has the plugin `everything` without a prefix.
#
#   conformance.sh URL 2025-11-25|2026-07-28…   every scenario that the suite has for these versions, extensions included
#   conformance.sh --table                      the table of the runs that are there, and nothing is run
#
# What the suite writes stays in tests/.results/conformance/<version> (or below CONFORMANCE_RESULTS), one folder for each scenario, and its output in suite.log.
# conformance.mjs makes one table of it, and says what counts as passed: the exit code is 0 when everything does.
set -euo pipefail

tests=$(cd "$(dirname "$0")/.." && pwd)
results=${CONFORMANCE_RESULTS:-$tests/.results/conformance}
PATH=$tests/.tools/node/node_modules/.bin:$PATH

# The longest that a version may take: each scenario ends by itself, after 30 seconds at the latest.
LIMIT=600

# `--requirements` runs what the version demands, and beyond that what the suite "reports without scoring": scenarios that are younger
# than the version, and the extension of tasks. It leaves out skills alone, which are run here by name and without a version: the
# suite then speaks the one that has extensions, 2026-07-28.
SKILLS=(sep-2640-skills-enumeration sep-2640-skills-manifest sep-2640-skills-directory)

usage() {
    printf 'usage: conformance.sh URL 2025-11-25|2026-07-28…\n       conformance.sh --table\n' >&2
    exit 2
}

# The suite ends with 0 or 1 for what it scores itself; it is judged by what it has written. Anything else is an accident of its own.
suite() {
    local version=$1 status=0
    shift
    timeout "$LIMIT" conformance server --url "$url" --output-dir "$results/$version" "$@" \
        >>"$results/$version/suite.log" 2>&1 || status=$?
    ((status <= 1)) || {
        printf 'conformance.sh: error: the suite ended with %d, see %s\n' "$status" "$results/$version/suite.log" >&2
        exit 2
    }
}

if [[ ${1-} == --table ]]; then exec node "$tests/clients/conformance.mjs" "$results"; fi

(($# >= 2)) || usage
url=$1
shift
for version; do
    [[ $version == 2025-11-25 || $version == 2026-07-28 ]] || usage
done

for version; do
    rm -rf "${results:?}/$version"
    mkdir -p "$results/$version"
    suite "$version" --requirements "$version"
    if [[ $version == 2026-07-28 ]]; then
        for scenario in "${SKILLS[@]}"; do suite "$version" --scenario "$scenario"; done
    fi
done
exec node "$tests/clients/conformance.mjs" "$results" "$@"
