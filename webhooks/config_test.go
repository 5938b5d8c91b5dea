package webhooks

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func secretText(fill byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(fill), 24)))
}

func TestConfigErrorsNameTheMemberAndNothingOfIt(t *testing.T) {
	good := `"name":"a","url":"https://h.example/p4th?q=t0ken","secrets":["` + secretText('k') + `"]`
	if _, err := Parse([]byte(`[{` + good + `}]`)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ members, want string }{
		{good + `,"bogus":1`, "member that is not known"},
		{good + `,"Name":"b"`, "member that is not known"},
		{good + `,"name":"b"`, "twice"},
		{good + `,"org":"c4nary"`, "org"},
		{good + `,"scopes":["c4nary"]`, "scopes"},
		{good + `,"types":["c4nary"]`, "types"},
		{good + `,"types":[]`, "types"},
		{good + `,"from":"c4nary"`, "from"},
		{good + `,"allowPrivate":"c4nary"`, "allowPrivate"},
		{good + `,"allowPrivate":null`, "allowPrivate"},
		{`"url":"https://h.example","secrets":["` + secretText('k') + `"]`, "name"},
		{`"name":"../c4nary","url":"https://h.example"`, "name"},
		{`"name":"a","secrets":["` + secretText('k') + `"]`, "url"},
		{`"name":"a","url":"https://h.example"`, "secrets"},
		{`"name":"a","url":"https://h.example","secrets":["whsec_c4nary"]`, "secrets"},
		{`"name":"a","url":"http://h.example/c4nary"`, "url must be https"},
		{`"name":"a","url":"http://127.0.0.1.evil.example/c4nary"`, "url must be https"},
		{`"name":"a","url":"https://u:c4nary@h.example"`, "url may hold no user"},
		{`"name":"a","url":"file:///c4nary"`, "url"},
		{`"name":"a","url":"https://%zz/c4nary"`, "url"},
	} {
		_, err := Parse([]byte(`[{` + test.members + `}]`))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "endpoint 1") {
			t.Errorf("%s: %v, want %q", test.members, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "c4nary") || strings.Contains(err.Error(), "t0ken")) {
			t.Errorf("the error shows what the member held: %v", err)
		}
	}
}

func TestAnEndpointPrintsAsItsName(t *testing.T) {
	all, err := Parse([]byte(`[{"name":"a","url":"https://h.example/p4th?q=t0ken","secrets":["` + secretText('k') + `"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %+v %#v %s", all, all[0], all[0], all[0].secrets[0]); got != "[a] a a [redacted]" {
		t.Error("an endpoint prints more than its name")
	}
	if d := all[0].detail("added"); d != "webhook added: a at h.example, all events" {
		t.Error(d)
	}
}

func TestTheFileMustBePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.json")
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o640: false, 0o604: false} {
		if err := os.WriteFile(path, []byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestAddressesThatAreDialed(t *testing.T) {
	for _, test := range []struct {
		address                   string
		public, private, loopback bool
	}{
		{"93.184.216.34", true, true, false},
		{"2606:2800:220:1::1", true, true, false},
		{"10.1.2.3", false, true, false},
		{"172.16.0.1", false, true, false},
		{"192.168.1.1", false, true, false},
		{"100.64.0.1", false, true, false},
		{"fd00::1", false, true, false},
		{"::ffff:10.1.2.3", false, true, false},
		{"127.0.0.1", false, true, true},
		{"::1", false, true, true},
		{"::ffff:127.0.0.1", false, true, true},
		{"169.254.169.254", false, false, false},
		{"::ffff:169.254.169.254", false, false, false},
		{"fe80::1%eth0", false, false, false},
		{"0.0.0.0", false, false, false},
		{"0.1.2.3", false, false, false},
		{"::", false, false, false},
		{"224.0.0.1", false, false, false},
		{"ff02::1", false, false, false},
		{"255.255.255.255", false, false, false},
		{"192.0.2.1", false, false, false},
		{"198.18.0.1", false, false, false},
		{"64:ff9b::a00:1", false, false, false},
		{"2002:a00:1::1", false, false, false},
		{"::10.0.0.1", false, false, false},
	} {
		a := netip.MustParseAddr(test.address)
		for _, c := range []struct {
			r    reach
			want bool
		}{{reach{}, test.public}, {reach{private: true}, test.private}, {reach{loopback: true}, test.loopback}} {
			if got := c.r.allows(a); got != c.want {
				t.Errorf("%s with %+v: %v", test.address, c.r, got)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"name":"a","url":"https://h.example","secrets":["` + secretText('k') + `"],"from":"start"}]`))
	f.Add([]byte(`[{"name":null}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		for _, e := range all {
			if err != nil || e.Name == "" || e.target == nil || len(e.secrets) == 0 {
				t.Fatal("an endpoint that is not whole")
			}
		}
	})
}
