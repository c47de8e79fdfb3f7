package response_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryWayToSendTheHeaderCommitsOnceAndFirst(t *testing.T) {
	for name, send := range map[string]func(w http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(200) },
		"Write":       func(w http.ResponseWriter) { w.Write([]byte("page")) },
		"WriteString": func(w http.ResponseWriter) { io.WriteString(w, "page") },
		"ReadFrom":    func(w http.ResponseWriter) { io.Copy(w, struct{ io.Reader }{strings.NewReader("page")}) },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"controller":  func(w http.ResponseWriter) { http.NewResponseController(w).Flush() },
		"nothing":     func(w http.ResponseWriter) {},
	} {
		for _, protocol := range protocols {
			hooks := new(fakeHooks)
			e := serve(t, protocol, hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				send(w)
				assert.Equal(t, name != "nothing", hooks.writer.Committed())
				io.WriteString(w, "more")
			})))
			assert.Equal(t, []string{"header"}, hooks.calls, "%s on %s", name, protocol)
			assert.Equal(t, []int{200}, hooks.statuses)
			assert.Equal(t, []string{"s=1"}, e.response.Header["Set-Cookie"], "%s on %s", name, protocol)
		}
	}
}

func TestInformationalStatusCommitsNothing(t *testing.T) {
	for _, protocol := range protocols {
		hooks := new(fakeHooks)
		e := serve(t, protocol, hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 2 {
				w.Header().Set("Link", "</style.css>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
			}
			assert.Empty(t, hooks.calls)
			w.WriteHeader(http.StatusCreated)
		})))
		assert.Equal(t, []int{http.StatusCreated}, hooks.statuses)
		require.Len(t, e.early, 2, protocol)
		assert.NotContains(t, e.early[1], "Set-Cookie")
		assert.Contains(t, e.response.Header, "Set-Cookie")
	}
}

func TestInvalidStatusPanicsAsNetHTTPDoesAndCommitsNothing(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 1000} {
		hooks := new(fakeHooks)
		e := serve(t, "HTTP1", hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Panics(t, func() { w.WriteHeader(status) }, "%d", status)
			assert.Empty(t, hooks.calls)
			panic(http.ErrAbortHandler)
		})))
		assert.Nil(t, e.response)
	}
}

// A sendfileSpy stands between net/http and the middleware and counts the files it is given.
type sendfileSpy struct {
	http.ResponseWriter
	http.Flusher
	http.Hijacker
	closeNotifier
	files *int
}

func (s sendfileSpy) ReadFrom(src io.Reader) (int64, error) {
	from := src
	if limited, ok := src.(*io.LimitedReader); ok {
		from = limited.R
	}
	if _, ok := from.(syscall.Conn); ok { // what package net needs for sendfile
		*s.files++
	}
	return s.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

// The kernel sends a file by itself (sendfile) only if net/http's own ReadFrom gets it.
func TestFilesReachTheInnerReadFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.bin")
	content := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	for name, send := range map[string]http.HandlerFunc{
		"ServeFile": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) },
		"Copy":      func(w http.ResponseWriter, r *http.Request) { copyFile(t, w, path) },
		"Copy after the header": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			copyFile(t, w, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := 0
			hooks := new(fakeHooks)
			e := serve(t, "HTTP1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				spy := sendfileSpy{w, w.(http.Flusher), w.(http.Hijacker), w.(closeNotifier), &files}
				hooks.middleware(send).ServeHTTP(spy, r)
			}))
			assert.Equal(t, 1, files)
			assert.Equal(t, string(content), e.body)
			assert.Equal(t, []string{"s=1"}, e.response.Header["Set-Cookie"])
		})
	}
}

func copyFile(t *testing.T, w http.ResponseWriter, path string) {
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = io.Copy(w, file)
	assert.NoError(t, err)
}

func TestCopiedBodiesAreWhole(t *testing.T) {
	body := "<!DOCTYPE html>" + strings.Repeat("x", 100_000)
	for _, protocol := range protocols {
		for _, size := range []int{0, 1, 511, 512, 513, 100_000} {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(w, iotest.HalfReader(strings.NewReader(body[:size])))
				assert.NoError(t, err)
				assert.EqualValues(t, size, n)
			})
			got, want := serve(t, protocol, new(fakeHooks).middleware(h)), serve(t, protocol, h)
			assert.Equal(t, want.body, got.body, "%s: %d bytes", protocol, size)
			assert.Equal(t, want.response.Header["Content-Type"], got.response.Header["Content-Type"])
		}
	}
}

var errSource = errors.New("the source is broken")

func TestSourceThatFailsBeforeItsFirstByteCommitsNothing(t *testing.T) {
	for _, protocol := range protocols {
		for name, src := range map[string]io.Reader{"broken": iotest.ErrReader(errSource), "empty": struct{ io.Reader }{strings.NewReader("")}} {
			hooks := new(fakeHooks)
			e := serve(t, protocol, hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(w, src)
				assert.Zero(t, n)
				assert.Equal(t, name == "broken", errors.Is(err, errSource), "%v", err)
				assert.Empty(t, hooks.calls)
				http.Redirect(w, r, "/sorry", http.StatusSeeOther)
			})))
			assert.Equal(t, http.StatusSeeOther, e.status(), "%s on %s", name, protocol)
		}
	}
}

