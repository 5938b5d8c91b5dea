package httpapi

import (
	"net/http"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// createOrg creates an organization. With an idempotency key its id follows
// from the key, so that a repetition means the same one.
func createOrg(c *call) (answer, error) {
	command, err := c.createItem(domain.ScopeOrg)
	if err != nil {
		return answer{}, err
	}
	if c.origin.IdempotencyKey != "" {
		command.Scope.ID = string(derivedOrgID(c.principal.Agent, c.origin.IdempotencyKey))
	}
	c.access.Target, c.access.Scope = "", command.Scope // refused, it concerns no organization
	if err := c.authorize(domain.AccessAdmin, domain.Principal.MayCreateOrgs); err != nil {
		return answer{}, err
	}
	c.access.Target = domain.OrgID(command.Scope.ID)
	return c.create(domain.OrgID(command.Scope.ID), command)
}

func createTeam(c *call) (answer, error)  { return c.createIn(domain.ScopeTeam) }
func createAgent(c *call) (answer, error) { return c.createIn(domain.ScopeAgent) }

// createIn creates a team or an agent of the path's organization.
func (c *call) createIn(kind domain.ScopeKind) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	command, err := c.createItem(kind)
	if err != nil {
		return answer{}, err
	}
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	return c.create(org, command)
}

// createProject creates a project, within a team or not.
func createProject(c *call) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	body, err := wire.Decode[wire.CreateProject](c.body)
	if err != nil {
		return answer{}, err
	}
	command, err := c.newItem(domain.ScopeProject, body.Name)
	if err != nil {
		return answer{}, err
	}
	if body.TeamID != nil {
		if _, err := domain.ParseScope(string(domain.ScopeTeam), *body.TeamID); err != nil {
			return answer{}, at(err, "/teamId")
		}
		command.TeamID = *body.TeamID
	}
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	return c.create(org, command)
}

// createItem reads a body that has a name alone.
func (c *call) createItem(kind domain.ScopeKind) (domain.CreateScope, error) {
	body, err := wire.Decode[wire.CreateItem](c.body)
	if err != nil {
		return domain.CreateScope{}, err
	}
	return c.newItem(kind, body.Name)
}

func (c *call) newItem(kind domain.ScopeKind, name string) (domain.CreateScope, error) {
	if _, err := domain.ParseName(name); err != nil {
		return domain.CreateScope{}, at(err, "/name")
	}
	id, err := c.newID(kind.Prefix())
	return domain.CreateScope{Scope: domain.Scope{Kind: kind, ID: id}, Name: name}, err
}

// create has an item created and answers with it. A repetition answers with
// what the first request created.
func (c *call) create(org domain.OrgID, command domain.CreateScope) (answer, error) {
	result, err := c.changeDirectory(org, command)
	if err != nil {
		return answer{}, err
	}
	created := domain.ScopeState{Scope: command.Scope, Name: command.Name, TeamID: command.TeamID, CreatedAt: c.access.Time}
	if e, ok := result.Event.(domain.ScopeCreated); ok {
		created.Scope = e.Scope
	}
	return answer{status: http.StatusCreated, data: c.itemAfter(org, created), position: result.Position}, nil
}

// changeDirectory has an authorized change carried out.
func (c *call) changeDirectory(org domain.OrgID, command domain.DirectoryCommand) (domain.DirectoryResult, error) {
	if err := c.fresh(); err != nil {
		return domain.DirectoryResult{}, err
	}
	result, err := c.config.Writer.ChangeDirectory(c.ctx, domain.DirectoryRequest{
		Principal: c.principal, Org: org, Command: command, Origin: c.origin,
	})
	return result, c.refused(err)
}

// item gives an item as it is now.
func (c *call) item(org domain.OrgID, scope domain.Scope) (item domain.ScopeState, err error) {
	err = c.config.State.Directory(org, func(d *domain.Directory) error {
		s, ok := d.Scopes[scope]
		if !ok {
			return errNotFound(string(scope.Kind))
		}
		item = s
		return nil
	})
	return item, err
}

// itemAfter gives an item after its change. That the state cannot tell, which
// is rare, does not undo what is stored: then the answer is what is known.
func (c *call) itemAfter(org domain.OrgID, known domain.ScopeState) wire.DirectoryItem {
	if now, err := c.item(org, known.Scope); err == nil {
		return itemOf(now)
	}
	return itemOf(known)
}

func errNotFound(what string) error {
	return domain.Errorf(domain.CodeNotFound, "there is no such %s", what)
}

