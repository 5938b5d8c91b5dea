package domain_test

import (
	"fmt"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// BenchmarkDecide decides each kind of command on a secret with two fields,
// and one on a secret with as many as there may be.
func BenchmarkDecide(b *testing.B) {
	small := newSecretLog()
	small.must(b, create("N", fieldsOf(2)...))
	full := newSecretLog()
	full.must(b, create("N", fieldsOf(domain.MaxFields)...))
	for _, bm := range []struct {
		name    string
		state   domain.Secret
		command domain.SecretCommand
	}{
		{"create", domain.Secret{Ref: secretRef()}, create("N", fieldsOf(2)...)},
		{"set", small.state, set("f00", domain.NewPlaintext("y"))},
		{"set-in-full", full.state, set("f00", domain.NewPlaintext("y"))},
		{"remove", small.state, domain.RemoveField{Key: "f00"}},
		{"delete", small.state, domain.DeleteSecret{}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if event, err := domain.Decide(bm.state, bm.command); err != nil || event == nil {
					b.Fatal(event, err)
				}
			}
		})
	}
}

// BenchmarkPermission asks what every request asks, of a principal with a few
// memberships and of one with a thousand: it costs the same.
func BenchmarkPermission(b *testing.B) {
	for _, teams := range []int{3, 1000} {
		b.Run(fmt.Sprintf("memberships=%d", teams), func(b *testing.B) {
			l := newWorld(b, false)
			var last domain.Scope
			for i := range teams {
				last = domain.Scope{Kind: domain.ScopeTeam, ID: fmt.Sprintf("team_%04d", i)}
				l.must(b, domain.CreateScope{Scope: last, Name: "T"}, domain.GrantMembership{Agent: alice, Scope: last, Role: domain.RoleReader})
			}
			p, ok := l.dir.Compile(alice, keyOne)
			if !ok {
				b.Fatal("nobody")
			}
			b.ReportAllocs()
			for b.Loop() {
				if !p.May(domain.ActionRead, last).Allowed || p.May(domain.ActionWrite, last).Allowed {
					b.Fatal("it is wrong")
				}
			}
		})
	}
}
