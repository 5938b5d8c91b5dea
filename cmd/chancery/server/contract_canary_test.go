package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// canaries are the values that must not be seen, by what they are.
type canaries map[string][]byte

// in says which canaries lie in b, as they are or in a text form.
func (c canaries) in(b []byte) (found []string) {
	for name, value := range c {
		for form, look := range forms(value) {
			if bytes.Contains(b, look) {
				found = append(found, name+" "+form)
			}
		}
	}
	slices.Sort(found)
	return found
}

// forms of a value: as it is, in hex, escaped, and in base64 at each of the
// three offsets at which it may lie in a longer text.
func forms(value []byte) map[string][]byte {
	quoted, err := json.Marshal(string(value))
	if err != nil {
		panic(err) // a string is always JSON
	}
	all := map[string][]byte{
		"raw": value, "hex": []byte(hex.EncodeToString(value)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(value))),
		"JSON": quoted[1 : len(quoted)-1], "query": []byte(url.QueryEscape(string(value))),
	}
	for offset := range 3 {
		padded := append(make([]byte, offset), value...)
		text := base64.StdEncoding.EncodeToString(padded)
		// Letters that only this value decides.
		from, to := (offset*8+5)/6, len(padded)*8/6
		all[fmt.Sprint("base64+", offset)] = []byte(text[from:to])
		all[fmt.Sprint("base64url+", offset)] = []byte(strings.NewReplacer("+", "-", "/", "_").Replace(text[from:to]))
	}
	return all
}

