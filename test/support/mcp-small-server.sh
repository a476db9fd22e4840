#!/bin/sh
# A small MCP server of the older generation, for tests that need many: it takes a hundredth of what one in Node takes.
#   mcp-small-server.sh DELAY LOG TOOL...
# It answers `initialize` after DELAY seconds, and writes `begun PID` and `ready PID` to LOG.
delay=$1
log=$2
shift 2
echo "begun $$" >>"$log"
tools=
for tool; do
  tools="$tools${tools:+,}{\"name\":\"$tool\",\"inputSchema\":{\"type\":\"object\"},\"annotations\":{\"readOnlyHint\":true}}"
done
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
while IFS= read -r line; do
  id=${line##*\"id\":}
  id=${id%%[,\}]*}
  case $line in
  *'"method":"initialize"'*)
    [ "$delay" = 0 ] || sleep "$delay"
    echo "ready $$" >>"$log"
    answer '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"small","version":"1"}}'
    ;;
  *'"method":"tools/list"'*) answer "{\"tools\":[$tools]}" ;;
  *'"method":"tools/call"'*)
    name=${line#*\"name\":\"}
    answer "{\"content\":[{\"type\":\"text\",\"text\":\"${name%%\"*} $$\"}]}"
    ;;
  *'"id":'*) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}\n' "$id" ;;
  esac
done
