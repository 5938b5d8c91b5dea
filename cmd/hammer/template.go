package main

import (
	"bytes"
	"fmt"
)

// Marks in the text of a template, and how many digits take their place.
const (
	subjectMark = "#########"    // which secret
	freshMark   = "@@@@@@@@@@@@" // a number that was never used before
)

// template is a whole request in which only digits change, so that its length
// never does.
type template struct {
	text           []byte
	subject, fresh []int // where the marks stand
}

func newTemplate(text []byte) template {
	return template{text: text, subject: marks(text, subjectMark), fresh: marks(text, freshMark)}
}

func marks(text []byte, mark string) []int {
	var found []int
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(mark))
		if i < 0 {
			return found
		}
		found = append(found, at+i)
		at += i + len(mark)
	}
}

// fill puts the numbers in and gives the request, good until the next fill.
func (t template) fill(subject, fresh uint64) []byte {
	for _, at := range t.subject {
		digits(t.text[at:at+len(subjectMark)], subject)
	}
	for _, at := range t.fresh {
		digits(t.text[at:at+len(freshMark)], fresh)
	}
	return t.text
}

// digits writes n over all of b, with zeros in front.
func digits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// caller is who sends requests, and to whom.
type caller struct {
	address string // host:port
	key     string
}

// request gives a whole request. An empty body is none, an empty idempotency
// key too.
func (c caller) request(method, path, idempotency, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nUser-Agent: hammer\r\n", method, path, c.address, c.key)
	if idempotency != "" {
		fmt.Fprintf(&b, "Idempotency-Key: %s\r\n", idempotency)
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	return b.Bytes()
}