func TestSourceThatFailsLaterIsReportedWithWhatItGave(t *testing.T) {
	for _, protocol := range protocols {
		for _, given := range []string{"p", strings.Repeat("p", 5000)} {
			e := serve(t, protocol, new(fakeHooks).middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(w, io.MultiReader(strings.NewReader(given), iotest.ErrReader(errSource)))
				assert.ErrorIs(t, err, errSource)
				assert.EqualValues(t, len(given), n)
			})))
			assert.Equal(t, given, e.body, protocol)
		}
	}
}

func TestTrailersArriveAsWithoutTheWriter(t *testing.T) {
	for _, protocol := range protocols {
		e := serve(t, protocol, new(fakeHooks).middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "Checksum")
			io.WriteString(w, "page")
			http.NewResponseController(w).Flush()
			w.Header().Set("Checksum", "abc")
			w.Header().Set(http.TrailerPrefix+"Late", "def")
		})))
		assert.Equal(t, http.Header{"Checksum": {"abc"}, "Late": {"def"}}, e.response.Trailer, protocol)
	}
}

func TestFileServerServesRangesAndNotModifiedAsWithoutTheWriter(t *testing.T) {
	modified := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	files := http.FileServerFS(fstest.MapFS{"page.txt": {Data: []byte("0123456789"), ModTime: modified}})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/page.txt"
		files.ServeHTTP(w, r)
	})
	for _, protocol := range protocols {
		for _, header := range [][]string{
			nil,
			{"Range", "bytes=2-4"},
			{"Range", "bytes=-3"},
			{"Range", "bytes=99-"},
			{"If-Modified-Since", modified.Format(http.TimeFormat)},
			{"If-Unmodified-Since", modified.Add(-time.Hour).Format(http.TimeFormat)},
		} {
			got, want := serve(t, protocol, new(fakeHooks).middleware(h), header...), serve(t, protocol, h, header...)
			assert.Equal(t, []string{"s=1"}, got.response.Header["Set-Cookie"])
			for _, field := range []string{"Date", "Set-Cookie"} {
				got.response.Header.Del(field)
				want.response.Header.Del(field)
			}
			assert.Equal(t, want.status(), got.status(), "%s %v", protocol, header)
			assert.Equal(t, want.response.Header, got.response.Header, "%s %v", protocol, header)
			assert.Equal(t, want.body, got.body, "%s %v", protocol, header)
		}
	}
}

func TestFlushBehindAnUnwrapCommitsFirst(t *testing.T) {
	hooks := new(fakeHooks)
	e := serve(t, "HTTP1", http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
		hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, http.NewResponseController(w).Flush())
		})).ServeHTTP(unwrapper{inner}, r)
	}))
	assert.Equal(t, []string{"s=1"}, e.response.Header["Set-Cookie"])
}

func TestHijackedConnectionIsTheHandlers(t *testing.T) {
	hooks := new(fakeHooks)
	e := serve(t, "HTTP1", hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
		}
		assert.True(t, hooks.writer.Committed())
	})))
	assert.Equal(t, []string{"before hijack", "after hijack"}, hooks.calls)
	assert.Equal(t, "page", e.body)
	assert.NotContains(t, e.response.Header, "Set-Cookie")
}

// A reverse proxy sends 101 through the writer, and then takes the connection over.
func TestHijackAfterSwitchingProtocolsNeedsNoCallback(t *testing.T) {
	hooks := new(fakeHooks)
	e := serve(t, "HTTP1", hooks.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			conn.Close()
		}
	})), "Connection", "Upgrade", "Upgrade", "echo")
	assert.Equal(t, []string{"header"}, hooks.calls)
	assert.Equal(t, []int{http.StatusSwitchingProtocols}, hooks.statuses)
	assert.Equal(t, []string{"s=1"}, e.response.Header["Set-Cookie"])
}

// claimsHijack is a writer of middleware that always has the method, as many do.
type claimsHijack struct{ http.ResponseWriter }

func (claimsHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("the writer below cannot: %w", http.ErrNotSupported)
}

func TestHijackThatNothingSupportsCommitsNothing(t *testing.T) {
	for name, inner := range map[string]http.ResponseWriter{
		"no Hijacker":              struct{ http.ResponseWriter }{httptest.NewRecorder()},
		"a Hijacker that is empty": claimsHijack{httptest.NewRecorder()},
	} {
		hooks := new(fakeHooks)
		hooks.under(inner, func(w http.ResponseWriter, r *http.Request) {
			for range 2 {
				_, _, err := http.NewResponseController(w).Hijack()
				assert.ErrorIs(t, err, http.ErrNotSupported, name)
			}
			assert.False(t, hooks.writer.Committed())
			assert.NotContains(t, hooks.calls, "after hijack")
			io.WriteString(w, "page")
		})
		assert.Equal(t, "header", hooks.calls[len(hooks.calls)-1], name)
		assert.Equal(t, []string{"s=1"}, inner.Header()["Set-Cookie"], name)
	}
}
