package reports

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// TestManifestProves verifies what a reader of a report can check: the hash of
// the bytes before the manifest, the count of lines, and the signature.
func TestManifestProves(t *testing.T) {
	text, m := run(t, scenario(t), domain.ReportQuery{Name: "changes", Format: "jsonl"})
	body := text[:m.Bytes]
	sum := sha256.Sum256([]byte(body))
	if hex.EncodeToString(sum[:]) != m.SHA256 || uint64(strings.Count(body, "\n")) != m.Rows || m.Rows != m.Population {
		t.Errorf("the manifest %+v does not say what is there", m)
	}
	var last struct{ Manifest json.RawMessage }
	if err := json.Unmarshal([]byte(text[m.Bytes:]), &last); err != nil {
		t.Fatal(err)
	}
	// By hand, as the documentation says: the manifest without its last member.
	plain, _, ok := strings.Cut(string(last.Manifest), `,"signature":`)
	if !ok {
		t.Fatal("the manifest is not signed")
	}
	key, ok := newTestSigner().key.Public().(ed25519.PublicKey)
	if !ok || !ed25519.Verify(key, []byte(plain+"}"), m.Signature.Ed25519) {
		t.Error("the signature does not verify")
	}
}

// TestSettledQueryGivesTheSameBytes verifies that the positions which a query
// leaves open are settled once: asked again when the log has grown and newer
// checkpoints are there, the settled query gives the same bytes (invariant 1).
func TestSettledQueryGivesTheSameBytes(t *testing.T) {
	whole := scenario(t)
	for _, name := range Names() {
		young := whole
		young.Checkpoints = checkpoints{LogEvents: {{Size: 20, Note: "e20"}}, LogAccess: {{Size: 2, Note: "a2"}}}
		grown := whole
		grown.Checkpoints = checkpoints{LogEvents: {{Size: 20, Note: "e20"}, {Size: 39, Note: "e39"}}, LogAccess: {{Size: 2, Note: "a2"}, {Size: 3, Note: "a3"}}}
		p, err := New(young, nil).Prepare(t.Context(), domain.ReportQuery{Name: name.Name, Format: "jsonl"})
		if err != nil {
			t.Fatal(err)
		}
		if p.Query.Events != 20 {
			t.Errorf("%s takes events to %d", name.Name, p.Query.Events)
		}
		first, _ := run(t, young, p.Query)
		if later, _ := run(t, grown, p.Query); later != first {
			t.Errorf("%s gives other bytes later:\n%s\n%s", name.Name, first, later)
		}
	}
}

// TestManifestAlone verifies that the manifest of a format that carries none is
// the one of the report in that format.
func TestManifestAlone(t *testing.T) {
	s := scenario(t)
	_, want := run(t, s, domain.ReportQuery{Name: "changes", Format: "csv"})
	text, got := run(t, s, domain.ReportQuery{Name: "changes", Format: "csv.manifest"})
	line, err := marshal(struct {
		Manifest Manifest `json:"manifest"`
	}{want})
	if err != nil || text != string(line)+"\n" || got.SHA256 != want.SHA256 {
		t.Errorf("%v: %s\n%s", err, text, line)
	}
}

