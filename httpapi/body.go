package httpapi

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// readBody reads the whole body, at most 1 MiB, and sees that it is declared
// as what it has to be.
func (c *call) readBody() error {
	if c.http.ContentLength > wire.MaxBody {
		return errBodyTooLarge()
	}
	// The request's own body is left in its place: net/http must know it to
	// answer early where the client waits for 100 Continue (RFC 9110, section
	// 10.1.1).
	var body []byte
	if c.http.Body != http.NoBody { // ReadAll makes room before it looks
		var err error
		body, err = io.ReadAll(io.LimitReader(c.http.Body, wire.MaxBody+1))
		if len(body) > wire.MaxBody {
			return errBodyTooLarge()
		}
		if err != nil {
			return domain.Errorf(domain.CodeInvalidRequest, "the body could not be read")
		}
	}
	switch {
	case c.route.body == bodyNone && len(body) > 0:
		return domain.Errorf(domain.CodeInvalidRequest, "this call takes no body")
	case c.route.body == bodyNone, c.route.body == bodyOptional && len(body) == 0:
		return nil
	}
	c.body = body
	return checkMediaType(c.http.Header)
}

func errBodyTooLarge() error {
	return domain.Errorf(domain.CodeBodyTooLarge, "a body has at most %d bytes", wire.MaxBody)
}

// checkMediaType accepts application/json, in UTF-8 if it says, and no
// encoding.
func checkMediaType(h http.Header) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, declared := params["charset"]
	switch {
	case err != nil, kind != wire.ContentJSON, len(h.Values("Content-Type")) != 1:
	case declared && !strings.EqualFold(charset, "utf-8"):
	case h.Get("Content-Encoding") != "" && !strings.EqualFold(h.Get("Content-Encoding"), "identity"):
	default:
		return nil
	}
	return domain.Errorf(domain.CodeUnsupportedMediaType, "the body is %s", wire.ContentJSON)
}
