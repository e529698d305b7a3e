#!/bin/bash
# Reward 1 if /app/hello.txt is the line that was asked for.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT

file=/app/hello.txt
if [ ! -f "$file" ] || [ -L "$file" ]; then
  echo "$file is missing, or is no regular file"
  exit
fi
text=$(head -c 1000 "$file" | tr -d '\0')
if [ "$text" != 'Hello, world!' ]; then
  echo "$file contains something else:"
  printf '%q\n' "$text"
  exit
fi
echo "$file is right"
reward=1
