#!/bin/bash
set -e

awk '{ n[$1] += $2 } END { for (item in n) print item, n[item] }' /app/delivery.txt | sort > /app/stock.txt
cat /app/stock.txt
