package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

type vectorPath struct{ Org, Scope, ScopeID, SecretID, FieldKey string }

func (p vectorPath) ref() domain.SecretRef {
	return domain.SecretRef{Org: domain.OrgID(p.Org), Scope: domain.Scope{Kind: domain.ScopeKind(p.Scope), ID: p.ScopeID}, ID: domain.SecretID(p.SecretID)}
}

type keyVectors struct {
	Format, About string
	LP            []struct {
		Label string
		Parts []string
		Bytes string
	}
	KeyFile   string
	OrgKeys   []struct{ Org, ID, Key, Record string }
	SecretKey struct{ KekID, Key, Record string }
	DataKeys  []struct {
		Path                                      vectorPath
		KekID, DekID, Minter, DataKey, Ciphertext string
	}
	InvalidDataKeys []struct {
		Name, Class string
		Path        vectorPath
		Ciphertext  string
	}
	FieldValues []struct {
		Path                  vectorPath
		KekID, EventID, Value string
		Box                   []byte
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readKeyVectors(t *testing.T) keyVectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/datakey_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v keyVectors
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Format != "chancery-key-vectors/v1" || len(v.LP) < 7 || len(v.OrgKeys) != 2 || len(v.DataKeys) < 3 || len(v.InvalidDataKeys) < 20 || len(v.FieldValues) < 3 {
		t.Fatalf("format %q, or vectors are missing", v.Format)
	}
	return v
}

func (v keyVectors) secretKey(t *testing.T) secretKey {
	return secretKey{kek: domain.KekID(unhex(t, v.SecretKey.KekID)), org: domain.OrgID(v.OrgKeys[0].Org), key: key(unhex(t, v.SecretKey.Key))}
}

// Invariant 10: what was ever written is read, and means the same.
func TestVectorsOpen(t *testing.T) {
	v := readKeyVectors(t)
	for _, c := range v.LP {
		parts := make([]string, len(c.Parts))
		for i, p := range c.Parts {
			parts[i] = string(unhex(t, p))
		}
		if got := hex.EncodeToString(LP(c.Label, parts...)); got != c.Bytes {
			t.Errorf("LP(%q, %q) = %s", c.Label, parts, got)
		}
	}
	local, err := decodeLocal([]byte(v.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := local.encode(); string(got) != v.KeyFile {
		t.Error("the key file is written in another form")
	}
	var ok key
	for i, c := range v.OrgKeys {
		r, err := readOrgKey(StoredKey{ID: c.ID, Org: c.Org, Record: []byte(c.Record)})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err = unwrapOrgKey(t.Context(), local, r); err != nil || !bytes.Equal(ok[:], unhex(t, c.Key)) {
			t.Fatalf("org key %d: %v", i, err)
		}
	}
	r, err := decodeSecretKeyRecord(unhex(t, v.SecretKey.Record))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := openUnder(ok, orgKeyInfo(orgKeyID(r.orgKey)), r.box[:], secretKeyAAD(r.org, orgKeyID(r.orgKey), r.kek, r.generation))
	if err != nil || !bytes.Equal(raw, unhex(t, v.SecretKey.Key)) {
		t.Fatalf("secret key: %v", err)
	}
	k := v.secretKey(t)
	for i, c := range v.DataKeys {
		d, err := ParseDataKey(c.Ciphertext)
		if err != nil {
			t.Fatal(err)
		}
		dek, err := d.open(k, c.Path.ref(), domain.FieldKey(c.Path.FieldKey))
		if err != nil || hex.EncodeToString(dek) != c.DataKey {
			t.Errorf("data key %d: %v", i, err)
		}
		if d.KekID().String() != c.KekID || d.DekID().String() != c.DekID || domain.AgentPrefix+d.Minter().String() != c.Minter {
			t.Errorf("data key %d: the header says %v by %s", i, d, d.Minter())
		}
	}
	for _, c := range v.InvalidDataKeys {
		d, err := ParseDataKey(c.Ciphertext)
		if err == nil {
			_, err = d.open(k, c.Path.ref(), domain.FieldKey(c.Path.FieldKey))
		}
		if err == nil {
			t.Errorf("%s (%s): opened", c.Name, c.Class)
		}
	}
	for i, c := range v.FieldValues {
		value, err := openField(k, c.Path.ref(), domain.FieldKey(c.Path.FieldKey),
			domain.Sealed{KekID: domain.KekID(unhex(t, c.KekID)), EventID: ulid.MustParseStrict(c.EventID), Box: c.Box})
		if err != nil || value.Reveal() != c.Value {
			t.Errorf("field value %d: %v", i, err)
		}
	}
}

// reference is the formats once more, from the specification: its own LP and
// HKDF, plain AES-GCM with a nonce that is handed in.
type reference struct{ t *testing.T }

func (r reference) lp(parts ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(parts)))
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func (r reference) expand(k, info []byte, n int) []byte {
	var out, last []byte
	for i := byte(1); len(out) < n; i++ {
		h := hmac.New(sha256.New, k)
		h.Write(last)
		h.Write(info)
		h.Write([]byte{i})
		last = h.Sum(nil)
		out = append(out, last...)
	}
	return out[:n]
}

func (r reference) seal(k, nonce, plaintext, aad []byte) []byte {
	block, err := aes.NewCipher(k)
	if err != nil {
		r.t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		r.t.Fatal(err)
	}
	return gcm.Seal(bytes.Clone(nonce), nonce, plaintext, aad)
}

func (r reference) dataKey(k, header, nonce, dek []byte, p vectorPath) string {
	keys := r.expand(k, r.lp("chancery/data-key/v1/keys", string(header)), 64)
	aad := r.lp("chancery/data-key/v1", string(header), p.Org, p.Scope, p.ScopeID, p.SecretID, p.FieldKey)
	body := r.seal(keys[:32], nonce, dek, aad)
	h := hmac.New(sha256.New, keys[32:])
	h.Write(aad)
	h.Write(body)
	return base64.StdEncoding.EncodeToString(bytes.Join([][]byte{header, body, h.Sum(nil)}, nil))
}

func (r reference) field(k, nonce []byte, kek, event, value string, p vectorPath) []byte {
	return r.seal(r.expand(k, r.lp("chancery/field-value/v1", event), 32), nonce, []byte(value),
		r.lp("chancery/field-value/v1", p.Org, p.Scope, p.ScopeID, p.SecretID, kek, p.FieldKey, event))
}

// Invariant 10: what is written now has the bytes of the vectors, given their
// nonces.
func TestWrittenAsInTheVectors(t *testing.T) {
	v, r := readKeyVectors(t), reference{t}
	for i, c := range v.DataKeys {
		d, err := ParseDataKey(c.Ciphertext)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.dataKey(unhex(t, v.SecretKey.Key), d.header(), d.body()[:nonceLen], unhex(t, c.DataKey), c.Path); got != c.Ciphertext {
			t.Errorf("data key %d: the reference gives %s", i, got)
		}
	}
	k := v.secretKey(t)
	for _, c := range v.DataKeys {
		d, dek, err := mintDataKey(testSource(), k, c.Path.ref(), domain.FieldKey(c.Path.FieldKey), testAgent.ULID())
		if err != nil {
			t.Fatal(err)
		}
		if want := r.dataKey(k.key[:], d.header(), d.body()[:nonceLen], dek[:], c.Path); d.encode() != want {
			t.Error("a mint is not what the reference makes of its nonce")
		}
	}
	for _, c := range v.FieldValues {
		event := ulid.MustParseStrict(c.EventID)
		s, err := sealField(k, c.Path.ref(), domain.FieldKey(c.Path.FieldKey), event, domain.NewPlaintext(c.Value))
		if err != nil {
			t.Fatal(err)
		}
		for _, box := range [][]byte{s.Box, c.Box} {
			if want := r.field(k.key[:], box[:nonceLen], string(k.kek[:]), string(event[:]), c.Value, c.Path); !bytes.Equal(box, want) {
				t.Error("a sealed field is not what the reference makes of its nonce")
			}
		}
	}
	secret, err := decodeSecretKeyRecord(unhex(t, v.SecretKey.Record))
	if err != nil {
		t.Fatal(err)
	}
	ok := orgKey{generation: 1, key: key(unhex(t, v.OrgKeys[0].Key))}
	k.created = secret.created
	keys := &secretKeys{org: &orgKeys{}}
	record, err := keys.wrap(k, ok, LogStatus{FirstEvent: secret.first, Applied: secret.head.position, AppliedEvent: secret.head.event})
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeSecretKeyRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	info, aad := r.lp("chancery/org-key/v1/wrap", "k1"), r.lp("chancery/secret-key/v1", string(k.org), "k1", string(k.kek[:]), "\x00\x00\x00\x01")
	for _, box := range [][secretKeyBox]byte{secret.box, again.box} {
		if want := r.seal(r.expand(ok.key[:], info, 32), box[:nonceLen], k.key[:], aad); !bytes.Equal(box[:], want) {
			t.Error("a wrapped secret key is not what the reference makes of its nonce")
		}
	}
	again.box = secret.box
	if got, err := again.encode(); err != nil || hex.EncodeToString(got) != v.SecretKey.Record {
		t.Errorf("a secret key's record is written in another form, error %v", err)
	}
}
