package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

const pathsHelp = `A secret lies in a scope: an organization, a team, a project, or the agent
itself. "chancery scopes" lists yours.

  SCOPE   agent                    the caller's own scope
          org                      the caller's organization
          project/proj_01J…        a project; the kind may be left out: proj_01J…
          team/team_01J…           a team; or team_01J…
          agent/agt_01J…, org/org_01J…
  PATH    SCOPE/SECRET             such as agent/stripe, proj_01J…/stripe
  FIELD   a field of the secret    such as api_key

A secret's id has 1 to 128 of A-Z a-z 0-9 _ - and starts with a letter or digit;
a field may also have dots.`

// scopeArg is a scope as it was typed; an empty id means the caller's own.
type scopeArg struct {
	kind domain.ScopeKind
	id   string
}

// parseScopeArg reads SCOPE as `chancery help paths` describes it.
func parseScopeArg(text string) (scopeArg, error) {
	kind, id, both := strings.Cut(text, "/")
	if !both {
		for _, k := range []domain.ScopeKind{domain.ScopeAgent, domain.ScopeProject, domain.ScopeTeam, domain.ScopeOrg} {
			if strings.HasPrefix(text, k.Prefix()) {
				return scopeOf(k, text)
			}
		}
		switch k := domain.ScopeKind(text); k {
		case domain.ScopeAgent, domain.ScopeOrg:
			return scopeArg{kind: k}, nil
		case domain.ScopeTeam, domain.ScopeProject:
			return scopeArg{}, usagef("a %s is named with its id: %s/%s… (chancery scopes lists yours)", k, k, k.Prefix())
		}
		return scopeArg{}, usagef("no scope: want agent, org, project/ID or team/ID (see chancery help paths)")
	}
	return scopeOf(domain.ScopeKind(kind), id)
}

func scopeOf(kind domain.ScopeKind, id string) (scopeArg, error) {
	s, err := domain.ParseScope(string(kind), id)
	if err != nil {
		return scopeArg{}, usagef("no scope: want agent, org, project/ID or team/ID (see chancery help paths)")
	}
	return scopeArg{kind: s.Kind, id: s.ID}, nil
}

// secretArg is a secret as it was typed.
type secretArg struct {
	scope scopeArg
	id    domain.SecretID
}

// parsePath reads PATH: SCOPE/SECRET.
func parsePath(text string) (secretArg, error) {
	at := strings.LastIndexByte(text, '/')
	if at < 0 {
		return secretArg{}, usagef("PATH is SCOPE/SECRET, such as agent/stripe (see chancery help paths)")
	}
	head, tail := text[:at], text[at+1:]
	if k := domain.ScopeKind(head); k.Prefix() != "" && strings.HasPrefix(tail, k.Prefix()) {
		return secretArg{}, usagef("%s names a scope: add /SECRET", text)
	}
	scope, err := parseScopeArg(head)
	if err != nil {
		return secretArg{}, err
	}
	id, err := domain.ParseSecretID(tail)
	if err != nil {
		return secretArg{}, usagef("no secret id at the end of PATH (see chancery help paths)")
	}
	return secretArg{scope: scope, id: id}, nil
}

func parseField(text string) (domain.FieldKey, error) {
	key, err := domain.ParseFieldKey(text)
	if err != nil {
		// What was typed is not repeated: a value may stand where a field
		// belongs.
		return "", usagef("FIELD has 1 to 128 of A-Z a-z 0-9 _ - . and starts with a letter or digit")
	}
	return key, nil
}

// scope gives the scope that was meant, asking who the caller is only when
// its own was.
func (s session) scope(arg scopeArg) (domain.Scope, error) {
	if arg.id != "" {
		return domain.Scope{Kind: arg.kind, ID: arg.id}, nil
	}
	me, err := s.Whoami(s.ctx, s.opts...)
	if err != nil {
		return domain.Scope{}, err
	}
	if arg.kind == domain.ScopeOrg {
		return domain.Scope{Kind: arg.kind, ID: me.OrgID}, nil
	}
	return domain.Scope{Kind: arg.kind, ID: me.AgentID}, nil
}

func (s session) secret(arg secretArg) (client.SecretRef, error) {
	scope, err := s.scope(arg.scope)
	return client.SecretRef{Scope: scope, ID: arg.id}, err
}

// completeScope offers the starts of scopes and paths, and no files.
func completeScope(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"agent", "org", "project/", "team/"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
