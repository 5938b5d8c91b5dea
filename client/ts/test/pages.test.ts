import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeServer, ok } from "./fake_server.js";
import { refusalOf, SECRET } from "./refs.js";

const rows = (...ids: string[]): object[] => ids.map((secretId) => ({ secretId }));

test("invariant 4: listSecrets follows the cursor over short and empty pages, with its filters", async (t) => {
  const fake = await FakeServer.start(t, ok(rows("a", "b"), "c/1+="), ok([], "c2"), ok(rows("c")));
  const all = await fake.client().listSecrets({ ...SECRET, category: "db", tag: ["x", "y z"], q: "pa&s", pageSize: 2 });
  assert.deepEqual(all.map((s) => s.secretId), ["a", "b", "c"]);
  const queries = fake.seen.map((s) => new URL(s.url, fake.url).searchParams);
  assert.deepEqual(queries.map((q) => q.get("cursor")), [null, "c/1+=", "c2"]);
  for (const q of queries) {
    assert.deepEqual([q.get("category"), q.getAll("tag"), q.get("q"), q.get("limit")], ["db", ["x", "y z"], "pa&s", "2"]);
  }
});

test("a list without filters has no query at all", async (t) => {
  const fake = await FakeServer.start(t, ok([]));
  assert.deepEqual(await fake.client().listSecrets({ scope: "org", scopeId: "org_1" }), []);
  assert.equal(fake.seen[0]?.url, "/agent/secrets/org/org_1");
});

test("invariant 4: getSecretHistory follows the cursor, in the order asked for", async (t) => {
  const fake = await FakeServer.start(t, ok([{ version: 1 }], "c"), ok([{ version: 2 }]), ok([]));
  const client = fake.client();
  assert.deepEqual((await client.getSecretHistory({ ...SECRET, order: "asc" })).map((h) => h.version), [1, 2]);
  assert.equal(fake.seen[1]?.url, "/agent/secrets/team/team_1/db/history?order=asc&cursor=c");
  await client.getSecretHistory({ ...SECRET, order: "desc" });
  assert.equal(fake.seen[2]?.url, "/agent/secrets/team/team_1/db/history");
});

test("an iterator asks for a page when its rows are wanted, and no further", async (t) => {
  const fake = await FakeServer.start(t, ok(rows("a", "b"), "c1"), ok(rows("c"), "c2"));
  const iterator = fake.client().iterateSecrets(SECRET);
  assert.equal(fake.seen.length, 0);
  for await (const row of iterator) if (row.secretId === "b") break;
  assert.equal(fake.seen.length, 1);
});

test("a cursor that does not move ends the list with an error", async (t) => {
  const fake = await FakeServer.start(t, ok(rows("a"), "same"));
  assert.equal((await refusalOf(fake.client().listSecrets(SECRET))).code, "unexpected_response");
  assert.equal(fake.seen.length, 2);
});

test("a list whose data is no array is not the server's", async (t) => {
  const fake = await FakeServer.start(t, ok({ a: 1 }));
  assert.equal((await refusalOf(fake.client().listSecrets(SECRET))).code, "unexpected_response");
});
