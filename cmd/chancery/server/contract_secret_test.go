package server_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The forms of the agent API, as the contract writes them.
type (
	aggregate struct {
		SecretID   string       `json:"secretId"`
		Scope      string       `json:"scope"`
		ScopeID    string       `json:"scopeId"`
		SecretName string       `json:"secretName"`
		Category   string       `json:"category"`
		Tags       []string     `json:"tags"`
		Version    int          `json:"version"`
		CreatedAt  string       `json:"createdAt"`
		CreatedBy  string       `json:"createdBy"`
		UpdatedAt  string       `json:"updatedAt"`
		UpdatedBy  string       `json:"updatedBy"`
		Fields     []fieldState `json:"fields"`
	}
	fieldState struct {
		Key         string    `json:"key"`
		Sensitivity string    `json:"sensitivity"`
		Version     int       `json:"version"`
		UpdatedAt   string    `json:"updatedAt"`
		UpdatedBy   string    `json:"updatedBy"`
		Value       *string   `json:"value"`
		Envelope    *envelope `json:"envelope"`
	}
	envelope struct {
		Version    int    `json:"version"`
		IV         string `json:"iv"`
		Ciphertext string `json:"ciphertext"`
		AuthTag    string `json:"authTag"`
		DataKey    string `json:"dataKeyCiphertext"`
	}
	secretView struct {
		Aggregate aggregate           `json:"aggregate"`
		Envelopes map[string]envelope `json:"envelopes"`
	}
	mintedKey struct {
		PlaintextKey      string `json:"plaintextKey"`
		DataKeyCiphertext string `json:"dataKeyCiphertext"`
		KeyID             string `json:"keyId"`
	}
	fromTo struct {
		From json.RawMessage `json:"from"`
		To   json.RawMessage `json:"to"`
	}
	historyEntry struct {
		Position  uint64 `json:"position"`
		EventID   string `json:"eventId"`
		Type      string `json:"type"`
		Time      string `json:"time"`
		Version   int    `json:"version"`
		RequestID string `json:"requestId"`
		ClientIP  string `json:"clientIp"`
		UserAgent string `json:"userAgent"`
		Reason    string `json:"reason"`
		RunID     string `json:"runId"`
		Actor     struct {
			Kind  string `json:"kind"`
			ID    string `json:"id"`
			Name  string `json:"name"`
			KeyID string `json:"keyId"`
		} `json:"actor"`
		Fields []struct {
			Key         string `json:"key"`
			Sensitivity string `json:"sensitivity"`
		} `json:"fields"`
		Changes map[string]fromTo `json:"changes"`
	}
)

// place is a scope.
type place struct{ scope, id string }

// path is the path below this scope; its elements are escaped.
func (p place) path(elements ...string) string {
	var b strings.Builder
	b.WriteString("/agent/secrets/" + p.scope + "/" + p.id)
	for _, e := range elements {
		b.WriteString("/" + url.PathEscape(e))
	}
	return b.String()
}

func (p place) field(secret, key string) string { return p.path(secret, "fields", key) }

// plain is a plaintext field as sent.
func plain(value string) obj { return obj{"sensitivity": "plaintext", "value": value} }

// encrypted is an encrypted field as sent.
func encrypted(e any) obj { return obj{"sensitivity": "encrypted", "envelope": e} }

// keyed is a field of a create.
func keyed(key string, field obj) obj {
	with := obj{"key": key}
	for name, v := range field {
		with[name] = v
	}
	return with
}

// newSecret is the body of a create.
func newSecret(name string, fields ...obj) obj {
	return obj{"secretName": name, "category": "login", "fields": append([]obj{}, fields...)}
}

func (c caller) create(t testing.TB, p place, secret string, fields ...obj) reply {
	t.Helper()
	return c.do(t, http.MethodPut, p.path(secret), newSecret("Name of "+secret, fields...)).ok(t, 201)
}

