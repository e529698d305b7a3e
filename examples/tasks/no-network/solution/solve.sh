#!/bin/bash
set -e
while read -r host port; do
  if timeout 3 bash -c 'exec 3<> "/dev/tcp/$1/$2"' - "$host" "$port" 2> /dev/null; then
    echo "$host $port open"
  else
    echo "$host $port closed"
  fi
done < /app/targets.txt > /app/report.txt
cat /app/report.txt
