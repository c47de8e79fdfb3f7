package redis_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redistest"
)

func TestEachOperationIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	warm := begin(t, d) // dials, and makes the scripts known
	require.NoError(t, count(t.Context(), d, warm.ID()))

	var rec *driver.Record
	assert.Equal(t, 1, server.RoundTrips(t, func() { rec = begin(t, d, set("a", "1")) }), "first save")
	assert.Equal(t, 1, server.RoundTrips(t, func() { load(t, d, rec.ID()) }), "load")
	assert.Equal(t, 1, server.RoundTrips(t, func() {
		var err error
		rec, err = d.Save(t.Context(), rec, changes(rec, set("b", "2")))
		require.NoError(t, err)
	}), "save")
	assert.Equal(t, 1, server.RoundTrips(t, func() {
		ch := changes(rec)
		ch.Install, ch.Replace = driver.Digest{9}, true
		var err error
		rec, err = d.Save(t.Context(), rec, ch)
		require.NoError(t, err)
	}), "replace the token")
	assert.Equal(t, 1, server.RoundTrips(t, func() {
		_, err := d.End(t.Context(), rec, ending(rec))
		require.NoError(t, err)
	}), "end")
}

func TestKeysAreTheIDsAndWhatIsStoredIsTheRecord(t *testing.T) {
	t.Parallel()
	for namespace, prefix := range map[string]string{"": "session:", "shop": "shop:session:"} {
		server := redistest.Start(t)
		c := config(server.Addr(), "")
		c.Namespace = namespace
		rec := begin(t, newDriver(t, c), set("name", "'Ann"))
		assert.Equal(t, []string{prefix + rec.ID().String()}, server.Keys(t))
		stored, err := redigo.Bytes(server.Conn(t).Do("GET", prefix+rec.ID().String()))
		require.NoError(t, err)
		packed, err := rec.AppendBinary(nil)
		require.NoError(t, err)
		assert.Equal(t, packed, stored)
	}
}

func TestKeyExpiresWhenTheSessionDoesAndALoadDoesNotProlongIt(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d)
	key := "session:" + rec.ID().String()
	assert.InDelta(t, time.Hour, server.TTLs(t)[key], float64(5*time.Second))
	do(t, server, "PEXPIRE "+key+" 100000")
	load(t, d, rec.ID())
	assert.LessOrEqual(t, server.TTLs(t)[key], 100*time.Second, "a load is no use")

	ch := changes(rec)
	ch.Use = false // a passive request
	ch.Now = rec.UsedAt().Add(20 * time.Minute)
	rec, err := d.Save(t.Context(), rec, ch)
	require.NoError(t, err)
	assert.InDelta(t, 40*time.Minute, server.TTLs(t)[key], float64(5*time.Second), "a passive save is no use")

	_, err = d.End(t.Context(), rec, ending(rec))
	require.NoError(t, err)
	assert.InDelta(t, driver.Tombstone, server.TTLs(t)[key], float64(5*time.Second))
	_, err = d.Load(t.Context(), rec.ID(), now())
	assert.ErrorIs(t, err, driver.ErrEnded)
}

func TestParallelSavesOfOneSessionAreAllKept(t *testing.T) {
	t.Parallel()
	_, d := start(t)
	rec := begin(t, d)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 10 {
				_, err := d.Save(t.Context(), rec, changes(rec, add("n", 1), set(strconv.Itoa(i), "1")))
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	rec = load(t, d, rec.ID())
	assert.Equal(t, "160", value(rec, "n"))
	for i := range 16 {
		assert.Equal(t, "1", value(rec, strconv.Itoa(i)))
	}
}

func TestEndedSessionIsNotRevivedByASlowSave(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d)
	_, err := d.End(t.Context(), rec, ending(rec))
	require.NoError(t, err)
	_, err = d.Save(t.Context(), rec, changes(rec, set("a", "1")))
	assert.ErrorIs(t, err, driver.ErrEnded)

	do(t, server, "DEL session:"+rec.ID().String())
	_, err = d.Save(t.Context(), rec, changes(rec, set("a", "1")))
	require.ErrorIs(t, err, driver.ErrNoSession)
	assert.NotErrorIs(t, err, driver.ErrEnded)
	assert.Empty(t, server.Keys(t))
}

func TestSessionThatIsNotStoredYetCanBeEndedByTheIndex(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	ch := newSession(set("a", "1"))
	e := &driver.Ending{ID: ch.ID, Now: now(), For: driver.IndexTombstone, User: "ann"}
	rec, err := d.End(t.Context(), nil, e)
	require.NoError(t, err)
	assert.Nil(t, rec)
	assert.InDelta(t, driver.IndexTombstone, server.TTLs(t)["session:"+ch.ID.String()], float64(5*time.Second))
	_, err = d.Save(t.Context(), nil, ch)
	assert.ErrorIs(t, err, driver.ErrEnded)
}

