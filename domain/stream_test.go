package domain_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func drawStream(t *rapid.T) domain.Stream {
	org := domain.OrgID(domain.OrgPrefix + drawULID(t, "org").String())
	id := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_-]{0,127}`)
	switch rapid.IntRange(0, 3).Draw(t, "stream") {
	case 0:
		return domain.DirectoryStream{Org: org}
	case 1:
		return domain.KeysStream{Org: org}
	default:
		kind := rapid.SampledFrom([]domain.ScopeKind{domain.ScopeOrg, domain.ScopeTeam, domain.ScopeProject, domain.ScopeAgent}).Draw(t, "kind")
		scope := domain.Scope{Kind: kind, ID: id.Draw(t, "scope id")}
		return domain.SecretStream{Ref: domain.SecretRef{Org: org, Scope: scope, ID: domain.SecretID(id.Draw(t, "secret id"))}}
	}
}

// ParseStream inverts Subject, accepts nothing else, and no subject holds
// what NATS gives a meaning to.
func TestParseStreamInvertsSubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStream(t)
		subject := s.Subject()
		if strings.ContainsAny(subject, "*> \t\r\n\x00") || strings.Contains(subject, "..") || !strings.HasPrefix(subject, string(s.Organization())+".") {
			t.Fatalf("the subject %q", subject)
		}
		got, err := domain.ParseStream(subject)
		if err != nil || got != s {
			t.Fatalf("%q came back as %#v, %v", subject, got, err)
		}
		at := rapid.IntRange(0, len(subject)-1).Draw(t, "at")
		other := subject[:at] + string([]byte{rapid.Byte().Draw(t, "byte")}) + subject[at+1:]
		if got, err := domain.ParseStream(other); err == nil && got.Subject() != other {
			t.Fatalf("%q was read as %q", other, got.Subject())
		}
	})
}

func TestStreamSubjects(t *testing.T) {
	for want, s := range map[string]domain.Stream{
		string(home) + ".project.proj_of_red.db-password": domain.SecretStream{Ref: secretRef()},
		string(home) + ".directory":                       domain.DirectoryStream{Org: home},
		string(home) + ".keys":                            domain.KeysStream{Org: home},
	} {
		if got := s.Subject(); got != want || s.Organization() != home {
			t.Errorf("the subject of %#v is %q, want %q", s, got, want)
		}
	}
	if domain.SubjectPrefix != "chancery.events." {
		t.Errorf("SubjectPrefix = %q", domain.SubjectPrefix)
	}
	if got, want := secretRef().String(), string(home)+"/project/proj_of_red/db-password"; got != want {
		t.Errorf("the path of a secret is %q, want %q", got, want)
	}
}

func TestParseStreamRefuses(t *testing.T) {
	org := string(home)
	for _, subject := range []string{
		"", ".", "..", org, org + ".", org + ".other", org + ".Directory", org + ".directory.", org + ".directory.x", org + ".keys ", "." + org + ".keys",
		"nobody.directory", strings.ToLower(org) + ".directory", org + ".team.t", org + ".team.t.s.x", org + ".galaxy.t.s", org + ".team..s",
		org + ".team.t.", org + ".team.t.*", org + ".team.>.s", org + ".team.*.s", org + ".team._t.s", org + ".team.t.s\n", org + ".team.t." + strings.Repeat("a", 129),
		"chancery.events." + org + ".directory",
	} {
		if got, err := domain.ParseStream(subject); domain.CodeOf(err) != domain.CodeInvalidID || got != nil {
			t.Errorf("%q was read as %#v, %v", subject, got, err)
		}
	}
}
