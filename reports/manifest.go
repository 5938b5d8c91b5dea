package reports

import (
	"hash"
	"io"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Manifest says what a report was made from and proves what it holds.
type Manifest struct {
	V      int           `json:"v"` // 1
	Report string        `json:"report"`
	Title  string        `json:"title"`
	Query  ManifestQuery `json:"query"`
	Events Range         `json:"events"`
	// Access is nil in reports that read no access log.
	Access *Range `json:"access,omitempty"`
	Rows   uint64 `json:"rows"`
	// Population is how many rows there were to sample from; Rows, without a
	// sample.
	Population uint64 `json:"population"`
	// Bytes and SHA256 are of what was written before the manifest.
	Bytes  uint64 `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Signature is over SignedBytes; nil where nothing signs. It must stay the
	// last member.
	Signature *Signature `json:"signature,omitempty"`
}

// Signature says that the server whose key it names made the manifest.
type Signature struct {
	Key     string `json:"key"`     // its name and public half
	Ed25519 []byte `json:"ed25519"` // base64 in JSON
}

// ManifestQuery is what was asked for. Asking it again gives the same report.
type ManifestQuery struct {
	Org    domain.OrgID `json:"org,omitempty"`
	Format string       `json:"format"`
	From   string       `json:"from,omitempty"`
	To     string       `json:"to,omitempty"`
	At     string       `json:"at,omitempty"`
	Sample int          `json:"sample,omitempty"`
	Seed   uint64       `json:"seed,omitempty"`
}

// Range is the part of one log that counted.
type Range struct {
	From uint64 `json:"from"` // 0 of an empty log
	To   uint64 `json:"to"`
	// Checkpoint is the oldest signed note that covers To; "" where nothing is
	// signed.
	Checkpoint string `json:"checkpoint,omitempty"`
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func queryOf(q domain.ReportQuery) ManifestQuery {
	return ManifestQuery{
		Org: q.Org, Format: q.Format, From: stamp(q.From), To: stamp(q.To), At: stamp(q.At), Sample: q.Sample, Seed: q.Seed,
	}
}

// SignedBytes are what a manifest's signature is over: its JSON without the
// signature, as it stands in the report.
func SignedBytes(m Manifest) ([]byte, error) {
	m.Signature = nil
	return marshal(m)
}

func (m *Manifest) sign(s Signer) error {
	if s == nil {
		return nil
	}
	text, err := SignedBytes(*m)
	if err != nil {
		return err
	}
	signature := s.SignManifest(text)
	m.Signature = &signature
	return nil
}

// measured counts and hashes what is written through it.
type measured struct {
	w     io.Writer
	sum   hash.Hash
	bytes uint64
}

// Write implements io.Writer.
func (m *measured) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.sum.Write(p[:n])
	m.bytes += uint64(n) //nolint:gosec // not negative.
	return n, err
}