// TestRefusals verifies what each impossible query is answered with.
func TestRefusals(t *testing.T) {
	s := scenario(t)
	short := s
	short.Checkpoints = checkpoints{LogEvents: {{Size: 10}}, LogAccess: {{Size: 1}}}
	blind := s
	blind.Access = nil
	for name, c := range map[string]struct {
		s    Source
		q    domain.ReportQuery
		code domain.Code
	}{
		"no such report":      {s, domain.ReportQuery{Name: "x", Format: "jsonl"}, domain.CodeNotFound},
		"no such format":      {s, domain.ReportQuery{Name: "changes", Format: "x"}, domain.CodeInvalidQuery},
		"beyond the head":     {s, domain.ReportQuery{Name: "changes", Events: 1000}, domain.CodeInvalidQuery},
		"not signed yet":      {short, domain.ReportQuery{Name: "changes", Events: 11}, domain.CodePositionNotReached},
		"access not signed":   {short, domain.ReportQuery{Name: "denials", Events: 9, Access: 2}, domain.CodePositionNotReached},
		"no access log":       {blind, domain.ReportQuery{Name: "denials"}, domain.CodeInvalidQuery},
		"sample too large":    {s, domain.ReportQuery{Name: "changes", Sample: MaxSample + 1}, domain.CodeInvalidQuery},
		"sample negative":     {s, domain.ReportQuery{Name: "changes", Sample: -1}, domain.CodeInvalidQuery},
		"times the other way": {s, domain.ReportQuery{Name: "changes", From: start.Add(time.Hour), To: start}, domain.CodeInvalidQuery},
	} {
		if _, err := New(c.s, nil).Prepare(t.Context(), c.q); domain.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestGapsAreNotReports verifies that a log with a hole gives no manifest, and
// that the report on integrity names the hole (invariant 4).
func TestGapsAreNotReports(t *testing.T) {
	var events []domain.Recorded
	for r, err := range scenario(t).Events.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Position != 14 {
			events = append(events, r)
		}
	}
	access := &accessLog{messages: []domain.AccessMessage{accessStory()[0], accessStory()[2]}}
	s := Source{Events: &eventLog{events: events}, Access: access}
	for _, name := range Names() {
		p, err := New(s, nil).Prepare(t.Context(), domain.ReportQuery{Name: name.Name, Format: "jsonl"})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err = p.Write(t.Context(), &b); name.Name != "integrity" {
			if err == nil || strings.Contains(b.String(), "manifest") {
				t.Errorf("%s passes over a gap: %v", name.Name, err)
			}
			continue
		}
		for _, want := range []string{
			`"check":"gap","subject":"positions, no. 1","count":1,"position":13`,
			`"check":"gap","subject":"versions, no. 1","count":1,"position":15`,
			`{"log":"access","check":"gap","subject":"positions, no. 1","count":1,"position":1`,
		} {
			if err != nil || !strings.Contains(b.String(), want) {
				t.Errorf("%v; integrity does not name %s:\n%s", err, want, b.String())
			}
		}
	}
}

// cutEvents is a log that lost its end after its head was asked for.
type cutEvents struct{ *eventLog }

func (l cutEvents) Status(context.Context) (domain.LogStatus, error) {
	return domain.LogStatus{First: 1, Head: uint64(len(l.events)) + 1}, nil
}

// TestCutLogIsNotAReport verifies that a log which ends before the position
// asked for is an error in every report, integrity too (invariant 4).
func TestCutLogIsNotAReport(t *testing.T) {
	full := scenario(t)
	var events []domain.Recorded
	for r, err := range full.Events.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, r)
	}
	for _, name := range Names() {
		s := Source{Events: cutEvents{&eventLog{events: events}}, Access: &accessLog{messages: accessStory()}}
		p, err := New(s, nil).Prepare(t.Context(), domain.ReportQuery{Name: name.Name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(t.Context(), io.Discard); err == nil && (p.report.events || p.report.names) {
			t.Errorf("%s does not notice the end", name.Name)
		}
	}
}

// TestOrganizationsAreApart verifies that an organization's reports show
// nothing of another's: neither its records nor its ids, but for the first
// organization's administrators and auditors, who reach into it (invariant 8).
func TestOrganizationsAreApart(t *testing.T) {
	s := scenario(t)
	for _, name := range Names() {
		text, m := run(t, s, domain.ReportQuery{Name: name.Name, Format: "jsonl", Org: abroad})
		rows := text[:m.Bytes]
		for _, other := range []string{string(ben), team, proj, "Database", "tmp", string(benKey)} {
			if strings.Contains(rows, other) {
				t.Errorf("%s of one organization shows %s of another:\n%s", name.Name, other, rows)
			}
		}
		text, m = run(t, s, domain.ReportQuery{Name: name.Name, Format: "jsonl", Org: home})
		if strings.Contains(text[:m.Bytes], string(dora)) || strings.Contains(text[:m.Bytes], "Abroad") {
			t.Errorf("%s of the first organization shows the other:\n%s", name.Name, text)
		}
	}
	text, _ := run(t, s, domain.ReportQuery{Name: "access-matrix", Format: "jsonl", Org: abroad})
	if !strings.Contains(text, string(domain.RuleRootAdmin)) || !strings.Contains(text, string(domain.RuleRootAuditor)) {
		t.Error("the matrix leaves out the first organization's administrators and auditors")
	}
}

// TestTimesBoundRecords verifies From (inclusive) and To (exclusive).
func TestTimesBoundRecords(t *testing.T) {
	s := scenario(t)
	_, m := run(t, s, domain.ReportQuery{Name: "changes", From: start.Add(2 * time.Hour), To: start.Add(5 * time.Hour)})
	if m.Rows != 3 {
		t.Errorf("%d events in [2h, 5h), want 3", m.Rows)
	}
	_, m = run(t, s, domain.ReportQuery{Name: "accesses", From: start.Add(13*time.Hour + time.Minute), To: start.Add(18*time.Hour + time.Minute)})
	if m.Rows != 3 {
		t.Errorf("%d access records, want 3", m.Rows)
	}
}

// TestStateAt verifies the state before and after a deletion.
func TestStateAt(t *testing.T) {
	s := scenario(t)
	for hours, want := range map[int]uint64{12: 0, 13: 1, 19: 2, 20: 1, 22: 2, 23: 1} {
		_, m := run(t, s, domain.ReportQuery{Name: "state", At: start.Add(time.Duration(hours) * time.Hour)})
		if m.Rows != want {
			t.Errorf("after %d hours there are %d secrets, want %d", hours, m.Rows, want)
		}
	}
}

// TestCSVIsHarmless verifies that no cell begins as a formula does, that the
// standard reader finds the cells, and that the apostrophe can be taken away
// (invariant 7).
func TestCSVIsHarmless(t *testing.T) {
	cells := []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠x", "'quoted", `"=1"`, "a,b", "a\"b", "line\nbreak", "", " x ", "plain",
	}
	var b strings.Builder
	enc := csvFormat{}.Encode(&b)
	row := Row{}
	columns := make([]Column, len(cells))
	for i, c := range cells {
		columns[i].Name = "c"
		row.Values = append(row.Values, Text(c))
	}
	if err := errors.Join(enc.Begin(Header{Columns: columns}), enc.Row(row), enc.Flush(), enc.End(Manifest{})); err != nil {
		t.Fatal(err)
	}
	read, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(read) != 2 {
		t.Fatalf("%v: %q", err, b.String())
	}
	for i, got := range read[1] {
		if first := strings.TrimSpace(got); first != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(first)[0]) {
			t.Errorf("%q is a formula", got)
		}
		// The standard reader turns CRLF in quotes into LF; no cell has one.
		if back := strings.TrimPrefix(got, "'"); back != cells[i] {
			t.Errorf("%q comes back as %q", cells[i], back)
		}
	}
}

