import type { DecryptDataKeyArgs, GeneratedDataKey, ReleasedDataKey } from "./datakey.js";
import { type EncryptedEnvelopeV1, openEnvelope, sealEnvelope } from "./envelope.js";
import { ChanceryError, UnexpectedResponseError } from "./errors.js";
import type {
  FieldContent,
  FieldRef,
  OpenFieldArgs,
  RemovedField,
  SealedField,
  SealFieldArgs,
  SecretField,
  SetFieldArgs,
} from "./field.js";
import type { HistoryArgs, HistoryEntry } from "./history.js";
import type { Identity } from "./identity.js";
import { type ClientOptions, type ReadOptions, type RequestOptions, settingsOf, type WriteOptions } from "./options.js";
import { collect, iteratePages, queryOf } from "./pages.js";
import {
  DECRYPT_PATH,
  fieldPath,
  GENERATE_PATH,
  resolvePath,
  SCOPES_PATH,
  scopePath,
  secretPath,
  WHOAMI_PATH,
} from "./paths.js";
import type { SecretScope } from "./scope.js";
import type {
  CreateSecretArgs,
  DeletedSecret,
  ListSecretsArgs,
  ResolvedSecret,
  SecretAggregate,
  SecretRef,
  SecretWithEnvelopes,
  UpdateMetadataArgs,
} from "./secret.js";
import { type Call, Transport } from "./transport.js";

/** How often openField reads a field that a writer keeps replacing. */
const MAX_READS = 3;

/**
 * The agent API. Every method sends what its arguments name and nothing else,
 * repeats a call as {@link Transport} says, and rejects with a ChanceryError.
 * A client holds no connection of its own and needs no closing.
 */
export class AgentApiClient {
  readonly #transport: Transport;

  /** Throws an ArgumentError for options that can't be used; nothing is sent. */
  constructor(options: ClientOptions) {
    this.#transport = new Transport(settingsOf(options));
  }

  /**
   * The log position of the latest write of this client, undefined before the
   * first. As `minPosition` of a read it makes any node show that write.
   */
  get position(): number | undefined {
    return this.#transport.position;
  }

  /** Who the API key speaks for. */
  async whoami(options?: ReadOptions): Promise<Identity> {
    return this.#send({ method: "GET", path: WHOAMI_PATH }, options);
  }

  /** The scopes that the caller can see, most specific first: agent, projects, teams, org. */
  async listSecretScopes(options?: ReadOptions): Promise<SecretScope[]> {
    return this.#send({ method: "GET", path: SCOPES_PATH }, options);
  }

  /** All secrets of a scope that pass the filters, by id, without values. */
  async listSecrets(args: ListSecretsArgs, options?: ReadOptions): Promise<SecretAggregate[]> {
    return collect(this.iterateSecrets(args, options));
  }

