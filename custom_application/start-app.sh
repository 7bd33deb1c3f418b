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

# With RUNTIME_ENV=credential the full token comes as a runtime parameter: JSON around it, or the token alone.
given=${MLOPS_RUNTIME_PARAM_DATAROBOT_API_TOKEN:-}
case $given in
  '') ;;
  *'"apiToken"'* | *'"payload"'*)
    token=$(printf '%s' "$given" | sed -n \
      -e 's/.*"apiToken" *: *"\([^"]*\)".*/\1/p' \
      -e 's/.*"payload" *: *"\([^"]*\)".*/\1/p')
    DATAROBOT_API_TOKEN=${token:-$DATAROBOT_API_TOKEN}
    export DATAROBOT_API_TOKEN
    ;;
  *)
    DATAROBOT_API_TOKEN=$given
    export DATAROBOT_API_TOKEN
    ;;
esac
unset given token

# exec: the server itself has to get SIGTERM.
exec bun index.ts
