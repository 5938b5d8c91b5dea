package server_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// sent is an envelope as a JSON object, to be spoilt.
func sent(t testing.TB, e envelope) obj {
	t.Helper()
	encoded, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var o obj
	if err := json.Unmarshal(encoded, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func spoilt(e obj, member string, value any) obj {
	c := maps.Clone(e)
	c[member] = value
	return c
}

// TestContractEnvelopeShape: an envelope whose shape is wrong is 400
// invalid_envelope, before anything is looked at.
func TestContractEnvelopeShape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s")
	good := sent(t, w.ada.seal(t, at, "s", "f", "12345")) // 5 bytes: "…=" with bits to spare
	shape := []string{"invalid_envelope"}
	open := []string{"invalid_envelope", "invalid_request", "invalid_json"}

	refuse := func(t *testing.T, e any, codes []string) {
		t.Helper()
		w.unchanged(t, func() {
			w.ada.set(t, at, "s", "f", encrypted(e)).code(t, codes...)
			w.ada.do(t, http.MethodPut, at.path("new"), newSecret("n", keyed("f", encrypted(e)))).code(t, codes...)
		})
	}
	bytes := func(n int) string { return tobase64([]byte(strings.Repeat("\x07", n))) }
	for member, right := range map[string]int{"iv": 12, "authTag": 16} {
		t.Run(member, func(t *testing.T) {
			for _, n := range []int{0, 1, right - 1, right + 1, 24, 32, 1000} {
				refuse(t, spoilt(good, member, bytes(n)), shape)
			}
		})
	}
	for _, member := range []string{"iv", "authTag", "ciphertext"} {
		value, ok := good[member].(string)
		if !ok {
			t.Fatalf("%s is %T", member, good[member])
		}
		bare := strings.TrimRight(value, "=")
		for name, bad := range map[string]string{
			"line break": value[:4] + "\n" + value[4:], "carriage return": value + "\r\n", "leading space": " " + value, "trailing space": value + " ",
			"more padding": value + "=", "padding within": value[:2] + "==" + value[4:], "other alphabet": "-_" + value[2:], "not base64": strings.Repeat("!", len(value)), "cut": value[:len(value)-1],
			"hex": strings.Repeat("0f", 12) + "0", "data URL": "data:;base64," + value, "fullwidth": "Ａ" + value[1:], "NUL": value + "\x00", "one letter": "A",
		} {
			t.Run(member+"/"+name, func(t *testing.T) { refuse(t, spoilt(good, member, bad), shape) })
		}
		if bare != value { // its last letter has bits to spare
			t.Run(member+"/no padding", func(t *testing.T) { refuse(t, spoilt(good, member, bare), shape) })
			t.Run(member+"/spare bits", func(t *testing.T) {
				const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
				last := strings.IndexByte(alphabet, bare[len(bare)-1])
				refuse(t, spoilt(good, member, bare[:len(bare)-1]+alphabet[last|1:last|1+1]+value[len(bare):]), shape)
			})
		}
	}
	for _, member := range []string{"version", "iv", "ciphertext", "authTag", "dataKeyCiphertext"} {
		t.Run(member+"/absent", func(t *testing.T) {
			e := maps.Clone(good)
			delete(e, member)
			refuse(t, e, open)
		})
		for _, wrong := range []any{nil, true, []string{"x"}, obj{}} {
			t.Run(member+"/of another type", func(t *testing.T) { refuse(t, spoilt(good, member, wrong), open) })
		}
		t.Run(member+"/upper case", func(t *testing.T) {
			e := maps.Clone(good)
			e[strings.ToUpper(member[:1])+member[1:]] = e[member]
			delete(e, member)
			refuse(t, e, open)
		})
		t.Run(member+"/twice", func(t *testing.T) {
			encoded, err := json.Marshal(good)
			if err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(good[member])
			if err != nil {
				t.Fatal(err)
			}
			refuse(t, json.RawMessage(string(encoded[:len(encoded)-1])+`,"`+member+`":`+string(again)+`}`), open)
		})
	}
	t.Run("another version", func(t *testing.T) {
		for _, version := range []any{0, 2, -1, json.Number("1e99"), json.Number("1.5")} {
			refuse(t, spoilt(good, "version", version), open)
		}
		refuse(t, spoilt(good, "version", "1"), open)
	})
	t.Run("another member", func(t *testing.T) { refuse(t, spoilt(good, "aad", "x"), open) })
	t.Run("no object", func(t *testing.T) {
		for _, e := range []any{nil, "x", 1, []any{}, obj{}} {
			refuse(t, e, open)
		}
	})
	t.Run("both", func(t *testing.T) {
		for _, sensitivity := range []string{"plaintext", "encrypted"} {
			f := obj{"sensitivity": sensitivity, "value": "x", "envelope": good}
			w.unchanged(t, func() {
				w.ada.set(t, at, "s", "f", f).code(t, "invalid_request")
				w.ada.do(t, http.MethodPut, at.path("new"), newSecret("n", keyed("f", f))).code(t, "invalid_request")
			})
		}
	})
	t.Run("one of the other sensitivity", func(t *testing.T) {
		w.unchanged(t, func() {
			w.ada.set(t, at, "s", "f", obj{"sensitivity": "plaintext", "envelope": good}).code(t, "invalid_request")
			w.ada.set(t, at, "s", "f", obj{"sensitivity": "encrypted", "value": "x"}).code(t, "invalid_request")
		})
	})
	t.Run("and the good one still goes in", func(t *testing.T) {
		w.ada.set(t, at, "s", "f", encrypted(good)).ok(t, 200).etag(t, 2)
	})
}

// TestContractDataKeys: a data key is for one secret, one field and one
// write; every string that is not such a key is refused in one way.
func TestContractDataKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s", keyed("p", plain("x")))
	w.ada.create(t, at, "other")
	w.ada.create(t, w.projA, "s")
	fresh := w.ada.mint(t, at, "s", "f")

	// What a refused release says, but for the request id.
	release := func(c caller, p place, secret, field, dataKey string) string {
		body := mintBody(p, secret, field)
		body["dataKeyCiphertext"] = dataKey
		r := c.do(t, http.MethodPost, "/agent/secrets/decrypt-data-key", body, header("X-Request-Id", "one"))
		if r.status == 200 {
			t.Errorf("a key is released")
		}
		return form(r)
	}
	garbage := release(w.ada.caller, at, "s", "f", "x")
	w.ada.release(t, at, "s", "f", "x").code(t, "data_key_mismatch")

	refuse := func(t *testing.T, dataKey string) {
		t.Helper()
		e := fresh.seal(t, "v")
		e.DataKey = dataKey
		w.unchanged(t, func() {
			w.ada.set(t, at, "s", "f", encrypted(e)).code(t, "data_key_mismatch")
			w.ada.do(t, http.MethodPut, at.path("new"), newSecret("n", keyed("f", encrypted(e)))).code(t, "data_key_mismatch")
			if got := release(w.ada.caller, at, "s", "f", dataKey); got != garbage {
				t.Errorf("the refusal differs from that of garbage:\n%s\n%s", got, garbage)
			}
		})
	}
	t.Run("any string that is none", func(t *testing.T) {
		good := fresh.DataKeyCiphertext
		for name, bad := range map[string]string{
			"empty": "", "a letter": "x", "zeros": tobase64(make([]byte, 142)), "cut": good[:len(good)-4], "longer": good + "AAAA", "twice": good + good, "no padding": strings.TrimRight(good, "="),
			"line break": good[:76] + "\n" + good[76:], "trailing line break": good + "\n", "space": good + " ", "more padding": good + "=", "spare bits": good[:189] + spareBits(good[189]) + "==",
			"other alphabet": strings.NewReplacer("+", "-", "/", "_").Replace(strings.Replace(good, good[10:12], "+/", 1)), "not base64": strings.Repeat("!", len(good)),
			"100 KB": strings.Repeat("A", 100<<10), "unicode": "ключ", "NUL": good + "\x00", "141 bytes": tobase64(make([]byte, 141)), "143 bytes": tobase64(make([]byte, 143)),
		} {
			t.Run(name, func(t *testing.T) { refuse(t, bad) })
		}
	})
	t.Run("tampered with in each region", func(t *testing.T) {
		for region, at := range map[string]int{
			"version": 0, "algorithm": 1, "kekId": 2, "kekId's end": 17, "dekId": 18, "dekId's time": 23, "dekId's end": 33, "minter": 34, "minter's end": 49,
			"nonce": 50, "nonce's end": 61, "key": 62, "key's end": 93, "its tag": 94, "its tag's end": 109, "MAC": 110, "MAC's end": 141,
		} {
			for _, bit := range []byte{1, 128} {
				t.Run(region, func(t *testing.T) {
					b := unbase64(t, fresh.DataKeyCiphertext)
					b[at] ^= bit
					refuse(t, tobase64(b))
				})
			}
		}
	})
	t.Run("parts of two", func(t *testing.T) {
		one, two := unbase64(t, fresh.DataKeyCiphertext), unbase64(t, w.ada.mint(t, at, "s", "f").DataKeyCiphertext)
		for _, cut := range []int{34, 50, 62, 94, 110} { // up to dekId they are alike
			refuse(t, tobase64(append(append([]byte{}, one[:cut]...), two[cut:]...)))
		}
	})
	t.Run("minted for something else", func(t *testing.T) {
		for name, k := range map[string]mintedKey{
			"field": w.ada.mint(t, at, "s", "g"), "field of other case": w.ada.mint(t, at, "s", "F"), "secret": w.ada.mint(t, at, "other", "f"),
			"scope": w.ada.mint(t, w.projA, "s", "f"), "own scope": w.ada.mint(t, w.ada.own(), "s", "f"), "team": w.bob.mint(t, w.teamB, "s", "f"), "secret to come": w.ada.mint(t, at, "to-come", "f"),
		} {
			t.Run(name, func(t *testing.T) { refuse(t, k.DataKeyCiphertext) })
		}
	})
	t.Run("another agent's mint is not released before it is used", func(t *testing.T) {
		if got := release(w.alan.caller, at, "s", "f", fresh.DataKeyCiphertext); got != garbage {
			t.Errorf("the refusal differs from that of garbage: %s", got)
		}
		if got := w.ada.released(t, at, "s", "f", fresh.DataKeyCiphertext); got != fresh.PlaintextKey {
			t.Error("the minter does not get its key")
		}
	})
	t.Run("the good one goes in, once", func(t *testing.T) {
		e := fresh.seal(t, "v")
		w.ada.set(t, at, "s", "f", encrypted(e)).ok(t, 200)
		if got := w.alan.released(t, at, "s", "f", e.DataKey); got != fresh.PlaintextKey {
			t.Error("a reader does not get the current key")
		}
		for _, where := range [][2]string{{"s", "g"}, {"other", "f"}, {"s", "p"}} {
			if got := release(w.ada.caller, at, where[0], where[1], e.DataKey); got != garbage {
				t.Errorf("the refusal differs from that of garbage: %s", got)
			}
		}
		w.unchanged(t, func() {
			w.ada.set(t, at, "s", "f", encrypted(e)).ok(t, 200)
			w.ada.set(t, at, "s", "f", encrypted(fresh.seal(t, "v"))).code(t, "data_key_reused")
			w.ada.set(t, at, "s", "g", encrypted(e)).code(t, "data_key_mismatch")
		})
		next := w.ada.seal(t, at, "s", "f", "w")
		w.ada.set(t, at, "s", "f", encrypted(next)).ok(t, 200)
		w.unchanged(t, func() {
			w.ada.set(t, at, "s", "f", encrypted(e)).code(t, "data_key_reused") // replaced
			if got := release(w.ada.caller, at, "s", "f", e.DataKey); got != garbage {
				t.Errorf("the refusal of a replaced key differs from that of garbage: %s", got)
			}
		})
		w.ada.do(t, http.MethodDelete, at.field("s", "f"), nil).ok(t, 200)
		w.unchanged(t, func() {
			w.ada.set(t, at, "s", "f", encrypted(next)).code(t, "data_key_reused") // removed
			if got := release(w.ada.caller, at, "s", "f", next.DataKey); got != garbage {
				t.Errorf("the refusal of a removed key differs from that of garbage: %s", got)
			}
		})
		w.ada.do(t, http.MethodDelete, at.path("s"), nil).ok(t, 200)
		if got := release(w.ada.caller, at, "s", "f", next.DataKey); got != garbage {
			t.Errorf("the refusal of a deleted key differs from that of garbage: %s", got)
		}
	})
	t.Run("of two creators that both minted one wins", func(t *testing.T) {
		hers, his := w.ada.mint(t, at, "rival", "f"), w.alan.mint(t, at, "rival", "f")
		w.ada.do(t, http.MethodPut, at.path("rival"), newSecret("n", keyed("f", encrypted(hers.seal(t, "hers"))))).ok(t, 201)
		w.alan.do(t, http.MethodPut, at.path("rival"), newSecret("m", keyed("f", encrypted(his.seal(t, "his"))))).code(t, "secret_exists")
		w.unchanged(t, func() {
			if got := release(w.alan.caller, at, "rival", "f", his.DataKeyCiphertext); got != garbage {
				t.Errorf("the loser's key: %s", got)
			}
			w.alan.set(t, at, "rival", "f", encrypted(his.seal(t, "his"))).code(t, "data_key_mismatch")
			w.alan.set(t, at, "rival", "g", encrypted(his.seal(t, "his"))).code(t, "data_key_mismatch")
		})
	})
}

// spareBits is a letter of base64 whose upper two bits are those of c's, and
// whose lower four are not all zero.
func spareBits(c byte) string { return string(c + 1) }
