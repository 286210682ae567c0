#!/bin/sh
# Start as whoever the container runs as, serve as nobody in particular.
#
# The Supervisor mounts /data owned by root and writes options.json for root alone, so an image with a plain USER could
# read neither. Hence: as root, hand both folders to the account `cheaprouter`, drop every right for good, and become the
# command. Where that is not possible (no right to change owners or users, a volume that keeps its owner) the command runs
# as it was started, and says so. Started as somebody else (`user:` in Compose), nothing of this applies.
set -eu

account=cheaprouter
dropped="--reuid=$account --regid=$account --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"

usable() { # can the account write here, and read what the Supervisor left?
  # shellcheck disable=SC2086 # several words on purpose
  setpriv $dropped -- test -w /data -a '(' ! -e /data/options.json -o -r /data/options.json ')' 2>/dev/null
}

if [ "$(id -u)" = 0 ]; then
  for folder in /data /config; do
    [ ! -d "$folder" ] || chown -RPh "$account:$account" "$folder" 2>/dev/null || true
  done
  if usable; then
    # shellcheck disable=SC2086 # several words on purpose
    exec setpriv $dropped -- "$@"
  fi
  echo "CheapRouter keeps running as root: /data cannot be handed to the account '$account' here." >&2
fi

exec "$@"
