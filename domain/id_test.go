package domain_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// grammars are the wire contract's, word for word, beside what parses them.
func grammars() map[string]struct {
	pattern *regexp.Regexp
	parse   func(string) (string, error)
} {
	type grammar = struct {
		pattern *regexp.Regexp
		parse   func(string) (string, error)
	}
	const ulidText = `[0-7][0-9A-HJKMNP-TV-Z]{25}$`
	id := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
	return map[string]grammar{
		"secretId": {id, func(s string) (string, error) { v, err := domain.ParseSecretID(s); return string(v), err }},
		"scopeId":  {id, func(s string) (string, error) { v, err := domain.ParseScope("team", s); return v.ID, err }},
		"fieldKey": {
			regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`),
			func(s string) (string, error) { v, err := domain.ParseFieldKey(s); return string(v), err },
		},
		"orgId": {
			regexp.MustCompile(`^org_` + ulidText),
			func(s string) (string, error) { v, err := domain.ParseOrgID(s); return string(v), err },
		},
		"agentId": {
			regexp.MustCompile(`^agt_` + ulidText),
			func(s string) (string, error) { v, err := domain.ParseAgentID(s); return string(v), err },
		},
		"keyId": {
			regexp.MustCompile(`^key_` + ulidText),
			func(s string) (string, error) { v, err := domain.ParseAPIKeyID(s); return string(v), err },
		},
		"dekId": {
			regexp.MustCompile(`^` + ulidText),
			func(s string) (string, error) { v, err := domain.ParseDekID(s); return v.String(), err },
		},
		"kekId": {
			regexp.MustCompile(`^[0-9a-f]{32}$`),
			func(s string) (string, error) { v, err := domain.ParseKekID(s); return v.String(), err },
		},
		"scope": {
			regexp.MustCompile(`^(org|team|project|agent)$`),
			func(s string) (string, error) { v, err := domain.ParseScopeKind(s); return string(v), err },
		},
	}
}

// hostile are the texts that ids are attacked with.
func hostile() []string {
	long := strings.Repeat("a", domain.MaxIDLen)
	list := []string{
		"", " ", "a", "A", "0", "-", "_", ".", "..", "*", ">", "a.b", "a_b", "a-b", "a*", "a>", "a/b", "a\\b", "a b", " a", "a ", "a\n", "\na", "a\r", "a\x00",
		"a\x7f", "-a", "_a", ".a", "a.", "a-", "a_", "é", "ａ", "１", "🔑", "a\u0301", "a\xff", "%41", "a:b", "a@b", "a$", "$JS", long, long + "a", long[1:] + "é",
		strings.Repeat("a", 4096), "org", "Org", "org ", "team", "project", "agent", "tenant",
		string(home), string(alice), string(keyOne), "org_", "agt_", "org_01j00000000000000000000001", "org_81J00000000000000000000001",
		"org_7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "org_8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "org_01J0000000000000000000000I", "org_01J0000000000000000000000U", "org_01J0000000000000000000000L",
		"ORG_01J00000000000000000000001", "org_01J0000000000000000000001", "org_01J000000000000000000000001", "org_01J00000000000000000000001\n",
		strings.Repeat("0f", 16), strings.Repeat("0F", 16), strings.Repeat("0f", 15), strings.Repeat("0g", 16), strings.Repeat("é", 16),
	}
	for _, s := range list {
		if rest, ok := strings.CutPrefix(s, "org_"); ok {
			list = append(list, rest, "agt_"+rest, "key_"+rest)
		}
	}
	return list
}

// Each parser accepts exactly what the wire contract's expression matches,
// gives it back unchanged, and refuses the rest as invalid_id.
func TestIDGrammars(t *testing.T) {
	for name, g := range grammars() {
		check := func(t rapid.TB, s string) {
			t.Helper()
			got, err := g.parse(s)
			switch {
			case g.pattern.MatchString(s) != (err == nil):
				t.Fatalf("%q: %v", s, err)
			case err == nil && got != s:
				t.Fatalf("%q became %q", s, got)
			case err != nil && domain.CodeOf(err) != domain.CodeInvalidID:
				t.Fatalf("%q: %v", s, err)
			}
		}
		t.Run(name, func(t *testing.T) {
			for _, s := range hostile() {
				check(t, s)
			}
			rapid.Check(t, func(t *rapid.T) {
				s := rapid.OneOf(rapid.StringMatching(g.pattern.String()), rapid.String()).Draw(t, "text")
				check(t, s)
				if s == "" {
					return
				}
				// One byte changed, added or taken out.
				at := rapid.IntRange(0, len(s)-1).Draw(t, "at")
				b := string([]byte{rapid.Byte().Draw(t, "byte")})
				check(t, s[:at]+b+s[at+1:])
				check(t, s[:at]+b+s[at:])
				check(t, s[:at]+s[at+1:])
			})
		})
	}
}

func TestIDForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := drawULID(t, "id")
		if got, err := domain.ParseKekID(domain.KekID(u).String()); err != nil || got != domain.KekID(u) {
			t.Fatalf("a kekId came back as %s, %v", got, err)
		}
		if got, err := domain.ParseDekID(domain.DekID(u).String()); err != nil || got != domain.DekID(u) {
			t.Fatalf("a dekId came back as %s, %v", got, err)
		}
		if got := domain.AgentID(domain.AgentPrefix + u.String()).ULID(); got != u {
			t.Fatalf("an agent's ULID came back as %s", got)
		}
	})
	if !(domain.DekID{}).IsZero() || (domain.DekID{15: 1}).IsZero() {
		t.Error("IsZero of a data key's id")
	}
	if got := domain.AgentID("nobody").ULID(); got != (ulid.ULID{}) {
		t.Errorf("the ULID of what is no agent id is %s", got)
	}
}

// A scope's own ids begin with its prefix, and each kind has another one.
func TestScopePrefixes(t *testing.T) {
	for kind, want := range map[domain.ScopeKind]string{
		domain.ScopeOrg: "org_", domain.ScopeTeam: "team_", domain.ScopeProject: "proj_", domain.ScopeAgent: "agt_", "galaxy": "",
	} {
		if got := kind.Prefix(); got != want {
			t.Errorf("%s has the prefix %q, want %q", kind, got, want)
		}
	}
	if _, err := domain.ParseScope("galaxy", "a"); domain.CodeOf(err) != domain.CodeInvalidID {
		t.Errorf("a galaxy is a scope: %v", err)
	}
}

func TestParseRole(t *testing.T) {
	valid := map[string]bool{"viewer": true, "reader": true, "writer": true, "manager": true, "auditor": false, "admin": false}
	for s, ranked := range valid {
		if got, err := domain.ParseRole(s); err != nil || string(got) != s || got.Ranked() != ranked {
			t.Errorf("ParseRole(%q) = %q (ranked %t), %v", s, got, got.Ranked(), err)
		}
	}
	for _, s := range []string{"", "Viewer", "owner", "viewer ", "root"} {
		if got, err := domain.ParseRole(s); domain.CodeOf(err) != domain.CodeInvalidRequest || got != "" {
			t.Errorf("ParseRole(%q) = %q, %v", s, got, err)
		}
	}
	if domain.Role("").Ranked() {
		t.Error("no role is ranked")
	}
}
