// Package chancery_test holds the tests of the module as a whole: who imports
// whom, and how long a file may be.
package chancery_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/chancery-dev/chancery"

	ulid       = "github.com/oklog/ulid/v2"
	natsClient = "github.com/nats-io/nats.go"
	natsServer = "github.com/nats-io/nats-server/v2"
	natsJWT    = "github.com/nats-io/jwt/v2"
	nkeys      = "github.com/nats-io/nkeys"
	highway    = "github.com/minio/highwayhash"
	bbolt      = "go.etcd.io/bbolt"
	btree      = "github.com/tidwall/btree"
	echo       = "github.com/labstack/echo/v4"
	prometheus = "github.com/prometheus/client_golang"
	goCmp      = "github.com/google/go-cmp"
	kinOpenAPI = "github.com/getkin/kin-openapi"
	xmod       = "golang.org/x/mod"
	torchwood  = "filippo.io/torchwood"

	// maxLines is the longest a file that people write may be.
	maxLines = 600
)

// row says what the shipped files of one package may import beside the
// standard library.
type row struct {
	// own lists packages of this module, without its path; exactly these.
	own []string
	// modules lists paths of other modules; every package below one counts.
	modules []string
	// any lifts the limits for programs, which wire the rest.
	any bool
	// tests marks a package that only tests may import.
	tests bool
}

// imports is the law: one row for each package of the module, "." being its
// root. The depguard rules in .golangci.yml say the same.
var imports = map[string]row{
	".":            {},
	"domain":       {modules: []string{ulid}},
	"kms":          {own: []string{"domain"}, modules: []string{ulid}},
	"kms/kmstest":  {own: []string{"domain", "kms"}, modules: []string{goCmp}, tests: true},
	"kms/seal":     {own: []string{"domain"}},
	"kms/slotfile": {own: []string{"domain", "kms"}},
	"eventstore": {
		own: []string{"domain", "eventstore/natsfile"}, modules: []string{natsClient, natsServer, natsJWT, nkeys, ulid},
	},
	"eventstore/feed":          {own: []string{"domain", "eventstore"}, modules: []string{natsClient, nkeys}},
	"eventstore/accessjournal": {own: []string{"domain", "eventstore"}},
	"eventstore/natsfile":      {modules: []string{highway}},
	"proof":                    {modules: []string{torchwood, xmod}},
	"projections":              {own: []string{"domain", "proof", "projections/internal/cachefile"}, modules: []string{bbolt, btree, ulid, xmod}},
	"projections/accesslog": {
		own: []string{"domain", "proof", "projections/internal/cachefile"}, modules: []string{bbolt, xmod},
	},
	"projections/internal/cachefile": {modules: []string{bbolt}},
	"reports":                        {own: []string{"domain"}, modules: []string{ulid}},
	"webhooks":                       {own: []string{"domain"}},
	"httpapi":                        {own: []string{"domain", "httpapi/wire"}, modules: []string{echo, prometheus}},
	"httpapi/wire":                   {own: []string{"domain"}},
	"httpapi/openapitest":            {own: []string{"httpapi"}, modules: []string{kinOpenAPI}, tests: true},
	"client":                         {own: []string{"domain", "httpapi/wire", "kms/seal"}},
	"cmd/chancery":                   {any: true},
	"cmd/chancery/server":            {any: true},
	"cmd/hammer":                     {any: true},
	"docs/example-consumer":          {any: true},
}

// alone names the one file that may import a module, tests aside.
var alone = map[string]string{natsServer: "eventstore/embedded.go", natsJWT: "eventstore/embedded.go", highway: "eventstore/natsfile/record.go"}

// closures lists, for the packages that other people's programs link, every
// other module that their dependencies may reach.
var closures = map[string][]string{
	"domain":       {ulid},
	"client":       {ulid},
	"httpapi/wire": {ulid},
	"kms/seal":     {ulid},
}

// goPackage is what `go list -json` tells about one package.
type goPackage struct {
	ImportPath     string
	Dir            string
	Standard       bool
	Deps           []string
	GoFiles        []string
	CgoFiles       []string
	IgnoredGoFiles []string
	Module         *struct{ Path string }
}

