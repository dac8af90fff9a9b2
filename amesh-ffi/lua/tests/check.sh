#!/usr/bin/env bash
# Lint, and the tests that need LuaJIT alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

luacheck --no-color --quiet .
luajit tests/run.lua
luajit tests/router.lua
