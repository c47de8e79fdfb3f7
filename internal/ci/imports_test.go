package ci_test

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	redigo  = "github.com/gomodule/redigo/redis"
	testify = "github.com/stretchr/testify/"
)

// mayImport lists each package of the library but the root, and what it may import besides the
// standard library. Packages of this module are named by their path inside it, the root package is ".".
var mayImport = map[string][]string{
	"driver":              nil,
	"driver/drivertest":   {"driver", "internal/store", testify + "assert", testify + "require"},
	"internal/cookie":     nil,
	"internal/hooks":      nil,
	"internal/memory":     {"driver"},
	"internal/redis":      {"driver", "internal/store", redigo},
	"internal/response":   nil,
	"internal/sealed":     nil,
	"internal/store":      {"driver"},
	"internal/strictjson": nil,
	"sessiontest":         {".", "internal/hooks"},
}

// knowHTTP lists the packages of mayImport that may import net/http.
var knowHTTP = []string{"internal/cookie", "internal/response", "sessiontest"}

// A pkg is what go list says of a package. Imports are those of its files that are not tests.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// faults says which imports of a package break the rules. module is the path of the root package.
func faults(p pkg, module string) (texts []string) {
	inside := func(path string) string {
		if path == module {
			return "."
		}
		return strings.TrimPrefix(path, module+"/")
	}
	name := inside(p.ImportPath)
	allowed, listed := mayImport[name]
	if !listed {
		return []string{p.ImportPath + " is not listed in mayImport"}
	}
	for _, path := range p.Imports {
		first, _, _ := strings.Cut(path, "/")
		standard := !strings.Contains(first, ".")
		switch {
		case path == "net/http" && !slices.Contains(knowHTTP, name),
			!standard && !slices.Contains(allowed, inside(path)):
			texts = append(texts, p.ImportPath+" imports "+path)
		}
	}
	return texts
}

func TestImportsOfTheLibraryGoOneWay(t *testing.T) {
	module := modulePath(t)
	for _, p := range list(t, root, "-deps", ".", "./driver/drivertest", "./sessiontest") {
		if strings.HasPrefix(p.ImportPath, module+"/") {
			assert.Empty(t, faults(p, module))
		}
	}
}

func TestFaultsNamesImportsThatBreakTheRules(t *testing.T) {
	for _, test := range []struct {
		name, path string
		imports    []string
		want       []string
	}{
		{name: "allowed", path: "m.org/m/internal/redis", imports: []string{"context", "m.org/m/driver", redigo}},
		{name: "HTTP where it belongs", path: "m.org/m/internal/cookie", imports: []string{"net/http"}},
		{name: "the root package where it belongs", path: "m.org/m/sessiontest", imports: []string{"m.org/m"}},
		{name: "the root package", path: "m.org/m/driver", imports: []string{"m.org/m"},
			want: []string{"m.org/m/driver imports m.org/m"}},
		{name: "a package beside it", path: "m.org/m/internal/memory", imports: []string{"m.org/m/internal/store"},
			want: []string{"m.org/m/internal/memory imports m.org/m/internal/store"}},
		{name: "redigo elsewhere", path: "m.org/m/internal/store", imports: []string{redigo},
			want: []string{"m.org/m/internal/store imports " + redigo}},
		{name: "HTTP elsewhere", path: "m.org/m/internal/store", imports: []string{"net/http", "net/url"},
			want: []string{"m.org/m/internal/store imports net/http"}},
		{name: "a new package", path: "m.org/m/internal/new",
			want: []string{"m.org/m/internal/new is not listed in mayImport"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, faults(pkg{ImportPath: test.path, Imports: test.imports}, "m.org/m"))
		})
	}
}

// Packages that only tests import are not part of the library, but imports go one way there, too:
// the suites and the examples are all that stands above the root package.
func TestOnlySuitesAndExamplesImportTheRootPackage(t *testing.T) {
	module := modulePath(t)
	for _, p := range list(t, root, "./...") {
		top, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module+"/"), "/")
		if top == "driver" || top == "internal" && !strings.HasPrefix(p.ImportPath, module+"/internal/suites") {
			assert.NotContains(t, p.Deps, module, "%s depends on the root package", p.ImportPath)
		}
	}
}

func TestGoredisImportsTheRootPackageInTestsOnly(t *testing.T) {
	packages := list(t, filepath.Join(root, "goredis"), ".")
	require.Len(t, packages, 1)
	assert.NotContains(t, packages[0].Deps, modulePath(t))
}

func TestLibraryNeedsRedigoAndTheStandardLibraryOnly(t *testing.T) {
	module := modulePath(t)
	// Standard packages print a blank. Package testing is listed because a library must not import it.
	const format = `{{if or (not .Standard) (eq .ImportPath "testing")}}{{.ImportPath}}{{end}}`
	for _, path := range strings.Fields(output(t, root, "go", "list", "-deps", "-f", format, ".")) {
		assert.True(t, path == module || strings.HasPrefix(path, module+"/") || path == redigo,
			"the library imports %s", path)
	}
}

func TestRootModuleRequiresRedigoAndTestifyOnly(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(output(t, root, "go", "mod", "edit", "-json")), &mod))
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect { // make tidy removes an indirect one that neither of them needs
			direct = append(direct, r.Path)
		}
	}
	assert.ElementsMatch(t, []string{"github.com/gomodule/redigo", "github.com/stretchr/testify"}, direct)
}

// modulePath is the path of the root module.
func modulePath(t *testing.T) string {
	return strings.TrimSpace(output(t, root, "go", "list", "-m"))
}

// list runs go list in dir.
func list(t *testing.T, dir string, args ...string) (packages []pkg) {
	t.Helper()
	args = append([]string{"list", "-json=ImportPath,Dir,GoFiles,Imports,Deps"}, args...)
	for d := json.NewDecoder(strings.NewReader(output(t, dir, "go", args...))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}
