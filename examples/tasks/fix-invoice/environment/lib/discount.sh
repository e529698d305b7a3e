# Discounts.

# discount CENTS prints how much is taken off an order of that sum.
discount() {
  if [ "$1" -gt 10000 ]; then
    echo $(($1 / 10))
  else
    echo 0
  fi
}
