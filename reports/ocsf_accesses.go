package reports

import (
	"cmp"

	"github.com/chancery-dev/chancery/domain"
)

// ocsfOfAccess gives an access as a record: what touched secrets is Datastore
// Activity, anything else API Activity.
func ocsfOfAccess(a domain.AccessEntry, names ocsfNames) ocsfRecord {
	o := actOfAccess(a.Access).record(a.Time, a.Time)
	o.outcome(a.Outcome, a.Code, a.Rule)
	o.from(a.Actor, a.Org, names.actor, a.Origin, a.Method, a.Route)
	o.Metadata.place(LogAccess, placeText(a.Place), a.Action, a.Place.Position, cmp.Or(a.Target, a.Org), a.Origin.RequestID)
	u := &o.Unmapped
	u.Action, u.Field, u.Detail, u.TraceID, u.ScopeName = a.Action, string(a.Field), a.Detail, a.TraceID, names.scope
	if a.Target != a.Org {
		u.Org = string(a.Target)
	}
	if !a.Until.IsZero() {
		end := a.Until.UnixMilli()
		o.EndTime = &end
	}
	path := pathOf(a.Scope, a.Secret)
	o.Message = a.Action + " " + string(a.Outcome)
	if path != "" {
		o.Message += " " + path
	}
	if o.ClassUID == classDatastore {
		o.at(a.Target, a.Scope, a.Secret)
		return o
	}
	o.API = &ocsfAPI{Operation: a.Action, Service: &ocsfNamed{Name: "chancery"}}
	if a.Origin.RequestID != "" {
		o.API.Request = &ocsfRequest{UID: a.Origin.RequestID}
	}
	switch {
	case a.Secret != "":
		o.Resources = []ocsfResource{{UID: path, Name: string(a.Secret), Type: "secret"}}
	case path != "":
		o.Resources = []ocsfResource{{UID: path, Name: names.scope, Type: string(a.Scope.Kind)}}
	case a.Target != "":
		o.Resources = []ocsfResource{{UID: string(a.Target), Type: "org"}}
	}
	return o
}

// actOfAccess maps actions to activities. The server may come to know more
// actions: those are API Activity, Other.
func actOfAccess(a domain.Access) act {
	switch a.Action {
	case string(domain.ActionRead):
		return act{classDatastore, 1, "Read"}
	case string(domain.ActionRelease):
		return act{classDatastore, 10, "Decrypt"}
	case string(domain.ActionMint):
		return act{classDatastore, 9, "Encrypt"}
	case string(domain.ActionList):
		return act{classDatastore, 8, "List"}
	case string(domain.ActionHistory):
		return act{classDatastore, 4, "Query"}
	case string(domain.ActionWrite):
		return act{classDatastore, 5, "Write"}
	case string(domain.ActionRemove):
		return act{classDatastore, 7, "Delete"}
	case domain.AccessSubscribe:
		return act{classDatastore, 3, "Connect"}
	case domain.AccessAudit, domain.AccessReport, domain.AccessExport:
		return act{classAPI, 2, "Read"}
	case string(domain.ActionManage), domain.AccessAdmin, domain.AccessConfigure:
		return actOfMethod(a)
	}
	return other(classAPI, a.Action)
}

func actOfMethod(a domain.Access) act {
	switch a.Method {
	case "GET", "HEAD":
		return act{classAPI, 2, "Read"}
	case "POST":
		return act{classAPI, 1, "Create"}
	case "PUT", "PATCH":
		return act{classAPI, 3, "Update"}
	case "DELETE":
		return act{classAPI, 4, "Delete"}
	}
	return other(classAPI, a.Action)
}
