#!/bin/bash
set -e
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=Solver GIT_AUTHOR_EMAIL=solver@example.org
export GIT_COMMITTER_NAME=Solver GIT_COMMITTER_EMAIL=solver@example.org

git init -q -b main /app/repo
cd /app/repo
git fast-import --quiet < /app/history.fi
git reset -q --hard main

first=$(git rev-list --max-parents=0 main)
git bisect start main "$first"
git bisect run bash -c '[ "$(bash convert.sh celsius 100)" = 212 ]'
culprit=$(git rev-parse refs/bisect/bad)
git bisect reset

echo "$culprit" > /app/culprit.txt
git revert --no-edit "$culprit"
