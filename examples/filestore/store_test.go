//go:build unix && !aix && !solaris

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/driver/drivertest"
	"example.com/session/sessiontest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counting tells a test binary to add to the counter in a directory, and how often.
const counting = "FILESTORE_COUNTS_IN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(counting); dir != "" {
		if err := count(dir, 100); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const counter = "counter-of-the-processes"

func count(dir string, times int) error {
	s, err := newFileStore(dir)
	if err != nil {
		return err
	}
	for range times {
		err := s.Update(context.Background(), counter, func(old []byte) (driver.Entry, error) {
			return driver.Entry{Data: append(old[:len(old):len(old)], 'x'), TTL: time.Hour}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func open(t *testing.T, dir string) *fileStore {
	t.Helper()
	s, err := newFileStore(dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.root.Close() })
	return s
}

func TestStore(t *testing.T) {
	drivertest.Stores(t, func(t *testing.T) driver.Store {
		return open(t, filepath.Join(t.TempDir(), "sessions"))
	}, func(t *testing.T, first driver.Store) driver.Store {
		return open(t, first.(*fileStore).root.Name())
	})
}

func TestProcessesThatUpdateAtOnceLoseNothing(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	var processes [4]*exec.Cmd
	for i := range processes {
		processes[i] = exec.CommandContext(t.Context(), exe)
		processes[i].Env = append(os.Environ(), counting+"="+dir)
		processes[i].Stderr = new(bytes.Buffer)
		require.NoError(t, processes[i].Start())
	}
	for _, p := range processes {
		require.NoError(t, p.Wait(), p.Stderr)
	}
	data, err := open(t, dir).Get(t.Context(), counter)
	require.NoError(t, err)
	assert.Equal(t, 4*100, len(data))
}

func TestUpdateDoesNotWaitLongerThanItsContext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.NoError(t, open(t, dir).locked(ctx, fileName("id"), func() error {
		err := open(t, dir).Update(ctx, "id", func([]byte) (driver.Entry, error) { panic("the lock is held") })
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		return nil
	}))
}

func TestNobodyElseCanReadTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	id := driver.NewID().String()
	require.NoError(t, s.Update(t.Context(), id, func([]byte) (driver.Entry, error) {
		return driver.Entry{Data: []byte("private"), TTL: time.Hour}, nil
	}))
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077, path)
		return nil
	}))
	require.NoError(t, os.Chmod(dir, 0o750))
	_, err := newFileStore(dir)
	assert.ErrorContains(t, err, "chmod 700")
	_, err = s.root.ReadFile("../../outside")
	assert.Error(t, err, "a name leads out of the directory")
}

func TestReaderSeesNoHalfWrittenSession(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "sessions"))
	sizes := []int{1 << 10, 1 << 18}
	write := func(i int) {
		require.NoError(t, s.Update(t.Context(), "id", func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: bytes.Repeat([]byte{'x'}, sizes[i%2]), TTL: time.Hour}, nil
		}))
	}
	write(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 500 {
			data, err := s.Get(t.Context(), "id")
			if !assert.NoError(t, err) || !assert.Contains(t, sizes, len(data)) {
				return
			}
		}
	}()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
			write(i)
		}
	}
}

func TestSweepRemovesWhatHasExpiredAndNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s := open(t, dir)
	put := func(key string, ttl time.Duration) {
		require.NoError(t, s.Update(t.Context(), key, func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: []byte("data"), TTL: ttl}, nil
		}))
	}
	lives, expired := strings.Repeat("a", 22), "lock-"+strings.Repeat("b", 17) // a key may look like this
	put(lives, time.Minute)
	put(expired, -time.Minute)
	left := filepath.Join(dir, fileName("c")+".new")
	require.NoError(t, os.WriteFile(left, nil, 0o600))
	require.NoError(t, os.Chtimes(left, time.Time{}, time.Now().Add(-time.Hour)))
	require.NoError(t, s.sweep(t.Context()))
	assert.FileExists(t, filepath.Join(dir, fileName(lives)))
	assert.NoFileExists(t, filepath.Join(dir, fileName(expired)))
	assert.NoFileExists(t, left)
	assert.FileExists(t, filepath.Join(dir, "lock-"+fileName(lives)[:2]), "a lock that another process may hold was removed")
}

func TestUsersSessionsAreListedAndEnded(t *testing.T) {
	m, err := session.NewManager(session.Config{
		Default: "file",
		Drivers: map[string]session.Driver{"file": session.StoreDriver(open(t, filepath.Join(t.TempDir(), "sessions")))},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, m.Close()) })
	laptop := sessiontest.NewBrowser(t, m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		if r.Method == http.MethodPost {
			s.Login("ann")
		}
		user, _ := s.User()
		fmt.Fprint(w, user)
	})))
	phone := laptop.Another()
	for _, b := range []*sessiontest.Browser{laptop, phone} {
		b.Post("/", nil)
		require.Equal(t, "ann", b.Get("/").Text)
	}
	infos, err := m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, infos, 2)
	require.NoError(t, m.EndAll(t.Context(), "ann"))
	assert.Empty(t, laptop.Get("/").Text)
	assert.Empty(t, phone.Get("/").Text)
	infos, err = m.Sessions(t.Context(), "ann")
	assert.NoError(t, err)
	assert.Empty(t, infos)
}
