package domain_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// A time to rotation has one form, and bounds.
func TestParseRotateEvery(t *testing.T) {
	for text, want := range map[string]domain.RotateEvery{"1d": 1, "90d": 90, "3650d": domain.MaxRotateEvery} {
		if got, err := domain.ParseRotateEvery(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "d", "0d", "3651d", "65537d", "99999999999999999999d", "-1d", "+1d", "01d", "1", "1D", "1h", "1 d", " 1d", "1d ", "1dd", "1.5d", "1_0d", "0x1d", "१d", "P90D",
	} {
		if got, err := domain.ParseRotateEvery(text); domain.CodeOf(err) != domain.CodeInvalidRequest || got != 0 {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{0,5}[dDh]?`).Draw(t, "text")
		if got, err := domain.ParseRotateEvery(text); err == nil && got.String() != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
	if domain.RotateEvery(0).String() != "" {
		t.Error("none has a form")
	}
}

// Every time with a form is an expiry, past ones too; none is not.
func TestParseExpiry(t *testing.T) {
	first := time.Time{}.Add(time.Millisecond)
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
	for _, at := range []time.Time{first, last, genesis()} {
		if got, err := domain.ParseExpiry(at); err != nil || !got.Equal(at) {
			t.Errorf("%v: %v, %v", at, got, err)
		}
	}
	fine := genesis().Add(1999 * time.Microsecond).In(time.FixedZone("", 3600))
	if got, err := domain.ParseExpiry(fine); err != nil || got != genesis().Add(time.Millisecond) {
		t.Errorf("cut to %v, %v", got, err)
	}
	for _, at := range []time.Time{{}, time.Time{}.Add(time.Microsecond), time.Time{}.Add(-time.Hour), last.Add(time.Millisecond)} {
		if _, err := domain.ParseExpiry(at); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("%v: %v", at, err)
		}
	}
}

// A schedule is set, changed in part and taken away; what else changes gives
// the event its name. A new life of the secret begins without one.
func TestSchedule(t *testing.T) {
	l := newSecretLog()
	l.must(t, create("N"))
	every := func(n int) *domain.RotateEvery { return new(domain.RotateEvery(n)) }
	never, at := time.Time{}, genesis()
	step := func(c domain.UpdateMetadata, want domain.EventType, rotate domain.RotateEvery, expires time.Time) {
		t.Helper()
		event, err := l.do(c)
		if err != nil || (event == nil) != (want == "") || event != nil && event.Type() != want {
			t.Fatalf("%+v: %#v, %v", c, event, err)
		}
		if l.state.RotateEvery != rotate || !l.state.ExpiresAt.Equal(expires) {
			t.Fatalf("%+v: %s %v", c, l.state.RotateEvery, l.state.ExpiresAt)
		}
	}
	step(domain.UpdateMetadata{RotateEvery: every(0), ExpiresAt: &never}, "", 0, never)
	step(domain.UpdateMetadata{RotateEvery: every(90), ExpiresAt: &at}, domain.TypeSecretScheduled, 90, at)
	step(domain.UpdateMetadata{RotateEvery: every(90), ExpiresAt: &at, Name: new("N")}, "", 90, at)
	step(domain.UpdateMetadata{RotateEvery: every(30), Category: new("d")}, domain.TypeSecretReclassified, 30, at)
	step(domain.UpdateMetadata{ExpiresAt: &never, Name: new("M")}, domain.TypeSecretRenamed, 30, never)
	step(domain.UpdateMetadata{RotateEvery: every(0)}, domain.TypeSecretScheduled, 0, never)
	step(domain.UpdateMetadata{RotateEvery: every(7), ExpiresAt: &at}, domain.TypeSecretScheduled, 7, at)
	l.must(t, domain.DeleteSecret{}, create("N"))
	step(domain.UpdateMetadata{Name: new("N")}, "", 0, never)
}
