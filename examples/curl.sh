#!/bin/sh
# The three HTTP APIs with nothing but curl:  sh examples/curl.sh
set -eu

gateway=${CHOMP_URL:-http://127.0.0.1:8080}
token=${CHOMP_TOKEN:-none} # GATEWAY_AUTH_TOKEN, or what POST /api/keys gave
model=${CHOMP_MODEL:-mock/echo}

call() {
    curl --fail-with-body --silent --show-error --no-buffer \
        -H "Authorization: Bearer $token" -H "Content-Type: application/json" "$@"
    echo
}

echo "--- OpenAI: an answer, a stream, the models"
call "$gateway/v1/chat/completions" -d '{"model": "'"$model"'", "messages": [{"role": "user", "content": "Say hello."}]}'
call "$gateway/v1/chat/completions" -d '{"model": "'"$model"'", "messages": [{"role": "user", "content": "Say hello."}], "stream": true}'
call "$gateway/v1/models"

echo "--- a job: dispatch, collect"
job=$(call "$gateway/api/dispatch" -d '{"prompt": "Say hello.", "model": "'"$model"'"}')
echo "$job"
id=$(echo "$job" | sed 's/.*"id":"\([^"]*\)".*/\1/')
call "$gateway/api/result/$id?wait=30"

echo "--- the agent API, and how the routers are"
call "$gateway/v1/chat" -d '{"agent_id": "demo", "model": "'"$model"'", "messages": [{"role": "user", "content": "Say hello."}]}'
call "$gateway/v1/providers"
call "$gateway/healthz"