func (c caller) get(t testing.TB, p place, secret string) secretView {
	t.Helper()
	return into[secretView](t, c.do(t, http.MethodGet, p.path(secret), nil).ok(t, 200))
}

func (c caller) rename(t testing.TB, p place, secret, name string, tweaks ...tweak) reply {
	t.Helper()
	return c.do(t, http.MethodPatch, p.path(secret), obj{"secretName": name}, tweaks...)
}

func (c caller) set(t testing.TB, p place, secret, key string, field obj, tweaks ...tweak) reply {
	t.Helper()
	return c.do(t, http.MethodPut, p.field(secret, key), field, tweaks...)
}

func (c caller) history(t testing.TB, p place, secret string) []historyEntry {
	t.Helper()
	return into[[]historyEntry](t, c.do(t, http.MethodGet, p.path(secret, "history"), nil).ok(t, 200))
}

func mintBody(p place, secret, key string) obj {
	return obj{"scope": p.scope, "scopeId": p.id, "secretId": secret, "fieldKey": key}
}

func (c caller) tryMint(t testing.TB, p place, secret, key string) reply {
	t.Helper()
	return c.do(t, http.MethodPost, "/agent/secrets/generate-data-key", mintBody(p, secret, key))
}

func (c caller) mint(t testing.TB, p place, secret, key string) mintedKey {
	t.Helper()
	return into[mintedKey](t, c.tryMint(t, p, secret, key).ok(t, 200))
}

// release asks for a data key that was minted before.
func (c caller) release(t testing.TB, p place, secret, key, dataKey string) reply {
	t.Helper()
	body := mintBody(p, secret, key)
	body["dataKeyCiphertext"] = dataKey
	return c.do(t, http.MethodPost, "/agent/secrets/decrypt-data-key", body)
}

func (c caller) released(t testing.TB, p place, secret, key, dataKey string) string {
	t.Helper()
	data := members(t, c.release(t, p, secret, key, dataKey).ok(t, 200).data, "plaintextKey")
	var plaintext string
	if err := json.Unmarshal(data["plaintextKey"], &plaintext); err != nil {
		t.Fatal(err)
	}
	return plaintext
}

// seal mints a data key for a field and seals a value on this machine.
func (c caller) seal(t testing.TB, p place, secret, key, value string) envelope {
	t.Helper()
	return c.mint(t, p, secret, key).seal(t, value)
}

// unseal reads an encrypted field's value the way an agent does.
func (c caller) unseal(t testing.TB, p place, secret, key string, e envelope) string {
	t.Helper()
	plaintext := c.released(t, p, secret, key, e.DataKey)
	opened, err := gcm(t, plaintext).Open(nil, unbase64(t, e.IV), append(unbase64(t, e.Ciphertext), unbase64(t, e.AuthTag)...), nil)
	if err != nil {
		t.Fatalf("the envelope does not open: %v", err)
	}
	return string(opened)
}

// seal makes an EncryptedEnvelopeV1: AES-256-GCM without additional data.
func (k mintedKey) seal(t testing.TB, value string) envelope {
	t.Helper()
	iv := make([]byte, 12)
	if _, err := rand.Read(iv); err != nil {
		t.Fatal(err)
	}
	out := gcm(t, k.PlaintextKey).Seal(nil, iv, []byte(value), nil)
	cut := len(out) - 16
	return envelope{Version: 1, IV: tobase64(iv), Ciphertext: tobase64(out[:cut]), AuthTag: tobase64(out[cut:]), DataKey: k.DataKeyCiphertext}
}

func gcm(t testing.TB, plaintextKey string) cipher.AEAD {
	t.Helper()
	key := unbase64(t, plaintextKey)
	if len(key) != 32 {
		t.Fatalf("a data key of %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func tobase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatalf("%q is not canonical base64: %v", s, err)
	}
	return b
}

// instant reads a time of the contract: RFC 3339, UTC, milliseconds.
func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000Z", s)
	if err != nil {
		t.Fatalf("%q is not an RFC 3339 UTC time with milliseconds", s)
	}
	return at
}
