package kms

import (
	"io"
	"time"
)

// source is where time and randomness come from.
type source struct {
	now  func() time.Time
	rand io.Reader
}

// millis is the time that stands in records and ids: UTC, whole milliseconds.
func (s *source) millis() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
