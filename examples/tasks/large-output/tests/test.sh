#!/bin/bash
# Reward 1 if every line of the table is right.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT

file=/app/table.txt
if [ ! -f "$file" ] || [ -L "$file" ]; then
  echo "$file is missing, or is no regular file"
  exit
fi

# Prints each line with its verdict, stops at the first that is wrong, and says so by its status.
if head -c 10000000 "$file" | awk '
  $0 != NR " " NR * NR % 9973 { print "line " NR " is wrong: " substr($0, 1, 200); bad = 1; exit }
  { print $0, "right" }
  END { if (!bad) print NR " lines"; exit bad || NR != 150000 }
'; then
  reward=1
fi
