# python consumer.py URL NAME follows the events (pip install nats-py[nkeys]).
# NAME.nk has the key; a line for each event is appended to NAME.events. The last
# line is the position that is done.
import asyncio
import os
import sys

import nats

url, name = sys.argv[1:]
out = name + ".events"


async def main():
    with open(out, "ab+") as file:
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # a line without its end was never finished
        file.truncate(len(whole))
        done = int(whole.splitlines()[-1].split()[0]) if whole else 0

        with open(name + ".nk") as key:
            seed = key.read().strip()
        inbox = "_INBOX_" + name  # the user may listen nowhere else
        nc = await nats.connect(url, nkeys_seed_str=seed, inbox_prefix=inbox, max_reconnect_attempts=-1)
        js = nc.jetstream()
        sub = await js.pull_subscribe_bind(name, "CHANCERY_FEED", inbox_prefix=inbox.encode() + b".")
        while True:
            try:
                [m] = await sub.fetch(1, timeout=30)
            except Exception as err:  # nothing came, or the server is away: ask again
                print(err, file=sys.stderr)
                await asyncio.sleep(1)
                continue
            position = m.metadata.sequence.stream
            if position > done:  # else it is done already
                os.write(file.fileno(), b"%d %s\n" % (position, m.data))  # the work, and the position with it
                done = position
            await m.ack()


asyncio.run(main())
