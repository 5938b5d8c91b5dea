package httpapi

import (
	_ "embed" // the two documents
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

//go:embed openapi.yaml
var openAPI []byte

// docsPage is openapi.yaml as a page, made by this package's tests, so that
// the server needs no YAML reader.
//
//go:embed docs.html
var docsPage []byte

// OpenAPI gives the document of the API (OpenAPI 3.1, YAML).
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// healthz answers whether the process can go on.
func healthz(c *call) (answer, error) {
	if c.config.Health.Live() != nil {
		return answer{}, unavailable("the process cannot go on")
	}
	return success(wire.Health{Status: "ok"}), nil
}

// readyz answers whether this node serves, else which parts keep it from it.
func readyz(c *call) (answer, error) {
	failing := c.config.Health.Ready(c.ctx)
	if len(failing) == 0 {
		return success(wire.Health{Status: "ready"}), nil
	}
	var parts []string
	for _, f := range failing {
		parts = append(parts, f.Part+" ("+f.Reason+")")
	}
	return answer{}, &domain.Error{Code: domain.CodeUnavailable, Detail: "not ready: " + strings.Join(parts, "; ")}
}

// showMetrics answers with the registry in Prometheus' text format.
func showMetrics(c *call) (answer, error) {
	return answer{show: promhttp.HandlerFor(c.config.Registry, promhttp.HandlerOpts{})}, nil
}

func showOpenAPI(*call) (answer, error) { return document("application/yaml", openAPI), nil }

func showDocs(*call) (answer, error) { return document("text/html; charset=utf-8", docsPage), nil }

// document answers with a fixed page. It may have its own style and nothing
// else: no script, no image, nothing from another host.
func document(contentType string, body []byte) answer {
	return answer{show: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		_, _ = w.Write(body) // the client may have gone
	})}
}
