package domain

import "strings"

// SubjectPrefix starts the subject of every event.
const SubjectPrefix = "chancery.events."

// Stream names one subject of the log: the unit of versions and of optimistic
// concurrency.
//
//sumtype:decl
type Stream interface {
	// Organization is the org that the stream belongs to.
	Organization() OrgID
	// Subject is the stream's NATS subject after [SubjectPrefix].
	Subject() string
	stream()
}

type (
	// SecretStream holds the events of one secretId, over all its
	// incarnations.
	SecretStream struct{ Ref SecretRef }
	// DirectoryStream holds an organization's scopes, memberships and API
	// keys.
	DirectoryStream struct{ Org OrgID }
	// KeysStream holds what happened to an organization's key material.
	KeysStream struct{ Org OrgID }
)

// Organization implements [Stream].
func (s SecretStream) Organization() OrgID { return s.Ref.Org }

// Subject implements [Stream].
func (s SecretStream) Subject() string {
	return string(s.Ref.Org) + "." + string(s.Ref.Scope.Kind) + "." + s.Ref.Scope.ID + "." + string(s.Ref.ID)
}
func (SecretStream) stream() {}

// Organization implements [Stream].
func (s DirectoryStream) Organization() OrgID { return s.Org }

// Subject implements [Stream].
func (s DirectoryStream) Subject() string { return string(s.Org) + ".directory" }
func (DirectoryStream) stream()           {}

// Organization implements [Stream].
func (s KeysStream) Organization() OrgID { return s.Org }

// Subject implements [Stream].
func (s KeysStream) Subject() string { return string(s.Org) + ".keys" }
func (KeysStream) stream()           {}

// ParseStream reads what Subject writes and nothing else; else invalid_id.
func ParseStream(subject string) (Stream, error) {
	parts := strings.Split(subject, ".")
	org, err := ParseOrgID(parts[0])
	if err != nil {
		return nil, err
	}
	switch {
	case len(parts) == 2 && parts[1] == "directory":
		return DirectoryStream{Org: org}, nil
	case len(parts) == 2 && parts[1] == "keys":
		return KeysStream{Org: org}, nil
	case len(parts) == 4:
		scope, err := ParseScope(parts[1], parts[2])
		if err != nil {
			return nil, err
		}
		id, err := ParseSecretID(parts[3])
		if err != nil {
			return nil, err
		}
		return SecretStream{Ref: SecretRef{Org: org, Scope: scope, ID: id}}, nil
	default:
		return nil, Errorf(CodeInvalidID, "not the subject of a stream")
	}
}
