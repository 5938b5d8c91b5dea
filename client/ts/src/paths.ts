import { ArgumentError } from "./errors.js";
import type { FieldRef } from "./field.js";
import type { Scope, ScopeRef } from "./scope.js";
import type { SecretRef } from "./secret.js";

const SCOPES: readonly Scope[] = ["org", "team", "project", "agent"];

/** Where the caller's identity is. */
export const WHOAMI_PATH = "/identity/whoami";
/** Where the caller's scopes are. */
export const SCOPES_PATH = "/secrets/scopes";
/** Where data keys are minted. */
export const GENERATE_PATH = "/secrets/generate-data-key";
/** Where data keys are released. */
export const DECRYPT_PATH = "/secrets/decrypt-data-key";

/** A scope's path below `/agent`. The scope must be one of the four, so it never meets another route. */
export function scopePath(ref: ScopeRef): string {
  if (!SCOPES.includes(ref.scope)) throw new ArgumentError("scope is not one of org, team, project, agent");
  return `/secrets/${ref.scope}/${segment(ref.scopeId, "scopeId")}`;
}

/** A secret's path below `/agent`. */
export function secretPath(ref: SecretRef): string {
  return `${scopePath(ref)}/${segment(ref.secretId, "secretId")}`;
}

/** A field's path below `/agent`. */
export function fieldPath(ref: FieldRef): string {
  return `${secretPath(ref)}/fields/${segment(ref.fieldKey, "fieldKey")}`;
}

/** Where a secret is looked for by its id alone. */
export function resolvePath(secretId: string): string {
  return `/secrets/resolve/${segment(secretId, "secretId")}`;
}

/**
 * One segment of a path. An empty one, "." and ".." are refused here: URLs
 * drop them, encoded or not (WHATWG URL, "double-dot path segment"), and the
 * call would reach another resource than the one named. The server judges the
 * rest.
 */
function segment(id: string, what: string): string {
  if (typeof id !== "string" || id === "" || id === "." || id === ".." || !id.isWellFormed()) {
    throw new ArgumentError(`${what} is empty, a dot segment or not text`);
  }
  return encodeURIComponent(id);
}
