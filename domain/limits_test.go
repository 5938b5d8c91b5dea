package domain_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// key is a character of four bytes.
const key = "🔑"

// The limits are the wire contract's.
func TestLimits(t *testing.T) {
	for what, got := range map[string][2]int{
		"name": {domain.MaxNameLen, 256}, "fields": {domain.MaxFields, 64}, "tags": {domain.MaxTags, 32}, "tag": {domain.MaxTagLen, 64},
		"category": {domain.MaxCategory, 64}, "id": {domain.MaxIDLen, 128}, "value": {domain.MaxValueLen, 65536}, "header": {domain.MaxHeaderLen, 256},
		"iv": {domain.EnvelopeIVLen, 12}, "authTag": {domain.EnvelopeTagLen, 16},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d", what, got[0], got[1])
		}
	}
}

// Limits count characters, not bytes, and hold at their edges.
func TestTextLimits(t *testing.T) {
	const bad, long = domain.CodeInvalidRequest, domain.CodeTooLong
	type texts map[string]domain.Code
	common := texts{
		"a": "", "é": "", key: "", " ": "", "a b": "", "a\u2028b": "", "a\u200bb": "", "\u00a0": "", "-": "", "a:b/c": "",
		"\x00": bad, "a\x00": bad, "\t": bad, "a\n": bad, "a\r\nb": bad, "\x1b[0m": bad, "\x1f": bad, "\x7f": bad, "\u0080": bad, "a\u0085": bad, "\u009f": bad,
		"\xff": bad, "a\xf0\x9f": bad, "\xed\xa0\x80": bad,
	}
	for name, g := range map[string]struct {
		parse func(string) (string, error)
		limit int
		more  texts
	}{
		"name": {domain.ParseName, 256, texts{"": bad, "a,b": ""}},
		"tag":  {domain.ParseTag, 64, texts{"": bad, ",": bad, "a,b": bad, "a,": bad, "a，b": ""}},
		"note": {domain.ParseNote, 256, texts{"": "", "a,b": ""}},
	} {
		cases := texts{
			strings.Repeat(key, g.limit):       "",
			strings.Repeat(key, g.limit+1):     long,
			strings.Repeat("a", g.limit):       "",
			strings.Repeat("a", g.limit+1):     long,
			strings.Repeat(key, 20*g.limit):    long,
			strings.Repeat("é", g.limit) + key: long,
		}
		for _, set := range []texts{common, g.more} {
			for s, code := range set {
				cases[s] = code
			}
		}
		for s, want := range cases {
			got, err := g.parse(s)
			if domain.CodeOf(err) != want {
				t.Errorf("%s %.20q of %d characters: %v, want %q", name, s, utf8.RuneCountInString(s), err, want)
			}
			if err == nil && got != s || err != nil && got != "" {
				t.Errorf("%s %.20q became %.20q", name, s, got)
			}
		}
	}
}

// What is a text is told from its characters alone.
func TestTextsAreWhatTheContractSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("a🔑,\x00\u0085é")), 0, 70, -1)).Draw(t, "text")
		n, clean := 0, true
		for _, r := range s {
			n++
			clean = clean && !unicode.Is(unicode.Cc, r)
		}
		for what, got := range map[string][2]bool{
			"name": {accepts(domain.ParseName, s), clean && 1 <= n && n <= 256},
			"tag":  {accepts(domain.ParseTag, s), clean && 1 <= n && n <= 64 && !strings.ContainsRune(s, ',')},
			"note": {accepts(domain.ParseNote, s), clean && n <= 256},
		} {
			if got[0] != got[1] {
				t.Fatalf("%q as a %s: accepted %t", s, what, got[0])
			}
		}
	})
}

func accepts(parse func(string) (string, error), s string) bool {
	_, err := parse(s)
	return err == nil
}

func TestParseCategory(t *testing.T) {
	pattern := regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	check := func(t rapid.TB, s string) {
		t.Helper()
		got, err := domain.ParseCategory(s)
		if pattern.MatchString(s) != (err == nil) || err == nil && got != s || err != nil && got != "" {
			t.Fatalf("ParseCategory(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "a", "z9_", "_a", "9a", "A", "aB", "a-b", "a.b", "a b", "a\n", "é", key, "a" + key, "a\x00"} {
		check(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z][a-z0-9_]{0,70}`), rapid.StringMatching(`[a-z0-9_A-Z.-]{0,5}`)).Draw(t, "category"))
	})
	edge := strings.Repeat("a", 64)
	for s, want := range map[string]domain.Code{edge: "", edge + "a": domain.CodeTooLong, "": domain.CodeInvalidRequest, "A": domain.CodeInvalidRequest} {
		if _, err := domain.ParseCategory(s); domain.CodeOf(err) != want {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

// At most 32 unique tags, kept sorted; none is nil.
func TestParseTags(t *testing.T) {
	numbered := func(n int) []string {
		var tags []string
		for i := range n {
			tags = append(tags, strings.Repeat(key, 62)+fmt.Sprintf("%02d", n-i))
		}
		return tags
	}
	for what, tc := range map[string]struct {
		tags []string
		want domain.Code
	}{
		"none":          {nil, ""},
		"empty":         {[]string{}, ""},
		"32 at 64":      {numbered(32), ""},
		"33":            {numbered(33), domain.CodeTooLong},
		"a long one":    {[]string{"a", strings.Repeat(key, 65)}, domain.CodeTooLong},
		"an empty one":  {[]string{"a", ""}, domain.CodeInvalidRequest},
		"a comma":       {[]string{"a,b"}, domain.CodeInvalidRequest},
		"twice":         {[]string{"b", "a", "b"}, domain.CodeInvalidRequest},
		"twice of 32":   {append(numbered(31), numbered(31)[30]), domain.CodeInvalidRequest},
		"case differs":  {[]string{"a", "A"}, ""},
		"invalid UTF-8": {[]string{"\xff"}, domain.CodeInvalidRequest},
	} {
		before := slices.Clone(tc.tags)
		got, err := domain.ParseTags(tc.tags)
		if domain.CodeOf(err) != tc.want {
			t.Errorf("%s: %v, want %q", what, err, tc.want)
		}
		want := slices.Clone(tc.tags)
		slices.Sort(want)
		switch {
		case err != nil && got != nil, err == nil && !slices.Equal(got, want), len(tc.tags) == 0 && got != nil:
			t.Errorf("%s: %q", what, got)
		case !slices.Equal(before, tc.tags):
			t.Errorf("%s: the argument was changed", what)
		}
	}
}
