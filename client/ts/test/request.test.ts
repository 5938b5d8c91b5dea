import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentApiClient, type ClientOptions, type EncryptedEnvelopeV1, type Scope, VERSION } from "../src/index.js";
import { API_KEY, FakeServer, ok } from "./fake_server.js";
import { FIELD, refusalOf, SECRET } from "./refs.js";

const ENVELOPE: EncryptedEnvelopeV1 = { version: 1, iv: "i", ciphertext: "c", authTag: "t", dataKeyCiphertext: "d" };

test("each method sends its call of the contract", async (t) => {
  const fake = await FakeServer.start(t, ok([]));
  const c = fake.client();
  const calls: [() => Promise<unknown>, string, unknown?][] = [
    [() => c.whoami(), "GET /agent/identity/whoami"],
    [() => c.listSecretScopes(), "GET /agent/secrets/scopes"],
    [() => c.listSecrets({ ...SECRET, category: "db" }), "GET /agent/secrets/team/team_1?category=db"],
    [() => c.getSecret(SECRET), "GET /agent/secrets/team/team_1/db"],
    [() => c.resolveSecret({ secretId: "db" }), "GET /agent/secrets/resolve/db"],
    [
      () => c.createSecret({ ...SECRET, secretName: "N", category: "c" }),
      "PUT /agent/secrets/team/team_1/db",
      { secretName: "N", category: "c" },
    ],
    [() => c.updateSecretMetadata({ ...SECRET, tags: ["a"] }), "PATCH /agent/secrets/team/team_1/db", { tags: ["a"] }],
    [
      () => c.updateSecretMetadata({ ...SECRET, rotateEvery: "90d", expiresAt: null }),
      "PATCH /agent/secrets/team/team_1/db",
      { rotateEvery: "90d", expiresAt: null },
    ],
    [() => c.deleteSecret(SECRET), "DELETE /agent/secrets/team/team_1/db"],
    [() => c.getSecretHistory(SECRET), "GET /agent/secrets/team/team_1/db/history"],
    [() => c.getSecretField(FIELD), "GET /agent/secrets/team/team_1/db/fields/password"],
    [
      () => c.setSecretField({ ...FIELD, sensitivity: "plaintext", value: "" }),
      "PUT /agent/secrets/team/team_1/db/fields/password",
      { sensitivity: "plaintext", value: "" },
    ],
    [() => c.removeSecretField(FIELD), "DELETE /agent/secrets/team/team_1/db/fields/password"],
    [() => c.generateSecretDataKey(FIELD), "POST /agent/secrets/generate-data-key", FIELD],
    [
      () => c.decryptSecretDataKey({ ...FIELD, dataKeyCiphertext: "d" }),
      "POST /agent/secrets/decrypt-data-key",
      { ...FIELD, dataKeyCiphertext: "d" },
    ],
  ];
  for (const [call, line, body] of calls) {
    await call();
    const seen = fake.seen.at(-1);
    assert.equal(`${seen?.method} ${seen?.url}`, line);
    assert.deepEqual(seen?.body, body);
    assert.equal(seen?.headers["content-type"], body === undefined ? undefined : "application/json");
    assert.equal(seen?.headers["authorization"], `Bearer ${API_KEY}`);
  }
});

test("only the contract's members are sent: a field as it was read can be stored again", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  const read = { key: "k", sensitivity: "encrypted" as const, version: 3, updatedAt: "", updatedBy: "" };
  const envelope = { ...ENVELOPE, extra: 1 };
  await fake.client().createSecret({ ...SECRET, secretName: "N", category: "c", fields: [{ ...read, envelope }] });
  const fields = [{ key: "k", sensitivity: "encrypted", envelope: ENVELOPE }];
  assert.deepEqual(fake.seen[0]?.body, { secretName: "N", category: "c", fields });
  await fake.client().setSecretField({ ...FIELD, ...read, envelope });
  assert.deepEqual(fake.seen[1]?.body, { sensitivity: "encrypted", envelope: ENVELOPE });
});

test("ids are escaped as one segment each", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  await fake.client().getSecretField({ scope: "agent", scopeId: "a/b", secretId: "c?d#e", fieldKey: "x.y z%2f\u00e9" });
  assert.equal(fake.seen[0]?.url, "/agent/secrets/agent/a%2Fb/c%3Fd%23e/fields/x.y%20z%252f%C3%A9");
});

