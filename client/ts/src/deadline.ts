import { AbortedError, TimeoutError } from "./errors.js";

/**
 * One attempt's limit in time, joined with the caller's signals. (AbortSignal.any
 * and .timeout would do, but are not in every Node 20, and their timers can't be
 * given back.)
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];
  readonly #abort = (): void => this.#controller.abort();
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #timeoutMs: number;

  constructor(timeoutMs: number, signals: readonly AbortSignal[]) {
    this.#timeoutMs = timeoutMs;
    this.#signals = signals;
    this.#timer = setTimeout(this.#abort, timeoutMs);
    for (const s of signals) s.addEventListener("abort", this.#abort);
    if (signals.some((s) => s.aborted)) this.#abort();
  }

  /** Aborted when the time is up or the caller gives up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The error that the abort stands for; undefined while there was none. */
  failure(): AbortedError | TimeoutError | undefined {
    if (this.#signals.some((s) => s.aborted)) return new AbortedError();
    return this.signal.aborted ? new TimeoutError(this.#timeoutMs) : undefined;
  }

  /** Gives back the timer and the listeners. Must be called. */
  release(): void {
    clearTimeout(this.#timer);
    for (const s of this.#signals) s.removeEventListener("abort", this.#abort);
  }
}
