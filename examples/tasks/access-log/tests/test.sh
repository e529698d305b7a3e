#!/bin/bash
# Writes reward.json: 1 or 0 for each answer, and their mean as the reward.

declare -A want=([requests]=240 [errors]=98 [bytes]=954983 [top_client]=10.0.0.17)
declare -A got=()

file=/app/answers.txt
if [ -f "$file" ] && [ ! -L "$file" ]; then
  while IFS='=' read -r name value; do
    if [ -n "$name" ]; then
      got[$name]=$value
    fi
  done < <(head -c 4000 "$file" | tr -d '\0\r' && echo)
else
  echo "$file is missing, or is no regular file"
fi

right=0 parts=
for name in requests errors bytes top_client; do
  score=0
  if [ "${got[$name]-}" = "${want[$name]}" ]; then
    score=1
    right=$((right + 1))
  fi
  echo "$name: $score"
  parts="$parts, \"$name\": $score"
done
mean=$(awk -v right="$right" 'BEGIN { print right / 4 }')
echo "{\"reward\": $mean$parts}" > /logs/verifier/reward.json
