#!/bin/bash
# Reward 1 if the service answers. The values are drawn at random, so only something that
# runs now can know them.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
fail() { echo "$1"; exit; }

[ -p /app/kv.in ] || fail "/app/kv.in is no named pipe"
replies=$(mktemp -d)
number=0

# ask REQUEST sends a request and prints the first line of the answer.
ask() {
  local reply=$replies/$number
  mkfifo "$reply"
  timeout 5 bash -c 'printf "%s %s\n" "$1" "$2" > /app/kv.in' - "$reply" "$1" || { echo "(nobody reads requests)"; return; }
  timeout 5 bash -c 'IFS= read -r line < "$1"; printf "%s\n" "${line:0:1000}"' - "$reply" || echo "(no answer)"
}

# expect REQUEST ANSWER
expect() {
  local got
  number=$((number + 1))
  got=$(ask "$1")
  echo "$1 -> $got"
  [ "$got" = "$2" ] || fail "expected: $2"
}

secret="value $RANDOM  with  $RANDOM spaces"
key=key$RANDOM
expect "GET colour" "deep blue"
expect "COUNT" 3
expect "GET $key" NONE
expect "SET $key $secret" OK
expect "GET $key" "$secret"
expect "COUNT" 4
expect "SET size $RANDOM$number" OK
expect "COUNT" 4
expect "SET size 43" OK
expect "GET size" 43
expect "GET shape" circle

echo "the service is right"
reward=1
