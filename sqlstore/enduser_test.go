package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/sqlstore"
)

// ending ends the sessions of a user named ann.
func ending() *driver.Ending {
	return &driver.Ending{Now: time.Now(), For: driver.IndexTombstone, User: "ann"}
}

// signIn enters a session of a user into a list and saves it.
func signIn(t testing.TB, d *sqlstore.Driver, key, name string) driver.ID {
	t.Helper()
	first := begin(driver.Op{Kind: driver.Set, Part: driver.Account, Key: driver.UserKey, Encoded: name})
	require.NoError(t, d.Enter(t.Context(), key, entry(first.ID), 0, time.Now()))
	rec, err := d.Save(t.Context(), nil, first)
	require.NoError(t, err)
	require.Equal(t, name, rec.User())
	return first.ID
}

func TestEndUserEndsWhatEndWouldEnd(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		d, key := s.driver(t, s.db), user()
		one, two, kept := signIn(t, d, key, "ann"), signIn(t, d, key, "ann"), signIn(t, d, key, "ann")
		another := signIn(t, d, key, "bob") // of a sign-in that failed after its entry
		elsewhere := signIn(t, d, user(), "ann")
		notStored := begin()
		require.NoError(t, d.Enter(t.Context(), key, entry(notStored.ID), 0, time.Now()))
		gone := signIn(t, d, key, "ann")
		long := ending()
		long.ID, long.For = gone, 48*time.Hour
		_, err := d.End(t.Context(), nil, long)
		require.NoError(t, err)
		damaged := signIn(t, d, key, "ann")
		require.NoError(t, d.Store().Update(t.Context(), damaged.String(), func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: []byte("damaged"), TTL: time.Hour}, nil
		}))

		ended, err := d.EndUser(t.Context(), key, ending(), kept)
		require.NoError(t, err)
		var ids []driver.ID
		for _, rec := range ended {
			ids = append(ids, rec.ID())
		}
		assert.ElementsMatch(t, []driver.ID{one, two}, ids)
		for _, id := range []driver.ID{one, two, gone, damaged, notStored.ID} {
			_, err := d.Load(t.Context(), id, time.Now().Add(59*time.Minute))
			assert.ErrorIs(t, err, driver.ErrEnded)
		}
		_, err = d.Load(t.Context(), gone, time.Now().Add(47*time.Hour))
		assert.ErrorIs(t, err, driver.ErrEnded, "a tombstone was shortened")
		_, err = d.Save(t.Context(), nil, notStored)
		assert.ErrorIs(t, err, driver.ErrEnded, "a sign-in that was under way went on")
		for _, id := range []driver.ID{kept, another, elsewhere} {
			_, err := d.Load(t.Context(), id, time.Now())
			assert.NoError(t, err)
		}
		left, err := d.List(t.Context(), key, time.Now())
		require.NoError(t, err)
		if assert.Len(t, left, 1) {
			assert.Equal(t, kept, left[0].ID)
		}
		late := entry(driver.NewID())
		late.Entered = time.Now().Add(-time.Minute)
		assert.Equal(t, driver.ErrEnded, d.Enter(t.Context(), key, late, 0, time.Now()), "it names no operation")
		require.NoError(t, d.Enter(t.Context(), key, entry(driver.NewID()), 0, time.Now()), "a later sign-in")

		ended, err = d.EndUser(t.Context(), key, ending(), driver.ID{})
		require.NoError(t, err)
		assert.Len(t, ended, 1, "the one that was kept")
	})
}

// Sessions are written, begun and ended at the same time: whatever was signed in before, is ended.
func TestEndUserBesideSavesAndSignIns(t *testing.T) {
	onDatabases(t, func(t *testing.T, s *site) {
		d, other, key := s.driver(t, s.db), s.driver(t, s.pool(t)), user()
		var mu sync.Mutex
		var all []driver.ID
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				d := []*sqlstore.Driver{d, other}[i%2]
				for {
					select {
					case <-stop:
						return
					default:
					}
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					first := begin(add(1))
					err := d.Enter(ctx, key, entry(first.ID), 0, time.Now())
					if err == nil {
						mu.Lock()
						all = append(all, first.ID)
						mu.Unlock()
						var rec *driver.Record
						if rec, err = d.Save(ctx, nil, first); err == nil {
							_, err = d.Save(ctx, rec, further(first, add(1)))
						}
					}
					cancel()
					if err != nil {
						assert.ErrorIs(t, err, driver.ErrEnded)
					}
				}
			})
		}
		for i := range 10 {
			time.Sleep(5 * time.Millisecond) // so that some have begun
			mu.Lock()
			before := append([]driver.ID(nil), all...)
			mu.Unlock()
			_, err := []*sqlstore.Driver{d, other}[i%2].EndUser(within(t, 20*time.Second), key, ending(), driver.ID{})
			if !assert.NoError(t, err) {
				break
			}
			for _, id := range before[max(0, len(before)-20):] {
				_, err := d.Load(t.Context(), id, time.Now())
				assert.ErrorIs(t, err, driver.ErrEnded)
			}
		}
		close(stop)
		clients.Wait()
		require.NotEmpty(t, all)
	})
}

// loop is a Driver as it would be without EndUser.
type loop struct {
	driver.Driver
	driver.Index
}

// EndAll sends as many statements for a thousand sessions as for one. The times of docs/sql.md are
// what this test logs with ENDALL=1 in the environment; without it, no thousand are ended one by one.
func TestEndAllTakesOneTransaction(t *testing.T) {
	t.Parallel()
	for _, database := range databases {
		t.Run(database.name, func(t *testing.T) {
			s, c := counted(t, database.name)
			d := s.driver(t, s.db)
			var statements []int64
			for _, n := range []int{1, 10, 1000} {
				var took [2]time.Duration
				for i, stores := range []session.Driver{d, loop{d, d}} {
					if i > 0 && n > 10 && os.Getenv("ENDALL") == "" {
						continue
					}
					var events atomic.Int64
					m, err := session.NewManager(session.Config{
						Default: "sql", Drivers: map[string]session.Driver{"sql": stores}, StoreTimeout: 30 * time.Second,
						Events: func(context.Context, session.Event) { events.Add(1) },
					})
					require.NoError(t, err)
					name := fmt.Sprint("ann ", n, i)
					sum := sha256.Sum256([]byte("s_sql\x00user\x00" + name))
					key := base64.RawURLEncoding.EncodeToString(sum[:])
					signIn(t, d, key, name)
					for i := range n - 1 { // under other keys, because each sign-in reads the whole list
						signIn(t, d, fmt.Sprint(key[:20], ".", i), name)
					}
					_, users := d.Tables()
					s.exec(t, fmt.Sprintf("UPDATE %s SET user_key = '%s' WHERE user_key LIKE '%s.%%' AND id <> ''", users, key, key[:20]))
					require.NoError(t, m.EndAll(t.Context(), "nobody")) // connects
					before, start := c.sent.Load(), time.Now()
					require.NoError(t, m.EndAll(t.Context(), name))
					took[i] = time.Since(start)
					assert.EqualValues(t, n, events.Load(), "an event for each session")
					if i == 0 {
						statements = append(statements, c.sent.Load()-before)
					}
					left, err := m.Sessions(t.Context(), name)
					require.NoError(t, err)
					assert.Empty(t, left)
				}
				t.Logf("%d sessions: %v at once, %v one by one", n, took[0], took[1])
			}
			assert.Equal(t, []int64{4, 4, 4}, statements)
		})
	}
}
