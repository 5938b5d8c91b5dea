package domain

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Expectation is the precondition of a write (If-Match). Its zero value
// expects nothing.
type Expectation struct {
	// Any expects that the secret exists, at whatever version ("*").
	Any bool
	// Version expects exactly this version, when not 0.
	Version uint64
}

func (x Expectation) none() bool { return !x.Any && x.Version == 0 }

func (x Expectation) check(version uint64) error {
	if x.Version != 0 && x.Version != version {
		return Errorf(CodeVersionMismatch, "the secret is at version %d", version)
	}
	return nil
}

// SecretCommand asks for a change of one secret. Values in it are [Plaintext]
// or [Envelope].
//
//sumtype:decl
type SecretCommand interface{ secretCommand() }

type (
	// CreateSecret asks for a new secret.
	CreateSecret struct {
		Name     string
		Category string
		Tags     []string // as ParseTags gives them
		Fields   []Field  // distinct keys
		Expect   Expectation
	}
	// SetField asks for a field's value.
	SetField struct {
		Field  Field
		Expect Expectation
	}
	// RemoveField asks that a field be gone.
	RemoveField struct {
		Key    FieldKey
		Expect Expectation
	}
	// UpdateMetadata asks for other metadata; nil leaves a member as it is.
	UpdateMetadata struct {
		Name        *string
		Category    *string
		Tags        *[]string    // as ParseTags gives them
		RotateEvery *RotateEvery // 0 takes it away
		ExpiresAt   *time.Time   // as ParseExpiry gives it; zero takes it away
		Expect      Expectation
	}
	// DeleteSecret asks that the secret be gone and its keys destroyed.
	DeleteSecret struct{ Expect Expectation }
)

func (CreateSecret) secretCommand()   {}
func (SetField) secretCommand()       {}
func (RemoveField) secretCommand()    {}
func (UpdateMetadata) secretCommand() {}
func (DeleteSecret) secretCommand()   {}

// DirectoryCommand asks for a change of an organization's directory. Ids,
// hashes and times in it were made by the caller.
//
//sumtype:decl
type DirectoryCommand interface{ directoryCommand() }

type (
	// CreateScope asks for an org, team, project or agent.
	CreateScope struct {
		Scope  Scope
		Name   string
		TeamID string // of a project, optional
	}
	// RenameScope asks for another name.
	RenameScope struct {
		Scope Scope
		Name  string
	}
	// SetArchived asks that a scope be archived, or not.
	SetArchived struct {
		Scope    Scope
		Archived bool
	}
	// GrantMembership asks for a role on a scope.
	GrantMembership struct {
		Agent AgentID
		Scope Scope
		Role  Role
	}
	// RevokeMembership asks that a role be gone. An empty Role means the
	// ranked one.
	RevokeMembership struct {
		Agent AgentID
		Scope Scope
		Role  Role
	}
	// IssueKey asks for an API key.
	IssueKey struct {
		ID        APIKeyID
		Agent     AgentID
		LookupID  string
		Hash      [32]byte
		ExpiresAt time.Time // zero: never
		Note      string
	}
	// RevokeKey asks that an API key stop working.
	RevokeKey struct {
		ID    APIKeyID
		Agent AgentID
	}
)

func (CreateScope) directoryCommand()      {}
func (RenameScope) directoryCommand()      {}
func (SetArchived) directoryCommand()      {}
func (GrantMembership) directoryCommand()  {}
func (RevokeMembership) directoryCommand() {}
func (IssueKey) directoryCommand()         {}
func (RevokeKey) directoryCommand()        {}

// ParseName accepts 1 to 256 characters without control characters. A longer
// one is too_long, anything else invalid_request.
func ParseName(s string) (string, error) { return parseText(s, "a name", MaxNameLen) }

// ParseCategory accepts ^[a-z][a-z0-9_]{0,63}$. A longer one is too_long,
// anything else invalid_request.
func ParseCategory(s string) (string, error) {
	if len(s) > MaxCategory {
		return "", Errorf(CodeTooLong, "a category has at most %d characters", MaxCategory)
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || i > 0 && (c == '_' || '0' <= c && c <= '9')) {
			return "", Errorf(CodeInvalidRequest, "a category is a-z, then a-z 0-9 _")
		}
	}
	if s == "" {
		return "", Errorf(CodeInvalidRequest, "a category is a-z, then a-z 0-9 _")
	}
	return s, nil
}

// ParseTag accepts 1 to 64 characters without control characters or commas.
// A longer one is too_long, anything else invalid_request.
func ParseTag(s string) (string, error) {
	if strings.Contains(s, ",") {
		return "", Errorf(CodeInvalidRequest, "a tag has no comma")
	}
	return parseText(s, "a tag", MaxTagLen)
}

// ParseTags accepts at most 32 unique tags and gives them sorted, nil for
// none.
func ParseTags(tags []string) ([]string, error) {
	if len(tags) > MaxTags {
		return nil, Errorf(CodeTooLong, "a secret has at most %d tags", MaxTags)
	}
	if len(tags) == 0 {
		return nil, nil
	}
	for _, t := range tags {
		if _, err := ParseTag(t); err != nil {
			return nil, err
		}
	}
	sorted := slices.Clone(tags)
	slices.Sort(sorted)
	if len(slices.Compact(slices.Clone(sorted))) != len(sorted) {
		return nil, Errorf(CodeInvalidRequest, "tags are unique")
	}
	return sorted, nil
}

// ParseNote accepts up to 256 characters without control characters.
func ParseNote(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parseText(s, "a note", MaxKeyNote)
}

func parseText(s, what string, limit int) (string, error) {
	switch {
	case s == "":
		return "", Errorf(CodeInvalidRequest, "%s must not be empty", what)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "", Errorf(CodeInvalidRequest, "%s has no control characters", what)
	case utf8.RuneCountInString(s) > limit:
		return "", Errorf(CodeTooLong, "%s has at most %d characters", what, limit)
	}
	return s, nil
}
