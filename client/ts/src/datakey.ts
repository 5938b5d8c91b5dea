import type { DataKey } from "./envelope.js";
import type { FieldRef } from "./field.js";

/** A fresh data key, good for one write of this field within 15 minutes. */
export interface GeneratedDataKey extends DataKey {
  keyId: string;
}

/** Asks for the data key behind an envelope of this field. */
export interface DecryptDataKeyArgs extends FieldRef {
  dataKeyCiphertext: string;
}

/** A released data key. */
export interface ReleasedDataKey {
  /** 32 bytes in base64, secret. */
  plaintextKey: string;
}
