import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { API_CODES, VERSION } from "../src/index.js";

// dist/test is two levels below the package, the package two below the repository.
const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

interface Package {
  version: string;
  dependencies?: object;
}

test("the version is the package's, and there is no runtime dependency", () => {
  const { version, dependencies } = JSON.parse(read("package.json")) as Package;
  assert.equal(version, VERSION);
  assert.equal(dependencies, undefined);
});

test("the lockfile names no registry host", () => {
  assert.doesNotMatch(read("package-lock.json"), /https?:/);
});

test("the codes are those of the domain, all and no others", () => {
  const source = read("../../domain/error.go");
  const codes = [...source.matchAll(/^\tCode\w+\s+Code = "(\w+)"$/gm)].map((m) => m[1]);
  assert.deepEqual([...API_CODES], codes);
});
