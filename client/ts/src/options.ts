import { ArgumentError } from "./errors.js";
import { PLATFORM, type Runtime } from "./runtime.js";

/** How a client is made. */
export interface ClientOptions {
  /** `chy_…`. It is kept out of every error and does not show when the client is printed. */
  apiKey: string;
  /** The host's root, such as `https://chancery.example`; the client adds `/agent`. */
  apiUrl: string;
  /** Instead of the platform's fetch. */
  fetch?: typeof globalThis.fetch | undefined;
  /** The limit of one attempt, with its whole answer, in milliseconds; 30,000 unless given. */
  timeoutMs?: number | undefined;
  /** How many times a call is repeated at most; 3 unless given, 0 for never. */
  maxRetries?: number | undefined;
  /** Ends every call of this client. */
  signal?: AbortSignal | undefined;
  /** Why the agent acts, recorded with each call. Metadata for ever: no value belongs there. */
  reason?: string | undefined;
  /** The run that the calls belong to, recorded with each. */
  runId?: string | undefined;
  /** Instead of the platform's time and randomness; for tests. */
  runtime?: Partial<Runtime> | undefined;
}

/** What one call may add or replace. */
export interface RequestOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  maxRetries?: number | undefined;
  reason?: string | undefined;
  runId?: string | undefined;
}

/** What one read may add. */
export interface ReadOptions extends RequestOptions {
  /** Wait (at most 5 s) until the node has applied this log position; see the client's `position`. */
  minPosition?: number | undefined;
}

/** What one write may add. */
export interface WriteOptions extends RequestOptions {
  /** Go through only at this version of the secret, or only if it exists ("*"); else 412. */
  ifMatch?: number | "*" | undefined;
  /** Repeats an earlier call whose outcome is unknown; a new one is made unless given. */
  idempotencyKey?: string | undefined;
}

/** Options as the transport holds them: checked, with defaults. */
export interface Settings {
  apiKey: string;
  /** Without a slash at the end. */
  root: string;
  fetch: typeof globalThis.fetch;
  timeoutMs: number;
  maxRetries: number;
  signal: AbortSignal | undefined;
  reason: string | undefined;
  runId: string | undefined;
  runtime: Runtime;
}

/** Checks what a client is made of; an ArgumentError shows none of it. */
export function settingsOf(options: ClientOptions): Settings {
  // fetch quotes a header that it refuses, so what can't be one must not get there.
  if (!/^[\x21-\x7e]+$/.test(options.apiKey ?? "")) {
    throw new ArgumentError("apiKey is empty or has characters that no API key has");
  }
  return {
    apiKey: options.apiKey,
    root: rootOf(options.apiUrl),
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    timeoutMs: checkTimeout(options.timeoutMs ?? 30_000),
    maxRetries: checkRetries(options.maxRetries ?? 3),
    signal: options.signal,
    reason: options.reason,
    runId: options.runId,
    runtime: { ...PLATFORM, ...options.runtime },
  };
}

/** A timer's range: 1 to 2^31 - 1 milliseconds. */
export function checkTimeout(ms: number): number {
  if (!Number.isInteger(ms) || ms < 1 || ms > 0x7fffffff) {
    throw new ArgumentError("timeoutMs is not a whole number from 1 to 2147483647");
  }
  return ms;
}

/** 0 to 100. */
export function checkRetries(n: number): number {
  if (!Number.isInteger(n) || n < 0 || n > 100) {
    throw new ArgumentError("maxRetries is not a whole number from 0 to 100");
  }
  return n;
}

function rootOf(apiUrl: string): string {
  let url: URL;
  try {
    url = new URL(apiUrl);
  } catch {
    throw new ArgumentError("apiUrl is not an absolute URL");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new ArgumentError("apiUrl is not http or https");
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new ArgumentError("apiUrl has a user, a query or a fragment");
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}
