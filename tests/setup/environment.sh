# Where the suite keeps what it installs, and how its sections speak. Every script of this folder sources it.
# shellcheck shell=bash
set -euo pipefail

SETUP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TESTS=$(dirname "$SETUP")
TOOLS=$TESTS/.tools
GUESTS=$TESTS/.guests
source "$SETUP/versions.env"

# Node, the official clients and cargo-component of this checkout come before those of the machine.
PATH=$TOOLS/node/node_modules/.bin:$TOOLS/cargo-component/bin:$TOOLS/cargo-deny/bin:$TOOLS/proxies/bin:$TOOLS/prometheus/bin:$PATH:/usr/sbin

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }

fail() {
    printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# One hash over names and contents of all files under the paths given (relative to tests/), but for what builds leave there.
fingerprint() (
    cd "$TESTS"
    local files
    files=$(find "$@" -type f ! -path '*/target/*' ! -name bindings.rs ! -name '*.pyc' | LC_ALL=C sort)
    {
        printf '%s\n' "$files"
        # git reads such paths from the top of the repository and not from here.
        sed "s|^|$TESTS/|" <<<"$files" | git hash-object --no-filters --stdin-paths
    } | git hash-object --stdin
)

# Whether the last complete `stamp` of a thing was with this fingerprint.
stamped() { [[ -f $1.stamp && $(<"$1.stamp") == "$2" ]]; }

# Notes that a thing is complete. A section that was interrupted has no stamp and starts over.
stamp() { printf '%s\n' "$2" >"$1.stamp"; }

mkdir -p "$TOOLS" "$GUESTS"

# cargo install into a folder of its own, compiled fast rather than to be fast: such a tool runs for seconds.
cargo_install() {
    local crate=$1 version=$2
    local started=$SECONDS
    say "installing $crate $version, which takes minutes, once"
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        CARGO_PROFILE_RELEASE_DEBUG=false \
        cargo install --quiet --locked "$crate" --version "$version" --root "$TOOLS/$crate" ||
        fail "\`cargo install $crate --version $version\` failed, see above"
    say "installed $crate in $((SECONDS - started)) s"
}
