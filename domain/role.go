package domain

// Role is what a membership allows.
type Role string

// The roles. Viewer to manager are ranked, each including the one before.
// Auditor and admin stand on the org only, beside a ranked role.
const (
	RoleViewer  Role = "viewer"
	RoleReader  Role = "reader"
	RoleWriter  Role = "writer"
	RoleManager Role = "manager"
	RoleAuditor Role = "auditor"
	RoleAdmin   Role = "admin"
)

// ParseRole accepts the six roles; else invalid_request.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case RoleViewer, RoleReader, RoleWriter, RoleManager, RoleAuditor, RoleAdmin:
		return r, nil
	default:
		return "", Errorf(CodeInvalidRequest, "a role is one of viewer, reader, writer, manager, auditor, admin")
	}
}

// Ranked says whether the role is one of viewer, reader, writer, manager.
func (r Role) Ranked() bool { return r.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case RoleViewer:
		return 1
	case RoleReader:
		return 2
	case RoleWriter:
		return 3
	case RoleManager:
		return 4
	case RoleAuditor, RoleAdmin:
	}
	return 0
}

// atMost gives the lower of two ranked roles.
func (r Role) atMost(other Role) Role {
	if other.rank() < r.rank() {
		return other
	}
	return r
}
