#!/usr/bin/env bash
# The library under tools that see what a test by itself cannot. An error that one of them finds is a failure.
#
#   sanitize.sh miri      its unit tests, interpreted: pointers, memory, races of what needs no system call
#   sanitize.sh thread    the whole library in a process with its host, under the thread sanitizer: races
#   sanitize.sh address   the same under the address sanitizer: memory, also of the C code, and leaks
#   sanitize.sh valgrind  the real libxds.so in a real nginx, under memcheck: memory between it and nginx
#
# The first three need a nightly toolchain with Miri and the sources of the standard library, which is built anew with the
# sanitizer: one that is not knows nothing of its locks, and every use of one looks like a race. Exit status 77: a tool is
# not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

nightly="${AMESH_NIGHTLY:-nightly}"
export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
unset RUST_BACKTRACE

missing() {
    echo "$*" >&2
    exit 77
}

with_nightly() {
    cargo "+$nightly" --version >/dev/null 2>&1 || missing "there is no toolchain named $nightly"
    local component
    for component in "$@"; do
        rustup "+$nightly" component list --installed 2>/dev/null | grep -q "^$component" ||
            missing "$nightly has no $component: rustup component add --toolchain $nightly $component"
    done
}

sanitized() { # SANITIZER
    with_nightly rust-src
    local target
    target="$(rustc "+$nightly" --print host-tuple)"
    RUSTFLAGS="-Zsanitizer=$1" cargo "+$nightly" test --locked -p amesh-ffi --lib --test host \
        -Zbuild-std --target "$target" --target-dir "target/$1"
}

case "${1:-}" in
miri)
    with_nightly miri rust-src
    # Left out: what uses files and sockets or blocks signals, which Miri does not do.
    cargo "+$nightly" miri test --locked -p amesh-ffi --lib --target-dir target/miri -- zone:: publish::
    # Each seed is another order of the threads.
    MIRIFLAGS="-Zmiri-many-seeds=0..16" \
        cargo "+$nightly" miri test --locked -p amesh-ffi --lib --target-dir target/miri -- shdict::
    ;;
thread)
    TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}" sanitized thread
    ;;
address)
    ASAN_OPTIONS="detect_stack_use_after_return=1 ${ASAN_OPTIONS:-}" sanitized address
    ;;
valgrind)
    command -v valgrind >/dev/null || missing "there is no valgrind"
    found="$PWD/target/valgrind"
    rm -rf "$found"
    mkdir -p "$found"
    nginx="${AMESH_NGINX:-$(command -v nginx || echo /usr/sbin/nginx)}"
    [[ -x $nginx ]] || missing "there is no nginx"
    # Workers write their reports as another user. Those of master and workers are a file each.
    chmod 1777 "$found"
    printf '#!/bin/sh\nexec valgrind -q --error-exitcode=99 --leak-check=no --log-file=%s/%%p.txt %s "$@"\n' "$found" "$nginx" >"$found/nginx"
    chmod +x "$found/nginx"
    # Left out: what is about time or kills processes in the middle of their work, what runs many of them, and signal
    # masks, which are valgrind's here.
    skipped=()
    for test in a_change_is_there_within_milliseconds an_agent_killed_in_the_middle nginx_ends_in_good_order \
        what_is_there_stays the_librarys_thread_takes_no_signals secure::; do
        skipped+=(--skip "$test")
    done
    AMESH_NGINX="$found/nginx" cargo test --locked -p amesh-ffi --test nginx -- --test-threads=2 "${skipped[@]}"
    reports=("$found"/*.txt)
    [[ -e ${reports[0]} ]] || missing "nginx has not run: its Lua module is not there"
    # Quiet where there is nothing to say, also of a process that a test killed.
    if cat "${reports[@]}" | grep . >&2; then
        echo "memcheck has found errors" >&2
        exit 1
    fi
    echo "${#reports[@]} processes of nginx without an error"
    ;;
*)
    grep '^#' "${BASH_SOURCE[0]}" | tail -n +2 >&2
    exit 2
    ;;
esac
