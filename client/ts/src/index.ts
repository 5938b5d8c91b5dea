/**
 * The client of the Chancery secrets store: its agent API over fetch, and
 * values sealed and opened on this machine with WebCrypto.
 *
 * Invariants that the tests name:
 *
 * 1. No value, envelope, data key or API key stands in an error.
 * 2. A write carries one Idempotency-Key over all its attempts.
 * 3. A retry waits at least as long as the server asked.
 * 4. A list is whole: cursors are followed to the end.
 * 5. An envelope that was changed in one bit does not open.
 *
 * Not here: the admin API (the Go client and the command line have it) and
 * the event feed.
 *
 * @packageDocumentation
 */
export { AgentApiClient } from "./client.js";
export { API_CODES, type ApiCode, type ErrorCode, type LocalCode } from "./codes.js";
export type { DecryptDataKeyArgs, GeneratedDataKey, ReleasedDataKey } from "./datakey.js";
export { type DataKey, type EncryptedEnvelopeV1, openEnvelope, openEnvelopeBytes, sealEnvelope } from "./envelope.js";
export * from "./errors.js";
export type {
  AggregateField,
  FieldContent,
  FieldInput,
  FieldMetadata,
  FieldRef,
  OpenFieldArgs,
  RemovedField,
  SealedField,
  SealFieldArgs,
  SecretField,
  Sensitivity,
  SetFieldArgs,
} from "./field.js";
export type { Change, HistoryArgs, HistoryEntry } from "./history.js";
export type { Identity } from "./identity.js";
export type { ClientOptions, ReadOptions, RequestOptions, WriteOptions } from "./options.js";
export type { Runtime } from "./runtime.js";
export type { Role, Scope, ScopeRef, SecretScope } from "./scope.js";
export type {
  CreateSecretArgs,
  DeletedSecret,
  ListSecretsArgs,
  NamedScope,
  ResolvedSecret,
  SecretAggregate,
  SecretRef,
  SecretWithEnvelopes,
  UpdateMetadataArgs,
} from "./secret.js";
export { VERSION } from "./version.js";
