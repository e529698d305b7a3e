#!/bin/bash
set -e
mkdir -p /app/site
cd /app/site

head_of() { # TITLE, escaped
  printf '<!doctype html>\n<meta charset="utf-8">\n<title>%s</title>\n<h1>%s</h1>\n' "$1" "$1"
}

pages=0
head_of Pages > index.html
for page in /app/pages/*.txt; do
  name=$(basename "$page" .txt)
  awk '{ gsub(/&/, "\\&amp;"); gsub(/</, "\\&lt;"); gsub(/>/, "\\&gt;"); print }' "$page" > "$name.tmp"
  title=$(head -n 1 "$name.tmp")
  {
    head_of "$title"
    awk 'NR > 1 && $0 != "" { print "<p>" $0 "</p>" }' "$name.tmp"
  } > "$name.html"
  printf '<p><a href="%s.html">%s</a></p>\n' "$name" "$title" >> index.html
  pages=$((pages + 1))
done
echo "$pages" > /app/report.txt
