import { UnexpectedResponseError } from "./errors.js";
import type { ReadOptions } from "./options.js";
import type { Transport } from "./transport.js";

/**
 * Gives the rows of a list one by one and follows its cursor to the end,
 * asking for a page only when its rows are wanted. A page may be short or
 * empty and still not be the last. A cursor that comes twice in a row would
 * never end and is an UnexpectedResponseError.
 */
export async function* iteratePages<Row>(
  transport: Transport,
  path: string,
  query: URLSearchParams,
  options: ReadOptions | undefined,
): AsyncGenerator<Row, void, undefined> {
  let cursor: string | undefined;
  do {
    const asked = new URLSearchParams(query);
    if (cursor !== undefined) asked.set("cursor", cursor);
    const { data, nextCursor } = await transport.send({ method: "GET", path, query: asked }, options);
    if (!Array.isArray(data)) throw new UnexpectedResponseError(200, "a list whose data is not an array");
    yield* data as Row[];
    if (nextCursor !== undefined && nextCursor === cursor) {
      throw new UnexpectedResponseError(200, "a list whose cursor does not move");
    }
    cursor = nextCursor;
  } while (cursor !== undefined);
}

/** Everything that an iterator gives, in its order. */
export async function collect<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const all: Row[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

/** A query of the members that are given; arrays repeat their name. */
export function queryOf(members: Record<string, string | number | readonly string[] | undefined>): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, member] of Object.entries(members)) {
    if (member === undefined) continue;
    for (const one of typeof member === "object" ? member : [String(member)]) query.append(name, one);
  }
  return query;
}
