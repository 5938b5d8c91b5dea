import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import { AgentApiClient, sealEnvelope } from "../src/index.js";
import { API_KEY, FakeServer, hangUp, ok, raw, type Reply } from "./fake_server.js";
import { FIELD, SECRET } from "./refs.js";

const VALUE = "canary-value-5f1c";
const DATA_KEY = randomBytes(32).toString("base64");

/** Everything that a logger could make of an error. */
function shown(thing: unknown): string {
  const parts = [String(thing), JSON.stringify(thing), inspect(thing, { depth: 20, showHidden: true })];
  return thing instanceof Error ? [...parts, thing.stack, inspect(thing.cause)].join("\n") : parts.join("\n");
}

function assertClean(thing: unknown, ...secrets: string[]): void {
  for (const secret of [API_KEY, VALUE, DATA_KEY, ...secrets]) {
    assert.ok(!shown(thing).includes(secret), `shows a secret: ${shown(thing).slice(0, 200)}`);
  }
}

/** Gives back what it was sent, the key among it. */
const echo =
  (status: number, contentType: string): Reply =>
  (res, seen) => {
    raw(status, contentType, `${JSON.stringify(seen.body)} ${seen.headers.authorization} ${DATA_KEY}`)(res, seen);
  };

test("invariant 1: no error shows a value, an envelope, a data key or the API key", async (t) => {
  const envelope = await sealEnvelope({ plaintextKey: DATA_KEY, dataKeyCiphertext: "canary-wrapped" }, VALUE);
  const replies = [
    hangUp,
    echo(200, "application/json"),
    echo(400, "application/problem+json"),
    echo(502, "text/html"),
    (res, seen) => {
      res.socket?.end(`HTTP/1.1 200 OK\r\nbad header ${VALUE}${seen.headers.authorization}\r\n\r\n`);
    },
    ok({ plaintextKey: `${DATA_KEY}\n`, dataKeyCiphertext: "canary-wrapped" }),
  ] satisfies Reply[];
  for (const reply of replies) {
    const fake = await FakeServer.start(t, reply);
    const client = fake.client({ maxRetries: 0 });
    const settled = await Promise.allSettled([
      client.setSecretField({ ...FIELD, sensitivity: "plaintext", value: VALUE }),
      client.setSecretField({ ...FIELD, sensitivity: "encrypted", envelope }),
      client.sealField({ ...FIELD, value: VALUE }),
      client.openField({ ...FIELD, envelope }),
    ]);
    const errors = settled.filter((s) => s.status === "rejected").map((s) => s.reason as unknown);
    assert.ok(errors.length >= 2);
    for (const err of errors) assertClean(err, envelope.ciphertext, envelope.dataKeyCiphertext);
    assert.equal(fake.seen.length, 4);
  }
});

for (const code of ["ECONNRESET", `X ${API_KEY}`]) {
  test(`invariant 1: a fetch that tells all it knows in its error is not quoted: ${code.length} characters of code`, async () => {
    const client = new AgentApiClient({
      apiKey: API_KEY,
      apiUrl: "http://127.0.0.1:1",
      maxRetries: 0,
      fetch: (_, init) => Promise.reject(new TypeError(`${init?.body}${API_KEY}`, { cause: { code } })),
    });
    const call = client.setSecretField({ ...FIELD, sensitivity: "plaintext", value: VALUE });
    await assert.rejects(call, (err) => {
      assertClean(err);
      return true;
    });
  });
}

test("invariant 1: refused arguments and options are not quoted", async () => {
  const bad = `${VALUE}\n`;
  assert.throws(() => new AgentApiClient({ apiKey: `${API_KEY}\n`, apiUrl: "http://h" }), (err) => (assertClean(err), true));
  assert.throws(() => new AgentApiClient({ apiKey: API_KEY, apiUrl: `http://${API_KEY}:x@h` }), (err) => {
    assertClean(err);
    return true;
  });
  const client = new AgentApiClient({ apiKey: API_KEY, apiUrl: "http://127.0.0.1:1", maxRetries: 0 });
  for (const options of [{ reason: bad }, { runId: bad }, { idempotencyKey: bad }]) {
    await assert.rejects(client.deleteSecret(SECRET, options), (err) => (assertClean(err), true));
  }
});

test("invariant 1: a client shows nothing of its key when it is printed", () => {
  assertClean(new AgentApiClient({ apiKey: API_KEY, apiUrl: "http://h" }));
});
