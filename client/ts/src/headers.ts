import { ArgumentError } from "./errors.js";
import type { ReadOptions, Settings, WriteOptions } from "./options.js";
import { VERSION } from "./version.js";

/**
 * The headers of a call, the same over all its attempts. Whatever fetch would
 * refuse (and quote) or alter is refused here, without quoting it.
 */
export function headersOf(settings: Settings, options: ReadOptions & WriteOptions, hasBody: boolean): Headers {
  const headers = new Headers({
    Accept: "application/json",
    Authorization: `Bearer ${settings.apiKey}`,
    "User-Agent": `chancery-client-ts/${VERSION}`,
  });
  if (hasBody) headers.set("Content-Type", "application/json");
  setNote(headers, "Chancery-Reason", options.reason ?? settings.reason, "reason");
  setNote(headers, "Chancery-Run-Id", options.runId ?? settings.runId, "runId");
  const { ifMatch, idempotencyKey, minPosition } = options;
  if (ifMatch !== undefined) headers.set("If-Match", ifMatch === "*" ? "*" : `"v${checkCount(ifMatch, 1, "ifMatch")}"`);
  if (minPosition !== undefined) {
    headers.set("Chancery-Min-Position", checkCount(minPosition, 0, "minPosition"));
  }
  if (idempotencyKey !== undefined) {
    if (!/^[A-Za-z0-9._:-]{1,128}$/.test(idempotencyKey)) {
      throw new ArgumentError("idempotencyKey is not 1 to 128 of A-Z a-z 0-9 . _ : -");
    }
    headers.set("Idempotency-Key", idempotencyKey);
  }
  return headers;
}

/**
 * Sets free text as UTF-8. fetch takes one character a byte (a ByteString of
 * the Fetch standard), so every byte becomes the character of its number.
 */
function setNote(headers: Headers, name: string, note: string | undefined, what: string): void {
  if (note === undefined || note === "") return;
  if (/[\u0000-\u001f\u007f]/.test(note) || !note.isWellFormed()) {
    throw new ArgumentError(`${what} has control characters or an unpaired surrogate`);
  }
  headers.set(name, Array.from(new TextEncoder().encode(note), (b) => String.fromCharCode(b)).join(""));
}

function checkCount(n: number, least: number, what: string): string {
  if (!Number.isSafeInteger(n) || n < least) throw new ArgumentError(`${what} is not a whole number from ${least} on`);
  return String(n);
}
