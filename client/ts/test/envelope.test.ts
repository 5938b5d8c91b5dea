import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { test } from "node:test";
import { type EncryptedEnvelopeV1, openEnvelope, openEnvelopeBytes, sealEnvelope } from "../src/index.js";
import { refusalOf } from "./refs.js";

const key = { plaintextKey: randomBytes(32).toString("base64"), dataKeyCiphertext: "a string that comes back as it is" };

const bytes = (text: string): Buffer => Buffer.from(text, "base64");

for (const [what, value] of [
  ["empty", ""],
  ["ascii", "correct horse battery staple"],
  ["four-byte UTF-8", "\u{1d56e}\u{1f510}"],
  ["a byte order mark", "\ufeffvalue"],
  ["NUL and line breaks", "a\u0000b\r\n"],
  ["64 KiB", "x".repeat(65536)],
] as const) {
  test(`sealed and opened, a value is the same: ${what}`, async () => {
    const envelope = await sealEnvelope(key, value);
    assert.equal(bytes(envelope.ciphertext).length, Buffer.byteLength(value));
    assert.equal(await openEnvelope(key.plaintextKey, envelope), value);
  });
}

test("another AES-256-GCM opens what we seal, and we open what it seals", async () => {
  const envelope = await sealEnvelope(key, "value");
  const decipher = createDecipheriv("aes-256-gcm", bytes(key.plaintextKey), bytes(envelope.iv));
  decipher.setAuthTag(bytes(envelope.authTag));
  assert.equal(Buffer.concat([decipher.update(bytes(envelope.ciphertext)), decipher.final()]).toString(), "value");

  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", bytes(key.plaintextKey), iv);
  const ciphertext = Buffer.concat([cipher.update("other"), cipher.final()]).toString("base64");
  const authTag = cipher.getAuthTag().toString("base64");
  const theirs: EncryptedEnvelopeV1 = { version: 1, iv: iv.toString("base64"), ciphertext, authTag, dataKeyCiphertext: "" };
  assert.equal(await openEnvelope(key.plaintextKey, theirs), "other");
});

test("an envelope has exactly the members of version 1, a 12-byte iv of its own and a 16-byte tag", async () => {
  const [one, two] = [await sealEnvelope(key, "value"), await sealEnvelope(key, "value")];
  assert.deepEqual(Object.keys(one).sort(), ["authTag", "ciphertext", "dataKeyCiphertext", "iv", "version"]);
  assert.equal(one.dataKeyCiphertext, key.dataKeyCiphertext);
  assert.equal(bytes(one.iv).length, 12);
  assert.equal(bytes(one.authTag).length, 16);
  assert.notEqual(one.iv, two.iv);
});

test("invariant 5: no envelope opens with any one bit of iv, ciphertext, tag or key changed", async () => {
  const envelope = await sealEnvelope(key, "value");
  const flipped = function* (text: string): Generator<string> {
    for (let bit = 0; bit < bytes(text).length * 8; bit++) {
      const changed = bytes(text);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      yield changed.toString("base64");
    }
  };
  for (const member of ["iv", "ciphertext", "authTag"] as const) {
    for (const text of flipped(envelope[member])) {
      const err = await refusalOf(openEnvelope(key.plaintextKey, { ...envelope, [member]: text }));
      assert.equal(err.code, "envelope_not_authentic");
    }
  }
  for (const text of flipped(key.plaintextKey)) {
    assert.equal((await refusalOf(openEnvelope(text, envelope))).code, "envelope_not_authentic");
  }
});

test("a malformed envelope or key is refused as such", async () => {
  const good = await sealEnvelope(key, "value");
  const bad: [string, EncryptedEnvelopeV1][] = [
    [key.plaintextKey, { ...good, version: 2 as unknown as 1 }],
    [key.plaintextKey, { ...good, iv: randomBytes(16).toString("base64") }],
    [key.plaintextKey, { ...good, authTag: randomBytes(12).toString("base64") }],
    [key.plaintextKey, { ...good, ciphertext: `${good.ciphertext}\n` }],
    [randomBytes(16).toString("base64"), good],
    ["", good],
  ];
  for (const [k, envelope] of bad) {
    assert.equal((await refusalOf(openEnvelope(k, envelope))).code, "envelope_malformed");
  }
});

test("bytes are sealed and opened as bytes, and are no text", async () => {
  const value = Buffer.from([0xff, 0x00, 0xfe]);
  const envelope = await sealEnvelope(key, value);
  assert.deepEqual(Buffer.from(await openEnvelopeBytes(key.plaintextKey, envelope)), value);
  assert.deepEqual([...value], [0xff, 0x00, 0xfe], "the caller's bytes are the caller's to clear");
  assert.equal((await refusalOf(openEnvelope(key.plaintextKey, envelope))).code, "value_not_text");
});

test("a value that UTF-8 has no form for is refused, not replaced", async () => {
  assert.equal((await refusalOf(sealEnvelope(key, "a\ud800b"))).code, "invalid_argument");
});
