package client_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func isCode(err error, code domain.Code) bool { return errors.Is(err, domain.Errorf(code, "")) }

// Invariant 1.
func TestAWriteIsRepeatedAsItWas(t *testing.T) {
	s := serve(t, drop, problem(503, domain.CodeOutcomeUnknown), page, problem(429, domain.CodeRateLimited), data(200, aggregate))
	name := "New"
	if _, err := s.client().UpdateSecret(t.Context(), testSecret, client.Patch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	seen := s.requests()
	first := seen[0]
	if first.Body != `{"secretName":"New"}` || len(first.Header.Get("Idempotency-Key")) < 20 {
		t.Fatalf("sent %s with key %q", first.Body, first.Header.Get("Idempotency-Key"))
	}
	for i, r := range seen {
		if r.Body != first.Body || r.Header.Get("Idempotency-Key") != first.Header.Get("Idempotency-Key") {
			t.Errorf("attempt %d differs", i+1)
		}
	}
}

func TestTwoWritesHaveTwoKeys(t *testing.T) {
	s := serve(t, data(200, aggregate), data(200, aggregate))
	c := s.client()
	for range 2 {
		if _, err := c.UpdateSecret(t.Context(), testSecret, client.Patch{}); err != nil {
			t.Fatal(err)
		}
	}
	seen := s.requests()
	if seen[0].Header.Get("Idempotency-Key") == seen[1].Header.Get("Idempotency-Key") {
		t.Error("one key for two writes")
	}
}

func TestReadsAreRepeated(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"dropped": drop, "proxy": page, "limited": problem(429, domain.CodeRateLimited),
		"behind": problem(503, domain.CodePositionNotReached), "down": problem(503, domain.CodeUnavailable),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, fault, data(200, aggregate))
			if _, err := s.client().Whoami(t.Context()); err != nil {
				t.Error(err)
			}
			s.requests()
		})
	}
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	for status, code := range map[int]domain.Code{
		400: domain.CodeInvalidRequest, 401: domain.CodeUnauthenticated, 403: domain.CodeForbidden, 404: domain.CodeSecretNotFound,
		409: domain.CodeConflict, 410: domain.CodeIdempotencyExpired, 412: domain.CodeVersionMismatch,
		422: domain.CodeDataKeyMismatch, 500: domain.CodeInternal,
	} {
		s := serve(t, problem(status, code))
		if _, err := s.client().DeleteSecret(t.Context(), testSecret); !isCode(err, code) {
			t.Errorf("%s: %v", code, err)
		}
		s.requests()
	}
}

const minted = `{"data":{"plaintextKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","dataKeyCiphertext":"c","keyId":"k"}}`

// Invariant 2.
func TestMintsAndReleasesAreRepeatedOnlyWhenNoKeyWasAnswered(t *testing.T) {
	calls := map[string]func(context.Context, *client.Client) error{
		"mint": func(ctx context.Context, c *client.Client) error {
			_, err := c.GenerateDataKey(ctx, testField)
			return err
		},
		"release": func(ctx context.Context, c *client.Client) error {
			_, err := c.DecryptDataKey(ctx, testField, "c")
			return err
		},
	}
	for name, call := range calls {
		for fault, step := range map[string]http.HandlerFunc{
			"dropped": drop, "proxy": page, "limited": problem(429, domain.CodeRateLimited), "internal": problem(500, domain.CodeInternal),
		} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				s := serve(t, step)
				if err := call(t.Context(), s.client()); err == nil {
					t.Error("no error")
				}
				if r := s.requests()[0]; r.Header.Get("Idempotency-Key") != "" {
					t.Error("an exchange carries no key")
				}
			})
		}
		t.Run(name+"/unavailable", func(t *testing.T) {
			s := serve(t, problem(503, domain.CodeUnavailable), data(200, minted))
			if err := call(t.Context(), s.client()); err != nil {
				t.Error(err)
			}
			s.requests()
		})
		t.Run(name+"/refused", func(t *testing.T) {
			s := serve(t, data(200, minted))
			if err := call(t.Context(), s.client(func(c *client.Config) { c.HTTPClient = refusing(2) })); err != nil {
				t.Error(err)
			}
			s.requests()
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, header := range map[string][]string{
		"seconds": {"Retry-After", "7"},
		"date":    {"Retry-After", at.Add(7 * time.Second).Format(http.TimeFormat), "Date", at.Format(http.TimeFormat)},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, problem(429, domain.CodeRateLimited, header...), data(200, aggregate))
			if _, err := s.client().Whoami(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.requests()
			if len(s.waits) != 1 || s.waits[0] < 7*time.Second || s.waits[0] > 8*time.Second {
				t.Errorf("waited %v", s.waits)
			}
		})
	}
}

