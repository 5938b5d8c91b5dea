import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetryAfter, retryDelay } from "../src/backoff.js";

test("waits double from 200 ms, stop growing at 10 s, and never leave their half-open range", () => {
  for (let retry = 0; retry < 40; retry++) {
    const step = Math.min(10_000, 200 * 2 ** retry);
    assert.equal(retryDelay(retry, undefined, () => 0), step / 2);
    const most = retryDelay(retry, undefined, () => 1 - Number.EPSILON);
    assert.ok(most > step * 0.99 && most <= step);
  }
});

test("invariant 3: a Retry-After is never undercut", () => {
  for (const asked of [0, 1, 99, 101, 5_000, 60_000]) {
    for (const random of [0, 0.5, 0.999]) {
      for (let retry = 0; retry < 10; retry++) {
        assert.ok(retryDelay(retry, asked, () => random) >= asked);
      }
    }
  }
});

test("Retry-After is read as seconds or as an HTTP date, and nothing else", () => {
  const now = Date.UTC(2026, 0, 1, 0, 0, 0);
  const read = (header: string | null): number | undefined => parseRetryAfter(header, now);
  assert.equal(read("0"), 0);
  assert.equal(read(" 17 "), 17_000);
  assert.equal(read("Thu, 01 Jan 2026 00:00:30 GMT"), 30_000);
  assert.equal(read("Thursday, 01-Jan-26 00:00:30 GMT"), 30_000);
  assert.equal(read("Wed, 31 Dec 2025 23:59:59 GMT"), 0);
  for (const bad of [null, "", "-5", "1.5", "soon", "2026-01-01", "1e3", "99999999999", "Thu, nonsense GMT"]) {
    assert.equal(read(bad), undefined, String(bad));
  }
});
