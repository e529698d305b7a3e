# For the tests of both steps, which this folder is laid under. Prints a file that the agent left: a regular one, and not more of it than anybody would want.
content() {
  [ -f "$1" ] && [ ! -L "$1" ] || { echo "$1 is missing, or is no regular file" >&2; return 1; }
  head -c 10000 "$1" | tr -d '\0'
}

# same FILE EXPECTED compares a file with what it should hold.
same() {
  local got
  got=$(content "$1") || return 1
  [ "$got" = "$2" ] && return
  printf '%s is wrong:\n%s\nexpected:\n%s\n' "$1" "$got" "$2"
  return 1
}
