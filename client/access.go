package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// AccessQuery narrows a list of access records; each member that is given must
// hold.
type AccessQuery struct {
	Actor   string // an agent's id
	Scope   domain.Scope
	Secret  domain.SecretID // needs Scope
	Action  string          // such as "read" or "release"
	Outcome domain.Outcome
	From    time.Time // inclusive
	To      time.Time // exclusive
	// Ascending gives the oldest first; else the newest.
	Ascending bool
	// PageSize is how many records are asked for at once, 1 to 1,000; 0 leaves
	// it to the server. It never bounds the list.
	PageSize int
}

func (q AccessQuery) values() url.Values {
	v := set(set(set(pageSize(q.PageSize), "actor", q.Actor), "type", q.Action), "outcome", string(q.Outcome))
	set(set(set(v, "scope", string(q.Scope.Kind)), "scopeId", q.Scope.ID), "secret", string(q.Secret))
	set(set(v, "from", timeText(q.From)), "to", timeText(q.To))
	if q.Ascending {
		v.Set("order", "asc")
	}
	return v
}

// timeText gives "" for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return wire.NewTime(t).String()
}

func numberText(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// Access gives the access records of an organization, for its auditors: who
// touched what, whether it was allowed and by which rule. Asking is recorded.
func (a *Admin) Access(ctx context.Context, org domain.OrgID, q AccessQuery, opts ...Option) iter.Seq2[AccessRecord, error] {
	path, err := orgPath(org)
	if err != nil {
		return failed[AccessRecord](err)
	}
	return pages[AccessRecord](ctx, a.c, path+"/access", q.values(), opts)
}

// ListAccess gives all records of [Admin.Access].
func (a *Admin) ListAccess(ctx context.Context, org domain.OrgID, q AccessQuery, opts ...Option) ([]AccessRecord, error) {
	return collect(a.Access(ctx, org, q, opts...))
}
