import {
  ApiError,
  AuthenticationError,
  BadRequestError,
  type ChanceryError,
  ConflictError,
  type ErrorDetails,
  type FieldProblem,
  ForbiddenError,
  GoneError,
  NotFoundError,
  PreconditionFailedError,
  RateLimitError,
  UnavailableError,
  UnexpectedResponseError,
  UnprocessableError,
} from "./errors.js";

const MAX_DETAIL = 500;

const CLASSES: Readonly<Record<number, typeof ApiError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: ForbiddenError,
  404: NotFoundError,
  405: BadRequestError,
  409: ConflictError,
  410: GoneError,
  412: PreconditionFailedError,
  413: BadRequestError,
  415: BadRequestError,
  422: UnprocessableError,
  429: RateLimitError,
  503: UnavailableError,
};

/** An answer that is not a success, as far as it was read. */
export interface Refusal {
  status: number;
  contentType: string;
  body: string;
  requestId: string | undefined;
  retryAfterMs: number | undefined;
}

/**
 * Turns a refusal into the error that is thrown. Only a problem (RFC 9457)
 * with a well-formed `code` is the server's word, and only its `detail` is
 * quoted; of any other body not one byte reaches the error.
 */
export function refusalError(refusal: Refusal): ChanceryError {
  const { status, requestId, retryAfterMs } = refusal;
  const problem = parseProblem(refusal);
  if (problem === undefined) {
    return new UnexpectedResponseError(status, `status ${status} without a problem of the server`, {
      requestId,
      retryAfterMs,
    });
  }
  const details: ErrorDetails = {
    requestId: requestId ?? text(problem["instance"]),
    errors: fieldProblems(problem["errors"]),
    eventId: text(problem["eventId"]),
    retryAfterMs,
  };
  const code = problem["code"] as string;
  const said = text(problem["detail"]) ?? text(problem["title"]);
  const message = said === undefined ? `${code} (${status})` : `${code} (${status}): ${said.slice(0, MAX_DETAIL)}`;
  return new (CLASSES[status] ?? ApiError)(code, status, message, details);
}

function parseProblem(refusal: Refusal): Record<string, unknown> | undefined {
  if (!/^application\/problem\+json\s*(;|$)/i.test(refusal.contentType)) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(refusal.body);
  } catch {
    return undefined;
  }
  if (!isObject(parsed)) return undefined;
  const code = parsed["code"];
  return typeof code === "string" && /^[a-z][a-z_]{0,63}$/.test(code) ? parsed : undefined;
}

function fieldProblems(raw: unknown): FieldProblem[] {
  if (!Array.isArray(raw)) return [];
  return raw.flatMap((e: unknown) => {
    if (!isObject(e)) return [];
    const { field, code } = e;
    return typeof field === "string" && typeof code === "string" ? [{ field, code }] : [];
  });
}

function text(raw: unknown): string | undefined {
  return typeof raw === "string" && raw !== "" ? raw : undefined;
}

/** Whether x is a JSON object. */
export function isObject(x: unknown): x is Record<string, unknown> {
  return typeof x === "object" && x !== null && !Array.isArray(x);
}
