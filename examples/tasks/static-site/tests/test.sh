#!/bin/bash
# Reward 1 if every page is as expected, and nothing else is in the site.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
fail() { echo "$1"; exit; }

# content FILE prints a file that the agent made, if it is a regular one.
content() {
  [ -f "$1" ] && [ ! -L "$1" ] || fail "$1 is missing, or is no regular file"
  head -c 10000 "$1" | tr -d '\0'
}

[ -d /app/site ] && [ ! -L /app/site ] || fail "/app/site is missing, or is no folder"
cd /app/site || exit
for expected in /tests/expected/*.html; do
  name=$(basename "$expected")
  got=$(content "$name") || fail "$got"
  [ "$got" = "$(cat "$expected")" ] || fail "$name is wrong:
$got"
done

for file in * .[!.]*; do
  case $file in
    *.tmp | '*' | '.[!.]*') ;;
    *) [ -e "/tests/expected/$file" ] || fail "$file does not belong in the site" ;;
  esac
done
got=$(content /app/report.txt) || fail "$got"
[ "$got" = 4 ] || fail "report.txt says: $got"

echo "the site is right"
reward=1
