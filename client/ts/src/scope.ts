/** The four levels on which secrets live. */
export type Scope = "org" | "team" | "project" | "agent";

/** A role on a scope, each including the one before; `auditor` and `admin` stand beside them on an org. */
export type Role = "viewer" | "reader" | "writer" | "manager" | "auditor" | "admin";

/** Names one org, team, project or agent. */
export interface ScopeRef {
  scope: Scope;
  /** Of an agent scope: the agent's own id. */
  scopeId: string;
}

/** A scope that the caller can see, with its role there. */
export interface SecretScope extends ScopeRef {
  name: string;
  role: Role;
}
