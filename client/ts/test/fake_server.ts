import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { AgentApiClient, type ClientOptions } from "../src/index.js";

/** A request as the server got it. */
export interface Seen {
  method: string;
  /** With the query, as on the wire. */
  url: string;
  /** Raw header bytes as latin-1, names in lower case. */
  headers: IncomingMessage["headers"];
  body: unknown;
}

/** Answers one request. */
export type Reply = (res: ServerResponse, seen: Seen) => void;

/** A loopback server that answers from a script, in order, and the last reply for ever. */
export class FakeServer {
  readonly seen: Seen[] = [];
  /** Every wait that a client of this server was told to sleep, in milliseconds. */
  readonly slept: number[] = [];
  readonly #replies: Reply[];
  readonly #server = createServer((req, res) => void this.#answer(req, res));

  private constructor(replies: Reply[]) {
    this.#replies = replies;
  }

  /** Listens on a free loopback port, until the test ends. */
  static async start(test: TestContext, ...replies: Reply[]): Promise<FakeServer> {
    const fake = new FakeServer(replies);
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    test.after(async () => {
      fake.#server.closeAllConnections();
      await new Promise((resolve) => fake.#server.close(resolve));
    });
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A client of this server that sleeps in no time; jitter is at its least. */
  client(options: Partial<ClientOptions> = {}): AgentApiClient {
    const sleep = async (ms: number): Promise<void> => void this.slept.push(ms);
    return new AgentApiClient({
      apiKey: API_KEY,
      apiUrl: this.url,
      ...options,
      runtime: { sleep, random: () => 0, ...options.runtime },
    });
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const seen = { method: req.method ?? "", url: req.url ?? "", headers: req.headers, body };
    this.seen.push(seen);
    this.#replies[Math.min(this.seen.length, this.#replies.length) - 1]?.(res, seen);
  }
}

/** Of the right shape, and worth nothing. */
export const API_KEY = "chy_canarykey012_notarealkeynotarealkeynotarealkeynotarealke_canary";

/** A success with data, and a page when a cursor is given. */
export function ok(data: unknown, nextCursor?: string, headers: Record<string, string> = {}): Reply {
  return (res) => {
    res.writeHead(200, { "Content-Type": "application/json", ...headers });
    res.end(JSON.stringify(nextCursor === undefined ? { data } : { data, page: { nextCursor } }));
  };
}

/** A problem as the server gives it. */
export function problem(status: number, code: string, more: object = {}, headers: Record<string, string> = {}): Reply {
  return (res) => {
    res.writeHead(status, { "Content-Type": "application/problem+json", "X-Request-Id": "req-1", ...headers });
    res.end(JSON.stringify({ type: "about:blank", title: code, status, detail: `about ${code}`, code, ...more }));
  };
}

/** Anything else. */
export function raw(status: number, contentType: string, body: string, headers: Record<string, string> = {}): Reply {
  return (res) => {
    res.writeHead(status, { "Content-Type": contentType, ...headers });
    res.end(body);
  };
}

/** Takes the request and cuts the connection. */
export const hangUp: Reply = (res) => res.socket?.destroy();

/** Takes the request and never answers. */
export const silence: Reply = () => undefined;
