#!/usr/bin/env bash
# Measures the server on one core: lists of 100,000 generations and acceptance, on SQLite, then on PostgreSQL if a URL is given.
#   load.sh FOLDER_OF_EXAMPLE_BINARIES [POSTGRES_URL]
# The server runs on core 0, the requests come from core 1. Where other work shares the cores, the CPU seconds that the server took say
# what it can do, and the times of requests are too long.
set -euo pipefail
binaries=$1
scratch=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

measure() {
    local name=$1 folder=$scratch/$1
    export MISORA_WORKERS=0 MISORA_LISTEN=127.0.0.1:0
    start "$folder"
    # Acceptance first: a queue of 100,000 jobs would be counted at each.
    request accept
    taskset -c 1 "$binaries/load" fill "$folder" "${MISORA_TEST_COUNT:-100000}" | sed "s/^/$name: /"
    request list
    kill "$server"
    wait "$server" || true
}

request() {
    local before
    before=$(cpu_ticks)
    taskset -c 1 "$binaries/load" "$1" "$base" "$key" | sed "s/^/$name: /"
    echo "$name: the server took $((($(cpu_ticks) - before) * 1000 / $(getconf CLK_TCK))) ms of CPU for that"
}

# User and system time of the server so far.
cpu_ticks() {
    awk '{ print $14 + $15 }' "/proc/$server/stat"
}

start() {
    taskset -c 0 "$binaries/test_server" "$1" >"$scratch/told" 2>"$scratch/log" &
    server=$!
    until grep -qs API_KEY "$scratch/told"; do sleep 0.1; done
    base=$(sed -n 's/^BASE_URL=//p' "$scratch/told")
    key=$(sed -n 's/^API_KEY=//p' "$scratch/told")
}

measure SQLite
if [ $# -gt 1 ]; then
    export MISORA_DATABASE_URL=$2
    measure PostgreSQL
fi
