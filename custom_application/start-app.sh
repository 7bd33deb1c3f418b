#!/bin/sh
set -e
cd "$(dirname "$0")"

# .env holds the full token. The platform sets DATAROBOT_API_TOKEN too, to a restricted one: what .env says has to win.
if [ -f ./.env ]; then
  set -a
  # shellcheck source=/dev/null
  . ./.env
  set +a
fi

# exec: the server itself has to get SIGTERM.
exec bun index.ts
