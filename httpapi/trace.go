package httpapi

import (
	"net/http"
	"strings"

	"github.com/chancery-dev/chancery/httpapi/wire"
)

// traceID gives the trace that a request says it belongs to (W3C Trace
// Context, section 3.2), "" where it names none in a valid form. A malformed
// header is no fault of the request: it may come from any proxy on the way.
func traceID(h http.Header) string {
	values := h.Values(wire.HeaderTraceParent)
	if len(values) != 1 {
		return ""
	}
	const length = len("00-") + 32 + len("-") + 16 + len("-00")
	s := values[0]
	// Later versions may go on behind what this one defines.
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > length && (s[:2] == "00" || s[length] != '-') {
		return ""
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:length]
	if !lowerHex(version+trace+parent+flags) || version == "ff" || strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	return trace
}

func lowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
