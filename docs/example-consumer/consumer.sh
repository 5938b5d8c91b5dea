#!/usr/bin/env bash
# consumer.sh URL NAME follows the events with the nats command. NAME.nk has the
# key; a line for each event is appended to NAME.events. The last line is the
# position that is done.
set -euo pipefail
url=$1 name=$2 out=$2.events

feed() { nats --server "$url" --nkey "$name.nk" --inbox-prefix "_INBOX_$name" "$@"; }

touch "$out"
[[ -z $(tail -c 1 "$out") ]] || sed -i '$d' "$out" # a line without its end was never finished
done=$(tail -n 1 "$out" | cut -d ' ' -f 1)

while true; do
  message=$(feed consumer next CHANCERY_FEED "$name" --no-ack --timeout 30s) || { sleep 1; continue; }
  read -r tries sequence position < <(sed -nE '1s/.* tries: ([0-9]+) .* cons seq: ([0-9]+) .* str seq: ([0-9]+) .*/\1 \2 \3/p' <<<"$message")
  if ((position > ${done:-0})); then # else it is done already
    printf '%s %s\n' "$position" "$(grep -m 1 '^{' <<<"$message")" >>"$out" # the work, and the position with it
    done=$position
  fi
  feed publish "\$JS.ACK.CHANCERY_FEED.$name.$tries.$position.$sequence.0.0" +ACK || true # lost: the event comes again
done
