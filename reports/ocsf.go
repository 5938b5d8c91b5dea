package reports

import (
	"io"
	"net/netip"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// ocsfFormat is OCSF 1.6.0 as JSON Lines: a line a record, in the classes API
// Activity (6003), Datastore Activity (6005) and Entity Management (3004). A
// row that sums up records is an aggregate: the last record with count,
// start_time and end_time. Names of agents and scopes are those of the report's
// columns. The manifest stands beside the file: see [ManifestSuffix].
//
// Source: https://schema.ocsf.io/1.6.0/.
type ocsfFormat struct{}

// ocsfVersion is the version of the schema. Records use no attribute and no
// number that it does not know, nor one that it calls deprecated.
const ocsfVersion = "1.6.0"

// Name implements [Format].
func (ocsfFormat) Name() string { return "ocsf" }

// ContentType implements [Format].
func (ocsfFormat) ContentType() string { return "application/jsonl" }

// Extension implements [Format].
func (ocsfFormat) Extension() string { return "ocsf.jsonl" }

// Encode implements [Format].
func (ocsfFormat) Encode(w io.Writer) Encoder { return &ocsfEncoder{w: w} }

func (ocsfFormat) takes(k recordKind) bool { return k != noRecords }

type ocsfEncoder struct {
	w      io.Writer
	header Header
}

// Begin implements [Encoder].
func (e *ocsfEncoder) Begin(h Header) error {
	e.header = h
	return nil
}

// Row implements [Encoder].
func (e *ocsfEncoder) Row(r Row) error {
	names := ocsfNames{actor: e.cell(r, "actorName"), scope: e.cell(r, "scopeName")}
	var o ocsfRecord
	if r.Event != nil {
		o = ocsfOfEvent(*r.Event, names)
	} else {
		o = ocsfOfAccess(*r.Access, names)
	}
	o.aggregate(r)
	if e.header.Query.Sample > 0 {
		o.Unmapped.Ordinal = r.Ordinal
	}
	line, err := marshal(o)
	if err != nil {
		return err
	}
	_, err = e.w.Write(append(line, '\n'))
	return err
}

// cell gives the text of a column that a report may not have.
func (e *ocsfEncoder) cell(r Row, column string) string {
	for i, c := range e.header.Columns {
		if c.Name == column {
			return r.Values[i].String()
		}
	}
	return ""
}

// Flush implements [Encoder].
func (e *ocsfEncoder) Flush() error { return nil }

// End implements [Encoder].
func (e *ocsfEncoder) End(Manifest) error { return nil }

// ocsfNames are what the agent and the scope of a record are called.
type ocsfNames struct{ actor, scope string }

// aggregate makes the record one of several, if its row sums up more.
func (o *ocsfRecord) aggregate(r Row) {
	if r.Count <= 1 {
		return
	}
	end := o.Time
	if o.EndTime != nil {
		end = *o.EndTime
	}
	start := r.Since.UnixMilli()
	o.Count, o.Time, o.StartTime, o.EndTime = r.Count, start, &start, &end
}

// act is a class and one of its activities.
type act struct {
	class    int
	activity int
	name     string // the activity's caption in the schema
}

// The classes.
const (
	classEntity    = 3004
	classAPI       = 6003
	classDatastore = 6005
)

// other is an activity that the class has no number for: its name is ours.
func other(class int, name string) act { return act{class, 99, name} }

// record fills what every record has. at is the folded time.
func (a act) record(at, original time.Time) ocsfRecord {
	o := ocsfRecord{
		ActivityID: a.activity, ActivityName: a.name, ClassUID: a.class, TypeUID: a.class*100 + a.activity,
		CategoryUID: a.class / 1000, CategoryName: "Application Activity", Time: at.UnixMilli(),
		Metadata: ocsfMetadata{
			Version: ocsfVersion, Product: ocsfProduct{Name: "Chancery", VendorName: "Chancery"}, LogProvider: "chancery",
			OriginalTime: stamp(original),
		},
	}
	switch a.class {
	case classEntity:
		o.ClassName, o.CategoryName = "Entity Management", "Identity & Access Management"
	case classAPI:
		o.ClassName = "API Activity"
	case classDatastore:
		o.ClassName = "Datastore Activity"
		o.TypeID, o.Type = 1, "Database"
	}
	return o
}

// outcome sets status and severity: a refusal is Medium, what failed is Low.
func (o *ocsfRecord) outcome(out domain.Outcome, code domain.Code, rule domain.Rule) {
	o.StatusCode, o.StatusDetail = string(code), string(rule)
	o.StatusID, o.Status, o.SeverityID, o.Severity = 1, "Success", 1, "Informational"
	switch out {
	case domain.OutcomeDenied:
		o.StatusID, o.Status, o.SeverityID, o.Severity = 2, "Failure", 3, "Medium"
	case domain.OutcomeFailed:
		o.StatusID, o.Status, o.SeverityID, o.Severity = 2, "Failure", 2, "Low"
	case domain.OutcomeAllowed:
	}
}

// from sets who asked, from where and with which program.
func (o *ocsfRecord) from(a domain.Actor, org domain.OrgID, name string, from domain.Origin, method, route string) {
	user := &ocsfUser{UID: a.ID, Name: name}
	switch a.Kind {
	case domain.ActorAgent:
		user.TypeID, user.Type = 99, "Agent"
	case domain.ActorSystem:
		user.TypeID, user.Type = 3, "System"
	default: // nobody was authenticated
		user.Name, user.Type = "unauthenticated", "Unknown"
	}
	if org != "" {
		user.Org = &ocsfNamed{UID: string(org)}
	}
	if a.KeyID != "" {
		user.Credentials = []ocsfCredential{{UID: string(a.KeyID), Type: "API key"}}
	}
	o.Actor = &ocsfActor{User: user}
	o.Source = endpointOf(from.ClientIP, a.Kind)
	if method != "" || from.UserAgent != "" || from.RequestID != "" {
		o.HTTP = &ocsfHTTP{Method: method, UserAgent: from.UserAgent, UID: from.RequestID}
		if route != "" {
			o.HTTP.URL = &ocsfURL{Path: route}
		}
	}
	o.Unmapped.Reason, o.Unmapped.RunID = from.Reason, from.RunID
}

// endpointOf gives where a request came from: an address, or a name for a
// network of them (in summaries) and for the server's own doing.
func endpointOf(address string, kind domain.ActorKind) *ocsfEndpoint {
	if ip, err := netip.ParseAddr(address); err == nil {
		return &ocsfEndpoint{IP: ip.String()}
	}
	switch {
	case address != "":
		return &ocsfEndpoint{Name: address}
	case kind == domain.ActorSystem:
		return &ocsfEndpoint{ServiceName: "chancery"}
	}
	return &ocsfEndpoint{Name: "unknown"}
}

// at sets the datastore: the organization's store and, as its table, the
// secret.
func (o *ocsfRecord) at(org domain.OrgID, scope domain.Scope, secret domain.SecretID) {
	o.Database = &ocsfDatabase{Name: "chancery", UID: string(org), TypeID: 99, Type: "Secrets store"}
	if path := pathOf(scope, secret); path != "" {
		o.Table = &ocsfNamed{Name: string(secret), UID: path}
	}
}

// pathOf gives scope/id/secret, as far as it goes.
func pathOf(scope domain.Scope, secret domain.SecretID) string {
	if scope == (domain.Scope{}) {
		return ""
	}
	path := string(scope.Kind) + "/" + scope.ID
	if secret != "" {
		path += "/" + string(secret)
	}
	return path
}

// place names the record in its log.
func (m *ocsfMetadata) place(log, uid, code string, position uint64, org domain.OrgID, requestID string) {
	m.LogName, m.UID, m.EventCode, m.Sequence = log, uid, code, position
	m.TenantUID, m.CorrelationUID = string(org), requestID
	m.LogVersion = "1"
}
