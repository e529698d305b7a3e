#!/bin/bash
set -e
awk 'BEGIN { for (n = 1; n <= 150000; n++) print n, n * n % 9973 }' | tee /app/table.txt
