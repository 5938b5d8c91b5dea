package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// ocsfSchema is the frozen excerpt of the published schema: see "source" in
// testdata/ocsf-schema-1.6.0.json.
type ocsfSchema struct {
	Version string
	Classes map[string]struct {
		ocsfObject
		Caption      string
		CategoryUID  float64 `json:"category_uid"`
		CategoryName string  `json:"category_name"`
	}
	Objects map[string]ocsfObject
}

type ocsfObject struct {
	AtLeastOne []string `json:"at_least_one"`
	Attributes map[string]ocsfAttribute
}

type ocsfAttribute struct {
	Type                        string
	Array, Required, Deprecated bool
	Enum                        map[string]string
}

func readSchema(t testing.TB) *ocsfSchema {
	text, err := os.ReadFile("testdata/ocsf-schema-" + ocsfVersion + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s := &ocsfSchema{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check gives what is wrong with a record.
func (s *ocsfSchema) check(line []byte) (faults []string) {
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		return []string{err.Error()}
	}
	uid, _ := record["class_uid"].(float64)
	class, ok := s.Classes[number(uid)]
	if !ok {
		return []string{"unknown class " + number(uid)}
	}
	faults = s.object("", class.ocsfObject, record)
	activity, _ := record["activity_id"].(float64)
	want := map[string]any{
		"class_name": class.Caption, "category_uid": class.CategoryUID, "category_name": class.CategoryName,
		"type_uid": uid*100 + activity,
	}
	if activity != 99 {
		want["activity_name"] = class.Attributes["activity_id"].Enum[number(activity)]
	}
	for _, name := range []string{"severity", "status"} {
		id, _ := record[name+"_id"].(float64)
		want[name] = class.Attributes[name+"_id"].Enum[number(id)]
	}
	for name, v := range want {
		if record[name] != v {
			faults = append(faults, fmt.Sprintf("%s is %v, not %v", name, record[name], v))
		}
	}
	if metadata, _ := record["metadata"].(map[string]any); metadata["version"] != s.Version {
		faults = append(faults, "another version")
	}
	return faults
}

func (s *ocsfSchema) object(at string, o ocsfObject, v map[string]any) (faults []string) {
	fault := func(name, what string) { faults = append(faults, at+"."+name+" "+what) }
	for name, a := range o.Attributes {
		if _, ok := v[name]; a.Required && !ok {
			fault(name, "is required")
		}
	}
	if len(o.AtLeastOne) > 0 && !slices.ContainsFunc(o.AtLeastOne, func(name string) bool { return v[name] != nil }) {
		fault("", fmt.Sprintf("has none of %v", o.AtLeastOne))
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		a, ok := o.Attributes[name]
		switch {
		case !ok:
			fault(name, "is unknown")
			continue
		case a.Deprecated:
			fault(name, "is deprecated")
		}
		items := []any{v[name]}
		if a.Array {
			items, _ = v[name].([]any)
			if len(items) == 0 {
				fault(name, "is no list, or an empty one")
			}
		}
		for _, item := range items {
			faults = append(faults, s.value(at+"."+name, a, item)...)
		}
	}
	return faults
}

func (s *ocsfSchema) value(at string, a ocsfAttribute, v any) (faults []string) {
	fault := func(what string) { faults = append(faults, fmt.Sprintf("%s is %s: %v", at, what, v)) }
	switch a.Type {
	case "integer_t", "long_t", "timestamp_t":
		n, ok := v.(float64)
		if !ok || n != math.Trunc(n) {
			fault("no whole number")
		}
		if _, known := a.Enum[number(n)]; len(a.Enum) > 0 && !known {
			fault("not of the enum")
		}
	case "ip_t":
		text, _ := v.(string)
		if _, err := netip.ParseAddr(text); err != nil {
			fault("no address")
		}
	case "json_t", "object":
		if _, ok := v.(map[string]any); !ok {
			fault("no object")
		}
	default:
		if o, ok := s.Objects[a.Type]; ok {
			members, ok := v.(map[string]any)
			if !ok {
				fault("no object")
			}
			return append(faults, s.object(at, o, members)...)
		}
		text, ok := v.(string)
		if !strings.HasSuffix(a.Type, "_t") || !ok || text == "" {
			fault("no text")
		}
		if _, known := a.Enum[text]; len(a.Enum) > 0 && !known {
			fault("not of the enum")
		}
	}
	return faults
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// TestOCSFFollowsTheSchema validates every record of every report: required
// attributes, constraints, types, numbers of enums and their captions; no
// attribute is unknown or deprecated. Every event type is among them
// (invariant 10).
func TestOCSFFollowsTheSchema(t *testing.T) {
	schema, source := readSchema(t), scenario(t)
	types := map[string]bool{}
	for _, name := range Names() {
		if !written(name.Name, ocsfFormat{}) {
			continue
		}
		text, _ := run(t, source, domain.ReportQuery{Name: name.Name, Format: "ocsf"})
		for line := range strings.Lines(text) {
			if faults := schema.check([]byte(line)); len(faults) > 0 {
				t.Errorf("%s: %v\n%s", name.Name, faults, line)
			}
			var o ocsfRecord
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatal(err)
			}
			if name.Name == "changes" {
				types[o.Metadata.EventCode] = true
				if o.ActivityID == 99 {
					t.Errorf("no activity for %s", o.Metadata.EventCode)
				}
			}
		}
	}
	if len(types) != 28 {
		t.Errorf("%d types", len(types))
	}
}

// TestSchemaCheckCanFail verifies that the check refuses what is wrong.
func TestSchemaCheckCanFail(t *testing.T) {
	schema := readSchema(t)
	text, _ := run(t, scenario(t), domain.ReportQuery{Name: "accesses", Format: "ocsf"})
	lines := strings.SplitAfter(text, "\n")
	read := lines[1]
	if faults := schema.check([]byte(read)); len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, change := range [][2]string{
		{`"src_endpoint"`, `"src"`},
		{`"class_uid":6005`, `"class_uid":6003`},
		{`"activity_id":1`, `"activity_id":11`},
		{`"http_method":"GET"`, `"http_method":"FETCH"`},
		{`"ip":"192.0.2.9"`, `"ip":"192.0.2.0/24"`},
		{`"type_uid":600501`, `"type_uid":600502`},
		{`"severity":"Informational"`, `"severity":"Low"`},
		{`"vendor_name":"Chancery"`, `"vendor_name":""`},
		{`"time":`, `"time":0.`},
		{`"database"`, `"databases"`},
		{`"version":"1.6.0"`, `"version":"1.5.0"`},
		{`"programmatic_credentials"`, `"credential_uid"`},
	} {
		changed := strings.Replace(read, change[0], change[1], 1)
		if changed == read {
			t.Fatalf("%s is not in\n%s", change[0], read)
		}
		if faults := schema.check([]byte(changed)); len(faults) == 0 {
			t.Errorf("%s for %s passes", change[1], change[0])
		}
	}
}

// drawAccess gives any record, also such as the server does not write.
func drawAccess(t *rapid.T) domain.Access {
	text := rapid.OneOf(rapid.Just(""), rapid.String())
	a := domain.Access{
		Org: domain.OrgID(text.Draw(t, "org")), Target: domain.OrgID(text.Draw(t, "target")),
		Actor:  domain.Actor{Kind: rapid.SampledFrom([]domain.ActorKind{"", domain.ActorAgent, domain.ActorSystem}).Draw(t, "kind")},
		Action: rapid.SampledFrom(actions()).Draw(t, "action"), Detail: text.Draw(t, "detail"),
		Outcome: rapid.SampledFrom([]domain.Outcome{domain.OutcomeAllowed, domain.OutcomeDenied, domain.OutcomeFailed}).Draw(t, "outcome"),
		Method:  rapid.SampledFrom([]string{"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}).Draw(t, "method"),
		Route:   text.Draw(t, "route"), TraceID: text.Draw(t, "trace"),
		Origin: domain.Origin{
			ClientIP:  rapid.SampledFrom([]string{"", "192.0.2.1", "2001:db8::/64", "::1"}).Draw(t, "ip"),
			RequestID: text.Draw(t, "request"), UserAgent: text.Draw(t, "agent"), Reason: text.Draw(t, "reason"),
		},
		Time: start.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "time")) * time.Millisecond),
	}
	if a.Actor.Kind != "" {
		a.Actor.ID = rapid.StringMatching("[a-z]{1,9}").Draw(t, "actor")
	}
	if rapid.Bool().Draw(t, "scoped") {
		a.Scope, a.Secret = scope(domain.ScopeProject, proj), domain.SecretID(text.Draw(t, "secret"))
	}
	if rapid.Bool().Draw(t, "summary") {
		a.Count, a.Until = rapid.Uint64Range(1, 1e6).Draw(t, "count"), a.Time.Add(time.Minute)
	}
	return a
}

func actions() []string {
	return []string{
		string(domain.ActionList), string(domain.ActionHistory), string(domain.ActionRead), string(domain.ActionRelease),
		string(domain.ActionWrite), string(domain.ActionRemove), string(domain.ActionMint), string(domain.ActionManage),
		domain.AccessAuthenticate, domain.AccessAdmin, domain.AccessSubscribe, domain.AccessAudit, domain.AccessReport,
		domain.AccessExport, domain.AccessStart, domain.AccessStop, domain.AccessConfigure, "of a later version",
	}
}

// TestOCSFOfAnyAccess validates records of accesses of any form.
func TestOCSFOfAnyAccess(t *testing.T) {
	schema := readSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		a := domain.AccessEntry{Access: drawAccess(t), Place: domain.AccessPlace{Position: 1}}
		var b bytes.Buffer
		e := ocsfFormat{}.Encode(&b)
		if err := e.Row(Row{Access: &a, Count: accessCount(a.Access), Since: a.Time}); err != nil {
			t.Fatal(err)
		}
		if faults := schema.check(b.Bytes()); len(faults) > 0 {
			t.Fatalf("%v\n%s", faults, b.String())
		}
		if strings.Count(b.String(), "\n") != 1 {
			t.Fatalf("a record is not a line: %q", b.String())
		}
	})
}

