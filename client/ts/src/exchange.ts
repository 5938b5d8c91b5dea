import { parseRetryAfter } from "./backoff.js";
import type { Deadline } from "./deadline.js";
import { NetworkError, UnexpectedResponseError } from "./errors.js";
import type { Settings } from "./options.js";
import { isObject, refusalError } from "./problem.js";

/** A success: what stood in the answer beside its status. */
export interface Answer {
  data: unknown;
  /** Absent on the last page, and where there are no pages. */
  nextCursor: string | undefined;
  /** The log position of a write. */
  position: number | undefined;
}

/**
 * Sends one request and reads its whole answer, within the deadline. Throws
 * what {@link refusalError} makes of a refusal, a NetworkError, TimeoutError or
 * AbortedError without an answer, an UnexpectedResponseError for a success
 * that is not the contract's.
 */
export async function exchange(
  settings: Settings,
  url: string,
  init: RequestInit,
  deadline: Deadline,
): Promise<Answer> {
  const { fetch: send, runtime } = settings;
  let response: Response;
  let body: string;
  try {
    // A redirect is never followed: it would carry key and values to a host nobody named.
    response = await send(url, { ...init, signal: deadline.signal, redirect: "manual", cache: "no-store" });
    body = await response.text();
  } catch (err) {
    throw deadline.failure() ?? networkError(err);
  }
  const requestId = response.headers.get("X-Request-Id") ?? undefined;
  if (!response.ok) {
    throw refusalError({
      status: response.status,
      contentType: response.headers.get("Content-Type") ?? "",
      body,
      requestId,
      retryAfterMs: parseRetryAfter(response.headers.get("Retry-After"), runtime.now()),
    });
  }
  return { ...parse(response.status, body, requestId), position: positionOf(response.headers) };
}

function parse(status: number, body: string, requestId: string | undefined): Omit<Answer, "position"> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  if (!isObject(parsed) || !("data" in parsed)) {
    throw new UnexpectedResponseError(status, "a success without the contract's JSON", { requestId });
  }
  const page = parsed["page"];
  const cursor = isObject(page) ? page["nextCursor"] : undefined;
  return { data: parsed["data"], nextCursor: typeof cursor === "string" && cursor !== "" ? cursor : undefined };
}

function positionOf(headers: Headers): number | undefined {
  const text = headers.get("Chancery-Position") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Failures before a connection stood. */
const NEVER_SENT = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"];

/** Of what fetch threw, only the system's error code is shown: the rest may quote headers or answers. */
function networkError(err: unknown): NetworkError {
  const cause = err instanceof Error ? err.cause : undefined;
  const code = isObject(cause) ? cause["code"] : undefined;
  if (typeof code !== "string" || !/^[A-Z0-9_]{1,40}$/.test(code)) return new NetworkError("no whole answer");
  return new NetworkError(`no whole answer (${code})`, NEVER_SENT.includes(code));
}
