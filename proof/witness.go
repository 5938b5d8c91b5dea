package proof

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Bounds of one question to a witness.
const (
	witnessTimeout = 10 * time.Second
	witnessAnswer  = 64 << 10
)

// ErrWitness says that a witness gave no cosignature, or a wrong one.
var ErrWitness = errors.New("proof: no cosignature from the witness")

// Witness is somebody who watches logs grow and signs what it saw (C2SP
// tlog-witness).
type Witness struct {
	url      string
	verifier *torchwood.CosignatureVerifier
}

// NewWitness makes a witness from its submission prefix, an http or https URL,
// and its key (a vkey of C2SP tlog-cosignature, algorithm 4). Errors: ErrKey
// for the key, others for the URL.
func NewWitness(submission, vkey string) (Witness, error) {
	u, err := url.Parse(submission)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return Witness{}, fmt.Errorf("proof: the address of a witness must be a plain http or https URL")
	}
	v, err := torchwood.NewCosignatureVerifier(vkey)
	if err != nil {
		return Witness{}, fmt.Errorf("%w: of a witness: %w", ErrKey, err)
	}
	return Witness{url: strings.TrimSuffix(submission, "/"), verifier: v}, nil
}

// Name is the name of the witness's key.
func (w Witness) Name() string { return w.verifier.Name() }

// Verifier checks the witness's signatures.
func (w Witness) Verifier() note.Verifier { return w.verifier }

// knownSizeError is a witness's answer that it knows the log at another size.
type knownSizeError struct{ size uint64 }

func (e *knownSizeError) Error() string {
	return "the witness knows the log at size " + strconv.FormatUint(e.size, 10)
}

// ask sends a checkpoint with the proof that it continues the size that the
// witness knows, and gives the cosignature, verified. The error is a
// *knownSizeError when the witness knows another size, else ErrWitness or the
// context's.
func (w Witness) ask(ctx context.Context, client *http.Client, c SignedCheckpoint, old uint64, p tlog.TreeProof) (note.Signature, error) {
	ctx, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	body := fmt.Appendf(nil, "old %d\n", old)
	for _, h := range p {
		body = append(body, base64.StdEncoding.EncodeToString(h[:])+"\n"...)
	}
	body = append(append(body, '\n'), c.Note...)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return note.Signature{}, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := client.Do(request)
	if err != nil {
		return note.Signature{}, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, witnessAnswer+1))
	if err != nil {
		return note.Signature{}, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	switch {
	case len(answer) > witnessAnswer:
		return note.Signature{}, fmt.Errorf("%w: its answer is too long", ErrWitness)
	case response.StatusCode == http.StatusConflict:
		return note.Signature{}, conflict(response.Header.Get("Content-Type"), answer)
	case response.StatusCode != http.StatusOK:
		// What it says stays out of our logs.
		return note.Signature{}, fmt.Errorf("%w: it answered %d", ErrWitness, response.StatusCode)
	}
	return w.parse(c, answer)
}

// conflict reads the size that a witness knows.
func conflict(contentType string, answer []byte) error {
	media, _, err := mime.ParseMediaType(contentType)
	text, ok := strings.CutSuffix(string(answer), "\n")
	size, parse := strconv.ParseUint(text, 10, 63)
	if err != nil || media != "text/x.tlog.size" || !ok || parse != nil || strconv.FormatUint(size, 10) != text {
		return fmt.Errorf("%w: it answered 409 and no size", ErrWitness)
	}
	return &knownSizeError{size: size}
}

// parse takes the witness's own signature, and no other, from the lines that
// it answered.
func (w Witness) parse(c SignedCheckpoint, lines []byte) (note.Signature, error) {
	n, err := note.Open(append([]byte(c.Text()+"\n"), lines...), note.VerifierList(w.verifier))
	if err != nil || len(n.Sigs) != 1 {
		return note.Signature{}, fmt.Errorf("%w: its answer has no valid signature of %s", ErrWitness, w.Name())
	}
	sig := n.Sigs[0]
	raw, err := base64.StdEncoding.DecodeString(sig.Base64)
	if err != nil {
		return note.Signature{}, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	sig.Base64 = base64.StdEncoding.EncodeToString(raw) // Stored notes have one spelling.
	return sig, nil
}

// witnessSignatures gives the lines of a note that are of witnesses.
func witnessSignatures(signed []byte, witnesses []note.Verifier) ([]note.Signature, error) {
	if len(witnesses) == 0 {
		return nil, nil
	}
	n, err := note.Open(signed, note.VerifierList(witnesses...))
	if _, none := errors.AsType[*note.UnverifiedNoteError](err); none {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return n.Sigs, nil
}