// FuzzCSV verifies invariant 7 for any text.
func FuzzCSV(f *testing.F) {
	f.Add("=cmd|' /C calc'!A0")
	f.Fuzz(func(t *testing.T, s string) {
		h := harmless(s)
		if strings.TrimPrefix(h, "'") != s && h != s || strings.HasPrefix(s, "'") && h == s {
			t.Errorf("%q became %q, which can't be undone", s, h)
		}
		if first := strings.TrimSpace(h); first != "" && strings.ContainsAny(first[:1], "=+-@") {
			t.Errorf("%q became %q", s, h)
		}
	})
}

// TestMemoryIsFlat verifies that reports on records pull one record, give one
// row and hold none: when a row is written, the log was read no further than
// that row (invariant 3).
func TestMemoryIsFlat(t *testing.T) {
	log := &eventLog{}
	for n := range uint64(5000) {
		log.events = append(log.events, domain.Recorded{
			Stream: domain.DirectoryStream{Org: home}, Position: n + 1, Version: n + 1, Time: start,
			Event: domain.ScopeArchived{Scope: scope(domain.ScopeOrg, string(home))},
		})
	}
	p, err := New(Source{Events: log, Access: &accessLog{messages: accessStory()}}, nil).Prepare(t.Context(), domain.ReportQuery{Name: "changes"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []report{changesReport(), adminActionsReport()} {
		v := newView(p)
		log.read = 0
		rows := 0
		for row, err := range r.rows(t.Context(), v) {
			if err != nil {
				t.Fatal(err)
			}
			if row.Event != nil {
				rows++
			}
			if log.read-rows > 1 {
				t.Fatalf("%s read %d records for %d rows", r.name, log.read, rows)
			}
		}
		if rows != 5000 {
			t.Errorf("%s has %d rows", r.name, rows)
		}
	}
}

// TestProgress verifies that progress reaches its total.
func TestProgress(t *testing.T) {
	var read, total uint64
	p, err := New(scenario(t), func(r, t uint64) { read, total = r, t }).Prepare(t.Context(), domain.ReportQuery{Name: "admin-actions"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(t.Context(), io.Discard); err != nil || read != total || total != 39+39+3 {
		t.Errorf("%v: %d of %d", err, read, total)
	}
}

// TestCancelled verifies that a report whose context ended has no manifest.
func TestCancelled(t *testing.T) {
	p, err := New(scenario(t), nil).Prepare(t.Context(), domain.ReportQuery{Name: "changes"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Write(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
