package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// TestSchedule sets, changes and takes away when a secret is due, and reads it
// wherever a secret's metadata is shown.
func TestSchedule(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "db")
	w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody})
	const expiry = "2020-01-31T12:00:00.000Z" // past: it is advice
	version := uint64(1)
	patch := func(body string, appends uint64, every, expires string) {
		t.Helper()
		position := w.store.Position()
		version += appends
		got := data[wire.Aggregate](w, w.want(200, request{method: "PATCH", path: path, as: w.writer, body: body}))
		at := ""
		if got.ExpiresAt != nil {
			at = got.ExpiresAt.String()
		}
		if got.Version != version || got.RotateEvery != every || at != expires {
			t.Errorf("%s: version %d, %q, %q", body, got.Version, got.RotateEvery, at)
		}
		if now := w.store.Position(); now != position+appends {
			t.Errorf("%s: from position %d to %d", body, position, now)
		}
	}
	patch(`{"rotateEvery":null,"expiresAt":null}`, 0, "", "")
	patch(`{"rotateEvery":"90d","expiresAt":"2020-01-31T12:00:00Z"}`, 1, "90d", expiry)
	patch(`{"rotateEvery":"90d"}`, 0, "90d", expiry)
	listed := data[[]wire.Aggregate](w, w.want(200, request{method: "GET", path: w.path(w.project), as: w.writer}))
	if len(listed) != 1 || listed[0].RotateEvery != "90d" || listed[0].ExpiresAt.String() != expiry {
		t.Errorf("listed %+v", listed)
	}
	patch(`{"rotateEvery":null,"secretName":"New"}`, 1, "", expiry)
	patch(`{"expiresAt":null}`, 1, "", "")
	asOf := data[wire.SecretAsOf](w, w.want(200, request{method: "GET", path: path + "?version=2", as: w.writer}))
	if asOf.Aggregate.RotateEvery != "90d" || asOf.Aggregate.ExpiresAt.String() != expiry {
		t.Errorf("as of version 2: %+v", asOf)
	}
	// The same body as before: created is created, whatever its schedule.
	w.refused(domain.CodeSecretExists, request{method: "PUT", path: path, as: w.writer, body: createBody})
	w.want(200, request{method: "PUT", path: path, as: w.writer, body: strings.Replace(createBody, `"secretName":"Name"`, `"secretName":"New"`, 1)})

	type entry struct {
		Type    string
		Changes *wire.Changes
	}
	resp := w.want(200, request{method: "GET", path: path + "/history", as: w.writer})
	got := []entry{}
	for _, e := range data[[]wire.HistoryEntry](w, resp) {
		got = append(got, entry{e.Type, e.Changes})
	}
	every, at, name := "90d", wire.Time{}, "Name"
	if err := at.UnmarshalText([]byte(expiry)); err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{"secret.scheduled", &wire.Changes{ExpiresAt: &wire.Removable[wire.Time]{From: &at}}},
		{"secret.renamed", &wire.Changes{Name: &wire.Change{From: &name, To: "New"}, RotateEvery: &wire.Removable[string]{From: &every}}},
		{"secret.scheduled", &wire.Changes{RotateEvery: &wire.Removable[string]{To: &every}, ExpiresAt: &wire.Removable[wire.Time]{To: &at}}},
	}
	if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
		t.Errorf("history (-want +got): %s", diff)
	}
}

// TestScheduleRefuses: a malformed schedule, or one on a create, changes nothing.
func TestScheduleRefuses(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "db")
	w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody})
	head := w.store.Position()
	for _, body := range []string{
		`{"rotateEvery":""}`, `{"rotateEvery":"0d"}`, `{"rotateEvery":"3651d"}`, `{"rotateEvery":"2160h"}`, `{"rotateEvery":90}`, `{"rotateEvery":{}}`,
		`{"expiresAt":""}`, `{"expiresAt":"0001-01-01T00:00:00Z"}`, `{"expiresAt":"0000-06-01T00:00:00Z"}`, `{"expiresAt":"2027-01-01"}`, `{"expiresAt":0}`,
	} {
		w.refused(domain.CodeInvalidRequest, request{method: http.MethodPatch, path: path, as: w.writer, body: body})
	}
	w.refused(domain.CodeInvalidRequest, request{method: http.MethodPut, path: w.path(w.project, "other"), as: w.writer, body: `{"secretName":"N","category":"c","rotateEvery":"90d"}`})
	if w.store.Position() != head {
		t.Error("a refused request appended")
	}
}