// TestContractCanary puts distinctive values through every endpoint and then
// looks for them everywhere they could be left: log text, headers, problems,
// history, metrics, every file of the data directory.
func TestContractCanary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	secret := canaries{} // nowhere but in the answers of reads
	sealed := canaries{} // may lie in sealed bodies
	var replies []reply  // all but the answers of reads
	var headers []byte   // of all
	keep := func(r reply) reply {
		replies = append(replies, r)
		headers = fmt.Append(headers, r.header)
		return r
	}
	see := func(r reply) reply {
		headers = fmt.Append(headers, r.header)
		return r
	}
	plainOf := func(name string) string {
		v := "plaintext-" + name + "-kanarienvogel-ÄÖ"
		secret["plaintext "+name] = []byte(v)
		return v
	}
	mint := func(p place, id, field string) (mintedKey, envelope) {
		k := into[mintedKey](t, see(w.ada.tryMint(t, p, id, field)).ok(t, 200))
		e := k.seal(t, plainOf("sealed in "+id+field+p.scope))
		secret["data key of "+id+field+p.scope] = unbase64(t, k.PlaintextKey)
		sealed["ciphertext of "+id+field+p.scope] = unbase64(t, e.Ciphertext)
		sealed["wrapped key of "+id+field+p.scope] = unbase64(t, e.DataKey)
		return k, e
	}
	for _, m := range []member{w.ada, w.alan, w.bob, w.watch, {caller: w.admin, name: "admin"}} {
		secret["key of "+m.name] = []byte(m.key)
		secret["key's secret of "+m.name] = []byte(m.key[17:])
	}

	// Writes of every kind, in two kinds of scope.
	for _, p := range []place{at, w.ada.own()} {
		_, e := mint(p, "c", "e")
		keep(w.ada.do(t, "PUT", p.path("c"), newSecret("visible name", keyed("e", encrypted(e))), header("Chancery-Reason", "visible reason")).ok(t, 201))
		see(w.ada.set(t, p, "c", "p", plain(plainOf("one"+p.scope))).ok(t, 200))
		see(w.ada.set(t, p, "c", "p", plain(plainOf("two"+p.scope)), idempotency("visible-key")).ok(t, 200))
		see(w.ada.set(t, p, "c", "p", plain(plainOf("three"+p.scope)), idempotency("visible-key")).code(t, "idempotency_key_reused"))
		_, next := mint(p, "c", "e")
		see(w.ada.set(t, p, "c", "e", encrypted(next)).ok(t, 200))
		see(w.ada.do(t, "PUT", p.path("created"), newSecret("n", keyed("p", plain(plainOf("create"+p.scope))))).ok(t, 201))
		see(w.ada.do(t, "GET", p.path("c"), nil).ok(t, 200))
		see(w.ada.do(t, "GET", p.field("c", "p"), nil).ok(t, 200))
		see(w.ada.do(t, "GET", "/agent/secrets/resolve/c", nil).ok(t, 200))
		see(w.ada.release(t, p, "c", "e", next.DataKey).ok(t, 200))
		keep(w.ada.release(t, p, "c", "e", e.DataKey).code(t, "data_key_mismatch"))
		keep(w.ada.do(t, "GET", p.path(), nil).ok(t, 200))
		keep(w.ada.do(t, "GET", "/agent/secrets/resolve", nil).ok(t, 200))
		keep(w.ada.do(t, "GET", p.path("c")+"?version=2", nil).ok(t, 200))
		keep(w.ada.do(t, "GET", p.path("c", "history"), nil).ok(t, 200))

		// Refusals of requests that carry a value.
		v := plainOf("refused" + p.scope)
		again := next
		again.IV = tobase64(make([]byte, 12))
		for _, body := range []any{
			plain(strings.Repeat(v, 3000)),
			obj{"sensitivity": "encrypted", "value": v},
			obj{"sensitivity": v, "value": v},
			obj{"sensitivity": "plaintext", "value": []string{v}},
			obj{"sensitivity": "plaintext", "value": v, "envelope": next},
			raw(`{"value":"` + v + `",}`), raw(v), raw(`{"sensitivity":"plaintext","value":"` + v + `"}` + v),
			obj{"value": v},
		} {
			if r := keep(w.ada.do(t, "PUT", p.field("c", "p"), body)); r.status != 400 {
				t.Errorf("status %d", r.status)
			}
		}
		keep(w.ada.set(t, p, "c", "e", plain(v)).code(t, "sensitivity_downgrade"))
		keep(w.ada.set(t, p, "c", "e", encrypted(again)).code(t, "data_key_reused"))
		keep(w.ada.set(t, p, "c", "x", encrypted(next)).code(t, "data_key_mismatch"))
		keep(w.ada.set(t, p, "nosuch", "x", plain(v)).code(t, "secret_not_found"))
		keep(w.bob.set(t, p, "c", "x", plain(v)).code(t, "forbidden"))
		keep(w.ada.set(t, p, "c", "x", plain(v), ifMatch(`"v99"`)).code(t, "version_mismatch"))
		keep(w.ada.set(t, p, "c", "x", plain(v), contentType("text/plain")).code(t, "unsupported_media_type"))
		keep(w.ada.do(t, "PUT", p.path("c"), newSecret("n", keyed("p", plain(v)))).code(t, "secret_exists"))
		keep(caller{w.URL, "chy_" + v}.set(t, p, "c", "x", plain(v)).code(t, "unauthenticated"))
		keep(caller{w.URL, ""}.set(t, p, "c", "x", plain(v), authorization("Basic "+v)).code(t, "unauthenticated"))
		keep(caller{w.URL, w.ada.key + "x"}.do(t, "GET", p.path("c"), nil).code(t, "unauthenticated"))

		keep(w.ada.do(t, "DELETE", p.field("c", "p"), nil).ok(t, 200))
		keep(w.ada.do(t, "DELETE", p.path("c"), nil).ok(t, 200))
		keep(w.ada.do(t, "GET", p.path("c", "history"), nil).ok(t, 200))
	}
	_, unused := mint(at, "never-made", "e")
	sealed["unused wrapped key"] = unbase64(t, unused.DataKey)
	keep(w.admin.do(t, "GET", w.inOrg("agents", w.ada.id, "keys"), nil).ok(t, 200))
	keep(w.admin.do(t, "POST", w.inOrg("agents", w.ada.id, "keys"), obj{"expiresAt": plainOf("expiry")}))
	issued := see(w.admin.do(t, "POST", w.inOrg("agents", w.ada.id, "keys"), obj{"note": "n"}, idempotency("issue")).ok(t, 201))
	secret["issued key"] = []byte(stringOf(t, issued, "apiKey"))
	keep(w.admin.do(t, "POST", w.inOrg("agents", w.ada.id, "keys"), obj{"note": "n"}, idempotency("issue")).code(t, "key_already_issued"))
	for _, target := range []string{"/metrics", "/healthz", "/readyz"} {
		keep(caller{url: w.URL}.send(t, "GET", target, nil))
	}

	everything := maps.Clone(secret)
	maps.Copy(everything, sealed)
	t.Run("headers", func(t *testing.T) { none(t, everything, headers) })
	t.Run("answers that show no value", func(t *testing.T) {
		for _, r := range replies {
			if r.status == 201 || bytes.Contains(r.raw, []byte(`"aggregate"`)) {
				none(t, secret, r.raw)
			} else {
				none(t, everything, r.raw)
			}
		}
	})
	t.Run("log", func(t *testing.T) {
		if w.LogText() == "" {
			t.Error("there is no log to look at")
		}
		none(t, everything, []byte(w.LogText()))
	})
	t.Run("files while it runs", func(t *testing.T) { w.scan(t, secret, sealed) })
	w.Restart(t)
	t.Run("files after a restart", func(t *testing.T) { w.scan(t, secret, sealed) })
	t.Run("log after a restart", func(t *testing.T) { none(t, everything, []byte(w.LogText())) })
}

