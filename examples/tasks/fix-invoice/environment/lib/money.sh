# Amounts are whole cents.

# euros CENTS prints an amount as 12.34.
euros() {
  printf '%d.%d' $(($1 / 100)) $(($1 % 100))
}
