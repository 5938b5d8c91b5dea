import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type EncryptedEnvelopeV1, openEnvelopeBytes } from "../src/index.js";
import { refusalOf } from "./refs.js";

// dist/test is two levels below the package, the package two below the repository.
const FILE = new URL("../../../../kms/seal/testdata/envelope_vectors.json", import.meta.url);

interface Vectors {
  format: string;
  valid: { name: string; key: string; value: VectorValue; envelope: EncryptedEnvelopeV1 }[];
  invalid: { name: string; class: string; key: string; envelope: EncryptedEnvelopeV1 }[];
}

interface VectorValue {
  base64?: string;
  repeat?: { base64: string; count: number };
}

function valueOf({ base64, repeat }: VectorValue): Buffer {
  assert.notEqual(base64 === undefined, repeat === undefined, "a value is given in exactly one way");
  const piece = Buffer.from(base64 ?? repeat?.base64 ?? "", "base64");
  return Buffer.concat(Array<Buffer>(repeat?.count ?? 1).fill(piece));
}

const vectors = JSON.parse(readFileSync(FILE, "utf8")) as Vectors;

test("the vectors shared with Go are of the known format and cover every class", () => {
  assert.equal(vectors.format, "chancery-envelope-vectors/v1");
  assert.ok(vectors.valid.length >= 6);
  const classes = new Set(vectors.invalid.map((v) => v.class));
  for (const c of ["tag_flipped", "iv_flipped", "ciphertext_flipped", "wrong_key", "truncated"]) {
    assert.ok(classes.has(c), `no vector of class ${c}`);
  }
});

for (const { name, key, value, envelope } of vectors.valid) {
  test(`a shared vector opens: ${name}`, async () => {
    assert.ok(Buffer.from(await openEnvelopeBytes(key, envelope)).equals(valueOf(value)));
  });
}

for (const { name, key, envelope } of vectors.invalid) {
  test(`a shared vector does not open: ${name}`, async () => {
    assert.equal((await refusalOf(openEnvelopeBytes(key, envelope))).code, "envelope_not_authentic");
  });
}
