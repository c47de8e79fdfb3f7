package compat_test

import (
	"bytes"
	"errors"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/redistest"
)

// record writes a file of testdata that is missing. It never changes one: a new version has new files.
var record = flag.Bool("record", false, "write the files of testdata that are missing")

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

const apiFile = "testdata/v1/api.txt"

// What version 1 exports stays until version 2. What is new is not in the list, and may be added.
func TestNothingOfTheAPIOfVersion1IsGone(t *testing.T) {
	var now []string
	for _, dir := range []string{"", "driver", "driver/drivertest", "sessiontest"} {
		now = append(now, exported(t, filepath.Join("../../..", dir))...)
	}
	data, err := os.ReadFile(apiFile)
	if errors.Is(err, fs.ErrNotExist) && *record {
		data = []byte(strings.Join(now, "\n"))
		err = os.WriteFile(apiFile, append(data, '\n'), 0o644)
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		assert.Contains(t, now, strings.TrimSuffix(line, "\n"), "removed or changed")
	}
	assert.Greater(t, len(now), 300)
}

// exported returns the declarations that a package exports, one a line: functions and methods with their types,
// each field of a struct and each method of an interface.
func exported(t *testing.T, dir string) (lines []string) {
	t.Helper()
	set := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, "_test.go") }) {
		file, err := parser.ParseFile(set, path, nil, 0)
		require.NoError(t, err)
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(set, files, "example.com/session")
	require.NoError(t, err)
	source := func(nodes ...any) string {
		var text bytes.Buffer
		for _, node := range nodes {
			if s, ok := node.(string); ok {
				text.WriteString(s)
			} else {
				require.NoError(t, printer.Fprint(&text, set, node))
			}
		}
		return strings.Join(strings.Fields(text.String()), " ")
	}
	add := func(nodes ...any) { lines = append(lines, source(append([]any{p.Name, ": "}, nodes...)...)) }
	functions, groups := p.Funcs, slices.Concat(p.Vars, p.Consts)
	for _, typ := range p.Types {
		functions = slices.Concat(functions, typ.Funcs, typ.Methods)
		groups = slices.Concat(groups, typ.Vars, typ.Consts)
		spec := typ.Decl.Specs[0].(*ast.TypeSpec)
		members := membersOf(spec.Type)
		if members == nil {
			add("type ", spec)
			continue
		}
		if _, ok := spec.Type.(*ast.InterfaceType); ok { // who implements it cannot have another method
			add("type ", typ.Name, " has ", strconv.Itoa(members.NumFields()), " methods")
		}
		for _, field := range members.List {
			for _, name := range field.Names {
				if name.IsExported() {
					add("type ", typ.Name, ", ", name, " ", field.Type)
				}
			}
		}
	}
	for _, function := range functions {
		add(&ast.FuncDecl{Recv: function.Decl.Recv, Name: function.Decl.Name, Type: function.Decl.Type})
	}
	for _, group := range groups {
		for _, name := range group.Names {
			add("value ", name)
		}
	}
	return lines
}

// membersOf returns the fields of a struct or the methods of an interface, nil for other types.
func membersOf(typ ast.Expr) *ast.FieldList {
	switch typ := typ.(type) {
	case *ast.StructType:
		return typ.Fields
	case *ast.InterfaceType:
		return typ.Methods
	}
	return nil
}
