import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentApiClient } from "../src/index.js";
import { PLATFORM } from "../src/runtime.js";
import { FakeServer, ok, problem, silence } from "./fake_server.js";
import { refusalOf, SECRET } from "./refs.js";

test("an aborted signal sends nothing", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  const err = await refusalOf(fake.client().deleteSecret(SECRET, { signal: AbortSignal.abort() }));
  assert.equal(err.code, "aborted");
  assert.equal(err.name, "AbortError");
  assert.equal(err.outcomeUnknown, false);
  assert.equal(fake.seen.length, 0);
});

test("an abort ends a call that waits for its answer, and is not repeated", async (t) => {
  const abort = new AbortController();
  const fake = await FakeServer.start(t, (res, seen) => {
    silence(res, seen);
    abort.abort();
  });
  const err = await refusalOf(fake.client().deleteSecret(SECRET, { signal: abort.signal }));
  assert.equal(err.code, "aborted");
  assert.equal(err.outcomeUnknown, true);
  assert.equal(fake.seen.length, 1);
});

test("the client's own signal ends its calls, also between attempts", async (t) => {
  const abort = new AbortController();
  const fake = await FakeServer.start(t, problem(503, "unavailable", {}, { "Retry-After": "50" }));
  // The platform's sleep: it would take 50 s if the abort did not end it.
  const client = new AgentApiClient({ apiKey: "k", apiUrl: fake.url, signal: abort.signal });
  const refused = refusalOf(client.whoami());
  while (fake.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  setTimeout(() => abort.abort(), 20);
  assert.equal((await refused).code, "aborted");
  assert.equal(fake.seen.length, 1);
});

test("the platform's sleep ends with any of its signals", async () => {
  const abort = new AbortController();
  const month = 2 ** 31 - 1;
  const asleep = refusalOf(PLATFORM.sleep(month, [new AbortController().signal, abort.signal]));
  abort.abort();
  assert.equal((await asleep).code, "aborted");
  assert.equal((await refusalOf(PLATFORM.sleep(month, [abort.signal]))).code, "aborted");
});

test("signals keep no listener of a call that has ended", async (t) => {
  const abort = new AbortController();
  let listeners = 0;
  const { signal } = abort;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));
  const fake = await FakeServer.start(t, problem(503, "unavailable"), ok({}));
  await fake.client({ signal }).whoami();
  assert.equal(listeners, 0);
});
