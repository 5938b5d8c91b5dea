import type { Sensitivity } from "./field.js";
import type { SecretRef } from "./secret.js";

/** A change of a metadata member. */
export interface Change<T> {
  /** Null where there was none before. */
  from: T | null;
  to: T;
}

/** One recorded change of a secret: metadata only, never a value. */
export interface HistoryEntry {
  /** Place in the whole log. */
  position: number;
  eventId: string;
  /** Such as `secret.field_set`; a newer server may add some. */
  type: string;
  /** RFC 3339, UTC, milliseconds. */
  time: string;
  actor: { kind: string; id: string; name: string; keyId: string };
  /** The secret's version after it. */
  version: number;
  fields?: { key: string; sensitivity: Sensitivity }[];
  changes?: {
    name?: Change<string>;
    category?: Change<string>;
    tags?: Change<string[]>;
    /** `to` is null where it was taken away. */
    rotateEvery?: Change<string | null>;
    expiresAt?: Change<string | null>;
  };
  requestId: string;
  clientIp: string;
  userAgent?: string;
  reason?: string;
  runId?: string;
}

/** Whose history to read, and from which end. */
export interface HistoryArgs extends SecretRef {
  /** `desc`, newest first, unless given. */
  order?: "asc" | "desc" | undefined;
  /** Entries asked for at once, at most 1,000; never how many are given in all. */
  pageSize?: number | undefined;
}
