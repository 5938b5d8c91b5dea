import { EnvelopeError } from "./errors.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const DIGITS = new Map([...ALPHABET].map((c, i) => [c, i]));

/** Standard base64 with padding (RFC 4648 section 4), without line breaks. */
export function encodeBase64(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out += ALPHABET[group >> 18]! + ALPHABET[(group >> 12) & 63]!;
    out += left > 1 ? ALPHABET[(group >> 6) & 63]! : "=";
    out += left > 2 ? ALPHABET[group & 63]! : "=";
  }
  return out;
}

/**
 * Reads exactly what {@link encodeBase64} writes: another alphabet, blanks,
 * missing padding and set trailing bits throw an EnvelopeError, which names
 * `what` and shows nothing of the text. (atob accepts all of these, and would
 * leave the bytes of a key in one more string.)
 */
export function decodeBase64(text: string, what: string): Uint8Array<ArrayBuffer> {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const digits = text.length - padding;
  const out = new Uint8Array(Math.floor((digits * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  let valid = text.length % 4 === 0;
  for (let i = 0; i < digits && valid; i++) {
    const digit = DIGITS.get(text[i]!);
    valid = digit !== undefined;
    held = (held << 6) | (digit ?? 0);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = held >> bits;
      held &= (1 << bits) - 1;
    }
  }
  if (!valid || held !== 0) {
    out.fill(0);
    throw new EnvelopeError("envelope_malformed", `${what} is not canonical base64`);
  }
  return out;
}