  /** The same as listSecrets, row by row, for scopes too large for one array. */
  iterateSecrets(args: ListSecretsArgs, options?: ReadOptions): AsyncGenerator<SecretAggregate, void, undefined> {
    const query = queryOf({ category: args.category, tag: args.tag, q: args.q, limit: args.pageSize });
    return iteratePages(this.#transport, scopePath(args), query, options);
  }

  /** A secret with its plaintext values and the envelopes of its encrypted fields. */
  async getSecret(args: SecretRef, options?: ReadOptions): Promise<SecretWithEnvelopes> {
    return this.#send({ method: "GET", path: secretPath(args) }, options);
  }

  /** The secret of this id that is nearest to the caller: agent, then projects, teams, org. */
  async resolveSecret(args: { secretId: string }, options?: ReadOptions): Promise<ResolvedSecret> {
    return this.#send({ method: "GET", path: resolvePath(args.secretId) }, options);
  }

  /**
   * Creates a secret with its first fields, all at once. An identical one is
   * answered as if just created; another is 409 `secret_exists`.
   */
  async createSecret(args: CreateSecretArgs, options?: WriteOptions): Promise<SecretAggregate> {
    const { secretName, category, tags } = args;
    const fields = args.fields?.map((f) => ({ key: f.key, ...contentOf(f) }));
    return this.#write("PUT", secretPath(args), { secretName, category, tags, fields }, options);
  }

  /** Changes metadata; at least one member must be given. */
  async updateSecretMetadata(args: UpdateMetadataArgs, options?: WriteOptions): Promise<SecretAggregate> {
    const { secretName, category, tags, rotateEvery, expiresAt } = args;
    return this.#write("PATCH", secretPath(args), { secretName, category, tags, rotateEvery, expiresAt }, options);
  }

  /** Deletes a secret and destroys its keys: its values never open again. Its history stays. */
  async deleteSecret(args: SecretRef, options?: WriteOptions): Promise<DeletedSecret> {
    return this.#write("DELETE", secretPath(args), undefined, options);
  }

  /** Every recorded change of a secret, newest first unless told; also of a deleted one. */
  async getSecretHistory(args: HistoryArgs, options?: ReadOptions): Promise<HistoryEntry[]> {
    return collect(this.iterateSecretHistory(args, options));
  }

  /** The same as getSecretHistory, entry by entry. */
  iterateSecretHistory(args: HistoryArgs, options?: ReadOptions): AsyncGenerator<HistoryEntry, void, undefined> {
    const order = args.order === "asc" ? "asc" : undefined;
    const query = queryOf({ order, limit: args.pageSize });
    return iteratePages(this.#transport, `${secretPath(args)}/history`, query, options);
  }

  /** A field with its value or its envelope. */
  async getSecretField(args: FieldRef, options?: ReadOptions): Promise<SecretField> {
    return this.#send({ method: "GET", path: fieldPath(args) }, options);
  }

  /** Adds or replaces a field of a secret that exists. */
  async setSecretField(args: SetFieldArgs, options?: WriteOptions): Promise<SecretField> {
    return this.#write("PUT", fieldPath(args), contentOf(args), options);
  }

  /** Removes a field; its value can't be read again. */
  async removeSecretField(args: FieldRef, options?: WriteOptions): Promise<RemovedField> {
    return this.#write("DELETE", fieldPath(args), undefined, options);
  }

  /** Mints a data key for one write of this field within 15 minutes. The secret need not exist yet. */
  async generateSecretDataKey(args: FieldRef, options?: RequestOptions): Promise<GeneratedDataKey> {
    return this.#send({ method: "POST", path: GENERATE_PATH, body: refOf(args) }, options);
  }

  /** Releases the data key of the field's current envelope, or of this agent's own fresh mint. */
  async decryptSecretDataKey(args: DecryptDataKeyArgs, options?: RequestOptions): Promise<ReleasedDataKey> {
    const body = { ...refOf(args), dataKeyCiphertext: args.dataKeyCiphertext };
    return this.#send({ method: "POST", path: DECRYPT_PATH, body }, options);
  }

  /**
   * Seals a value for a field on this machine: mints a data key, seals, and
   * gives what createSecret takes among its `fields` and, spread, setSecretField.
   * Nothing is stored. The result is good for one write within 15 minutes.
   */
  async sealField(args: SealFieldArgs, options?: RequestOptions): Promise<SealedField> {
    const key = await this.generateSecretDataKey(args, options);
    const envelope = await sealEnvelope(key, args.value);
    return { key: args.fieldKey, sensitivity: "encrypted", envelope };
  }

  /**
   * Opens a field on this machine. With an envelope (from getSecret or
   * resolveSecret) it opens that one; without, it reads the field first, and
   * again when a writer replaced it in between. The value of a plaintext field
   * is given as it is.
   */
  async openField(args: OpenFieldArgs, options?: ReadOptions): Promise<string> {
    if (args.envelope !== undefined) return this.#open(args, args.envelope, options);
    let last: string | undefined;
    for (let reads = 1; ; reads++) {
      const { sensitivity, value, envelope } = await this.getSecretField(args, options);
      if (sensitivity === "plaintext" && value !== undefined) return value;
      if (envelope === undefined) throw new UnexpectedResponseError(200, "a field with neither value nor envelope");
      try {
        return await this.#open(args, envelope, options);
      } catch (err) {
        const raced = err instanceof ChanceryError && err.code === "data_key_mismatch";
        if (!raced || reads === MAX_READS || envelope.dataKeyCiphertext === last) throw err;
        last = envelope.dataKeyCiphertext;
      }
    }
  }

  async #open(args: FieldRef, envelope: EncryptedEnvelopeV1, options?: RequestOptions): Promise<string> {
    const { dataKeyCiphertext } = envelope;
    const { plaintextKey } = await this.decryptSecretDataKey({ ...args, dataKeyCiphertext }, options);
    return openEnvelope(plaintextKey, envelope);
  }

  async #write<T>(method: Call["method"], path: string, body: unknown, options?: WriteOptions): Promise<T> {
    return this.#send({ method, path, body, write: true }, options);
  }

  async #send<T>(call: Call, options?: ReadOptions & WriteOptions): Promise<T> {
    const { data } = await this.#transport.send(call, options);
    return data as T;
  }
}

/** The members of a field that go over the wire, so that a field as read can be stored again. */
function contentOf({ sensitivity, value, envelope }: FieldContent): FieldContent {
  if (envelope === undefined) return { sensitivity, value };
  const { version, iv, ciphertext, authTag, dataKeyCiphertext } = envelope;
  return { sensitivity, value, envelope: { version, iv, ciphertext, authTag, dataKeyCiphertext } };
}

function refOf({ scope, scopeId, secretId, fieldKey }: FieldRef): FieldRef {
  return { scope, scopeId, secretId, fieldKey };
}