func itemOf(s domain.ScopeState) wire.DirectoryItem {
	return wire.DirectoryItem{
		ID: s.Scope.ID, Name: s.Name, CreatedAt: wire.NewTime(s.CreatedAt), ArchivedAt: wire.TimeOrNil(s.ArchivedAt), TeamID: s.TeamID,
	}
}

func updateOrg(c *call) (answer, error)     { return c.update(domain.ScopeOrg, "orgId") }
func updateTeam(c *call) (answer, error)    { return c.update(domain.ScopeTeam, "teamId") }
func updateProject(c *call) (answer, error) { return c.update(domain.ScopeProject, "projectId") }

func updateAgent(c *call) (answer, error) {
	if _, _, err := c.agent(); err != nil {
		return answer{}, err
	}
	return c.update(domain.ScopeAgent, "agentId")
}

// update renames, archives or restores the item that a path parameter names.
func (c *call) update(kind domain.ScopeKind, param string) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	scope, err := domain.ParseScope(string(kind), c.param(param))
	if err != nil {
		return answer{}, err
	}
	command, err := c.updateItem(scope)
	if err != nil {
		return answer{}, err
	}
	c.access.Scope = scope
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	known, err := c.item(org, scope)
	if err != nil {
		return answer{}, err
	}
	result, err := c.changeDirectory(org, command)
	if err != nil {
		return answer{}, err
	}
	if rename, ok := command.(domain.RenameScope); ok {
		known.Name = rename.Name
	}
	if archive, ok := command.(domain.SetArchived); ok {
		known.ArchivedAt = time.Time{}
		if archive.Archived {
			known.ArchivedAt = c.access.Time
		}
	}
	return answer{data: c.itemAfter(org, known), position: result.Position}, nil
}

// updateItem reads a body with exactly one of name and archived.
func (c *call) updateItem(scope domain.Scope) (domain.DirectoryCommand, error) {
	body, err := wire.Decode[wire.UpdateItem](c.body)
	switch {
	case err != nil:
		return nil, err
	case body == wire.UpdateItem{}:
		return nil, domain.Errorf(domain.CodeEmptyPatch, "a patch has name or archived")
	case body.Name != nil && body.Archived != nil:
		return nil, domain.Errorf(domain.CodeInvalidRequest, "a patch has one of name and archived, not both").At("/archived")
	case body.Archived != nil:
		return domain.SetArchived{Scope: scope, Archived: *body.Archived}, nil
	}
	if _, err := domain.ParseName(*body.Name); err != nil {
		return nil, at(err, "/name")
	}
	return domain.RenameScope{Scope: scope, Name: *body.Name}, nil
}

// listOrgs answers with every organization.
func listOrgs(c *call) (answer, error) {
	p, err := c.page(rowsLimit)
	if err != nil {
		return answer{}, err
	}
	if err := c.authorize(domain.AccessAdmin, domain.Principal.MayCreateOrgs); err != nil {
		return answer{}, err
	}
	rows, more, err := c.config.State.Organizations(domain.OrgID(p.after), p.limit)
	if err != nil {
		return answer{}, err
	}
	return itemPage(rows, more, p), c.allowed()
}

func listTeams(c *call) (answer, error)    { return c.list(domain.ScopeTeam) }
func listProjects(c *call) (answer, error) { return c.list(domain.ScopeProject) }
func listAgents(c *call) (answer, error)   { return c.list(domain.ScopeAgent) }

// list answers with an organization's items of one kind, archived ones too.
func (c *call) list(kind domain.ScopeKind) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	p, err := c.page(rowsLimit)
	if err != nil {
		return answer{}, err
	}
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	if err := c.orgExists(org); err != nil {
		return answer{}, err
	}
	rows, more, err := c.config.State.Scopes(org, kind, p.after, p.limit)
	if err != nil {
		return answer{}, err
	}
	return itemPage(rows, more, p), c.allowed()
}

func (c *call) orgExists(org domain.OrgID) error {
	return c.config.State.Directory(org, func(d *domain.Directory) error {
		if !d.Exists() {
			return errNotFound("organization")
		}
		return nil
	})
}

func itemPage(rows []domain.ScopeState, more bool, p page) answer {
	items := make([]wire.DirectoryItem, 0, len(rows))
	for _, s := range rows {
		items = append(items, itemOf(s))
	}
	a := success(items)
	if more && len(rows) > 0 {
		a.page = p.next(rows[len(rows)-1].Scope.ID)
	}
	return a
}
