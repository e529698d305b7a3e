#!/bin/bash
# Reward 1 if the program prints the right invoice for every order in /tests/cases.
# Also writes ctrf.json, the test report that viewers show.

reward=0
trap 'echo "$reward" > /logs/verifier/reward.txt' EXIT

passed=0 failed=0 results=
for order in /tests/cases/*.order; do
  name=$(basename "$order" .order)
  got=$(timeout 5 bash /app/bin/invoice "$order" 2>&1 < /dev/null | head -c 10000 | tr -d '\0')
  if [ "$got" = "$(cat "/tests/cases/$name.expected")" ]; then
    passed=$((passed + 1)) status=passed
  else
    failed=$((failed + 1)) status=failed
    printf '%s: got\n%s\n' "$name" "$got"
  fi
  echo "$name: $status"
  results="$results${results:+,}{\"name\":\"$name\",\"status\":\"$status\",\"duration\":0}"
done

cat > /logs/verifier/ctrf.json << END
{"results":{"tool":{"name":"test.sh"},
"summary":{"tests":$((passed + failed)),"passed":$passed,"failed":$failed,"pending":0,"skipped":0,"other":0,"start":0,"stop":0},
"tests":[$results]}}
END

echo "$passed passed, $failed failed"
if [ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]; then
  reward=1
fi
