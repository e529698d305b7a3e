#!/bin/bash
set -e
cat /app/data/part-{1,2,3,4,5}.txt | awk '{ sum += $1 } END { print sum }' > /app/sum.txt
