#!/bin/bash
# Reward 1 if the sums are right, the file is nobody's, and /app was left alone.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
fail() { echo "$1"; exit; }

expected="customer,cents
dana,120084
brook,118890
cyrus,115043
eli,105483
ada,54117"
orders=3730d33f44da0536c82a8641c2c336f7f6213e65b03764feba9b7f4344fe5512

file=/logs/artifacts/revenue.csv
[ -f "$file" ] && [ ! -L "$file" ] || fail "$file is missing, or is no regular file"
got=$(head -c 10000 "$file" | tr -d '\0\r')
[ "$got" = "$expected" ] || fail "$file is wrong:
$got"

owner=$(stat -c %U "$file")
[ "$owner" = nobody ] || fail "$file belongs to $owner"
mode=$(stat -c %a "$file")
[ $((8#$mode & 8#022)) -eq 0 ] || fail "$file can be written by others: mode $mode"
[ "$(sha256sum < /app/orders.csv | cut -d' ' -f1)" = "$orders" ] || fail "/app/orders.csv was changed"

echo "$file is right"
reward=1
