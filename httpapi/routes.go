package httpapi

import "net/http"

// route is one row of the API. Its path is written as in OpenAPI.
type route struct {
	method, path string
	// name is the operationId.
	name    string
	handler func(*call) (answer, error)
	// query lists the parameters that the route takes.
	query []string
	body  bodyRule
	match matchRule
	// open routes need no API key.
	open bool
}

// bodyRule says whether a route takes a body.
type bodyRule int

const (
	bodyNone bodyRule = iota
	bodyJSON
	bodyOptional
)

// matchRule says which preconditions a route takes.
type matchRule int

const (
	matchNone   matchRule = iota
	matchSecret           // If-Match
	matchCreate           // If-Match, and If-None-Match: *
)

const (
	secretPath     = "/agent/secrets/{scope}/{scopeId}/{secretId}"
	fieldPath      = secretPath + "/fields/{fieldKey}"
	orgPath        = "/admin/orgs/{orgId}"
	agentPath      = orgPath + "/agents/{agentId}"
	membershipPath = agentPath + "/memberships/{scope}/{scopeId}"
)

// routes is the whole API: the one place that says what there is.
func routes() []route {
	const (
		get, put, patch = http.MethodGet, http.MethodPut, http.MethodPatch
		post, del       = http.MethodPost, http.MethodDelete
	)
	page := []string{paramLimit, paramCursor}
	return append([]route{
		{method: get, path: "/agent/identity/whoami", name: "whoami", handler: whoami},
		{method: get, path: "/agent/secrets/scopes", name: "listSecretScopes", handler: listSecretScopes},
		{
			method: get, path: "/agent/secrets/events", name: "followEvents", handler: followEvents,
			query: []string{paramScope, paramScopeID, paramSecretID, paramType},
		},
		{method: get, path: "/agent/secrets/resolve", name: "listEffectiveSecrets", handler: listEffective, query: page},
		{method: get, path: "/agent/secrets/resolve/{secretId}", name: "resolveSecret", handler: resolveSecret},
		{method: post, path: "/agent/secrets/generate-data-key", name: "generateSecretDataKey", handler: generateDataKey, body: bodyJSON},
		{method: post, path: "/agent/secrets/decrypt-data-key", name: "decryptSecretDataKey", handler: decryptDataKey, body: bodyJSON},
		{
			method: get, path: "/agent/secrets/{scope}/{scopeId}", name: "listSecrets", handler: listSecrets,
			query: []string{paramLimit, paramCursor, paramCategory, paramTag, paramText},
		},
		{method: put, path: secretPath, name: "createSecret", handler: createSecret, body: bodyJSON, match: matchCreate},
		{method: get, path: secretPath, name: "getSecret", handler: getSecret, query: []string{paramAt, paramVersion}},
		{method: patch, path: secretPath, name: "updateSecretMetadata", handler: updateSecret, body: bodyJSON, match: matchSecret},
		{method: del, path: secretPath, name: "deleteSecret", handler: deleteSecret, match: matchSecret},
		{
			method: get, path: secretPath + "/history", name: "getSecretHistory", handler: getHistory,
			query: []string{paramLimit, paramCursor, paramOrder, paramInclude, paramProof},
		},
		{method: put, path: fieldPath, name: "setSecretField", handler: setField, body: bodyJSON, match: matchSecret},
		{method: get, path: fieldPath, name: "getSecretField", handler: getField},
		{method: del, path: fieldPath, name: "removeSecretField", handler: removeField, match: matchSecret},

		{method: post, path: "/admin/orgs", name: "createOrg", handler: createOrg, body: bodyJSON},
		{method: get, path: "/admin/orgs", name: "listOrgs", handler: listOrgs, query: page},
		{method: patch, path: orgPath, name: "updateOrg", handler: updateOrg, body: bodyJSON},
		{method: post, path: orgPath + "/teams", name: "createTeam", handler: createTeam, body: bodyJSON},
		{method: get, path: orgPath + "/teams", name: "listTeams", handler: listTeams, query: page},
		{method: patch, path: orgPath + "/teams/{teamId}", name: "updateTeam", handler: updateTeam, body: bodyJSON},
		{method: post, path: orgPath + "/projects", name: "createProject", handler: createProject, body: bodyJSON},
		{method: get, path: orgPath + "/projects", name: "listProjects", handler: listProjects, query: page},
		{method: patch, path: orgPath + "/projects/{projectId}", name: "updateProject", handler: updateProject, body: bodyJSON},
		{method: post, path: orgPath + "/agents", name: "createAgent", handler: createAgent, body: bodyJSON},
		{method: get, path: orgPath + "/agents", name: "listAgents", handler: listAgents, query: page},
		{method: patch, path: agentPath, name: "updateAgent", handler: updateAgent, body: bodyJSON},
		{method: get, path: agentPath + "/memberships", name: "listMemberships", handler: listMemberships, query: page},
		{method: put, path: membershipPath, name: "grantMembership", handler: grantMembership, body: bodyJSON},
		{
			method: del, path: membershipPath, name: "revokeMembership", handler: revokeMembership, body: bodyOptional,
			query: []string{paramRole},
		},
		{method: post, path: agentPath + "/keys", name: "issueKey", handler: issueKey, body: bodyJSON},
		{method: get, path: agentPath + "/keys", name: "listKeys", handler: listKeys, query: page},
		{method: del, path: agentPath + "/keys/{keyId}", name: "revokeKey", handler: revokeKey},

		{
			method: get, path: orgPath + "/access", name: "listAccess", handler: listAccess,
			query: []string{
				paramLimit, paramCursor, paramOrder, paramActor, paramSecret, paramScope, paramScopeID,
				paramType, paramOutcome, paramFrom, paramTo,
			},
		},
		{method: get, path: orgPath + "/reports", name: "listReports", handler: listReports},
		{
			method: get, path: orgPath + "/reports/{name}", name: "getReport", handler: getReport,
			query: []string{paramFormat, paramEvents, paramAccess, paramFrom, paramTo, paramAt, paramSample, paramSeed},
		},
		{method: get, path: "/log/key", name: "listLogKeys", handler: listLogKeys},
		{method: get, path: "/log/{log}/checkpoint", name: "getLogCheckpoint", handler: getCheckpoint},

		{method: get, path: "/healthz", name: "healthz", handler: healthz, open: true},
		{method: get, path: "/readyz", name: "readyz", handler: readyz, open: true},
		{method: get, path: "/metrics", name: "metrics", handler: showMetrics, open: true},
		{method: get, path: "/openapi.yaml", name: "openapi", handler: showOpenAPI, open: true},
		{method: get, path: "/docs", name: "docs", handler: showDocs, open: true},
	}, tileRoutes()...)
}
