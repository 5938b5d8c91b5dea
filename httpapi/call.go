package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/chancery-dev/chancery/domain"
)

// call is one request on its way through its checks. A handler finds
// everything that is the same for all routes read and checked.
type call struct {
	*Server
	ctx       context.Context
	route     route
	http      *http.Request
	param     func(name string) string
	principal domain.Principal
	origin    domain.Origin
	query     url.Values
	body      []byte
	expect    domain.Expectation
	// minPosition is what Chancery-Min-Position asks for, 0 for nothing.
	minPosition uint64
	// access is the record of this request, as far as it is known yet.
	access domain.Access
}

// serve runs a route's checks in the contract's order, then its handler.
func (s *Server) serve(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		if beyond(c) {
			return echo.ErrNotFound
		}
		c.Set(routeKey, &r)
		call := s.newCall(r, c)
		for _, check := range []func() error{call.authenticate, call.limit, call.readBody, call.readHeaders, call.readQuery} {
			if err := check(); err != nil {
				return err
			}
		}
		a, err := r.handler(call)
		if err != nil {
			return err
		}
		return s.answer(c, a)
	}
}

// beyond says that the path goes on behind the route's last parameter, or has
// an empty segment in the place of one: echo lets both pass. A slash that
// belongs to an id is escaped.
func beyond(c echo.Context) bool {
	return slices.ContainsFunc(c.ParamValues(), func(v string) bool { return v == "" || strings.Contains(v, "/") })
}

func (s *Server) newCall(r route, c echo.Context) *call {
	request := c.Request()
	origin := domain.Origin{RequestID: requestID(c), ClientIP: c.RealIP(), UserAgent: printable(request.UserAgent())}
	return &call{
		Server: s, ctx: request.Context(), route: r, http: request, param: pathParam(c), origin: origin,
		access: domain.Access{Method: r.method, Route: r.path, Origin: origin, TraceID: traceID(request.Header), Time: s.config.Now()},
	}
}

// pathParam gives a path parameter with its escapes undone: echo matches the
// path as it was sent and leaves them in. One that cannot be undone stays as
// it is; no id is spelled so.
func pathParam(c echo.Context) func(string) string {
	return func(name string) string {
		raw := c.Param(name)
		if c.Request().URL.RawPath == "" {
			return raw
		}
		if s, err := url.PathUnescape(raw); err == nil {
			return s
		}
		return raw
	}
}

// authorize is the line between what a request asks and what it gets: behind
// it the caller may, and this node is where the caller wants it. A request
// that waited for a position is asked again, with the rights as they are
// there: the position may be that of a revocation. A denial is recorded with
// the rule that decided.
func (c *call) authorize(action string, ask func(domain.Principal) domain.Decision) error {
	c.access.Action = action
	if err := c.decided(ask(c.principal)); err != nil {
		return err
	}
	waited, err := c.await()
	if err != nil || !waited {
		return err
	}
	return c.decided(ask(c.principal))
}

func (c *call) decided(d domain.Decision) error {
	c.access.Rule = d.Rule
	if err := d.Err(); err != nil {
		return errors.Join(c.record(domain.OutcomeDenied, domain.CodeForbidden), err)
	}
	return nil
}

// may authorizes an action on a scope of the caller's organization.
func (c *call) may(a domain.Action, s domain.Scope) error {
	c.access.Scope = s
	return c.authorize(string(a), func(p domain.Principal) domain.Decision { return p.May(a, s) })
}

// administer authorizes a call about an organization's directory.
func (c *call) administer(org domain.OrgID) error {
	return c.authorize(domain.AccessAdmin, func(p domain.Principal) domain.Decision { return p.MayAdminister(org) })
}

// await waits until this node has applied the position asked for. When it had
// to, the caller is who it is after the wait.
func (c *call) await() (waited bool, err error) {
	if c.minPosition <= c.config.State.Position() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.config.MaxWait)
	defer cancel()
	err = c.config.State.WaitFor(ctx, c.minPosition)
	switch {
	case err == nil:
		return true, c.authenticate()
	case c.ctx.Err() != nil:
		return true, c.ctx.Err()
	case ctx.Err() != nil:
		return true, &domain.Error{
			Code: domain.CodePositionNotReached, Detail: "this node has not applied the position yet", RetryAfter: time.Second,
		}
	}
	return true, unavailable("this node does not follow the log at the moment")
}

// refused records that a change which the caller may make was forbidden where
// it is decided: it would act in what is archived. Other refusals are no
// denials and leave no record.
func (c *call) refused(err error) error {
	if domain.CodeOf(err) != domain.CodeForbidden {
		return err
	}
	c.access.Rule = domain.RuleScopeArchived
	return errors.Join(c.record(domain.OutcomeDenied, domain.CodeForbidden), err)
}

// fresh refuses to release values and keys on a node that has lost the log.
func (c *call) fresh() error {
	if c.config.State.Fresh(c.config.Now()) != nil {
		return unavailable("this node has not heard from the log lately enough")
	}
	return nil
}

func unavailable(detail string) error {
	return &domain.Error{Code: domain.CodeUnavailable, Detail: detail, RetryAfter: time.Second}
}

// allowed records that the caller gets what it asked for. Nothing may be
// released unless it returns nil.
func (c *call) allowed() error { return c.record(domain.OutcomeAllowed, "") }

// record makes the access record durable. When that fails nothing may be
// told but that the service is unavailable.
func (c *call) record(outcome domain.Outcome, code domain.Code) error {
	a := c.access
	a.Outcome, a.Code = outcome, code
	if a.Target != "" && a.Target != c.principal.Org && domain.CodeOf(c.orgExists(a.Target)) == domain.CodeNotFound {
		a.Target = "" // it concerns no organization: else nobody could read the record
	}
	if err := c.config.Recorder.Record(c.ctx, a); err != nil {
		return unavailable("the access could not be recorded")
	}
	return nil
}
