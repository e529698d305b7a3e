#!/bin/bash
# Fixes the three bugs: cents below ten lost their zero, a last line without newline was
# dropped, and the discount began above 100.00 instead of at it.
set -e
cd /app/lib

replace() { # FILE OLD NEW
  local text
  text=$(cat "$1")
  printf '%s\n' "${text//"$2"/"$3"}" > "$1"
}

replace money.sh '%d.%d' '%d.%02d'
replace order.sh 'read -r name quantity price; do' 'read -r name quantity price || [ -n "$name" ]; do'
replace discount.sh '-gt 10000' '-ge 10000'

for order in /app/examples/*.order; do
  [ "$(bash /app/bin/invoice "$order")" = "$(cat "${order%.order}.expected")" ]
  echo "right: $order"
done
