#!/usr/bin/env bash
# Runs the TypeScript client's tests against a real server: builds it, starts
# it on a free loopback port with a data directory of its own, and stops it
# again. Without Node it says so and passes, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "ts-test: SKIPPED client/ts: there is no Node here (20 or later)" >&2
  [[ ${CI:-} != true ]] || { echo "ts-test: CI does not go without" >&2; exit 1; }
  exit 0
fi
major=$(node -p 'process.versions.node.split(".")[0]')
if ((major < 20)); then
  echo "ts-test: Node 20 or later is needed, this is $(node --version)" >&2
  exit 1
fi

# What is set for another server must not reach this one.
unset "${!CHANCERY_@}"

go build -trimpath -o bin/chancery ./cmd/chancery

work=$(mktemp -d)
data=$work/data
log=$work/server.log
server=

# stop ends the server as an operator would and fails if it does not go well.
stop() {
  [[ -n $server ]] || return 0
  local pid=$server status=0
  server=
  kill -TERM "$pid" 2>/dev/null || true
  # One that does not stop is killed: a hanging run tells nobody anything.
  for ((i = 0; i < 150; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  if ((status != 0)); then
    echo "ts-test: the server ended with status $status; its log:" >&2
    cat "$log" >&2
  fi
  return "$status"
}
trap 'stop || true; rm -rf "$work"' EXIT

# ready asks /readyz once.
ready() {
  node -e 'fetch(process.argv[1], { signal: AbortSignal.timeout(2000) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "http://$1/readyz"
}

# start takes a port that is free now; somebody may be faster, so it is tried
# more than once.
for attempt in 1 2 3; do
  port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
  addr=127.0.0.1:$port
  ./bin/chancery serve --data "$data" --listen "$addr" >"$log" 2>&1 &
  server=$!
  for ((i = 0; i < 150; i++)); do
    kill -0 "$server" 2>/dev/null || break
    if ready "$addr"; then
      break 2
    fi
    sleep 0.2
  done
  echo "ts-test: the server did not become ready (attempt $attempt); its log:" >&2
  cat "$log" >&2
  stop 2>/dev/null || true
done
if [[ -z $server ]]; then
  exit 1
fi

export CHANCERY_TEST_ADDR=http://$addr
export CHANCERY_TEST_ADMIN_KEY_FILE=$data/admin.key
(
  cd client/ts
  npm ci --no-audit --no-fund
  npm test
)
stop
echo "ts-test: passed"