func TestTooLongAWaitIsTheCallers(t *testing.T) {
	s := serve(t, problem(429, domain.CodeRateLimited, "Retry-After", "3600"))
	_, err := s.client().Whoami(t.Context())
	p, ok := errors.AsType[*client.ProblemError](err)
	if !ok || p.RetryAfter != time.Hour || len(s.waits) != 0 {
		t.Errorf("got %v after waits %v", err, s.waits)
	}
	s.requests()
}

func TestRetriesAreBoundedAndBackOff(t *testing.T) {
	down := problem(503, domain.CodeUnavailable)
	s := serve(t, down, down, down, down, down, down, down, down, down)
	_, err := s.client(func(c *client.Config) { c.MaxRetries = 8 }).Whoami(t.Context())
	if !isCode(err, domain.CodeUnavailable) {
		t.Errorf("got %v", err)
	}
	s.requests()
	if len(s.waits) != 8 {
		t.Fatalf("%d waits", len(s.waits))
	}
	for n, d := range s.waits {
		if bound := min(100*time.Millisecond<<n, 5*time.Second); d < 0 || d >= bound {
			t.Errorf("wait %d is %v, bound %v", n, d, bound)
		}
	}
}

func TestAnEndedContextEndsTheRepeats(t *testing.T) {
	s := serve(t, problem(503, domain.CodeUnavailable))
	ctx, cancel := context.WithCancel(t.Context())
	c := s.client(func(c *client.Config) {
		c.Wait = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	})
	_, err := c.Whoami(ctx)
	if !errors.Is(err, context.Canceled) || !isCode(err, domain.CodeUnavailable) {
		t.Errorf("got %v", err)
	}
	s.requests()
}

// Invariant 4.
func TestAWriteWhoseFateIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		steps   []http.HandlerFunc
		unknown bool
	}{
		"lost":                        {[]http.HandlerFunc{drop, drop}, true},
		"said so":                     {[]http.HandlerFunc{problem(503, domain.CodeOutcomeUnknown), problem(503, domain.CodeOutcomeUnknown)}, true},
		"internal":                    {[]http.HandlerFunc{problem(500, domain.CodeInternal)}, true},
		"a proxy gave up":             {[]http.HandlerFunc{page, page}, true},
		"lost, then not allowed":      {[]http.HandlerFunc{drop, problem(403, domain.CodeForbidden)}, true},
		"lost, then too many":         {[]http.HandlerFunc{drop, problem(429, domain.CodeRateLimited)}, true},
		"lost, then refused for good": {[]http.HandlerFunc{drop, problem(412, domain.CodeVersionMismatch)}, false},
		"lost, then not there":        {[]http.HandlerFunc{drop, problem(404, domain.CodeSecretNotFound)}, false},
		"stored nothing":              {[]http.HandlerFunc{problem(503, domain.CodeUnavailable), problem(503, domain.CodeUnavailable)}, false},
		"refused at once":             {[]http.HandlerFunc{problem(409, domain.CodeConflict)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.steps...)
			_, err := s.client(func(c *client.Config) { c.MaxRetries = 1 }).DeleteSecret(t.Context(), testSecret)
			unknown, ok := errors.AsType[*client.OutcomeUnknownError](err)
			if err == nil || ok != c.unknown {
				t.Fatalf("got %v", err)
			}
			key := s.requests()[0].Header.Get("Idempotency-Key")
			if ok && (unknown.IdempotencyKey != key || !isCode(err, domain.CodeOutcomeUnknown)) {
				t.Errorf("got %v for key %s", err, key)
			}
		})
	}
	t.Run("never sent", func(t *testing.T) {
		s := serve(t)
		_, err := s.client(func(c *client.Config) { c.HTTPClient = refusing(9) }).DeleteSecret(t.Context(), testSecret)
		if _, ok := errors.AsType[*client.OutcomeUnknownError](err); err == nil || ok {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a read is never unknown", func(t *testing.T) {
		s := serve(t, drop, drop)
		_, err := s.client(func(c *client.Config) { c.MaxRetries = 1 }).Whoami(t.Context())
		if _, ok := errors.AsType[*client.OutcomeUnknownError](err); err == nil || ok {
			t.Errorf("got %v", err)
		}
	})
}
