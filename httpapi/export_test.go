package httpapi

// RouteName is one row of the route table, for tests.
type RouteName struct {
	Method, Path, Name string
	Query              []string
	Body, Open         bool
}

// RouteNames gives the route table.
func RouteNames() []RouteName {
	var names []RouteName
	for _, r := range routes() {
		names = append(names, RouteName{
			Method: r.method, Path: r.path, Name: r.name, Query: r.query, Body: r.body != bodyNone, Open: r.open,
		})
	}
	return names
}

// Limiter is limiter, for tests.
type Limiter = limiter

// NewLimiter is newLimiter, for tests.
var NewLimiter = newLimiter

// Take is limiter.take.
var Take = (*limiter).take

// Buckets gives how many keys a limiter knows.
func Buckets(l *Limiter) int { return len(l.buckets) }

// AddressPrefix is addressPrefix, for tests.
var AddressPrefix = addressPrefix

// ULIDText is ulidText, for tests.
var ULIDText = ulidText

// DocsPage is docs.html.
func DocsPage() []byte { return docsPage }
