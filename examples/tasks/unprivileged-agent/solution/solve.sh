#!/bin/bash
set -e
id
if touch /app/probe 2> /dev/null; then
  echo "/app should not be writable for $(id -un)"
  exit 1
fi

umask 022
{
  echo customer,cents
  awk -F, 'NR > 1 { sum[$1] += $3 } END { for (c in sum) printf "%s,%d\n", c, sum[c] }' /app/orders.csv | sort -t, -k2,2nr
} > /logs/artifacts/revenue.csv
cat /logs/artifacts/revenue.csv
