package httpapi

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Query parameters.
const (
	paramLimit    = "limit"
	paramCursor   = "cursor"
	paramCategory = "category"
	paramTag      = "tag" // the one that may be repeated
	paramText     = "q"
	paramOrder    = "order"
	paramAt       = "at"
	paramVersion  = "version"
	paramRole     = "role"
	paramInclude  = "include"
	paramProof    = "proof"
	paramActor    = "actor"
	paramSecret   = "secret"
	paramScope    = "scope"
	paramScopeID  = "scopeId"
	paramSecretID = "secretId"
	paramType     = "type"
	paramOutcome  = "outcome"
	paramFrom     = "from"
	paramTo       = "to"
	paramFormat   = "format"
	paramEvents   = "events"
	paramAccess   = "access"
	paramSample   = "sample"
	paramSeed     = "seed"
)

// readQuery refuses what the route does not take: a misspelt filter must
// never widen a list.
func (c *call) readQuery() error {
	query, err := url.ParseQuery(c.http.URL.RawQuery)
	if err != nil {
		return domain.Errorf(domain.CodeInvalidQuery, "the query is malformed")
	}
	for name, values := range query {
		switch {
		case !slices.Contains(c.route.query, name):
			return domain.Errorf(domain.CodeInvalidQuery, "the query has a parameter that this call does not take")
		case len(values) > 1 && name != paramTag:
			return domain.Errorf(domain.CodeInvalidQuery, "the parameter %s is given more than once", name)
		}
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
				return domain.Errorf(domain.CodeInvalidQuery, "the parameter %s is UTF-8 without control characters", name)
			}
		}
	}
	c.query = query
	return nil
}

// limitParam reads the page size.
func (c *call) limitParam(otherwise int) (int, error) {
	if !c.query.Has(paramLimit) {
		return otherwise, nil
	}
	n, ok := wire.ParseUint(c.query.Get(paramLimit))
	if !ok || n < 1 || n > wire.MaxLimit {
		return 0, domain.Errorf(domain.CodeInvalidQuery, "limit is 1 to %d", wire.MaxLimit)
	}
	return int(n), nil
}

// filters reads the filters of a list of secrets into q.
func (c *call) filters(q *domain.SecretQuery) error {
	var err error
	if c.query.Has(paramCategory) {
		if q.Category, err = domain.ParseCategory(c.query.Get(paramCategory)); err != nil {
			return asQuery(err)
		}
	}
	if q.Tags, err = domain.ParseTags(slices.Compact(slices.Sorted(slices.Values(c.query[paramTag])))); err != nil {
		return asQuery(err)
	}
	if q.Text = c.query.Get(paramText); utf8.RuneCountInString(q.Text) > domain.MaxNameLen {
		return domain.Errorf(domain.CodeInvalidQuery, "q has at most %d characters", domain.MaxNameLen)
	}
	return nil
}

// ascending reads the order of a history: newest first unless it says asc.
func (c *call) ascending() (bool, error) {
	if !c.query.Has(paramOrder) {
		return false, nil
	}
	switch c.query.Get(paramOrder) {
	case "asc":
		return true, nil
	case "desc":
		return false, nil
	}
	return false, domain.Errorf(domain.CodeInvalidQuery, "order is asc or desc")
}

// oneOf reads a parameter that is one of a few words, "" where it is not given.
func (c *call) oneOf(name string, words []string) (string, error) {
	if v := c.query.Get(name); !c.query.Has(name) || slices.Contains(words, v) {
		return v, nil
	}
	return "", domain.Errorf(domain.CodeInvalidQuery, "%s is %s", name, strings.Join(words, ", "))
}

// timeParam reads a time, zero where it is not given.
func (c *call) timeParam(name string) (time.Time, error) {
	if !c.query.Has(name) {
		return time.Time{}, nil
	}
	t, err := wire.ParseTime(c.query.Get(name))
	return t.Time, asQuery(err)
}

// uintParam reads a number from 1, 0 where it is not given.
func (c *call) uintParam(name string) (uint64, error) {
	if !c.query.Has(name) {
		return 0, nil
	}
	n, ok := wire.ParseUint(c.query.Get(name))
	if !ok || n == 0 {
		return 0, domain.Errorf(domain.CodeInvalidQuery, "%s is a number from 1", name)
	}
	return n, nil
}

// span reads from, inclusive, and to, exclusive.
func (c *call) span() (from, to time.Time, err error) {
	if from, err = c.timeParam(paramFrom); err != nil {
		return from, to, err
	}
	if to, err = c.timeParam(paramTo); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, domain.Errorf(domain.CodeInvalidQuery, "from is before to")
	}
	return from, to, nil
}

// asQuery keeps what a refusal says and makes it one of the query.
func asQuery(err error) error {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return domain.Errorf(domain.CodeInvalidQuery, "%s", e.Detail)
	}
	return err
}
