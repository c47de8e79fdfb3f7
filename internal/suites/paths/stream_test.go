package paths_test

import (
	"html/template"
	"net/http"
	"testing"

	"example.com/session"
	"example.com/session/internal/suites/kit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStreamSavesAsItGoes(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			m := kit.NewManager(t, kit.DriverConfig(t, driver))
			v := newEndpoint(t, "HTTP1", m.Middleware)
			cookies := v.begin(func(s *session.Session) { s.Set("n", 0); s.Flash("message", "hello") }).response.Cookies()
			step := make(chan func(s *session.Session) error)
			result := make(chan error)
			now := &turn{done: make(chan struct{}), handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				http.NewResponseController(w).Flush()
				for do := range step {
					result <- do(session.FromRequest(r))
				}
			})}
			v.serving.Store(now)
			r, err := http.NewRequest(http.MethodGet, v.server.URL, nil)
			require.NoError(t, err)
			for _, c := range cookies {
				r.AddCookie(c)
			}
			response, err := v.server.Client().Do(r)
			require.NoError(t, err)
			defer response.Body.Close()

			for n := 1; n <= 3; n++ {
				step <- func(s *session.Session) error { s.Increment("n", 1); return s.Save() }
				require.NoError(t, <-result)
				assert.Equal(t, map[string]any{"n": n, "message": "hello"}, v.found(), "seen while the stream goes on; flash does not age")
			}
			saves := m.Stats().Saves
			step <- func(s *session.Session) error { return s.Save() }
			assert.NoError(t, <-result)
			assert.Equal(t, saves+1, m.Stats().Saves, "with nothing to store it counts as use")

			v.begin(func(s *session.Session) { s.Destroy() })
			step <- func(s *session.Session) error { return s.Save() }
			assert.ErrorIs(t, <-result, session.ErrNoSession, "a stream learns that its session has ended")
			step <- func(s *session.Session) error { s.Increment("n", 1); return s.Save() }
			assert.ErrorIs(t, <-result, session.ErrNoSession)
			close(step)
			<-now.done
			assert.Empty(t, v.withCookies("s_"+driver+"="+cookies[0].Value).found())
		})
	}
}

// A page that streams has sent its header, which says that the message was read, before the template
// reaches the message.
func TestStreamingTemplateShowsItsFlashMessageOnce(t *testing.T) {
	const text = `<h1>Hi</h1>{{flush}}{{if session.Has "success"}}{{session.Get "success"}}{{end}}` +
		`{{range session.All}}<i>{{.}}</i>{{end}}`
	kit.EachDriver(t, func(t *testing.T, cfg session.Config) {
		for _, protocol := range protocols {
			v := newEndpoint(t, protocol, kit.NewManager(t, cfg).Middleware)
			v.begin(func(s *session.Session) { s.Flash("success", "Saved!") })
			stream := func(w http.ResponseWriter, r *http.Request) {
				flush := func() (string, error) { return "", http.NewResponseController(w).Flush() }
				page := template.New("").Funcs(session.FromRequest(r).TemplateFuncs()).Funcs(template.FuncMap{"flush": flush})
				assert.NoError(t, template.Must(page.Parse(text)).Execute(w, nil))
			}
			assert.Equal(t, "<h1>Hi</h1>Saved!<i>Saved!</i>", v.serve(stream).body)
			assert.Equal(t, "<h1>Hi</h1>", v.serve(stream).body, "shown again")
		}
	})
}

// A fetch expires what its handler has read, also if it was read after the header.
func TestFetchThatStreamsEndsTheFlashThatItLookedAt(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			m := kit.NewManager(t, kit.DriverConfig(t, driver))
			v := newEndpoint(t, "HTTP1", m.Middleware)
			v.begin(func(s *session.Session) {
				for _, key := range []string{"early", "late", "kept", "unread"} {
					s.Flash(key, "hello")
				}
			})
			e := v.serve(func(w http.ResponseWriter, r *http.Request) {
				s := session.FromRequest(r)
				assert.Equal(t, "hello", s.Get("early"))
				assert.NoError(t, http.NewResponseController(w).Flush())
				assert.Equal(t, "hello", s.Get("late"))
				assert.Equal(t, "hello", s.Get("kept"))
				s.KeepFlash("kept")
			}, "Sec-Fetch-Dest", "empty")
			require.Equal(t, http.StatusOK, e.status())
			assert.Equal(t, map[string]any{"kept": "hello", "unread": "hello"}, v.found())
			saves := m.Stats().Saves
			v.serve(func(w http.ResponseWriter, r *http.Request) {
				session.FromRequest(r).Get("unread")
			}, "Sec-Fetch-Dest", "empty")
			assert.Equal(t, saves+1, m.Stats().Saves, "it ages at the commit and not once more")
		})
	}
}
