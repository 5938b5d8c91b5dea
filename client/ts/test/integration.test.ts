import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import type { EncryptedEnvelopeV1, FieldRef, SecretRef } from "../src/index.js";
import { makeWorld, NO_SERVER, type World } from "./live_server.js";
import { refusalOf } from "./refs.js";

const CANARY = "canary-7d0f4e \u{1f510}";

describe("against a real server", { skip: NO_SERVER }, () => {
  let world: World;
  before(async () => {
    world = await makeWorld();
  });

  const named = (secretId: string): SecretRef => ({ ...world.team, secretId });
  const meta = { secretName: "Database", category: "database" };

  test("whoami and scopes: the agent itself first, then project, team, org", async () => {
    const client = world.client();
    const me = await client.whoami();
    assert.equal(me.agentId, world.agent.scopeId);
    assert.equal(me.orgId, world.org.scopeId);
    assert.equal(me.tenantId, me.orgId);
    const scopes = await client.listSecretScopes();
    assert.deepEqual(
      scopes.map(({ scope, scopeId, role }) => ({ scope, scopeId, role })),
      [
        { ...world.agent, role: "writer" },
        { ...world.project, role: "writer" },
        { ...world.team, role: "writer" },
        { ...world.org, role: "reader" },
      ],
    );
  });

  test("the whole life of a secret", async () => {
    const client = world.client({ reason: "integration \u2713", runId: "run-1" });
    const secret = named("life");
    const password: FieldRef = { ...secret, fieldKey: "password.v1" };

    const field = await client.sealField({ ...password, value: CANARY });
    const host = { key: "host", sensitivity: "plaintext" as const, value: "db.internal" };
    const created = await client.createSecret({ ...secret, ...meta, tags: ["b", "a"], fields: [field, host] });
    assert.equal(created.version, 1);
    assert.deepEqual(created.tags, ["a", "b"]);
    assert.equal(created.createdBy, world.agent.scopeId);

    const { aggregate, envelopes } = await client.getSecret(secret);
    assert.equal(aggregate.fields.find((f) => f.key === "host")?.value, "db.internal");
    assert.deepEqual(envelopes, { [password.fieldKey]: field.envelope });
    assert.equal(await client.openField({ ...password, envelope: envelopes[password.fieldKey] }), CANARY);
    assert.equal(await client.openField(password), CANARY);
    assert.equal(await client.openField({ ...secret, fieldKey: "host" }), "db.internal");

    await client.setSecretField({ ...password, ...(await client.sealField({ ...password, value: "second" })) });
    assert.equal(await client.openField(password), "second");
    const replaced = await refusalOf(client.openField({ ...password, envelope: field.envelope }));
    assert.equal(replaced.code, "data_key_mismatch");

    const renamed = await client.updateSecretMetadata({ ...secret, secretName: "Main database" });
    assert.deepEqual([renamed.secretName, renamed.version], ["Main database", 3]);
    const removed = await client.removeSecretField({ ...secret, fieldKey: "host" });
    assert.deepEqual([removed.fieldKey, removed.version], ["host", 4]);
    assert.equal((await refusalOf(client.getSecretField({ ...secret, fieldKey: "host" }))).code, "field_not_found");

    const deleted = await client.deleteSecret(secret);
    assert.deepEqual([deleted.secretId, deleted.version, deleted.keyDestroyed], ["life", 5, true]);
    assert.equal((await refusalOf(client.getSecret(secret))).code, "secret_not_found");
    assert.equal((await refusalOf(client.openField({ ...password, envelope: field.envelope }))).code, "data_key_mismatch");

    const history = await client.getSecretHistory({ ...secret, pageSize: 2 });
    assert.deepEqual(history.map((h) => h.version), [5, 4, 3, 2, 1]);
    assert.deepEqual(
      history.map((h) => h.type).reverse(),
      ["secret.created", "secret.field_set", "secret.renamed", "secret.field_removed", "secret.deleted"],
    );
    assert.deepEqual(history.map((h) => [h.reason, h.runId]), Array(5).fill(["integration \u2713", "run-1"]));
    assert.doesNotMatch(JSON.stringify(history), /canary|second|db\.internal/);
    const rising = await client.getSecretHistory({ ...secret, order: "asc" });
    assert.deepEqual(rising, history.toReversed());
  });

  test("a list is whole over its pages, filtered, and without values", async () => {
    const client = world.client();
    const ids = ["p1", "p2", "p3", "p4", "p5"];
    for (const [i, secretId] of ids.entries()) {
      const fields = [{ key: "k", sensitivity: "plaintext" as const, value: CANARY }];
      const tags = i % 2 === 0 ? ["even", "all"] : ["all"];
      await client.createSecret({ ...world.agent, secretId, secretName: secretId, category: "paged", tags, fields });
    }
    const list = { ...world.agent, category: "paged" };
    const all = await client.listSecrets({ ...list, pageSize: 2 });
    assert.deepEqual(all.map((s) => s.secretId), ids);
    assert.doesNotMatch(JSON.stringify(all), /canary/);
    const even = await client.listSecrets({ ...list, tag: ["all", "even"], pageSize: 1 });
    assert.deepEqual(even.map((s) => s.secretId), ["p1", "p3", "p5"]);
    assert.deepEqual((await client.listSecrets({ ...list, q: "p4" })).map((s) => s.secretId), ["p4"]);
    assert.deepEqual(await client.listSecrets({ ...list, category: "none" }), []);
  });

  test("an answer that is lost is asked for again and the write is stored once", async () => {
    let lost = 0;
    const losing: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      if (init?.method === "GET" || lost++ % 2 === 1) return response;
      await response.text();
      throw new TypeError("fetch failed");
    };
    const secret = named("lost");
    const client = world.client({ fetch: losing });
    const created = await client.createSecret({ ...secret, ...meta });
    assert.equal(created.version, 1);
    const renamed = await client.updateSecretMetadata({ ...secret, secretName: "Once" });
    assert.equal(renamed.version, 2);
    const deleted = await client.deleteSecret(secret);
    assert.equal(deleted.version, 3);
    assert.equal((await client.getSecretHistory(secret)).length, 3);
    assert.equal(lost, 6);
  });

  test("an identical create changes nothing, another is secret_exists", async () => {
    const client = world.client();
    const secret = named("twice");
    const first = await client.createSecret({ ...secret, ...meta });
    assert.equal((await client.createSecret({ ...secret, ...meta })).version, first.version);
    const err = await refusalOf(client.createSecret({ ...secret, ...meta, category: "other" }));
    assert.deepEqual([err.code, err.status, err.outcomeUnknown], ["secret_exists", 409, false]);
  });

  test("an idempotency key stands for one request", async () => {
    const client = world.client();
    const secret = named("once");
    await client.createSecret({ ...secret, ...meta });
    const options = { idempotencyKey: `rename-${world.team.scopeId}` };
    const first = await client.updateSecretMetadata({ ...secret, secretName: "One" }, options);
    const again = await client.updateSecretMetadata({ ...secret, secretName: "One" }, options);
    assert.equal(again.version, first.version);
    const other = await refusalOf(client.updateSecretMetadata({ ...secret, secretName: "Two" }, options));
    assert.deepEqual([other.code, other.status], ["idempotency_key_reused", 422]);
  });

  test("a data key is good for one field, once", async () => {
    const client = world.client();
    const secret = named("keys");
    await client.createSecret({ ...secret, ...meta });
    const a: FieldRef = { ...secret, fieldKey: "a" };
    const sealed = await client.sealField({ ...a, value: CANARY });
    const moved = await refusalOf(client.setSecretField({ ...secret, ...sealed, fieldKey: "b" }));
    assert.deepEqual([moved.code, moved.status], ["data_key_mismatch", 422]);
    await client.setSecretField({ ...a, ...sealed });
    const same = await client.setSecretField({ ...a, ...sealed });
    assert.equal(same.version, 2, "the same envelope again appends nothing");
    await client.setSecretField({ ...a, ...(await client.sealField({ ...a, value: "next" })) });
    const reused = await refusalOf(client.setSecretField({ ...a, ...sealed }));
    assert.deepEqual([reused.code, reused.status], ["data_key_reused", 409]);
    const plain = await refusalOf(client.setSecretField({ ...a, sensitivity: "plaintext", value: "x" }));
    assert.equal(plain.code, "sensitivity_downgrade");
    const forged: EncryptedEnvelopeV1 = { ...sealed.envelope, dataKeyCiphertext: sealed.envelope.ciphertext };
    const err = await refusalOf(client.setSecretField({ ...a, sensitivity: "encrypted", envelope: forged }));
    assert.equal(err.code, "data_key_mismatch");
  });

  test("conditions and positions", async () => {
    const client = world.client();
    const secret = named("conditions");
    const { version } = await client.createSecret({ ...secret, ...meta });
    const after = client.position;
    assert.ok(after !== undefined && after > 0);
    await client.updateSecretMetadata({ ...secret, tags: ["x"] }, { ifMatch: version });
    const late = await refusalOf(client.updateSecretMetadata({ ...secret, tags: ["y"] }, { ifMatch: version }));
    assert.deepEqual([late.code, late.status], ["version_mismatch", 412]);
    const { aggregate } = await client.getSecret(secret, { minPosition: client.position });
    assert.deepEqual(aggregate.tags, ["x"]);
    assert.ok(client.position !== undefined && client.position > after);
  });

  test("resolve picks the nearest secret whole and names what it hides", async () => {
    const client = world.client();
    const secretId = "shadow";
    await client.createSecret({ ...world.team, secretId, ...meta });
    const own: FieldRef = { ...world.agent, secretId, fieldKey: "token" };
    await client.createSecret({ ...own, ...meta, fields: [await client.sealField({ ...own, value: CANARY })] });
    const { envelopes, resolvedFrom, shadowed } = await client.resolveSecret({ secretId });
    assert.equal(resolvedFrom.scopeId, world.agent.scopeId);
    assert.deepEqual(shadowed.map((s) => s.scopeId), [world.team.scopeId]);
    const { scope, scopeId } = resolvedFrom;
    const envelope = envelopes["token"];
    assert.equal(await client.openField({ scope, scopeId, secretId, fieldKey: "token", envelope }), CANARY);
  });

  test("an agent of no team gets nothing of it", async () => {
    const secret = named("guarded");
    await world.client().createSecret({ ...secret, ...meta });
    const field = { ...secret, fieldKey: "k" };
    const { stranger } = world;
    for (const call of [
      () => stranger.listSecrets(world.team),
      () => stranger.getSecret(secret),
      () => stranger.getSecretHistory(secret),
      () => stranger.generateSecretDataKey(field),
      () => stranger.deleteSecret(secret),
      () => stranger.getSecret({ ...secret, secretId: "no-such-secret" }),
    ]) {
      const err = await refusalOf(call());
      assert.deepEqual([err.code, err.status], ["forbidden", 403]);
    }
  });

  test("hostile ids and wrong keys get the contract's codes", async () => {
    const client = world.client();
    for (const secretId of ["a*b", "a>b", "a b", "-a", "\u00e9", "x".repeat(129), "\u0001"]) {
      assert.equal((await refusalOf(client.getSecret(named(secretId)))).code, "invalid_id", JSON.stringify(secretId));
    }
    const err = await refusalOf(world.client({ apiKey: "chy_no_such_key" }).whoami());
    assert.deepEqual([err.code, err.status], ["unauthenticated", 401]);
    assert.ok(err.requestId);
  });
});
