# Reading orders.

# each_item FUNCTION FILE calls FUNCTION with name, quantity and price of each item.
each_item() {
  local name quantity price
  while IFS=';' read -r name quantity price; do
    case $name in
      '' | '#'*) continue ;;
    esac
    "$1" "$name" "$quantity" "$price"
  done < "$2"
}
