package domain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// intruded gives the events with foreign messages of the same stream drawn
// into the gaps between their positions, before the first and behind the last.
func intruded(t *rapid.T, stream domain.Stream, events []domain.Recorded) (all []domain.Recorded) {
	foreign := func(position uint64) {
		all = append(all, domain.Recorded{Stream: stream, Position: position, Raw: []byte("foreign")})
	}
	var last uint64
	for _, r := range events {
		for last++; last < r.Position; last++ {
			if rapid.Bool().Draw(t, "foreign") {
				foreign(last)
			}
		}
		all = append(all, r)
	}
	if rapid.Bool().Draw(t, "foreign at the end") {
		foreign(last + 1)
	}
	return all
}

// A foreign message moves the head of a secret and nothing else, wherever it
// lies, and a fold goes on behind it.
func TestForeignMovesASecretsHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newSecretLog()
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			_, _ = l.do(drawSecretCommand(t, l.state.Version)) // a refusal is as good a step
		}
		s := domain.Secret{Ref: secretRef()}
		for _, r := range intruded(t, domain.SecretStream{Ref: secretRef()}, l.events) {
			want := s.Clone()
			s.Apply(r)
			if r.Event == nil {
				want.Head = r.Position
				if diff := cmp.Diff(want, s); diff != "" {
					t.Fatalf("a foreign message (-want +got):\n%s", diff)
				}
			}
			l.state.Head = r.Position
		}
		if diff := cmp.Diff(l.state, s); diff != "" {
			t.Fatalf("with foreign messages (-want +got):\n%s", diff)
		}
	})
}

// The same for a directory. The log's first position makes no organization
// the bootstrap one when it holds no event.
func TestForeignMovesADirectorysHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newOrgLog(rapid.Bool().Draw(t, "bootstrap"))
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			_, _ = l.do(drawDirectoryCommand(t))
		}
		d := domain.NewDirectory(home)
		for _, r := range intruded(t, domain.DirectoryStream{Org: home}, l.events) {
			want := copyDirectory(d)
			d.Apply(r)
			if r.Event == nil {
				want.Head = r.Position
				if diff := cmp.Diff(want, d); diff != "" {
					t.Fatalf("a foreign message (-want +got):\n%s", diff)
				}
			}
			l.dir.Head = r.Position
		}
		if diff := cmp.Diff(l.dir, d); diff != "" {
			t.Fatalf("with foreign messages (-want +got):\n%s", diff)
		}
	})
}
