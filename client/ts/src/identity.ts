/** Who an API key speaks for. */
export interface Identity {
  agentId: string;
  orgId: string;
  /** The same as `orgId`. */
  tenantId: string;
  name: string;
  /** Such as `secrets:read`. */
  permissions: string[];
}
