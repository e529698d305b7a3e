#!/usr/bin/env bash
# Fuzzes every reader of what others wrote: `scripts/fuzz.sh [TIME [PACKAGE]]`, each test for TIME (1m), those of one package or of all. What is found is kept as a
# file in testdata/fuzz of the package and is then part of every test run: commit it with its remedy.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
time=${1:-1m}
for package in ${2:-$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u)}; do
	for test in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | awk '{print $2}' | sort -u); do
		echo "== $package $test"
		go test "./$package" -run XXX -fuzz "^$test\$" -fuzztime "$time" -fuzzminimizetime 100x | tail -n 2
	done
done
