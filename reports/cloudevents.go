package reports

import (
	"io"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// cloudeventsFormat is JSON Lines of structured CloudEvents 1.0. A row of an
// event is the event's exact record, the bytes that the log's tree and its feeds
// hold; a row of an access is made from its record: see [accessEvent]. The
// manifest stands beside the file: see [ManifestSuffix].
//
// Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md.
type cloudeventsFormat struct{}

// Name implements [Format].
func (cloudeventsFormat) Name() string { return "cloudevents" }

// ContentType implements [Format].
func (cloudeventsFormat) ContentType() string { return "application/jsonl" }

// Extension implements [Format].
func (cloudeventsFormat) Extension() string { return "cloudevents.jsonl" }

// Encode implements [Format].
func (cloudeventsFormat) Encode(w io.Writer) Encoder { return &cloudeventsEncoder{w: w} }

// takes implements recordFormat: a sum is no event, and must not look like one.
func (cloudeventsFormat) takes(k recordKind) bool { return k == oneRecord }

type cloudeventsEncoder struct{ w io.Writer }

// Begin implements [Encoder].
func (e *cloudeventsEncoder) Begin(Header) error { return nil }

// Row implements [Encoder].
func (e *cloudeventsEncoder) Row(r Row) error {
	var line []byte
	if r.Event != nil {
		line = append(line, r.Event.Raw...)
	} else {
		text, err := marshal(cloudEventOf(*r.Access))
		if err != nil {
			return err
		}
		line = text
	}
	_, err := e.w.Write(append(line, '\n'))
	return err
}

// Flush implements [Encoder].
func (e *cloudeventsEncoder) Flush() error { return nil }

// End implements [Encoder].
func (e *cloudeventsEncoder) End(Manifest) error { return nil }

// accessEvent is an access record as a CloudEvent: its type is
// chancery.access.<action>, its id the place in the access log. Ids of events
// are ULIDs, so the two share a source without a clash.
type accessEvent struct {
	SpecVersion     string     `json:"specversion"`
	ID              string     `json:"id"`
	Source          string     `json:"source"`
	Type            string     `json:"type"`
	Subject         string     `json:"subject,omitempty"`
	Time            string     `json:"time"`
	DataContentType string     `json:"datacontenttype"`
	Data            accessData `json:"data"`
}

// accessData has the members of a record in the access log, in their order.
type accessData struct {
	V              int              `json:"v"`
	Time           string           `json:"time"`
	Until          string           `json:"until,omitempty"`
	Count          uint64           `json:"count,omitempty"`
	Org            domain.OrgID     `json:"org,omitempty"`
	Target         domain.OrgID     `json:"target,omitempty"`
	Actor          *actorData       `json:"actor,omitempty"`
	Action         string           `json:"action,omitempty"`
	Scope          domain.ScopeKind `json:"scope,omitempty"`
	ScopeID        string           `json:"scopeId,omitempty"`
	SecretID       domain.SecretID  `json:"secretId,omitempty"`
	Field          domain.FieldKey  `json:"field,omitempty"`
	Detail         string           `json:"detail,omitempty"`
	Outcome        domain.Outcome   `json:"outcome,omitempty"`
	Code           domain.Code      `json:"code,omitempty"`
	Rule           domain.Rule      `json:"rule,omitempty"`
	Method         string           `json:"method,omitempty"`
	Route          string           `json:"route,omitempty"`
	RequestID      string           `json:"requestId,omitempty"`
	ClientIP       string           `json:"clientIp,omitempty"`
	UserAgent      string           `json:"userAgent,omitempty"`
	Reason         string           `json:"reason,omitempty"`
	RunID          string           `json:"runId,omitempty"`
	IdempotencyKey string           `json:"idempotencyKey,omitempty"`
	TraceID        string           `json:"traceId,omitempty"`
}

type actorData struct {
	Kind  domain.ActorKind `json:"kind,omitempty"`
	ID    string           `json:"id,omitempty"`
	KeyID domain.APIKeyID  `json:"keyId,omitempty"`
}

func cloudEventOf(a domain.AccessEntry) accessEvent {
	e := accessEvent{
		SpecVersion: "1.0", ID: placeText(a.Place), Source: "chancery", Type: "chancery.access." + a.Action,
		Subject: accessSubject(a.Access), Time: a.Time.UTC().Format(timeLayout), DataContentType: "application/json",
		Data: accessData{
			V: 1, Time: a.Time.UTC().Format(timeLayout), Until: millis(a.Until), Count: a.Count, Org: a.Org, Target: a.Target,
			Action: a.Action, Scope: a.Scope.Kind, ScopeID: a.Scope.ID, SecretID: a.Secret, Field: a.Field, Detail: a.Detail,
			Outcome: a.Outcome, Code: a.Code, Rule: a.Rule, Method: a.Method, Route: a.Route, RequestID: a.Origin.RequestID,
			ClientIP: a.Origin.ClientIP, UserAgent: a.Origin.UserAgent, Reason: a.Origin.Reason, RunID: a.Origin.RunID,
			IdempotencyKey: a.Origin.IdempotencyKey, TraceID: a.TraceID,
		},
	}
	if a.Actor != (domain.Actor{}) {
		e.Data.Actor = &actorData{a.Actor.Kind, a.Actor.ID, a.Actor.KeyID}
	}
	return e
}

// accessSubject is formed as the subjects of events are: organization, scope,
// its id, secret, as far as they are known.
func accessSubject(a domain.Access) string {
	subject := string(a.Target)
	for _, part := range []string{string(a.Scope.Kind), a.Scope.ID, string(a.Secret)} {
		if subject == "" || part == "" {
			return subject
		}
		subject += "." + part
	}
	return subject
}

func millis(t time.Time) string { return Time(t).String() }
