package paths_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// net/http removes the files of the request that it has made, so what the handler's copy holds has to
// come back to it.
func TestFilesOfUploadsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	v := newEndpoint(t, "HTTP1", kit.NewManager(t, kit.DriverConfig(t, "memory")).Middleware)
	for range 3 {
		body, contentType := upload(t)
		e := v.send(http.MethodPost, body, func(w http.ResponseWriter, r *http.Request) {
			session.FromRequest(r).Set("a", 1)
			assert.NoError(t, r.ParseMultipartForm(1<<10))
			assert.NotEmpty(t, filesIn(t, dir), "nothing is in a file, so nothing is tested")
		}, "Content-Type", contentType)
		require.Equal(t, http.StatusOK, e.status())
	}
	v.server.Close() // waits until net/http is done with the requests
	assert.Empty(t, filesIn(t, dir))
}

// upload returns a multipart form with one file, and its Content-Type.
func upload(t *testing.T) (io.Reader, string) {
	t.Helper()
	body := new(bytes.Buffer)
	form := multipart.NewWriter(body)
	file, err := form.CreateFormFile("file", "film.bin")
	require.NoError(t, err)
	_, err = file.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	return body, form.FormDataContentType()
}

func filesIn(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	assert.NoError(t, err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Metrics and logs further out name the route that a ServeMux further in has found.
func TestOuterMiddlewareSeesWhatTheHandlerLeavesInTheRequest(t *testing.T) {
	for name, end := range map[string]func(){"returned": func() {}, "panicked": func() { panic("a handler's bug") }} {
		t.Run(name, func(t *testing.T) {
			m := kit.NewManager(t, kit.DriverConfig(t, "memory"))
			mux := http.NewServeMux()
			mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
				session.FromRequest(r).Set("a", 1)
				assert.NoError(t, r.ParseForm())
				end()
			})
			seen := ""
			b := kit.NewBrowser(t, recovering(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				defer func() {
					seen = fmt.Sprint(r.Pattern, " ", r.PathValue("id"), " ", r.Form)
					assert.Equal(t, ctx, r.Context(), "the context stays the outer one")
				}()
				m.Middleware(mux).ServeHTTP(w, r)
			})))
			b.Get("/users/7?q=1")
			assert.Equal(t, "GET /users/{id} 7 map[q:[1]]", seen)
		})
	}
}

// Inner middleware may take the Cookie header out before it passes the request on, as a reverse proxy
// does that keeps cookies from its backend.
func TestInnerHandlerThatChangesTheCookieHeaderChangesNoSession(t *testing.T) {
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
		v.begin(seedBefore)
		for _, line := range []string{"", "s_" + cfg.Default + "=another"} {
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Cookie", line)
				assert.Equal(t, "b", session.FromRequest(r).Get("before"))
				w.WriteHeader(http.StatusAccepted)
			})
			require.Equal(t, http.StatusAccepted, e.status())
		}
	})
}

// Behind a proxy that ends TLS, a Secure cookie is right.
func TestForwardedProtoIsNoReasonForAWarning(t *testing.T) {
	for header, warns := range map[string]bool{"https": false, "http": true} {
		cfg := kit.DriverConfig(t, "memory")
		log := kit.CaptureLog(&cfg)
		v := newEndpoint(t, "HTTP1", kit.NewManager(t, cfg).Middleware)
		e := v.serve(func(_ http.ResponseWriter, r *http.Request) { session.FromRequest(r).Set("a", 1) },
			"X-Forwarded-Proto", header, "X-Forwarded-For", "192.0.2.1")
		require.NotNil(t, e.cookie("s_memory"))
		assert.True(t, e.cookie("s_memory").Secure)
		if warns {
			assert.Contains(t, log.Text(), "over plain HTTP")
		} else {
			assert.Empty(t, log.Text())
		}
	}
}
