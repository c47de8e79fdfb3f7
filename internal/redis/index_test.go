package redis_test

import (
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

var user = strings.Repeat("u", 43)

// entry is an entry that was entered some time ago.
func entry(ago time.Duration, lives time.Duration) driver.IndexEntry {
	at := time.UnixMicro(time.Now().UnixMicro()).Add(-ago)
	return driver.IndexEntry{ID: driver.NewID(), Entered: at, Ends: now().Add(lives)}
}

func list(t *testing.T, d driver.Index, at time.Time) []driver.IndexEntry {
	t.Helper()
	entries, err := d.List(t.Context(), user, at)
	require.NoError(t, err)
	return entries
}

func TestIndexEntersMovesListsAndRemoves(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	assert.Empty(t, list(t, d, now()))
	a, b := entry(time.Second, time.Hour), entry(0, 2*time.Hour)
	require.NoError(t, d.Enter(t.Context(), user, a, 0, now()))
	require.NoError(t, d.Enter(t.Context(), user, b, 0, now()))
	assert.ElementsMatch(t, []driver.IndexEntry{a, b}, list(t, d, now()))
	assert.InDelta(t, 2*time.Hour, server.TTLs(t)["session:user:"+user], float64(5*time.Second))

	moved := a
	moved.Entered, moved.Ends = time.Now(), now().Add(3*time.Hour)
	require.NoError(t, d.Enter(t.Context(), user, moved, 0, now()))
	moved.Entered = a.Entered // it keeps the first one
	assert.ElementsMatch(t, []driver.IndexEntry{moved, b}, list(t, d, now()))
	assert.InDelta(t, 3*time.Hour, server.TTLs(t)["session:user:"+user], float64(5*time.Second))
	require.NoError(t, d.Enter(t.Context(), user, a, 0, now()))
	assert.ElementsMatch(t, []driver.IndexEntry{moved, b}, list(t, d, now()), "an end never moves back")

	assert.ElementsMatch(t, []driver.IndexEntry{moved}, list(t, d, now().Add(150*time.Minute)), "the end of b has passed")
	require.NoError(t, d.Remove(t.Context(), user, a.ID))
	require.NoError(t, d.Remove(t.Context(), user, a.ID))
	assert.Empty(t, list(t, d, now()))
	assert.Empty(t, server.Keys(t))
}

func TestIndexIsFullAtTheLimitButMovesWhatItHas(t *testing.T) {
	t.Parallel()
	_, d := start(t)
	a, b := entry(0, time.Hour), entry(0, time.Hour)
	require.NoError(t, d.Enter(t.Context(), user, a, 1, now()))
	require.NoError(t, d.EndBefore(t.Context(), user, a.Entered.Add(-time.Second))) // is no session
	assert.ErrorIs(t, d.Enter(t.Context(), user, b, 1, now()), driver.ErrIndexFull)
	assert.NoError(t, d.Enter(t.Context(), user, a, 1, now()))
	assert.NoError(t, d.Enter(t.Context(), user, b, 2, now()))
}

func TestSignInThatBeganBeforeAllSessionsEndedIsRefusedForAnHour(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	ended := time.UnixMicro(time.Now().UnixMicro())
	require.NoError(t, d.EndBefore(t.Context(), user, ended))
	require.NoError(t, d.EndBefore(t.Context(), user, ended.Add(-time.Minute)), "never the other way round")
	assert.InDelta(t, time.Hour, server.TTLs(t)["session:user:"+user], float64(5*time.Second))

	before, at := entry(0, time.Hour), entry(0, time.Hour)
	before.Entered, at.Entered = ended.Add(-time.Microsecond), ended
	assert.ErrorIs(t, d.Enter(t.Context(), user, before, 0, ended), driver.ErrEnded)
	assert.NoError(t, d.Enter(t.Context(), user, at, 0, ended))
	assert.Len(t, list(t, d, ended), 1, "the note is no entry")
	assert.NoError(t, d.Enter(t.Context(), user, before, 0, ended.Add(time.Hour)), "an hour later")

	require.NoError(t, d.EndBefore(t.Context(), user, ended.Add(time.Minute)))
	assert.NoError(t, d.Enter(t.Context(), user, at, 0, ended), "an ending in the future is not judged")
	assert.ErrorIs(t, d.Enter(t.Context(), user, at, 0, ended.Add(time.Minute)), driver.ErrEnded)
}

// redis packs a small sorted set unless a member is longer than 64 bytes. Otherwise the list of
// each user would take a kilobyte more.
func TestIndexIsStoredCompactly(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	for range 5 {
		require.NoError(t, d.Enter(t.Context(), user, entry(0, time.Hour), 0, now()))
	}
	require.NoError(t, d.EndBefore(t.Context(), user, now()))
	encoding, err := redigo.String(do(t, server, "OBJECT ENCODING session:user:"+user), nil)
	require.NoError(t, err)
	assert.Equal(t, "listpack", encoding)
}

func TestEachIndexOperationIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	e := entry(0, time.Hour)
	steps := map[string]func() error{
		"enter":  func() error { return d.Enter(t.Context(), user, e, 3, now()) },
		"list":   func() error { _, err := d.List(t.Context(), user, now()); return err },
		"end":    func() error { return d.EndBefore(t.Context(), user, now()) },
		"remove": func() error { return d.Remove(t.Context(), user, e.ID) },
	}
	for name, step := range steps {
		assert.NoError(t, step(), name) // makes the script known
		require.NoError(t, d.Remove(t.Context(), user, e.ID))
		e = entry(0, time.Hour)
		assert.Equal(t, 1, server.RoundTrips(t, func() { assert.NoError(t, step(), name) }), name)
	}
}