test("what would reach another resource is not sent", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  const c = fake.client();
  for (const id of ["", ".", "..", "\ud800", undefined as unknown as string]) {
    for (const call of [
      () => c.deleteSecret({ ...SECRET, secretId: id }),
      () => c.deleteSecret({ ...SECRET, scopeId: id }),
      () => c.removeSecretField({ ...FIELD, fieldKey: id }),
      () => c.resolveSecret({ secretId: id }),
    ]) {
      assert.equal((await refusalOf(call())).code, "invalid_argument");
    }
  }
  const scope = "resolve" as Scope;
  assert.equal((await refusalOf(c.getSecret({ ...SECRET, scope }))).code, "invalid_argument");
  assert.equal(fake.seen.length, 0);
});

test("headers of a call: reason and run, also beyond ASCII, condition, position, key", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  const client = fake.client({ reason: "rotation \u2713", runId: "run-1" });
  await client.deleteSecret(SECRET, { ifMatch: 7, idempotencyKey: "mine:1", runId: "run-2" });
  await client.deleteSecret(SECRET, { ifMatch: "*" });
  await client.getSecret(SECRET, { minPosition: 42 });
  const [first, second, third] = fake.seen.map((s) => s.headers);
  assert.equal(Buffer.from(String(first?.["chancery-reason"]), "latin1").toString(), "rotation \u2713");
  assert.equal(first?.["chancery-run-id"], "run-2");
  assert.equal(first?.["if-match"], '"v7"');
  assert.equal(first?.["idempotency-key"], "mine:1");
  assert.equal(first?.["user-agent"], `chancery-client-ts/${VERSION}`);
  assert.equal(second?.["if-match"], "*");
  assert.equal(second?.["chancery-run-id"], "run-1");
  assert.equal(third?.["chancery-min-position"], "42");
});

test("a bad option is an ArgumentError and nothing is sent", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  const c = fake.client();
  for (const options of [
    { reason: "a\r\nX-Evil: 1" },
    { runId: "\u0000" },
    { idempotencyKey: "not a key" },
    { idempotencyKey: "" },
    { ifMatch: 0 },
    { ifMatch: 1.5 },
    { timeoutMs: 0 },
    { maxRetries: -1 },
  ]) {
    assert.equal((await refusalOf(c.deleteSecret(SECRET, options))).code, "invalid_argument");
  }
  assert.equal(fake.seen.length, 0);
  const made = (options: Partial<ClientOptions>) => () =>
    new AgentApiClient({ apiKey: "k", apiUrl: "http://h", ...options });
  for (const bad of [
    { apiKey: "" },
    { apiKey: "with blank" },
    { apiKey: undefined as unknown as string },
    { apiUrl: "h" },
    { apiUrl: "ftp://h" },
    { apiUrl: "http://user:pass@h" },
    { apiUrl: "http://h?q" },
    { timeoutMs: 1.5 },
    { maxRetries: Infinity },
  ]) {
    assert.throws(made(bad), { code: "invalid_argument" });
  }
});

test("a slash at the end of apiUrl and a path before the API are kept apart", async (t) => {
  const fake = await FakeServer.start(t, ok({}));
  for (const tail of ["", "/", "/proxy", "/proxy/"]) await fake.client({ apiUrl: fake.url + tail }).whoami();
  const path = "/agent/identity/whoami";
  assert.deepEqual(fake.seen.map((s) => s.url), [path, path, `/proxy${path}`, `/proxy${path}`]);
});

test("the client remembers the highest position", async (t) => {
  const at = (p: string) => ok({}, undefined, { "Chancery-Position": p });
  const fake = await FakeServer.start(t, at("7"), at("5"), at("nonsense"), at("9"));
  const client = fake.client();
  const positions = [client.position];
  for (let i = 0; i < 4; i++) {
    await client.deleteSecret(SECRET);
    positions.push(client.position);
  }
  assert.deepEqual(positions, [undefined, 7, 7, 7, 9]);
});

test("an injected fetch is the only one used, and without a receiver", async () => {
  let url = "";
  const client = new AgentApiClient({
    apiKey: "k",
    apiUrl: "https://chancery.example",
    fetch: async function (this: unknown, input) {
      assert.equal(this, undefined);
      url = String(input);
      return new Response('{"data":{"agentId":"agt_1"}}');
    },
  });
  assert.equal((await client.whoami()).agentId, "agt_1");
  assert.equal(url, "https://chancery.example/agent/identity/whoami");
});
