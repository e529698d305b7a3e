#!/bin/bash
set -e

cd /app
awk '
  FILENAME == "stock.txt" { n[$1] = $2; next }
  n[$1] < $2 { print > "refused.txt"; next }
  { n[$1] -= $2 }
  END { for (item in n) if (n[item] > 0) print item, n[item] }
' stock.txt orders.txt | sort > stock.new
mv stock.new stock.txt
cat stock.txt refused.txt
