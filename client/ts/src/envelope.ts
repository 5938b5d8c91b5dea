import { decodeBase64, encodeBase64 } from "./base64.js";
import { ArgumentError, EnvelopeError } from "./errors.js";

/** Bytes of a data key (AES-256). */
const KEY_BYTES = 32;
/** Bytes of an iv (NIST SP 800-38D section 8.2.2, random construction). */
const IV_BYTES = 12;
/** Bytes of an authentication tag. */
const TAG_BYTES = 16;

/**
 * A value sealed on a client: AES-256-GCM without additional data, all binary
 * members in canonical base64.
 */
export interface EncryptedEnvelopeV1 {
  version: 1;
  /** 12 bytes. */
  iv: string;
  /** As long as the value in UTF-8. */
  ciphertext: string;
  /** 16 bytes. */
  authTag: string;
  /** The data key as only the server can open it, bound to one secret and field. */
  dataKeyCiphertext: string;
}

/** A data key as the server gives it out. */
export interface DataKey {
  /** 32 bytes in base64, secret. */
  plaintextKey: string;
  /** Stands in the envelope. */
  dataKeyCiphertext: string;
}

/**
 * Seals a value under a data key that has sealed nothing before and will seal
 * nothing after. A string with an unpaired surrogate is an ArgumentError:
 * UTF-8 has no form for it, and it would not come back as it was. Our copies
 * of the key's and the value's bytes are cleared before it settles; strings
 * are beyond our reach, and bytes handed in stay the caller's to clear.
 */
export async function sealEnvelope(key: DataKey, value: string | Uint8Array): Promise<EncryptedEnvelopeV1> {
  const plain = bytesOf(value);
  try {
    return await sealBytes(key, plain);
  } finally {
    plain.fill(0);
  }
}

/**
 * Opens an envelope with its data key (32 bytes in base64), as text. Throws
 * what {@link openEnvelopeBytes} throws, and an EnvelopeError `value_not_text`
 * for a value that is not UTF-8.
 */
export async function openEnvelope(plaintextKey: string, envelope: EncryptedEnvelopeV1): Promise<string> {
  const plain = await openEnvelopeBytes(plaintextKey, envelope);
  try {
    // A leading U+FEFF is part of the value, not a byte order mark.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(plain);
  } catch {
    throw new EnvelopeError("value_not_text", "the value is not UTF-8; open it as bytes");
  } finally {
    plain.fill(0);
  }
}

/**
 * Opens an envelope with its data key (32 bytes in base64), as bytes that are
 * the caller's to clear.
 *
 * Throws an EnvelopeError: `envelope_malformed` for a wrong version, base64 or
 * length, `envelope_not_authentic` for a key, iv, ciphertext or tag that is
 * not the sealed one.
 */
export async function openEnvelopeBytes(plaintextKey: string, envelope: EncryptedEnvelopeV1): Promise<Uint8Array> {
  if (envelope.version !== 1) throw new EnvelopeError("envelope_malformed", "the envelope is not of version 1");
  const iv = decodeSized(envelope.iv, IV_BYTES, "iv");
  const tag = decodeSized(envelope.authTag, TAG_BYTES, "authTag");
  const ciphertext = decodeBase64(envelope.ciphertext, "ciphertext");
  const box = new Uint8Array(ciphertext.length + TAG_BYTES);
  box.set(ciphertext);
  box.set(tag, ciphertext.length);
  const aes = await importKey(plaintextKey, "decrypt");
  try {
    return new Uint8Array(await crypto.subtle.decrypt(gcm(iv), aes, box));
  } catch {
    throw new EnvelopeError("envelope_not_authentic", "the envelope does not open with this key");
  }
}

async function sealBytes(key: DataKey, plain: Uint8Array<ArrayBuffer>): Promise<EncryptedEnvelopeV1> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const aes = await importKey(key.plaintextKey, "encrypt");
  const box = new Uint8Array(await crypto.subtle.encrypt(gcm(iv), aes, plain));
  const end = box.length - TAG_BYTES;
  return {
    version: 1,
    iv: encodeBase64(iv),
    ciphertext: encodeBase64(box.subarray(0, end)),
    authTag: encodeBase64(box.subarray(end)),
    dataKeyCiphertext: key.dataKeyCiphertext,
  };
}

/** A copy of our own, in memory that is not shared. */
function bytesOf(value: string | Uint8Array): Uint8Array<ArrayBuffer> {
  if (typeof value !== "string") return new Uint8Array(value);
  if (!value.isWellFormed()) throw new ArgumentError("the value has an unpaired surrogate");
  return new TextEncoder().encode(value);
}

function gcm(iv: Uint8Array<ArrayBuffer>): AesGcmParams {
  return { name: "AES-GCM", iv, tagLength: TAG_BYTES * 8 };
}

/** The CryptoKey can't be exported; the bytes it was made of are cleared. */
async function importKey(plaintextKey: string, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  const raw = decodeSized(plaintextKey, KEY_BYTES, "plaintextKey");
  try {
    return await crypto.subtle.importKey("raw", raw, "AES-GCM", false, [usage]);
  } finally {
    raw.fill(0);
  }
}

function decodeSized(text: string, size: number, what: string): Uint8Array<ArrayBuffer> {
  const bytes = decodeBase64(text, what);
  if (bytes.length !== size) {
    bytes.fill(0);
    throw new EnvelopeError("envelope_malformed", `${what} is not ${size} bytes long`);
  }
  return bytes;
}
