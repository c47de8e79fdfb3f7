package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/sqltest"
	"example.com/session/sqlstore"
)

// The server is killed while clients save, and comes back, three times. Each client sends a save
// again, as package session does, until it is acknowledged.
func TestKilledServerLosesNothingAndSignsNobodyOut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		dialect sqlstore.Dialect
		start   func(testing.TB, ...string) *sqltest.Server
	}{
		{"PostgreSQL", sqlstore.Postgres, sqltest.NewPostgres},
		{"MariaDB", sqlstore.MySQL, sqltest.NewMariaDB},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := test.start(t)
			s := newSite(t, test.dialect, server.Open)
			d := s.driver(t, s.db)
			var stop atomic.Bool
			var acknowledged atomic.Int64
			const writers = 8
			name, ids, done := user(), make([]driver.ID, writers), make(chan struct{})
			counts, failures := make([]int, writers), make([]error, writers)
			go func() {
				defer close(done)
				each(writers, func(i int) {
					ids[i], counts[i], failures[i] = writeUntil(t.Context(), d, name, &stop, &acknowledged)
				})
			}()
			for range 3 {
				before := acknowledged.Load()
				require.Eventually(t, func() bool { return acknowledged.Load() > before+50 }, 30*time.Second, time.Millisecond)
				server.Kill()
				server.Restart(t)
			}
			stop.Store(true)
			<-done
			require.NoError(t, errors.Join(failures...))
			for i, id := range ids {
				rec, err := d.Load(t.Context(), id, time.Now())
				require.NoError(t, err)
				assert.Equal(t, counts[i], count(t, rec), "an acknowledged write was lost, or one was applied twice")
			}
			listed, err := d.List(t.Context(), name, time.Now())
			require.NoError(t, err)
			assert.Len(t, listed, writers, "a sign-in was lost")
			t.Logf("%d acknowledged saves", acknowledged.Load())
		})
	}
}

// writeUntil signs in and adds one again and again. It returns how often it has.
func writeUntil(ctx context.Context, d *sqlstore.Driver, name string, stop *atomic.Bool, acknowledged *atomic.Int64) (
	id driver.ID, n int, err error,
) {
	first := begin(add(0))
	if err := repeat(ctx, func(ctx context.Context, _ bool) error {
		return d.Enter(ctx, name, entry(first.ID), 0, time.Now())
	}); err != nil {
		return first.ID, 0, err
	}
	rec, err := saveUntil(ctx, d, nil, first)
	for err == nil && !stop.Load() {
		err = repeat(ctx, func(ctx context.Context, _ bool) error {
			rec, err = d.Load(ctx, first.ID, time.Now())
			return err
		})
		if err == nil {
			rec, err = saveUntil(ctx, d, rec, further(first, add(1)))
			n++
			acknowledged.Add(1)
		}
	}
	return first.ID, n, err
}

func saveUntil(ctx context.Context, d *sqlstore.Driver, base *driver.Record, ch *driver.Changes) (rec *driver.Record, err error) {
	if base != nil {
		ch.Since = base.LastSave()
	}
	err = repeat(ctx, func(ctx context.Context, again bool) error {
		ch.Retried = again
		rec, err = d.Save(ctx, base, ch)
		return err
	})
	return rec, err
}

// repeat calls do while the database is unavailable, and fails for every other reason.
func repeat(ctx context.Context, do func(ctx context.Context, again bool) error) error {
	for again := false; ; again = true {
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := do(bounded, again)
		cancel()
		if !errors.Is(err, driver.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond): // between two requests of a client
		}
	}
}

const writerFile = "SQLSTORE_TEST_WRITER" // the file that this process writes to, if it is a writer

// writeToFile saves to a file of SQLite until it is killed, and prints each save that was acknowledged.
func writeToFile(dsn string) int {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return 1
	}
	d, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.Options{CleanupInterval: -1})
	if err != nil || d.Migrate(context.Background(), db) != nil {
		return 1
	}
	first := begin(add(0))
	rec, err := d.Save(context.Background(), nil, first)
	for n := 1; err == nil; n++ {
		if rec, err = d.Save(context.Background(), rec, further(first, add(1))); err == nil {
			fmt.Println(first.ID, n)
		}
	}
	return 1
}

func TestKilledProcessLosesNothingInSQLite(t *testing.T) {
	t.Parallel()
	dsn := sqltest.SQLiteFile(t)
	acknowledged := make(map[string]int)
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writerFile+"="+dsn)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var id string
		for n := 0; n < 300; {
			_, err = fmt.Fscan(out, &id, &n)
			require.NoError(t, err)
			acknowledged[id] = n
		}
		require.NoError(t, cmd.Process.Kill())
		rest, err := io.ReadAll(out)
		require.NoError(t, err)
		for line := range strings.Lines(string(rest)) {
			var n int
			if _, err := fmt.Sscan(line, &id, &n); err == nil && strings.HasSuffix(line, "\n") {
				acknowledged[id] = n
			}
		}
		cmd.Wait() // it was killed
	}
	d, err := sqlstore.New(sqltest.Open(t, "sqlite", dsn), sqlstore.SQLite, sqlstore.Options{CleanupInterval: -1})
	require.NoError(t, err)
	require.NoError(t, d.Ping(t.Context()))
	assert.Len(t, acknowledged, 3)
	for text, n := range acknowledged {
		id, ok := driver.ParseID(text)
		require.True(t, ok)
		rec, err := d.Load(t.Context(), id, time.Now())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, count(t, rec), n, "an acknowledged write was lost")
	}
}
