# The list of commands. `just` without arguments shows it.

export RUSTDOCFLAGS := "-D warnings"

[private]
default:
    @just --list --unsorted

# Everything that has to hold before a commit.
check: fmt-check lint doc test

# Formats the code.
fmt:
    cargo fmt --all

# Fails where the code is not formatted.
fmt-check:
    cargo fmt --all --check

# Clippy, with every warning an error.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# The API documentation, with every warning an error.
doc:
    cargo doc --workspace --no-deps --locked

# Every test.
test *args:
    cargo test --workspace --locked {{ args }}

# The Lua package: lint, and the tests that need LuaJIT alone (needs luajit and luacheck).
lua:
    bash amesh-ffi/lua/tests/check.sh

# A real Envoy and a real APISIX answer the same for fixtures and scenarios: `just differential`, or `just differential route/redirect` (needs AMESH_ENVOY, AMESH_APISIX_HOME and root).
differential filter="":
    AMESH_DIFFERENTIAL={{ quote(filter) }} cargo test -p amesh-core --locked --test differential apisix_answers_as_envoy_does -- --nocapture

# The library under `miri`, `thread` or `address` (need a nightly toolchain with miri and rust-src) or `valgrind`.
sanitize tool:
    amesh-ffi/tests/sanitize.sh {{ tool }}

# Rewrites what is printed or recorded: golden outputs, snapshots, docs/coverage.md, docs/findings.md. Read the diff.
update:
    UPDATE=1 INSTA_UPDATE=always cargo test --workspace --locked

# Benchmarks.
bench *args:
    cargo bench -p amesh-core -p amesh-xds --locked {{ args }}

# Licenses, sources and duplicate versions of dependencies (needs cargo-deny).
deny:
    cargo deny --locked check --hide-inclusion-graph bans licenses sources

# Translates a dump, as `just translate capture.json`.
translate *args:
    cargo run --release --locked -p amesh-cli -- translate {{ args }}

# Records a scenario: `just record NAME --name POD`, or `just record --check` (needs Go; fixtures/istiod/README.md).
record *args:
    fixtures/istiod/record.sh {{ args }}

# Serves a scenario from a real istiod until interrupted, as `just istiod 01-bookinfo-default` (needs Go).
istiod *args:
    fixtures/istiod/live.sh {{ args }}

# What the continuous integration runs.
ci:
    bash .ci/run

# Looks for input that panics: `just fuzz dump`, `translate` or `session` (needs cargo-fuzz; the fixtures are seeds).
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{ target }}
    cargo fuzz run --sanitizer none {{ target }} fuzz/corpus/{{ target }} fixtures -- -max_total_time={{ seconds }} -max_len=16384
