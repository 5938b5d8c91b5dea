/** The first wait, in milliseconds; each further one is twice as long. */
const BASE_MS = 200;
/** The longest wait that is chosen here. */
const CAP_MS = 10_000;
/** The longest Retry-After that is waited for; beyond it the caller gets the error at once. */
export const MAX_RETRY_AFTER_MS = 60_000;

/**
 * The wait before retry number `retry` (0 is the first), in milliseconds: half
 * of an exponential step and a random part of the other half, so that clients
 * that failed together do not come back together. A Retry-After is a lower
 * bound, and the random part is added to it.
 */
export function retryDelay(retry: number, retryAfterMs: number | undefined, random: () => number): number {
  const half = Math.min(CAP_MS, BASE_MS * 2 ** retry) / 2;
  return Math.max(half, retryAfterMs ?? 0) + random() * half;
}

/**
 * Reads a Retry-After header (RFC 9110 section 10.2.3), seconds or a date, as
 * milliseconds from now; undefined when absent or malformed.
 */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // Date.parse alone would take far more than HTTP dates, such as "-5".
  if (!/^[A-Z][a-z]{2,8}, ?.* GMT$/.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
