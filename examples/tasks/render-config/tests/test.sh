#!/bin/bash
# Reward 1 if the configuration has the values of the environment. The expected region comes
# from [verifier.env], by the same template as the agent's.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
fail() { echo "$1"; exit; }

file=/app/service.conf
[ -f "$file" ] && [ ! -L "$file" ] || fail "$file is missing, or is no regular file"

expected="# made from service.conf.template
name = \"orders & returns\"
region = \"$EXPECTED_REGION\"
listen = \"0.0.0.0:8443\"
endpoint = \"https://$EXPECTED_REGION.example.org:8443/\"
contact = \"ops@example.org\""
got=$(head -c 10000 "$file" | tr -d '\0')
[ "$got" = "$expected" ] || fail "$file is wrong:
$got
expected:
$expected"

mode=$(stat -c %a "$file")
[ "$((mode % 10))" -eq 0 ] || fail "$file can be used by other users: mode $mode"

echo "$file is right"
reward=1
