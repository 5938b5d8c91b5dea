package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics count requests by route, never by secret, scope or agent: labels
// come from the route table and the code table alone.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

func newMetrics(registry *prometheus.Registry) (metrics, error) {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chancery_http_requests_total",
			Help: "Requests answered, by method, route, status and problem code (empty for a success).",
		}, []string{"method", "route", "status", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "chancery_http_request_duration_seconds",
			Help:    "Time from a request's headers to the end of its answer, by method, route and status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
	}
	return m, errors.Join(registry.Register(m.requests), registry.Register(m.durations))
}

func (m metrics) observe(c echo.Context, code string, took time.Duration) {
	method, route, status := methodName(c.Request().Method), routeName(c), strconv.Itoa(c.Response().Status)
	m.requests.WithLabelValues(method, route, status, code).Inc()
	m.durations.WithLabelValues(method, route, status).Observe(took.Seconds())
}

// routeName gives the matched route's path as the table writes it.
func routeName(c echo.Context) string {
	if r, ok := c.Get(routeKey).(*route); ok {
		return r.path
	}
	return "unmatched"
}

// methodName keeps methods that a client makes up out of the labels.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
