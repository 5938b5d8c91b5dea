import { AbortedError } from "./errors.js";

/** Time and randomness, as the client takes them from outside. */
export interface Runtime {
  /** Milliseconds since 1970, to read a Retry-After date. */
  now(): number;
  /** Uniform in [0, 1), for jitter. */
  random(): number;
  /** A new idempotency key: 1 to 128 of `A-Z a-z 0-9 . _ : -`, never given before. */
  newKey(): string;
  /** Resolves after ms; rejects with an AbortedError as soon as one of the signals is aborted. */
  sleep(ms: number, signals: readonly AbortSignal[]): Promise<void>;
}

/** The platform's clock, timers and random numbers. */
export const PLATFORM: Runtime = {
  now: () => Date.now(),
  random: () => Math.random(),
  newKey: () => crypto.randomUUID(),
  sleep: (ms, signals) =>
    new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        for (const s of signals) s.removeEventListener("abort", abort);
        end();
      };
      const abort = (): void => settle(() => reject(new AbortedError()));
      const timer = setTimeout(() => settle(resolve), ms);
      for (const s of signals) s.addEventListener("abort", abort);
      if (signals.some((s) => s.aborted)) abort();
    }),
};