// rel gives the package's path within the module, "." for the root.
func (p goPackage) rel() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// imports gives what each shipped file imports, by the file's slash path
// within the module. Files that this platform's build leaves out are read too.
func (p goPackage) imports(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		file := path.Join(p.rel(), name)
		files[file] = []string{}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			files[file] = append(files[file], imported)
		}
	}
	return files
}

// listPackages runs `go list -deps`: every package of the module and all that
// they need, tests aside. The second result tells each path's package.
func listPackages(t *testing.T) (own []goPackage, all map[string]goPackage) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	all = map[string]goPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
		if p.Module != nil && p.Module.Path == module {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		t.Fatal("go list names no package of the module")
	}
	return own, all
}

// below says whether pkg is mod or lies in it.
func below(pkg, mod string) bool {
	return pkg == mod || strings.HasPrefix(pkg, mod+"/")
}

// allows says whether the row lets its package import pkg.
func (r row) allows(pkg string, standard bool) bool {
	if standard || r.any {
		return true
	}
	if below(pkg, module) {
		return slices.Contains(r.own, strings.TrimPrefix(pkg, module+"/"))
	}
	return slices.ContainsFunc(r.modules, func(mod string) bool { return below(pkg, mod) })
}

// TestImportLaw verifies that every package of the module has a row and every
// row a package, that shipped files import nothing but what their row allows,
// that no shipped file imports a package made for tests, and that what one
// file alone may import is imported by no other.
func TestImportLaw(t *testing.T) {
	own, all := listPackages(t)
	seen := map[string]bool{}
	for _, p := range own {
		r, ok := imports[p.rel()]
		if !ok {
			t.Errorf("package %s has no row: decide what it may import, here and in .golangci.yml", p.rel())
			continue
		}
		seen[p.rel()] = true
		for file, imported := range p.imports(t) {
			for _, pkg := range imported {
				// A file that this platform leaves out may import what go
				// list did not reach; then the path must tell.
				known, listed := all[pkg]
				standard := listed && known.Standard || !listed && !strings.Contains(strings.Split(pkg, "/")[0], ".")
				if !r.allows(pkg, standard) {
					t.Errorf("%s imports %s, which the row of %s does not allow", file, pkg, p.rel())
				}
				if below(pkg, module) && imports[strings.TrimPrefix(pkg, module+"/")].tests && !r.tests {
					t.Errorf("%s imports %s, which is for tests", file, pkg)
				}
				for mod, only := range alone {
					if below(pkg, mod) && file != only {
						t.Errorf("%s imports %s, which %s alone may", file, pkg, only)
					}
				}
			}
		}
	}
	for rel := range imports {
		if !seen[rel] {
			t.Errorf("the row of %s has no package", rel)
		}
	}
}

// TestClosures verifies that the packages which other programs link draw no
// module in that they need not: no server, no database, no web framework.
func TestClosures(t *testing.T) {
	_, all := listPackages(t)
	for rel, allowed := range closures {
		p, ok := all[module+"/"+rel]
		if !ok {
			t.Errorf("there is no package %s", rel)
			continue
		}
		reached := map[string]bool{}
		for _, dep := range p.Deps {
			if m := all[dep].Module; m != nil && m.Path != module {
				reached[m.Path] = true
			}
		}
		for mod := range reached {
			if !slices.Contains(allowed, mod) {
				t.Errorf("%s reaches module %s", rel, mod)
			}
		}
	}
}

// TestFileLength verifies that no Go file, tests included, is longer than the
// house allows; generated files are exempt. Reading every file also tells go
// test when a cached result of this package has become stale.
func TestFileLength(t *testing.T) {
	read := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		read++
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		if lines := bytes.Count(src, []byte("\n")); lines > maxLines && !ast.IsGenerated(f) {
			t.Errorf("%s has %d lines, more than %d: split it by noun", name, lines, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read == 0 {
		t.Fatal("no Go file was found")
	}
}