func none(t *testing.T, c canaries, b []byte) {
	t.Helper()
	if found := c.in(b); found != nil {
		t.Errorf("seen: %q", found)
	}
}

// scan looks through every file of the data directory. Secrets lie in none
// but the one that holds the first key. What is sealed lies in bodies, so in
// no header of a stored message.
func (w *world) scan(t *testing.T, secret, sealed canaries) {
	t.Helper()
	records := 0
	visible := map[string]bool{}
	err := filepath.WalkDir(w.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		look := secret
		if d.Name() == "admin.key" {
			look = maps.Clone(secret)
			delete(look, "key of admin")
			delete(look, "key's secret of admin")
		}
		if found := look.in(content); found != nil {
			t.Errorf("%s holds %q", d.Name(), found)
		}
		for _, word := range []string{"visible name", "visible reason"} {
			visible[word] = visible[word] || bytes.Contains(content, []byte(word))
		}
		for rest := content; ; {
			i := bytes.Index(rest, []byte("Chancery-Record:"))
			if i < 0 {
				return nil
			}
			record, after, ended := bytes.Cut(rest[i:], []byte("\r\n"))
			if ended {
				records++
				if found := sealed.in(record); found != nil {
					t.Errorf("a record in %s holds %q", d.Name(), found)
				}
			}
			rest = after
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// The search finds what is to be found.
	if records < 20 || !visible["visible name"] || !visible["visible reason"] {
		t.Errorf("%d records, seen %v: this looked in the wrong place", records, visible)
	}
}

// TestCanarySearch: each form of a value is found in a longer text.
func TestCanarySearch(t *testing.T) {
	t.Parallel()
	value := []byte("kanarienvögel?>")
	c := canaries{"v": value}
	for offset := range 6 {
		longer := append(append(bytes.Repeat([]byte("p"), offset), value...), "suffix"...)
		for name, text := range map[string]string{
			"raw": string(longer), "hex": hex.EncodeToString(longer), "HEX": fmt.Sprintf("%X", longer), "base64": base64.StdEncoding.EncodeToString(longer),
			"url": base64.RawURLEncoding.EncodeToString(longer), "query": url.QueryEscape(string(longer)),
		} {
			if c.in([]byte(text)) == nil {
				t.Errorf("%s at %d is not found", name, offset)
			}
		}
	}
	if found := c.in([]byte("kanarienvogel?>")); found != nil {
		t.Errorf("found %q", found)
	}
}