// What is damaged is told apart from no session and from an outage, and an end heals it.
func TestDamageIsReportedAndHealedByAnEnd(t *testing.T) {
	t.Parallel()
	for _, garbage := range []string{"x", "garbage", "\x02garbage that is longer than the name", "\x00"} {
		server, d := start(t)
		rec := begin(t, d)
		key := "session:" + rec.ID().String()
		_, err := server.Conn(t).Do("SET", key, garbage, "PX", 60000)
		require.NoError(t, err)
		_, err = d.Load(t.Context(), rec.ID(), now())
		require.ErrorIs(t, err, driver.ErrDamaged)
		assert.NotErrorIs(t, err, driver.ErrUnavailable)
		_, err = d.Save(t.Context(), rec, changes(rec, set("a", "1")))
		assert.ErrorIs(t, err, driver.ErrDamaged)
		_, err = d.Save(t.Context(), nil, &driver.Changes{ID: rec.ID(), New: true, Now: now(), Install: secret, Limits: limits})
		assert.ErrorIs(t, err, driver.ErrDamaged)
		assert.LessOrEqual(t, server.TTLs(t)[key], time.Minute, "it must not live longer")

		_, err = d.End(t.Context(), nil, ending(rec))
		require.NoError(t, err)
		_, err = d.Load(t.Context(), rec.ID(), now())
		assert.ErrorIs(t, err, driver.ErrEnded)
	}
}

func TestKeyOfAnotherApplicationIsAConfigurationError(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d)
	key := "session:" + rec.ID().String()
	do(t, server, "DEL "+key)
	do(t, server, "RPUSH "+key+" other")
	do(t, server, "EXPIRE "+key+" 60")
	_, loadErr := d.Load(t.Context(), rec.ID(), now())
	_, saveErr := d.Save(t.Context(), rec, changes(rec, set("a", "1")))
	_, endErr := d.End(t.Context(), rec, ending(rec))
	for _, err := range []error{loadErr, saveErr, endErr} {
		assert.ErrorIs(t, err, driver.ErrMisconfigured)
		assert.ErrorContains(t, err, "Redis.Namespace")
	}
}

// Full memory must not sign anybody out, nor keep anybody from signing out.
func TestFullMemoryRefusesOnlyWhatTakesMore(t *testing.T) {
	t.Parallel()
	server, d := start(t)
	rec := begin(t, d, set("a", "some value"))
	other := begin(t, d)
	do(t, server, "CONFIG SET maxmemory 1")

	rec = load(t, d, rec.ID())
	rec, err := d.Save(t.Context(), rec, changes(rec))
	require.NoError(t, err, "the note of a use")
	rec, err = d.Save(t.Context(), rec, changes(rec, driver.Op{Kind: driver.Delete, Part: driver.Data, Key: "a"}))
	require.NoError(t, err, "a deletion")
	_, err = d.Save(t.Context(), rec, changes(rec, set("b", "a value that takes more memory")))
	assert.ErrorIs(t, err, driver.ErrUnavailable)
	assert.ErrorContains(t, err, "OOM")
	_, err = d.Save(t.Context(), nil, newSession())
	assert.ErrorIs(t, err, driver.ErrUnavailable)

	_, err = d.End(t.Context(), rec, ending(rec))
	require.NoError(t, err, "an end")
	_, err = d.End(t.Context(), nil, ending(other))
	require.NoError(t, err, "an end by the id")
	_, err = d.End(t.Context(), nil, &driver.Ending{ID: driver.NewID(), Now: now(), For: driver.IndexTombstone, User: "ann"})
	require.NoError(t, err, "an end of what is not stored yet")

	e := entry(0, time.Hour)
	require.NoError(t, d.Enter(t.Context(), user, e, 1, now()), "an entry: the sign-in fails when the session is saved")
	assert.Equal(t, []driver.IndexEntry{e}, list(t, d, now()))
	require.NoError(t, d.Remove(t.Context(), user, e.ID), "the end of an entry")
	assert.Empty(t, list(t, d, now()))
	require.NoError(t, d.EndBefore(t.Context(), user, now()), "an end of all")
}

// A connection whose reply was not waited for still has it to come. The next user of that
// connection would read the session of another visitor.
func TestReplyThatCameTooLateIsReadByNobody(t *testing.T) {
	t.Parallel()
	const timeout = 15 * time.Millisecond
	server := redistest.Start(t)
	p := redistest.NewProxy(t, server.Addr())
	c := config(p.Addr(), "")
	c.Connections, c.ReadTimeout = 3, timeout
	d := newDriver(t, c)
	records := make([]*driver.Record, 8)
	for i := range records {
		records[i] = begin(t, newDriver(t, config(server.Addr(), "")))
	}
	var n atomic.Int64
	p.Set(func([]string) redistest.Fault {
		if i := n.Add(1); i%2 == 0 {
			return redistest.Fault{Delay: time.Duration(i%7) * timeout / 2}
		}
		return redistest.Fault{}
	})
	var served, late atomic.Int64
	var all sync.WaitGroup
	for _, rec := range records {
		all.Go(func() {
			for range 40 {
				got, err := d.Load(context.Background(), rec.ID(), now())
				if err != nil {
					assert.ErrorIs(t, err, driver.ErrUnavailable)
					late.Add(1)
					continue
				}
				served.Add(1)
				assert.Equal(t, rec.ID(), got.ID())
			}
		})
	}
	all.Wait()
	assert.Positive(t, late.Load()+int64(d.Retries()), "no reply came too late")
	assert.Greater(t, served.Load(), int64(50))
}
