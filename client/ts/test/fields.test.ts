import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { sealEnvelope } from "../src/index.js";
import { FakeServer, ok, problem } from "./fake_server.js";
import { FIELD, refusalOf, SECRET } from "./refs.js";

const plaintextKey = randomBytes(32).toString("base64");
const minted = { plaintextKey, dataKeyCiphertext: "dk-1", keyId: "k" };

test("sealField mints for exactly the field, seals, and gives what both writes take", async (t) => {
  const fake = await FakeServer.start(t, ok(minted), ok({}));
  const client = fake.client();
  const field = await client.sealField({ ...FIELD, value: "hunter2" });
  assert.deepEqual(fake.seen[0]?.body, FIELD, "the value does not leave");
  assert.equal(field.key, FIELD.fieldKey);
  assert.equal(field.sensitivity, "encrypted");
  assert.equal(field.envelope.dataKeyCiphertext, "dk-1");
  await client.createSecret({ ...SECRET, secretName: "N", category: "c", fields: [field] });
  await client.setSecretField({ ...FIELD, ...field });
  assert.deepEqual(fake.seen[1]?.body, { secretName: "N", category: "c", fields: [field] });
  assert.deepEqual(fake.seen[2]?.body, { sensitivity: "encrypted", envelope: field.envelope });
});

test("openField with an envelope asks for its key alone", async (t) => {
  const envelope = await sealEnvelope(minted, "hunter2");
  const fake = await FakeServer.start(t, ok({ plaintextKey }));
  assert.equal(await fake.client().openField({ ...FIELD, envelope }), "hunter2");
  assert.equal(fake.seen.length, 1);
  assert.deepEqual(fake.seen[0]?.body, { ...FIELD, dataKeyCiphertext: "dk-1" });
});

test("openField without an envelope reads the field first, and gives a plaintext value as it is", async (t) => {
  const envelope = await sealEnvelope(minted, "hunter2");
  const fake = await FakeServer.start(t,
    ok({ sensitivity: "encrypted", envelope }),
    ok({ plaintextKey }),
    ok({ sensitivity: "plaintext", value: "" }),
    ok({ sensitivity: "encrypted" }),
  );
  const client = fake.client();
  assert.equal(await client.openField(FIELD), "hunter2");
  assert.equal(await client.openField(FIELD), "");
  assert.equal((await refusalOf(client.openField(FIELD))).code, "unexpected_response");
});

test("openField reads again when a writer replaced the field in between", async (t) => {
  const [old, fresh] = [await sealEnvelope(minted, "old"), await sealEnvelope({ ...minted, dataKeyCiphertext: "dk-2" }, "new")];
  const fake = await FakeServer.start(t,
    ok({ sensitivity: "encrypted", envelope: old }),
    problem(422, "data_key_mismatch"),
    ok({ sensitivity: "encrypted", envelope: fresh }),
    ok({ plaintextKey }),
  );
  assert.equal(await fake.client().openField(FIELD), "new");
});

test("openField gives up when the same envelope is refused twice, or a given one once", async (t) => {
  const envelope = await sealEnvelope(minted, "value");
  const read = ok({ sensitivity: "encrypted", envelope });
  const refused = problem(422, "data_key_mismatch");
  const fake = await FakeServer.start(t, read, refused, read, refused, refused);
  assert.equal((await refusalOf(fake.client().openField(FIELD))).code, "data_key_mismatch");
  assert.equal(fake.seen.length, 4);
  assert.equal((await refusalOf(fake.client().openField({ ...FIELD, envelope }))).code, "data_key_mismatch");
  assert.equal(fake.seen.length, 5);
});

test("a data key that is none is refused before anything is sealed", async (t) => {
  const fake = await FakeServer.start(t, ok({ ...minted, plaintextKey: "c2hvcnQ=" }));
  const err = await refusalOf(fake.client().sealField({ ...FIELD, value: "v" }));
  assert.equal(err.code, "envelope_malformed");
});
