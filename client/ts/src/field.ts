import type { EncryptedEnvelopeV1 } from "./envelope.js";
import type { SecretRef } from "./secret.js";

/** Who can read a value: the server too (and it seals it at rest), or clients alone. */
export type Sensitivity = "plaintext" | "encrypted";

/** Names a field of a secret. */
export interface FieldRef extends SecretRef {
  fieldKey: string;
}

/** What a field holds: exactly one of `value` and `envelope`, as its sensitivity says. */
export interface FieldContent {
  sensitivity: Sensitivity;
  /** At most 64 KiB. */
  value?: string | undefined;
  envelope?: EncryptedEnvelopeV1 | undefined;
}

/** A field to be stored with a new secret. */
export interface FieldInput extends FieldContent {
  key: string;
}

/** A sealed field, ready to be stored: what sealField gives. */
export interface SealedField extends FieldInput {
  sensitivity: "encrypted";
  envelope: EncryptedEnvelopeV1;
}

/** A field to be set on a secret that exists. */
export interface SetFieldArgs extends FieldRef, FieldContent {}

/** A value to be sealed here for a field. */
export interface SealFieldArgs extends FieldRef {
  /** Text, or bytes, which stay the caller's to clear. */
  value: string | Uint8Array;
}

/** A field to be opened here: as the given envelope says, else as it stands on the server. */
export interface OpenFieldArgs extends FieldRef {
  envelope?: EncryptedEnvelopeV1 | undefined;
}

/** What is known of a stored field beside its content. */
export interface FieldMetadata {
  key: string;
  sensitivity: Sensitivity;
  /** The secret's version that wrote it. */
  version: number;
  /** RFC 3339, UTC, milliseconds. */
  updatedAt: string;
  /** An agent id. */
  updatedBy: string;
}

/** A field of an aggregate; `value` only for plaintext fields and never in lists. */
export interface AggregateField extends FieldMetadata {
  value?: string;
}

/** A field as it stands, with its value or its envelope. */
export interface SecretField extends FieldMetadata {
  value?: string;
  envelope?: EncryptedEnvelopeV1;
}

/** The answer to a removal. */
export interface RemovedField {
  secretId: string;
  fieldKey: string;
  version: number;
}
