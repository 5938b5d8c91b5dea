import assert from "node:assert/strict";
import { test } from "node:test";
import * as chancery from "../src/index.js";
import { FakeServer, ok, problem, raw } from "./fake_server.js";
import { refusalOf, SECRET } from "./refs.js";

const once = { maxRetries: 0 };

for (const [status, code, Class] of [
  [400, "invalid_id", chancery.BadRequestError],
  [401, "unauthenticated", chancery.AuthenticationError],
  [403, "forbidden", chancery.ForbiddenError],
  [404, "secret_not_found", chancery.NotFoundError],
  [405, "method_not_allowed", chancery.BadRequestError],
  [409, "secret_exists", chancery.ConflictError],
  [410, "idempotency_expired", chancery.GoneError],
  [412, "version_mismatch", chancery.PreconditionFailedError],
  [413, "body_too_large", chancery.BadRequestError],
  [415, "unsupported_media_type", chancery.BadRequestError],
  [422, "data_key_mismatch", chancery.UnprocessableError],
  [429, "rate_limited", chancery.RateLimitError],
  [500, "internal", chancery.ApiError],
  [503, "unavailable", chancery.UnavailableError],
  [418, "a_code_of_tomorrow", chancery.ApiError],
] as const) {
  test(`a problem becomes an error of its class: ${status} ${code}`, async (t) => {
    const fake = await FakeServer.start(t, problem(status, code));
    const err = await refusalOf(fake.client(once).getSecret(SECRET));
    assert.equal(err.constructor, Class);
    assert.equal(err.name, Class.name);
    assert.ok(err instanceof chancery.ApiError && err instanceof Error);
    assert.deepEqual([err.code, err.status, err.requestId], [code, status, "req-1"]);
    assert.equal(err.message, `${code} (${status}): about ${code}`);
  });
}

test("a problem's members at fault come along", async (t) => {
  const errors = [{ field: "/fields/0/key", code: "invalid_id" }, { field: 7 }, null];
  const fake = await FakeServer.start(t, problem(400, "invalid_request", { errors }));
  const err = await refusalOf(fake.client().getSecret(SECRET));
  assert.deepEqual(err.errors, [{ field: "/fields/0/key", code: "invalid_id" }]);
});

for (const [what, reply] of [
  ["a proxy's page", raw(404, "text/html", "<h1>canary</h1>")],
  ["a problem without a code", raw(404, "application/problem+json", '{"title":"canary"}')],
  ["a problem whose code is no code", raw(404, "application/problem+json", '{"code":"Canary canary"}')],
  ["a problem that is no JSON", raw(404, "application/problem+json", "canary")],
  ["a code under another content type", raw(404, "application/json", '{"code":"secret_not_found"}')],
] as const) {
  test(`a refusal that is not the server's is an UnexpectedResponseError: ${what}`, async (t) => {
    const fake = await FakeServer.start(t, reply);
    const err = await refusalOf(fake.client().getSecret(SECRET));
    assert.ok(err instanceof chancery.UnexpectedResponseError);
    assert.deepEqual([err.code, err.status], ["unexpected_response", 404]);
    assert.doesNotMatch(err.message, /canary/i);
  });
}

for (const [what, reply] of [
  ["no JSON", raw(200, "application/json", "canary")],
  ["no data", raw(200, "application/json", '{"canary":1}')],
  ["an array", raw(200, "application/json", "[]")],
  ["nothing", raw(204, "application/json", "")],
] as const) {
  test(`a success that is not the contract's is an UnexpectedResponseError: ${what}`, async (t) => {
    const fake = await FakeServer.start(t, reply);
    const err = await refusalOf(fake.client().deleteSecret(SECRET));
    assert.equal(err.code, "unexpected_response");
    assert.equal(err.outcomeUnknown, true);
    assert.doesNotMatch(err.message, /canary/i);
    assert.equal(fake.seen.length, 1);
  });
}

test("a redirect is not followed: key and values stay with the host that was named", async (t) => {
  const other = await FakeServer.start(t, ok({}));
  const fake = await FakeServer.start(t, raw(307, "text/plain", "", { Location: `${other.url}/elsewhere` }));
  const err = await refusalOf(fake.client().deleteSecret(SECRET));
  assert.deepEqual([err.code, err.status], ["unexpected_response", 307]);
  assert.equal(other.seen.length, 0);
});
