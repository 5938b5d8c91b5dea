import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { decodeBase64, encodeBase64 } from "../src/base64.js";

test("base64 agrees with the platform's and comes back, for every length up to 300", () => {
  for (let n = 0; n <= 300; n++) {
    const bytes = randomBytes(n);
    const text = encodeBase64(bytes);
    assert.equal(text, bytes.toString("base64"));
    assert.deepEqual(Buffer.from(decodeBase64(text, "it")), bytes);
  }
});

for (const [why, text] of [
  ["no padding", "QQ"],
  ["half the padding", "QQ="],
  ["too much padding", "QUI=="],
  ["padding alone", "===="],
  ["padding in the middle", "QQ==QUJD"],
  ["trailing bits of one byte", "QR=="],
  ["trailing bits of two bytes", "QUJ="],
  ["url alphabet", "-_-_"],
  ["line break", "QUJD\nQUJD"],
  ["line break at the end", "QUJD\n"],
  ["blank", "QUI "],
  ["beyond ASCII", "QUJ\u00e9"],
  ["a lone digit", "Q==="],
] as const) {
  test(`base64 refuses ${why}, without showing it`, () => {
    assert.throws(
      () => decodeBase64(text, "it"),
      (err: Error) => err.message === "it is not canonical base64",
    );
  });
}
