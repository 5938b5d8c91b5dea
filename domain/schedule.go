package domain

import (
	"strconv"
	"strings"
	"time"
)

// MaxRotateEvery is the longest that may be asked for: about ten years.
const MaxRotateEvery RotateEvery = 3650

// RotateEvery says after how many whole days the values of a secret should be
// replaced; 0 is nothing said. Like an expiry it is advice for people and
// reports: nothing is refused because of it.
type RotateEvery int

// String gives the one form of it, like "90d"; "" for 0.
func (r RotateEvery) String() string {
	if r == 0 {
		return ""
	}
	return strconv.Itoa(int(r)) + "d"
}

// ParseRotateEvery accepts what String gives, from 1d to 3650d. Anything else
// is invalid_request.
func ParseRotateEvery(s string) (RotateEvery, error) {
	digits, ok := strings.CutSuffix(s, "d")
	n, err := strconv.ParseUint(digits, 10, 16)
	r := RotateEvery(n)
	if !ok || err != nil || r < 1 || r > MaxRotateEvery || r.String() != s {
		return 0, Errorf(CodeInvalidRequest, "a time to rotation is whole days, from 1d to %s", MaxRotateEvery)
	}
	return r, nil
}

// ParseExpiry accepts every time that has a form in a record, past ones too,
// cut to milliseconds; the zero time, which is none, is invalid_request, as is
// all before it and from the year 10000 on.
func ParseExpiry(t time.Time) (time.Time, error) {
	t = t.UTC().Truncate(time.Millisecond)
	if !t.After(time.Time{}) || t.Year() > 9999 {
		return time.Time{}, Errorf(CodeInvalidRequest, "an expiry lies in the years 1 to 9999")
	}
	return t, nil
}
