package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestContractStrictJSON: a body that is not exactly what the call takes is
// 400 and changes nothing. Which of the two codes names a member that is
// unknown, doubled or of a wrong type the contract leaves open; what is not
// JSON at all is invalid_json, what lacks a member or breaks a rule of its
// content is invalid_request.
func TestContractStrictJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s", keyed("p", plain("x")))
	either := []string{"invalid_json", "invalid_request"}
	syntax := []string{"invalid_json"}
	content := []string{"invalid_request"}

	// How a good body of each call is spoilt. %s stands for more members.
	calls := map[string]struct {
		method, target, good string
		c                    caller
	}{
		"create":    {http.MethodPut, at.path("new"), `{"secretName":"n","category":"c"%s}`, w.ada.caller},
		"patch":     {http.MethodPatch, at.path("s"), `{"secretName":"Name of s"%s}`, w.ada.caller},
		"set field": {http.MethodPut, at.field("s", "p"), `{"sensitivity":"plaintext","value":"x"%s}`, w.ada.caller},
		"mint":      {http.MethodPost, "/agent/secrets/generate-data-key", `{"scope":"team","scopeId":"` + at.id + `","secretId":"s","fieldKey":"f"%s}`, w.ada.caller},
		"release":   {http.MethodPost, "/agent/secrets/decrypt-data-key", `{"scope":"team","scopeId":"` + at.id + `","secretId":"s","fieldKey":"f","dataKeyCiphertext":"x"%s}`, w.ada.caller},
		"team":      {http.MethodPost, w.inOrg("teams"), `{"name":"n"%s}`, w.admin},
		"rename":    {http.MethodPatch, w.inOrg("teams", at.id), `{"name":"Team A"%s}`, w.admin},
		"grant":     {http.MethodPut, w.membership(w.ada, at), `{"role":"writer"%s}`, w.admin},
		"key":       {http.MethodPost, w.inOrg("agents", w.ada.id, "keys"), `{"note":"n"%s}`, w.admin},
	}
	first := func(good string) string { // its first member, once more
		member, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(good, "{"), "%s}"), ",")
		return member
	}
	for name, call := range calls {
		good := strings.Replace(call.good, "%s", "", 1)
		more := func(members string) string { return strings.Replace(call.good, "%s", members, 1) }
		for _, tt := range []struct {
			name, body string
			codes      []string
		}{
			{"empty", "", syntax},
			{"blank", " \n", syntax},
			{"null", "null", either},
			{"array", "[" + good + "]", either},
			{"string", `"x"`, either},
			{"number", "1", either},
			{"cut", good[:len(good)-1], syntax},
			{"trailing brace", good + "}", syntax},
			{"trailing value", good + " 1", syntax},
			{"two values", good + good, syntax},
			{"trailing NUL", good + "\x00", syntax},
			{"byte order mark", "\ufeff" + good, syntax},
			{"comment", "/**/" + good, syntax},
			{"single quotes", strings.ReplaceAll(good, `"`, `'`), syntax},
			{"trailing comma", more(","), syntax},
			{"UTF-16", utf16(good), syntax},
			{"unknown member", more(`,"unknown":1`), either},
			{"unknown member null", more(`,"unknown":null`), either},
			{"empty member name", more(`,"":1`), either},
			{"prototype", more(`,"__proto__":{}`), either},
			{"duplicate member", more("," + first(good)), either},
			{"duplicate member, escaped", more("," + escapeFirst(first(good))), either},
			{"duplicate unknown member", more(`,"u":1,"u":1`), either},
			{"wrong case", strings.Replace(good, first(good), upperFirst(first(good)), 1), either},
			{"both cases", more("," + upperFirst(first(good))), either},
			{"invalid UTF-8", strings.Replace(good, `":"`, "\":\"\xff", 1), syntax},
			{"overlong UTF-8", strings.Replace(good, `":"`, "\":\"\xc0\xaf", 1), syntax},
			{"UTF-8 of a surrogate", strings.Replace(good, `":"`, "\":\"\xed\xa0\x80", 1), syntax},
			{"invalid UTF-8 in a name", more(",\"\xff\":1"), either},
			{"unpaired surrogate", strings.Replace(good, `":"`, `":"\ud83d`, 1), syntax},
			{"surrogates reversed", strings.Replace(good, `":"`, `":"\ude00\ud83d`, 1), syntax},
			{"unpaired surrogate in a name", more(`,"\ud83d":1`), either},
			{"bad escape", strings.Replace(good, `":"`, `":"\x41`, 1), syntax},
			{"raw control character", strings.Replace(good, `":"`, "\":\"\n", 1), syntax},
			{"raw NUL", strings.Replace(good, `":"`, "\":\"\x00", 1), syntax},
			{"deep arrays", more(`,"unknown":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), either},
			{"deep objects", more(`,"unknown":` + strings.Repeat(`{"a":`, 50_000) + "1" + strings.Repeat("}", 50_000)), either},
			{"open arrays", strings.Repeat("[", 500_000), either},
			{"huge number", more(`,"unknown":1e999999`), either},
			{"long number", more(`,"unknown":` + strings.Repeat("9", 100_000)), either},
			{"NaN", more(`,"unknown":NaN`), syntax},
			{"many members", more(manyMembers(20_000)), either},
		} {
			w.unchanging(t, name+"/"+tt.name, func(t *testing.T) {
				call.c.do(t, call.method, call.target, raw(tt.body)).code(t, tt.codes...)
			})
		}
		for _, wrong := range []string{`1`, `true`, `null`, `[]`, `{}`, `["a"]`, `{"a":1}`, `1e400`, `-0`} {
			w.unchanging(t, name+"/first member is "+wrong, func(t *testing.T) {
				member, _, _ := strings.Cut(first(good), ":")
				call.c.do(t, call.method, call.target, raw(strings.Replace(good, first(good), member+":"+wrong, 1))).code(t, either...)
			})
		}
	}

	t.Run("create", func(t *testing.T) {
		field := func(f string) string { return `{"secretName":"n","category":"c","fields":[` + f + `]}` }
		for body, codes := range map[string][]string{
			`{"category":"c"}`:                   content,
			`{"secretName":"n"}`:                 content,
			`{}`:                                 content,
			`{"secretName":"n","category":null}`: either,
			`{"secretName":"n","category":"c","tags":null}`:        either,
			`{"secretName":"n","category":"c","fields":null}`:      either,
			`{"secretName":"n","category":"c","tags":"a"}`:         either,
			`{"secretName":"n","category":"c","tags":{"0":"a"}}`:   either,
			`{"secretName":"n","category":"c","tags":[1]}`:         either,
			`{"secretName":"n","category":"c","tags":[null]}`:      either,
			`{"secretName":"n","category":"c","tags":[["a"]]}`:     either,
			`{"secretName":"n","category":"c","fields":{}}`:        either,
			`{"secretName":"n","category":"c","fields":{"a":"b"}}`: either,
			`{"secretName":"n","category":"c","version":1}`:        either,
			`{"secretName":"n","category":"c","secretId":"new"}`:   either,
			field(`null`): either, field(`1`): either, field(`[]`): either, field(`"a"`): either,
			field(`{}`): content,
			field(`{"key":"a","sensitivity":"plaintext"}`):                                                                   content,
			field(`{"key":"a","sensitivity":"encrypted"}`):                                                                   content,
			field(`{"key":"a","value":"x"}`):                                                                                 content,
			field(`{"sensitivity":"plaintext","value":"x"}`):                                                                 {"invalid_request", "invalid_id"},
			field(`{"key":"a","sensitivity":"plaintext","value":null}`):                                                      either,
			field(`{"key":"a","sensitivity":"plaintext","value":1}`):                                                         either,
			field(`{"key":"a","sensitivity":"plaintext","value":"x","envelope":null}`):                                       {"invalid_request", "invalid_json", "invalid_envelope"},
			field(`{"key":"a","sensitivity":"plaintext","value":"x","value":"x"}`):                                           either,
			field(`{"key":"a","sensitivity":"plaintext","value":"x","v\u0061lue":"x"}`):                                      either,
			field(`{"key":"a","sensitivity":"plaintext","Value":"x"}`):                                                       either,
			field(`{"key":"a","sensitivity":"plaintext","value":"x","x":1}`):                                                 either,
			field(`{"key":"a","sensitivity":"Plaintext","value":"x"}`):                                                       content,
			field(`{"key":"a","sensitivity":"","value":"x"}`):                                                                content,
			field(`{"key":"a","sensitivity":null,"value":"x"}`):                                                              either,
			field(`{"key":"a","sensitivity":"encrypted","value":"x"}`):                                                       content,
			field(`{"key":1,"sensitivity":"plaintext","value":"x"}`):                                                         either,
			field(`{"key":"","sensitivity":"plaintext","value":"x"}`):                                                        {"invalid_id", "invalid_request"},
			field(`{"key":"a b","sensitivity":"plaintext","value":"x"}`):                                                     {"invalid_id"},
			field(`{"key":"a","sensitivity":"plaintext","value":"x"},{"key":"a","sensitivity":"plaintext","value":"x"}`):     content,
			field(`{"key":"a","sensitivity":"plaintext","value":"x"},{"key":"a","sensitivity":"plaintext","value":"y"}`):     content,
			field(`{"key":"\u0061","sensitivity":"plaintext","value":"x"},{"key":"a","sensitivity":"plaintext","value":""}`): content,
		} {
			w.unchanging(t, body, func(t *testing.T) {
				w.ada.do(t, http.MethodPut, at.path("new"), raw(body)).code(t, codes...)
			})
		}
	})
	t.Run("what is JSON all the same", func(t *testing.T) {
		for i, body := range []string{
			" \t\r\n{ \"secretName\" : \"n\" , \"category\" : \"c\" } \n", `{"s\u0065cretName":"n","category":"\u0063"}`,
			`{"category":"c","secretName":"\ud83d\ude00 \\ \/ \" \u00e9"}`, `{"secretName":"n","category":"c","fields":[],"tags":[]}`,
		} {
			w.ada.do(t, http.MethodPut, at.path(fmt.Sprint("json", i)), raw(body)).ok(t, 201)
		}
		if got := w.ada.get(t, at, "json2").Aggregate.SecretName; got != `😀 \ / " é` {
			t.Errorf("name %q", got)
		}
	})
	t.Run("patch", func(t *testing.T) {
		for body, codes := range map[string][]string{
			`{}`:                              {"empty_patch"},
			`{"fields":[]}`:                   either,
			`{"version":2}`:                   either,
			`{"secretName":"x","tags":null}`:  either,
			`{"secretName":"x","category":1}`: either,
		} {
			w.unchanging(t, body, func(t *testing.T) {
				w.ada.do(t, http.MethodPatch, at.path("s"), raw(body)).code(t, codes...)
			})
		}
	})
	t.Run("set field", func(t *testing.T) {
		for body, codes := range map[string][]string{
			`{}`: content,
			`{"key":"p","sensitivity":"plaintext","value":"x"}`: either, // the path names it
			`{"sensitivity":"plaintext"}`:                       content,
			`{"sensitivity":"encrypted","value":"y"}`:           content,
			`{"value":"y"}`: content,
			`{"sensitivity":"plaintext","value":"y","envelope":null}`: {"invalid_request", "invalid_json", "invalid_envelope"},
			`{"sensitivity":"plaintext","value":"y","envelope":{}}`:   {"invalid_request", "invalid_envelope"},
			`{"sensitivity":"secret","value":"y"}`:                    content,
		} {
			w.unchanging(t, body, func(t *testing.T) {
				w.ada.do(t, http.MethodPut, at.field("s", "p"), raw(body)).code(t, codes...)
			})
		}
	})
	for name, target := range map[string]string{"mint": "/agent/secrets/generate-data-key", "release": "/agent/secrets/decrypt-data-key"} {
		t.Run(name, func(t *testing.T) {
			for _, missing := range []string{"scope", "scopeId", "secretId", "fieldKey", "dataKeyCiphertext"} {
				body := mintBody(at, "s", "f")
				if name == "release" {
					body["dataKeyCiphertext"] = "x"
				} else if missing == "dataKeyCiphertext" {
					continue
				}
				delete(body, missing)
				w.ada.do(t, http.MethodPost, target, body).code(t, "invalid_request", "invalid_id")
				body[missing] = 7
				w.ada.do(t, http.MethodPost, target, body).code(t, either...)
				body[missing] = nil
				w.ada.do(t, http.MethodPost, target, body).code(t, either...)
			}
		})
	}
}

func utf16(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}

// upperFirst turns "name":… into "Name":….
func upperFirst(member string) string {
	return `"` + strings.ToUpper(member[1:2]) + member[2:]
}

// escapeFirst turns "name":… into "\u006eame":….
func escapeFirst(member string) string {
	return fmt.Sprintf(`"\u%04x`, member[1]) + member[2:]
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}
