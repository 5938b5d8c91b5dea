import { MAX_RETRY_AFTER_MS, retryDelay } from "./backoff.js";
import { Deadline } from "./deadline.js";
import { AbortedError, ChanceryError, NetworkError, UnexpectedResponseError } from "./errors.js";
import { type Answer, exchange } from "./exchange.js";
import { headersOf } from "./headers.js";
import { checkRetries, checkTimeout, type ReadOptions, type Settings, type WriteOptions } from "./options.js";

/** One call of the API, before it is sent. */
export interface Call {
  method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** Below `/agent`, encoded. */
  path: string;
  query?: URLSearchParams | undefined;
  /** Sent as JSON; members that are undefined are left out. */
  body?: unknown;
  /** Changes the log, so an Idempotency-Key goes with it. */
  write?: boolean;
}

/** Statuses that another attempt may change. */
const RETRIED = [429, 502, 503, 504];

/**
 * Sends calls until they have a verdict or the retries are used up.
 *
 * Every call may be repeated: reads, mints and releases change nothing, and a
 * write carries one Idempotency-Key over all its attempts, so the server
 * answers a repeat of one that it stored (a lost answer, `outcome_unknown`)
 * with the first result.
 */
export class Transport {
  readonly #settings: Settings;
  #position: number | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** The highest log position that an answer named. */
  get position(): number | undefined {
    return this.#position;
  }

  /** Sends a call; throws a ChanceryError, on a write with its key and whether it may have been stored. */
  async send(call: Call, options: ReadOptions & WriteOptions = {}): Promise<Answer> {
    const settings = this.#settings;
    const maxRetries = checkRetries(options.maxRetries ?? settings.maxRetries);
    const timeoutMs = checkTimeout(options.timeoutMs ?? settings.timeoutMs);
    const signals = [settings.signal, options.signal].filter((s) => s !== undefined);
    const idempotencyKey = call.write ? (options.idempotencyKey ?? settings.runtime.newKey()) : undefined;
    const init = requestOf(settings, call, { ...options, idempotencyKey });
    const url = urlOf(settings, call);

    let outcomeUnknown = false;
    const fail = (err: ChanceryError): never => {
      throw call.write ? Object.assign(err, { idempotencyKey, outcomeUnknown }) : err;
    };
    for (let retry = 0; ; retry++) {
      if (signals.some((s) => s.aborted)) fail(new AbortedError());
      let wait: number;
      try {
        return await this.#attempt(url, init, timeoutMs, signals);
      } catch (err) {
        if (!(err instanceof ChanceryError)) throw err;
        outcomeUnknown ||= leavesOpen(err);
        if (retry >= maxRetries || !mayRetry(err)) fail(err);
        wait = retryDelay(retry, err.retryAfterMs, settings.runtime.random);
      }
      await settings.runtime.sleep(wait, signals).catch(() => fail(new AbortedError()));
    }
  }

  async #attempt(url: string, init: RequestInit, timeoutMs: number, signals: readonly AbortSignal[]): Promise<Answer> {
    const deadline = new Deadline(timeoutMs, signals);
    try {
      const answer = await exchange(this.#settings, url, init, deadline);
      const { position } = answer;
      if (position !== undefined && position > (this.#position ?? -1)) this.#position = position;
      return answer;
    } finally {
      deadline.release();
    }
  }
}

function requestOf(settings: Settings, call: Call, options: ReadOptions & WriteOptions): RequestInit {
  const hasBody = call.body !== undefined;
  const headers = headersOf(settings, options, hasBody);
  return hasBody ? { method: call.method, headers, body: JSON.stringify(call.body) } : { method: call.method, headers };
}

function urlOf(settings: Settings, call: Call): string {
  const query = call.query?.toString() ?? "";
  return `${settings.root}/agent${call.path}${query === "" ? "" : `?${query}`}`;
}

function mayRetry(err: ChanceryError): boolean {
  if ((err.retryAfterMs ?? 0) > MAX_RETRY_AFTER_MS) return false;
  return err instanceof NetworkError || RETRIED.includes(err.status);
}

/** Whether an attempt that ended so may have changed the log: it had no verdict, or one that admits it. */
function leavesOpen(err: ChanceryError): boolean {
  if (err instanceof NetworkError) return !err.neverSent;
  if (err instanceof AbortedError || err instanceof UnexpectedResponseError) return true;
  return err.code === "outcome_unknown" || err.status === 500;
}
