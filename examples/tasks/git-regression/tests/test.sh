#!/bin/bash
# Reward 1 if the culprit is named and reverted on top of an untouched history.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT
fail() { echo "$1"; exit; }

tip=35c173fdfdf55e1d7c8c6ec3aa3b4920cac4c95a
culprit=426e3a3550da759b9be67e5bdc7983b70fa73e4e

command -v git > /dev/null || fail "there is no git here"
[ -d /app/repo ] || fail "/app/repo is missing"
cd /app/repo || exit
# Neither settings nor hooks of the repository have a say here.
git() { GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null timeout 20 git -c safe.directory='*' -c core.hooksPath=/dev/null -c core.fsmonitor=false "$@"; }

if [ ! -f /app/culprit.txt ] || [ "$(head -c 100 /app/culprit.txt | tr -d '\0 ')" != "$culprit" ]; then
  fail "/app/culprit.txt does not name the commit that broke the program"
fi
git merge-base --is-ancestor "$tip" main || fail "the history of main was rewritten"
[ "$(git rev-list --count "$tip..main")" = 1 ] || fail "main should have exactly one new commit"

# The tree of main must be that of the old tip with the culprit's change undone.
changed=$(git diff --name-only "$tip" main)
[ "$changed" = units/celsius.sh ] || fail "the new commit changes: ${changed:-nothing}"
[ "$(git rev-parse main:units/celsius.sh)" = "$(git rev-parse "$culprit^:units/celsius.sh")" ] || fail "units/celsius.sh is not as it was before the culprit"

checkout=$(mktemp -d)
GIT_INDEX_FILE=$checkout.index git --work-tree "$checkout" checkout -q -f main -- . || fail "main cannot be checked out"
got=$(timeout 10 bash "$checkout/convert.sh" celsius 100)
[ "$got" = 212 ] || fail "convert.sh celsius 100 prints: $got"

echo "found and reverted"
reward=1
