package sessiontest_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/sessiontest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// save is a handler like those of an application.
func save(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	s.Set("saved", r.FormValue("text"))
	s.Increment("saves", 1)
	s.Flash("success", "Saved!")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func show(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	fmt.Fprint(w, s.GetString("success"), s.GetInt("saves"))
}

func TestContextHoldsALiveSessionThatHandlersShareWithTheTest(t *testing.T) {
	ctx := sessiontest.Context(t, map[string]any{"saves": 4, "name": "Ann"})
	s := session.FromContext(ctx)
	assert.False(t, s.IsNew())
	assert.NoError(t, s.Open())
	w := httptest.NewRecorder()
	save(w, httptest.NewRequest("POST", "/?text=hello", nil).WithContext(ctx))
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Equal(t, map[string]any{"saves": 5, "name": "Ann", "saved": "hello", "success": "Saved!"}, s.All())
	assert.NoError(t, s.Err())

	show(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	assert.True(t, s.Has("success"), "flash does not age")
}

func TestContextWithoutValuesIsThatOfAVisitor(t *testing.T) {
	s := session.FromContext(sessiontest.Context(t, nil))
	assert.True(t, s.IsNew())
	assert.Empty(t, s.All())
	s.Set("a", 1)
	require.NoError(t, s.Save())
	assert.NotEmpty(t, s.Handle())
}

func TestSaveBringsWhatIsDecidedAtCommit(t *testing.T) {
	s := session.FromContext(sessiontest.Context(t, map[string]any{"name": "Ann"}))
	handle, ends := s.Handle(), s.ExpiresAt()
	s.Remember(48 * time.Hour)
	require.NoError(t, s.Save())
	assert.WithinDuration(t, ends.Add(47*time.Hour), s.ExpiresAt(), time.Minute, "the idle timeout was an hour")
	assert.Equal(t, handle, s.Handle())
	assert.Equal(t, "Ann", s.Get("name"))
	s.Destroy()
	assert.Empty(t, s.All())
	cookie, err := s.Using("cookie")
	require.NoError(t, err)
	cookie.Set("a", 1)
	assert.NoError(t, cookie.Err())
}

func TestContextsShareNoSession(t *testing.T) {
	one := session.FromContext(sessiontest.Context(t, map[string]any{"a": 1}))
	two := session.FromContext(sessiontest.Context(t, nil))
	one.Set("b", 1)
	require.NoError(t, one.Save())
	assert.Empty(t, two.All())
}

func TestHandlerMayHaveAManagerOfItsOwn(t *testing.T) {
	m, err := session.NewManager(session.Config{Default: "memory", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	ctx := sessiontest.Context(t, map[string]any{"whose": "the test's"})
	w := httptest.NewRecorder()
	m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session.FromRequest(r).Set("whose", "the handler's")
	})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "the test's", session.FromContext(ctx).Get("whose"))
}

// A recordedTest is a test that keeps its failures for another test to look at.
type recordedTest struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (t *recordedTest) Helper()                  {}
func (t *recordedTest) Context() context.Context { return context.Background() }
func (t *recordedTest) Output() io.Writer        { return io.Discard }
func (t *recordedTest) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *recordedTest) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (t *recordedTest) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// end runs the cleanups, the last one first.
func (t *recordedTest) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

func TestWhatCannotBeStoredFailsTheTestWhenItEnds(t *testing.T) {
	rt := &recordedTest{}
	session.FromContext(sessiontest.Context(rt, nil)).Set("f", func() {})
	assert.Empty(t, rt.failures)
	rt.end()
	require.Len(t, rt.failures, 1)
	assert.Contains(t, rt.failures[0], `"f"`)

	rt = &recordedTest{}
	session.FromContext(sessiontest.Context(rt, map[string]any{"a": 1})).Set("b", 2)
	rt.end()
	assert.Empty(t, rt.failures)

	rt = &recordedTest{}
	sessiontest.Context(rt, map[string]any{"channel": make(chan int)})
	rt.end()
	assert.NotEmpty(t, rt.failures, "values that cannot be stored are an error")
}

func newHandler(t *testing.T) http.Handler {
	m, err := session.NewManager(session.Config{Default: "memory"})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /save", save)
	mux.HandleFunc("GET /", show)
	return m.Middleware(mux)
}

func TestBrowserKeepsCookiesAndFollowsNoRedirect(t *testing.T) {
	b := sessiontest.NewBrowser(t, newHandler(t))
	page := b.Post("/save", url.Values{"text": {"hello"}})
	assert.Equal(t, http.StatusSeeOther, page.StatusCode)
	require.NotNil(t, page.Cookie("s_memory"))
	assert.Nil(t, page.Cookie("other"))
	assert.Equal(t, "Saved!1", b.Get("/").Text)
	assert.Equal(t, "1", b.Get("/").Text)
	assert.Equal(t, "0", b.Another().Get("/").Text, "another browser has cookies of its own")
	assert.Equal(t, "1", b.Do("GET", "/", nil, "Accept", "text/plain").Text)
}
