#!/bin/bash
# Reward 1 for the sum of the complete data.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT

file=/app/sum.txt
expected=234351
if [ ! -f "$file" ] || [ -L "$file" ]; then
  echo "$file is missing, or is no regular file"
  exit
fi
got=$(head -c 100 "$file" | tr -d '\0 \n\r')
echo "sum: $got, expected: $expected"
if [ "$got" = "$expected" ]; then
  reward=1
fi
