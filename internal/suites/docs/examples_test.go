package docs_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// calledByOthers are methods that fmt, slog, encoding/json and the like call. Applications do not.
var calledByOthers = []string{"Error", "Format", "LogValue", "MarshalJSON", "String"}

// documentation returns what go doc shows of a package, with its examples.
func documentation(t *testing.T, dir string) *doc.Package {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	set := token.NewFileSet()
	for _, path := range paths {
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(set, files, "example.com/session")
	require.NoError(t, err)
	return p
}

// withoutExample returns the functions, types and methods that have no example of their own.
func withoutExample(p *doc.Package) (names []string) {
	check := func(name string, examples []*doc.Example) {
		if len(examples) == 0 {
			names = append(names, name)
		}
	}
	functions := p.Funcs
	for _, typ := range p.Types {
		check(typ.Name, typ.Examples)
		functions = append(functions, typ.Funcs...)
		for _, method := range typ.Methods {
			if !slices.Contains(calledByOthers, method.Name) {
				check(typ.Name+"."+method.Name, method.Examples)
			}
		}
	}
	for _, function := range functions {
		check(function.Name, function.Examples)
	}
	return names
}

// values returns the names of the exported variables and constants.
func values(p *doc.Package) (names []string) {
	groups := slices.Concat(p.Vars, p.Consts)
	for _, typ := range p.Types {
		groups = slices.Concat(groups, typ.Vars, typ.Consts)
	}
	for _, group := range groups {
		names = append(names, group.Names...)
	}
	return names
}

// usedInExamples returns the names that the examples of a package select, as in session.ErrEnded.
func usedInExamples(p *doc.Package) map[string]bool {
	examples := p.Examples
	for _, function := range p.Funcs {
		examples = append(examples, function.Examples...)
	}
	for _, typ := range p.Types {
		examples = append(examples, typ.Examples...)
		for _, function := range slices.Concat(typ.Funcs, typ.Methods) {
			examples = append(examples, function.Examples...)
		}
	}
	used := map[string]bool{}
	for _, example := range examples {
		ast.Inspect(example.Code, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				used[selector.Sel.Name] = true
			}
			return true
		})
	}
	return used
}

func TestEveryExportedNameHasAnExample(t *testing.T) {
	for _, dir := range []string{"../../..", "../../../sessiontest", "../../../driver/drivertest"} {
		p := documentation(t, dir)
		require.NotEmpty(t, p.Funcs, dir)
		assert.Empty(t, withoutExample(p), "%s: functions, types and methods without an example", p.Name)
		used := usedInExamples(p)
		for _, name := range values(p) {
			assert.True(t, used[name], "%s: no example uses %s", p.Name, name)
		}
	}
}

// What the test above finds is really missing: without the examples it finds everything.
func TestAMissingExampleIsFound(t *testing.T) {
	set := token.NewFileSet()
	parse := func(name, text string) *ast.File {
		file, err := parser.ParseFile(set, name, text, parser.ParseComments)
		require.NoError(t, err)
		return file
	}
	p, err := doc.NewFromFiles(set, []*ast.File{
		parse("p.go", "package p\n\nvar ErrA, ErrB error\n\ntype T int\n\nfunc F() {}\n\nfunc G() {}\n\n"+
			"func (T) M() {}\n\nfunc (T) N() {}\n\nfunc (T) String() string { return \"\" }\n"),
		parse("p_test.go", "package p_test\n\nfunc ExampleF() { _ = p.ErrA }\n\nfunc ExampleT_M_again() {}\n"),
	}, "example.com/p")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"G", "T", "T.N"}, withoutExample(p))
	assert.ElementsMatch(t, []string{"ErrA", "ErrB"}, values(p))
	assert.Equal(t, map[string]bool{"ErrA": true}, usedInExamples(p))
}
