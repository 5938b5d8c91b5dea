import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { AgentApiClient, type ClientOptions, type ScopeRef } from "../src/index.js";

const addr = process.env["CHANCERY_TEST_ADDR"];
const keyFile = process.env["CHANCERY_TEST_ADMIN_KEY_FILE"];

/** Why there is no real server to test against; false when there is one. Half a setting is an error, not a skip. */
export const NO_SERVER: string | false =
  addr || keyFile ? false : "CHANCERY_TEST_ADDR and CHANCERY_TEST_ADMIN_KEY_FILE are not set";

/** A team with a project, an agent that writes in both, and one that is in neither. */
export interface World {
  org: ScopeRef;
  team: ScopeRef;
  project: ScopeRef;
  agent: ScopeRef;
  /** A client of the agent. */
  client(options?: Partial<ClientOptions>): AgentApiClient;
  /** A client of the agent that belongs to the organization alone. */
  stranger: AgentApiClient;
}

/** Makes a world of its own in the admin's organization. */
export async function makeWorld(): Promise<World> {
  const adminKey = readFileSync(demand(keyFile, "CHANCERY_TEST_ADMIN_KEY_FILE"), "utf8").trim();
  const { orgId } = await new AgentApiClient({ apiKey: adminKey, apiUrl: apiUrl() }).whoami();
  const create = async (collection: string, body: object): Promise<Made> =>
    admin(adminKey, "POST", `/orgs/${orgId}/${collection}`, body);
  const run = randomUUID().slice(0, 8);
  const team = await create("teams", { name: `ts-team-${run}` });
  const project = await create("projects", { name: `ts-project-${run}`, teamId: team.id });
  const agent = await create("agents", { name: `ts-agent-${run}` });
  const other = await create("agents", { name: `ts-stranger-${run}` });
  for (const scope of [`team/${team.id}`, `project/${project.id}`]) {
    await admin(adminKey, "PUT", `/orgs/${orgId}/agents/${agent.id}/memberships/${scope}`, { role: "writer" });
  }
  const keyOf = async (id: string): Promise<string> => {
    const { apiKey } = await create(`agents/${id}/keys`, { note: "ts tests" });
    assert.ok(apiKey);
    return apiKey;
  };
  const [agentKey, strangerKey] = [await keyOf(agent.id), await keyOf(other.id)];
  return {
    org: { scope: "org", scopeId: orgId },
    team: { scope: "team", scopeId: team.id },
    project: { scope: "project", scopeId: project.id },
    agent: { scope: "agent", scopeId: agent.id },
    client: (options) => new AgentApiClient({ apiKey: agentKey, apiUrl: apiUrl(), ...options }),
    stranger: new AgentApiClient({ apiKey: strangerKey, apiUrl: apiUrl() }),
  };
}

interface Made {
  id: string;
  apiKey?: string;
}

async function admin(key: string, method: string, path: string, body: object): Promise<Made> {
  const response = await fetch(`${apiUrl()}/admin${path}`, {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", "Idempotency-Key": randomUUID() },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { data?: Made; code?: string };
  assert.ok(response.ok && answer.data, `${method} ${path}: ${response.status} ${answer.code}`);
  return answer.data;
}

/** The address may be a URL or HOST:PORT. */
function apiUrl(): string {
  const given = demand(addr, "CHANCERY_TEST_ADDR");
  return given.includes("://") ? given : `http://${given}`;
}

function demand(value: string | undefined, name: string): string {
  assert.ok(value, `${name} is not set, though its companion is`);
  return value;
}