// TestOCSFActivities holds what sets alerts off: class and activity of reads,
// releases, mints and refusals, and sums.
func TestOCSFActivities(t *testing.T) {
	for _, c := range []struct {
		action, method string
		want           int
	}{
		{"read", "GET", 600501},
		{"release", "POST", 600510},
		{"mint", "POST", 600509},
		{"list", "GET", 600508},
		{"history", "GET", 600504},
		{"write", "PUT", 600505},
		{"remove", "DELETE", 600507},
		{"subscribe", "GET", 600503},
		{"audit", "GET", 600302},
		{"manage", "PUT", 600303},
		{"manage", "DELETE", 600304},
		{"admin", "POST", 600301},
		{"authenticate", "GET", 600399},
		{"start", "", 600399},
	} {
		o := ocsfOfAccess(domain.AccessEntry{Access: domain.Access{Action: c.action, Method: c.method, Time: start}}, ocsfNames{})
		if o.TypeUID != c.want {
			t.Errorf("%s %s is %d, want %d", c.method, c.action, o.TypeUID, c.want)
		}
	}
	text, _ := run(t, scenario(t), domain.ReportQuery{Name: "denials", Format: "ocsf"})
	var denied ocsfRecord
	if err := json.Unmarshal([]byte(strings.SplitAfter(text, "\n")[0]), &denied); err != nil {
		t.Fatal(err)
	}
	if denied.StatusID != 2 || denied.StatusCode != "forbidden" || denied.StatusDetail != "no_membership" || denied.SeverityID != 3 ||
		denied.Count != 7 || denied.Time != *denied.StartTime || *denied.EndTime-denied.Time != time.Hour.Milliseconds() {
		t.Errorf("%+v", denied)
	}
}

