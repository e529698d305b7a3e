#!/bin/bash
set -e

awk '{
  line = $0
  out = ""
  while (match(line, /@[A-Z_]+@/)) {
    name = substr(line, RSTART + 1, RLENGTH - 2)
    if (!(name in ENVIRON)) next
    out = out substr(line, 1, RSTART - 1) ENVIRON[name]
    line = substr(line, RSTART + RLENGTH)
  }
  print out line
}' /app/service.conf.template > /app/service.conf
chmod "$OUTPUT_MODE" /app/service.conf
cat /app/service.conf
