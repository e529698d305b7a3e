#!/bin/bash
# Reward 1 if the stock is what was delivered.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
. /tests/read.sh

same /app/stock.txt "bolts 100
hinges 12
nuts 100
screws 200
washers 120" || exit

echo "the stock is right"
reward=1
