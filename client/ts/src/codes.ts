/**
 * Every code that the server puts into a problem's `code` member. They are
 * stable: branch on them, never on a message.
 */
export const API_CODES = [
  "invalid_request",
  "invalid_json",
  "invalid_id",
  "invalid_query",
  "invalid_cursor",
  "invalid_envelope",
  "too_long",
  "empty_patch",
  "precondition_invalid",
  "unauthenticated",
  "forbidden",
  "route_not_found",
  "secret_not_found",
  "field_not_found",
  "not_found",
  "method_not_allowed",
  "body_too_large",
  "unsupported_media_type",
  "secret_exists",
  "sensitivity_downgrade",
  "data_key_reused",
  "too_many_fields",
  "ambiguous_scope",
  "key_already_issued",
  "conflict",
  "idempotency_expired",
  "version_mismatch",
  "data_key_mismatch",
  "idempotency_key_reused",
  "rate_limited",
  "unavailable",
  "position_not_reached",
  "outcome_unknown",
  "internal",
] as const;

/** A code of the server. */
export type ApiCode = (typeof API_CODES)[number];

/**
 * What goes wrong on this side of the wire: an argument that must not be sent,
 * no answer, no answer in time, the caller's own abort, an answer that is not
 * the server's, an envelope that is malformed (`envelope_malformed`) or does
 * not open (`envelope_not_authentic`), and one whose value is not UTF-8.
 */
export type LocalCode =
  | "invalid_argument"
  | "network_error"
  | "timeout"
  | "aborted"
  | "unexpected_response"
  | "envelope_malformed"
  | "envelope_not_authentic"
  | "value_not_text";

/** Any code that an error of this package carries; a newer server may add some. */
export type ErrorCode = ApiCode | LocalCode | (string & {});
