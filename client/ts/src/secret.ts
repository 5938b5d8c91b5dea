import type { EncryptedEnvelopeV1 } from "./envelope.js";
import type { AggregateField, FieldInput } from "./field.js";
import type { Scope, ScopeRef } from "./scope.js";

/** Names a secret. */
export interface SecretRef extends ScopeRef {
  secretId: string;
}

/** A secret without its envelopes. */
export interface SecretAggregate extends SecretRef {
  secretName: string;
  category: string;
  /** Sorted. */
  tags: string[];
  /** Runs on through deletion and re-creation; also what `ifMatch` compares. */
  version: number;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: string;
  /** An agent id. */
  createdBy: string;
  updatedAt: string;
  updatedBy: string;
  fields: AggregateField[];
  /** After how many whole days the values should be replaced, like `90d`; advice. */
  rotateEvery?: string;
  /** RFC 3339; advice: nothing is refused because of it. */
  expiresAt?: string;
}

/** A secret with the envelopes of its encrypted fields, by field key. */
export interface SecretWithEnvelopes {
  aggregate: SecretAggregate;
  envelopes: Record<string, EncryptedEnvelopeV1>;
}

/** A secret found by id alone, with where it was found and what it hides. */
export interface ResolvedSecret extends SecretWithEnvelopes {
  resolvedFrom: NamedScope;
  shadowed: NamedScope[];
}

/** A scope with its name. */
export interface NamedScope {
  scope: Scope;
  scopeId: string;
  name: string;
}

/** Which secrets of a scope to list. Every filter given must hold. */
export interface ListSecretsArgs extends ScopeRef {
  category?: string | undefined;
  tag?: string | readonly string[] | undefined;
  /** A substring of id or name. */
  q?: string | undefined;
  /** Rows asked for at once, at most 1,000; never how many are given in all. */
  pageSize?: number | undefined;
}

/** A secret to be created. Names, categories and tags are metadata for ever: no value belongs there. */
export interface CreateSecretArgs extends SecretRef {
  secretName: string;
  category: string;
  tags?: readonly string[] | undefined;
  fields?: readonly FieldInput[] | undefined;
}

/** What to change of a secret's metadata: at least one member. `tags` replaces the set. */
export interface UpdateMetadataArgs extends SecretRef {
  secretName?: string | undefined;
  category?: string | undefined;
  tags?: readonly string[] | undefined;
  /** `1d` to `3650d`; null takes it away. */
  rotateEvery?: string | null | undefined;
  /** RFC 3339, UTC; null takes it away. */
  expiresAt?: string | null | undefined;
}

/** The answer to a deletion. */
export interface DeletedSecret {
  secretId: string;
  deletedAt: string;
  version: number;
  /** False when the secret is deleted but its keys are still to be destroyed. */
  keyDestroyed: boolean;
}
