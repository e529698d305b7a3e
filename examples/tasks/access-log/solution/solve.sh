#!/bin/bash
set -e
awk '
  { clients[$2]++; bytes += $6 }
  $5 >= 500 { errors++ }
  END {
    for (c in clients) if (clients[c] > clients[top]) top = c
    printf "requests=%d\nerrors=%d\nbytes=%d\ntop_client=%s\n", NR, errors, bytes, top
  }
' /app/access.log > /app/answers.txt
