package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/redistest"
	"example.com/session/internal/suites/kit"
)

// operations returns the section of docs/operations.md with a title.
func operations(t *testing.T, title string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## "+title+"\n")
	require.True(t, found, title)
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

var quoted = regexp.MustCompile("`([^`]+)`")

// firstColumn returns what stands in backquotes in the first column of the tables of a section.
func firstColumn(section string) (names []string) {
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			for _, name := range quoted.FindAllStringSubmatch(strings.SplitN(line, "|", 3)[1], -1) {
				names = append(names, name[1])
			}
		}
	}
	slices.Sort(names)
	return names
}

// sources parses the files of the library and of the modules that log.
func sources(t *testing.T) (files []*ast.File) {
	t.Helper()
	set := token.NewFileSet()
	for _, pattern := range []string{"*.go", "driver/*.go", "internal/[!cs]*/*.go", "internal/cookie/*.go", "internal/store/*.go",
		"internal/sealed/*.go", "internal/strictjson/*.go", "sqlstore/*.go", "goredis/*.go", "otelsession/*.go"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			if !strings.HasSuffix(path, "_test.go") {
				file, err := parser.ParseFile(set, path, nil, 0)
				require.NoError(t, err)
				files = append(files, file)
			}
		}
	}
	return files
}

// constant returns the text of a string literal, or of several that are joined.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ok := constant(e.X)
		right, ok2 := constant(e.Y)
		return left + right, ok && ok2
	}
	return "", false
}

// messageAt says which argument of a method that logs is the message.
var messageAt = map[string]int{
	"LogAttrs": 2, "Log": 2, "DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1,
}

// messageIn returns the expression of the message that a call logs, or that a message{} of package session
// declares. It returns nil for all other nodes, and for the call that logs the text of a declared message.
func messageIn(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		selector, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		at, logs := messageAt[selector.Sel.Name]
		if !logs || len(n.Args) <= at {
			return nil
		}
		if field, ok := n.Args[at].(*ast.SelectorExpr); ok && field.Sel.Name == "text" {
			return nil
		}
		return n.Args[at]
	case *ast.CompositeLit:
		if typ, ok := n.Type.(*ast.Ident); !ok || typ.Name != "message" {
			return nil
		}
		for _, element := range n.Elts {
			field := element.(*ast.KeyValueExpr)
			if field.Key.(*ast.Ident).Name == "text" {
				return field.Value
			}
		}
	}
	return nil
}

func TestOperationsListsEveryLogLine(t *testing.T) {
	logged := map[string]bool{}
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if message := messageIn(n); message != nil {
				text, ok := constant(message)
				assert.True(t, ok, "a message in %s is not constant", file.Name)
				logged[text] = true
			}
			return true
		})
	}
	assert.Greater(t, len(logged), 10)
	assert.Equal(t, slices.Sorted(maps.Keys(logged)), firstColumn(operations(t, "Log lines")))
}

var reasonName = regexp.MustCompile(`^reason[A-Z]`)

func TestOperationsListsEveryEventAndReason(t *testing.T) {
	kinds, reasons := map[string]bool{}, map[string]bool{}
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || file.Name.Name != "session" || len(spec.Values) != 1 {
				return true
			}
			text, ok := constant(spec.Values[0])
			typ, _ := spec.Type.(*ast.Ident)
			switch {
			case ok && typ != nil && typ.Name == "EventKind":
				kinds[text] = true
			case ok && reasonName.MatchString(spec.Names[0].Name):
				reasons[text] = true
			}
			return true
		})
	}
	assert.Greater(t, len(kinds), 10)
	all := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(kinds)), slices.Collect(maps.Keys(reasons)))))
	assert.Equal(t, all, firstColumn(operations(t, "Events")))
}

func TestOperationsListsEveryMetric(t *testing.T) {
	names := []string{"session_events_total", "session_operation_duration_seconds"}
	capital := regexp.MustCompile(`\B[A-Z]`)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[session.Stats]()) {
		name := "session_" + strings.ToLower(capital.ReplaceAllString(field.Name, "_$0"))
		switch field.Type.Kind() {
		case reflect.Uint64:
			names = append(names, name+"_total")
		case reflect.Int64, reflect.Bool:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	assert.Equal(t, names, firstColumn(operations(t, "Metrics")))
	known := regexp.MustCompile(`\bsession_[a-z_]+`)
	labels := []string{"session_driver", "session_event", "session_operation", "session_reason"}
	for _, file := range []string{"alerts.yml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", "operations", file))
		require.NoError(t, err)
		for _, name := range known.FindAllString(string(text), -1) {
			assert.Contains(t, slices.Concat(names, labels), strings.TrimSuffix(name, "_bucket"), file)
		}
	}
}

func TestOperationsListsEveryAlert(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations", "alerts.yml"))
	require.NoError(t, err)
	var alerts []string
	for _, match := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		alerts = append(alerts, match[1])
	}
	slices.Sort(alerts)
	assert.NotEmpty(t, alerts)
	assert.Equal(t, alerts, firstColumn(operations(t, "Alerts")))
}

// The commands for redis-cli are run as they stand.
func TestOperationsEndsAUsersSessionsWithRedisCLI(t *testing.T) {
	server := redistest.Start(t)
	v := kit.NewVisitor(t, kit.NewManager(t, redisConfig(t, server, "")))
	ann := kit.Login(v, "ann")
	other := v.Stranger()
	kit.Login(other, "bob")
	_, text, found := strings.Cut(operations(t, "One user's sessions"), "with redis-cli")
	require.True(t, found)
	_, commands, found := strings.Cut(text, "```sh\n")
	require.True(t, found)
	commands, _, _ = strings.Cut(commands, "```")
	cli, err := exec.LookPath("redis-cli")
	require.NoError(t, err)
	dir := t.TempDir()
	wrapper := "#!/bin/sh\nexec " + cli + " -p " + strconv.Itoa(server.Port()) + " \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redis-cli"), []byte(wrapper), 0o700))
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, ann+"\n1\n", string(out))
	assert.Empty(t, kit.UserOf(v))
	assert.Equal(t, "bob", kit.UserOf(other))
}

func TestPingWithAWrongPasswordSaysWhatToDo(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	cfg := redisConfig(t, server, "")
	cfg.Redis.Password = "wrong"
	err := kit.NewManager(t, cfg).Ping(t.Context())
	require.Error(t, err)
	assert.NotErrorIs(t, err, session.ErrUnavailable, "waiting does not help")
	assert.ErrorContains(t, err, "Redis.Password")
	assert.NotContains(t, err.Error(), "wrong\"")
}
