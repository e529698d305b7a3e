#!/bin/bash
set -e

cat > /app/serve << 'END'
#!/bin/bash
declare -A store
while read -r key value; do
  store[$key]=$value
done < /app/seed.txt

# Open for reading and writing, so that the pipe does not end with its first client.
exec 3<> /app/kv.in
while read -r reply verb key value <&3; do
  case $verb in
    GET) answer=${store[$key]-NONE} ;;
    SET) store[$key]=$value answer=OK ;;
    COUNT) answer=${#store[@]} ;;
    *) answer="unknown request" ;;
  esac
  printf '%s\n' "$answer" > "$reply"
done
END
chmod +x /app/serve

mkfifo /app/kv.in
nohup /app/serve > /app/serve.log 2>&1 < /dev/null &