// TestFormatsThatWriteRecords verifies that a report without records is
// refused, with the formats it has.
func TestFormatsThatWriteRecords(t *testing.T) {
	source := scenario(t)
	for name, refused := range map[string][]string{
		"changes": nil, "accesses": nil, "denials": nil, "admin-actions": nil, "audit-readers": nil,
		"access-by-secret": {"cloudevents"}, "activity-by-agent": {"cloudevents"},
		"state": {"ocsf", "cloudevents"}, "access-matrix": {"ocsf", "cloudevents"}, "integrity": {"ocsf", "cloudevents"},
	} {
		for _, format := range []string{"ocsf", "cloudevents"} {
			_, err := New(source, nil).Prepare(t.Context(), domain.ReportQuery{Name: name, Format: format})
			if got := err != nil; got != slices.Contains(refused, format) {
				t.Errorf("%s as %s: %v", name, format, err)
			}
			if err != nil && !strings.Contains(err.Error(), "table, jsonl, csv") {
				t.Errorf("the formats are not named: %v", err)
			}
		}
	}
}

// TestOCSFNamesSampledRows verifies that a sampled record tells its ordinal.
func TestOCSFNamesSampledRows(t *testing.T) {
	text, m := run(t, scenario(t), domain.ReportQuery{Name: "changes", Format: "ocsf", Sample: 4, Seed: 3})
	last := uint64(0)
	for line := range strings.Lines(text) {
		var o ocsfRecord
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		if o.Unmapped.Ordinal <= last || o.Unmapped.Ordinal > m.Population {
			t.Errorf("ordinal %d after %d", o.Unmapped.Ordinal, last)
		}
		last = o.Unmapped.Ordinal
	}
}
