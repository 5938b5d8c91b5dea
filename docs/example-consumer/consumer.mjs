// node consumer.mjs URL NAME follows the events. NAME.nk has the key; a line for
// each event is appended to NAME.events. The last line is the position that is
// done.
import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";

const [url, name] = process.argv.slice(2);
const out = `${name}.events`;

const text = existsSync(out) ? readFileSync(out) : Buffer.alloc(0);
const whole = text.subarray(0, text.lastIndexOf("\n") + 1); // a line without its end was never finished
if (whole.length < text.length) truncateSync(out, whole.length);
let done = parseInt(whole.toString().trimEnd().split("\n").at(-1), 10) || 0;

const seed = new TextEncoder().encode(readFileSync(`${name}.nk`, "utf8").trim());
const nc = await connect({
  servers: url,
  authenticator: nkeyAuthenticator(seed),
  inboxPrefix: `_INBOX_${name}`, // the user may listen nowhere else
  maxReconnectAttempts: -1,
  waitOnFirstConnect: true,
  ignoreAuthErrorAbort: true,
});

for (;;) {
  try {
    const consumer = await jetstream(nc).consumers.get("CHANCERY_FEED", name);
    for (;;) {
      const m = await consumer.next({ expires: 30_000 });
      if (m === null) continue; // nothing came
      if (m.seq > done) { // else it is done already
        appendFileSync(out, `${m.seq} ${m.string()}\n`); // the work, and the position with it
        done = m.seq;
      }
      m.ack();
    }
  } catch (err) {
    console.error(err.message); // the server is away: ask again
    await sleep(1000);
  }
}
