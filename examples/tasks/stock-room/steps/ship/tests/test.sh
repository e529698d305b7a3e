#!/bin/bash
# Reward 1 if stock and refused orders are right, half of it if one of them is.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
. /tests/read.sh

right=0
same /app/stock.txt "nuts 70
washers 119" && right=$((right + 1))
same /app/refused.txt "hinges 8
bolts 40
springs 3" && right=$((right + 1))

case $right in
  1) reward=0.5 ;;
  2) reward=1; echo "stock and refused orders are right" ;;
esac
