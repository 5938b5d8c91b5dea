import type { ErrorCode } from "./codes.js";

/** One member of a request that is at fault. */
export interface FieldProblem {
  /** A JSON pointer (RFC 6901), such as `/fields/0/key`. */
  field: string;
  code: ErrorCode;
}

/** What an error may say beside its message. */
export interface ErrorDetails {
  requestId?: string | undefined;
  errors?: readonly FieldProblem[] | undefined;
  eventId?: string | undefined;
  retryAfterMs?: number | undefined;
}

/**
 * The base of every error that this package throws. Neither its message nor
 * any member holds a value, an envelope, a data key or an API key, and it has
 * no `cause`: what fetch and JSON.parse throw may quote what they choked on.
 */
export class ChanceryError extends Error {
  /** The reason, stable across versions. */
  readonly code: ErrorCode;
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The server's name for the request, for its operator's logs. */
  readonly requestId: string | undefined;
  /** The members of the request at fault, if any. */
  readonly errors: readonly FieldProblem[];
  /** Beside `outcome_unknown`: the event that may have been stored. */
  readonly eventId: string | undefined;
  /** The least wait that the server asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** On a write: the key it was sent with. Repeating the call with it is safe for 24 hours. */
  readonly idempotencyKey: string | undefined;
  /** On a write: true when an attempt of this call ended without a verdict, so it may have been stored. */
  readonly outcomeUnknown: boolean = false;

  constructor(code: ErrorCode, status: number, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.status = status;
    this.requestId = details.requestId;
    this.errors = details.errors ?? [];
    this.eventId = details.eventId;
    this.retryAfterMs = details.retryAfterMs;
    this.idempotencyKey = undefined;
  }
}

/** An argument or option that is not sent because it can't mean what was intended. Nothing was changed. */
export class ArgumentError extends ChanceryError {
  constructor(message: string) {
    super("invalid_argument", 0, message);
  }
}

/** No whole answer came. */
export class NetworkError extends ChanceryError {
  /** True when there was no connection, so the request reached nobody. */
  readonly neverSent: boolean;

  constructor(message: string, neverSent = false, code: "network_error" | "timeout" = "network_error") {
    super(code, 0, message);
    this.neverSent = neverSent;
  }
}

/** No whole answer came within `timeoutMs`. */
export class TimeoutError extends NetworkError {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`, false, "timeout");
  }
}

/** The caller's AbortSignal ended the call. Its `name` is "AbortError", as that of a platform abort. */
export class AbortedError extends ChanceryError {
  constructor() {
    super("aborted", 0, "the caller aborted the call");
    this.name = "AbortError";
  }
}

/** An answer that is not the server's: a proxy's page, a redirect, not the contract's JSON. */
export class UnexpectedResponseError extends ChanceryError {
  constructor(status: number, message: string, details: ErrorDetails = {}) {
    super("unexpected_response", status, message, details);
  }
}

/** An envelope that is malformed, was sealed under another key or changed, or whose value is not text. */
export class EnvelopeError extends ChanceryError {
  constructor(code: "envelope_malformed" | "envelope_not_authentic" | "value_not_text", message: string) {
    super(code, 0, message);
  }
}

/** A refusal by the server. Subclasses follow the status; `code` says which. */
export class ApiError extends ChanceryError {}

/** 400, 405, 413, 415: the request itself is wrong. */
export class BadRequestError extends ApiError {}

/** 401: no valid API key. */
export class AuthenticationError extends ApiError {}

/** 403: the key's agent may not do this here. */
export class ForbiddenError extends ApiError {}

/** 404: no such secret, field or route. */
export class NotFoundError extends ApiError {}

/** 409: the state forbids it, such as `secret_exists` or `data_key_reused`. */
export class ConflictError extends ApiError {}

/** 410: the write that this idempotency key stands for has been undone since. */
export class GoneError extends ApiError {}

/** 412: `ifMatch` named another version. */
export class PreconditionFailedError extends ApiError {}

/** 422: `data_key_mismatch` or `idempotency_key_reused`. */
export class UnprocessableError extends ApiError {}

/** 429: too many requests or open mints. */
export class RateLimitError extends ApiError {}

/** 503: not now; `outcome_unknown` when a write may have been stored. */
export class UnavailableError extends ApiError {}
