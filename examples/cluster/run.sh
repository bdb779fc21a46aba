#!/bin/sh
# Redis, three replicas and nginx on this machine, without Docker: sh run.sh; Ctrl-C ends them all.
# Needs redis-server, nginx, and chomp-mcp[redis] on the PATH. Keys of routers come from the environment.
set -eu
cd "$(dirname "$0")"
: "${GATEWAY_AUTH_TOKEN:?set it: a random text of at least 16 characters}"
: "${CHOMP_MASTER_KEY:?set it: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'}"
export GATEWAY_AUTH_TOKEN CHOMP_MASTER_KEY CHOMP_STORE="${CHOMP_STORE:-redis://127.0.0.1:6390/0}"
here=$(mktemp -d)
mkdir -p "$here/redis" "$here/tmp"
trap 'trap - EXIT INT TERM; kill $(jobs -p) 2>/dev/null; wait; rm -rf "$here"' EXIT INT TERM

redis-server --port 6390 --bind 127.0.0.1 --dir "$here/redis" --appendonly yes \
  --maxmemory-policy noeviction --loglevel warning &
for port in 8081 8082 8083; do
  CHOMP_HOME="$here/$port" GATEWAY_PORT=$port chomp-mcp serve &
done
nginx -e stderr -p "$here" -c "$PWD/nginx.conf" &
echo "http://127.0.0.1:8080 answers in a moment; Ctrl-C ends it."
wait
