import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { AgentApiClient, NetworkError, RateLimitError, TimeoutError, UnavailableError } from "../src/index.js";
import { API_KEY, FakeServer, hangUp, ok, problem, raw, silence } from "./fake_server.js";
import { refusalOf, SECRET } from "./refs.js";

const keysOf = (f: FakeServer): unknown[] => f.seen.map((s) => s.headers["idempotency-key"]);

test("a read is repeated over lost connections and gateway errors", async (t) => {
  const f = await FakeServer.start(t, hangUp, raw(502, "text/html", "<h1>"), raw(504, "text/html", ""), ok({ agentId: "agt_1" }));
  assert.equal((await f.client().whoami()).agentId, "agt_1");
  assert.deepEqual(f.slept, [100, 200, 400]);
  assert.deepEqual(keysOf(f), [undefined, undefined, undefined, undefined]);
});

test("invariant 2: a write keeps its key over all attempts, and the next write has another", async (t) => {
  const f = await FakeServer.start(t, hangUp, problem(503, "outcome_unknown", { eventId: "01E" }), ok({}), ok({}));
  const client = f.client();
  await client.deleteSecret(SECRET);
  await client.deleteSecret(SECRET);
  const [first, second, third, next] = keysOf(f);
  assert.match(String(first), /^[A-Za-z0-9._:-]{1,128}$/);
  assert.deepEqual([second, third], [first, first]);
  assert.notEqual(next, first);
});

test("every write sends a key; reads, mints and releases send none", async (t) => {
  const f = await FakeServer.start(t, ok([]));
  const c = f.client();
  const field = { ...SECRET, fieldKey: "k" };
  const writes = [
    c.createSecret({ ...SECRET, secretName: "n", category: "c" }),
    c.updateSecretMetadata({ ...SECRET, secretName: "n" }),
    c.deleteSecret(SECRET),
    c.setSecretField({ ...field, sensitivity: "plaintext", value: "v" }),
    c.removeSecretField(field),
  ];
  await Promise.all(writes);
  assert.equal(new Set(keysOf(f)).size, writes.length);
  assert.ok(keysOf(f).every((k) => typeof k === "string"));
  f.seen.length = 0;
  await Promise.all([
    c.whoami(),
    c.listSecretScopes(),
    c.listSecrets(SECRET),
    c.getSecret(SECRET),
    c.resolveSecret(SECRET),
    c.getSecretField(field),
    c.getSecretHistory(SECRET),
    c.generateSecretDataKey(field),
    c.decryptSecretDataKey({ ...field, dataKeyCiphertext: "x" }),
  ]);
  assert.deepEqual(new Set(keysOf(f)), new Set([undefined]));
});

test("invariant 3: a Retry-After is waited for, on 429 and 503", async (t) => {
  const f = await FakeServer.start(t,
    problem(429, "rate_limited", {}, { "Retry-After": "7" }),
    problem(503, "position_not_reached", {}, { "Retry-After": "2" }),
    ok([]),
  );
  await f.client().listSecretScopes();
  assert.equal(f.slept.length, 2);
  assert.ok(f.slept[0]! >= 7_000 && f.slept[1]! >= 2_000);
});

test("a Retry-After beyond a minute is the caller's to wait for", async (t) => {
  const f = await FakeServer.start(t, problem(429, "rate_limited", {}, { "Retry-After": "61" }));
  const err = await refusalOf(f.client().whoami());
  assert.ok(err instanceof RateLimitError);
  assert.equal(err.retryAfterMs, 61_000);
  assert.equal(f.seen.length, 1);
});

test("retries are bounded, and 0 means none", async (t) => {
  const f = await FakeServer.start(t, problem(503, "unavailable"));
  assert.ok((await refusalOf(f.client().whoami())) instanceof UnavailableError);
  assert.equal(f.seen.length, 4);
  f.seen.length = 0;
  await refusalOf(f.client({ maxRetries: 0 }).whoami());
  assert.equal(f.seen.length, 1);
  f.seen.length = 0;
  await refusalOf(f.client().whoami({ maxRetries: 1 }));
  assert.equal(f.seen.length, 2);
});

for (const [status, code] of [
  [400, "invalid_request"],
  [401, "unauthenticated"],
  [403, "forbidden"],
  [404, "secret_not_found"],
  [409, "conflict"],
  [410, "idempotency_expired"],
  [412, "version_mismatch"],
  [422, "data_key_mismatch"],
  [500, "internal"],
] as const) {
  test(`a verdict is not asked for twice: ${status}`, async (t) => {
    const f = await FakeServer.start(t, problem(status, code));
    assert.equal((await refusalOf(f.client().whoami())).code, code);
    assert.equal(f.seen.length, 1);
  });
}

test("a write without a verdict says so, with the key to repeat it", async (t) => {
  const f = await FakeServer.start(t, problem(503, "outcome_unknown", { eventId: "01EVENT" }), ok({ secretId: "db" }));
  const client = f.client({ maxRetries: 0 });
  const err = await refusalOf(client.deleteSecret(SECRET));
  assert.equal(err.code, "outcome_unknown");
  assert.equal(err.eventId, "01EVENT");
  assert.equal(err.outcomeUnknown, true);
  await client.deleteSecret(SECRET, { idempotencyKey: err.idempotencyKey });
  assert.deepEqual(keysOf(f), [err.idempotencyKey, err.idempotencyKey]);
});

test("a lost answer leaves the outcome open, whatever is said later", async (t) => {
  const f = await FakeServer.start(t, hangUp, problem(401, "unauthenticated"));
  const err = await refusalOf(f.client().deleteSecret(SECRET));
  assert.equal(err.code, "unauthenticated");
  assert.equal(err.outcomeUnknown, true);
});

test("a plain refusal leaves nothing open, and a read never does", async (t) => {
  const f = await FakeServer.start(t, problem(409, "secret_exists"));
  assert.equal((await refusalOf(f.client().deleteSecret(SECRET))).outcomeUnknown, false);
  const g = await FakeServer.start(t, hangUp);
  const err = await refusalOf(g.client().whoami());
  assert.equal(err.outcomeUnknown, false);
  assert.equal(err.idempotencyKey, undefined);
});

test("nobody listening is a NetworkError that leaves nothing open", async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => closed.once("listening", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const client = new AgentApiClient({ apiKey: API_KEY, apiUrl: `http://127.0.0.1:${port}`, maxRetries: 0 });
  const err = await refusalOf(client.deleteSecret(SECRET));
  assert.ok(err instanceof NetworkError);
  assert.equal(err.code, "network_error");
  assert.equal(err.neverSent, true);
  assert.equal(err.outcomeUnknown, false);
});

test("an answer that is cut off is repeated", async (t) => {
  const f = await FakeServer.start(t, (res) => {
    res.writeHead(200, { "Content-Type": "application/json", "Content-Length": "100" });
    res.write('{"data":');
    setImmediate(() => res.socket?.destroy());
  }, ok({ agentId: "agt_1" }));
  assert.equal((await f.client().whoami()).agentId, "agt_1");
});

test("no answer within the limit is a TimeoutError, and is repeated", async (t) => {
  const f = await FakeServer.start(t, silence);
  const err = await refusalOf(f.client({ timeoutMs: 30, maxRetries: 1 }).deleteSecret(SECRET));
  assert.ok(err instanceof TimeoutError && err instanceof NetworkError);
  assert.equal(err.code, "timeout");
  assert.equal(err.outcomeUnknown, true);
  assert.equal(f.seen.length, 2);
});
