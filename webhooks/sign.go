package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes, as Standard Webhooks says
	maxSecret    = 64
)

// Secret is a symmetric key of an endpoint. It prints as [redacted].
type Secret struct{ key []byte }

// ParseSecret reads whsec_ and standard base64 of 24 to 64 bytes. Its error
// does not hold the text.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, errors.New("a secret is whsec_ and the base64 of 24 to 64 bytes")
	}
	return Secret{key}, nil
}

// String implements [fmt.Stringer].
func (Secret) String() string { return "[redacted]" }

// GoString implements [fmt.GoStringer].
func (Secret) GoString() string { return "[redacted]" }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// signatures gives the value of webhook-signature: one for each secret.
func signatures(secrets []Secret, id string, at time.Time, body []byte) string {
	all := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " ")
}
