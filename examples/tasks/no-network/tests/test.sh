#!/bin/bash
# Reward 1 if the report calls everything closed, and everything is closed here as well.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
fail() { echo "$1"; exit; }

expected="192.0.2.1 443 closed
198.51.100.8 53 closed
169.254.169.254 80 closed
2606:4700:4700::1111 443 closed
example.com 80 closed"

file=/app/report.txt
[ -f "$file" ] && [ ! -L "$file" ] || fail "$file is missing, or is no regular file"
got=$(head -c 10000 "$file" | tr -d '\0\r')
[ "$got" = "$expected" ] || fail "$file is wrong:
$got"

while read -r host port _; do
  if timeout 3 bash -c 'exec 3<> "/dev/tcp/$1/$2"' - "$host" "$port" 2> /dev/null; then
    fail "$host port $port can be reached: this sandbox has a network"
  fi
done <<< "$expected"

echo "nothing can be reached, as it should be"
reward=1
