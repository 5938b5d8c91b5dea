import { ChanceryError, type FieldRef, type SecretRef } from "../src/index.js";

/** A secret's name for tests that don't care. */
export const SECRET: SecretRef = { scope: "team", scopeId: "team_1", secretId: "db" };

/** A field's name for tests that don't care. */
export const FIELD: FieldRef = { ...SECRET, fieldKey: "password" };

/** The ChanceryError that a call rejects with; anything else fails the test. */
export async function refusalOf(call: Promise<unknown>): Promise<ChanceryError> {
  try {
    await call;
  } catch (err) {
    if (err instanceof ChanceryError) return err;
    throw err;
  }
  throw new Error("the call was not refused");
}
