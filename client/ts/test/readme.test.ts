import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

// dist/test is two levels below the package.
const root = fileURLToPath(new URL("../../", import.meta.url));

test("the README's examples compile against the package as it is published", () => {
  const examples = [...readFileSync(`${root}README.md`, "utf8").matchAll(/^```ts\n(.*?)^```$/gms)].map((m) => m[1] ?? "");
  assert.ok(examples.length >= 3);
  mkdirSync(`${root}dist/readme`, { recursive: true });
  const files = examples.map((code, i) => {
    const file = `dist/readme/example${i}.mts`;
    writeFileSync(root + file, code);
    return file;
  });
  const flags = ["--ignoreConfig", "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"];
  const tsc = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", ...flags, ...files], { cwd: root });
  assert.equal(tsc.status, 0, tsc.stdout.toString());
});
