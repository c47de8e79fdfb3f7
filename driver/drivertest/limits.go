package drivertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// testExpired checks the last moment of a session, and the first one after it.
func testExpired(t testing.TB, k *kit) {
	for why, test := range map[string]struct{ stored, configured driver.Limits }{
		"idle timeout":         {limits, limits},
		"lifetime":             {driver.Limits{Lifetime: 30 * time.Minute, Idle: time.Hour}, limits},
		"shorter idle timeout": {limits, driver.Limits{Lifetime: 24 * time.Hour, Idle: 10 * time.Minute}},
		"shorter lifetime":     {limits, driver.Limits{Lifetime: 10 * time.Minute, Idle: time.Hour}},
		"remembered":           {driver.Limits{Lifetime: 20 * time.Minute, Idle: 20 * time.Minute, Remembered: true}, limits},
	} {
		c := k.createWithin(t, test.stored)
		end := c.rec.ExpiresWithin(test.configured)
		in := c.changes(end.Add(-tick), set("a", "3"))
		in.Limits = test.configured
		same(t, apply(t, in, c.rec), k.save(t, c.rec, in), "a save a millisecond before the end: "+why)

		c = k.createWithin(t, test.stored)
		for _, late := range []time.Duration{0, tick, 48 * time.Hour} {
			ch := c.changes(end.Add(late), set("a", "2"))
			ch.Limits = test.configured
			k.noSave(t, c.rec, ch, driver.ErrNoSession, "Save to a session that has expired: "+why)
			_, err := k.driver.Save(k.ctx, c.rec, ch)
			assert.NotErrorIs(t, err, driver.ErrEnded, "a session that has expired was not ended: "+why)
			if rec, err := k.driver.Load(k.ctx, c.id, ch.Now); err == nil { // the caller judges its limits
				same(t, c.rec, rec, "a save that came too late stores nothing: "+why)
			} else {
				assert.ErrorIs(t, err, driver.ErrNoSession, "Load of a session that has expired: "+why)
				assert.NotErrorIs(t, err, driver.ErrEnded, "Load of a session that has expired: "+why)
			}
		}
	}
}

// createWithin begins a session with limits of its own.
func (k *kit) createWithin(t testing.TB, l driver.Limits) *client {
	t.Helper()
	ch := begin(k.start, set("a", "1"))
	ch.Limits = l
	return &client{id: ch.ID, secret: ch.Install, rec: k.save(t, nil, ch)}
}

// testUse saves with clocks of which one is behind.
func testUse(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	ahead, behind := k.start.Add(50*time.Minute), k.start.Add(10*time.Minute)
	passive := c.changes(ahead, set("a", "2"))
	passive.Use = false
	assert.Equal(t, k.start, k.save(t, c.rec, passive).UsedAt(), "a save that is no use")
	k.save(t, c.rec, c.changes(ahead))
	assert.Equal(t, ahead, k.load(t, c.id, ahead).UsedAt(), "a save that counts as use")
	k.save(t, c.rec, c.changes(behind, set("a", "3")))
	rec := k.load(t, c.id, ahead)
	assert.Equal(t, ahead, rec.UsedAt(), "a save by a clock that is behind moves the last use back")
	assert.Equal(t, ahead.Add(limits.Idle), rec.ExpiresAt())

	at := ahead
	for range 4 { // each use moves the end
		at = at.Add(limits.Idle - tick)
		k.save(t, k.load(t, c.id, at), c.changes(at))
	}
	k.noSave(t, c.rec, c.changes(at.Add(limits.Idle)), driver.ErrNoSession, "the idle timeout has passed")
}

func testLimits(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	at := k.start.Add(30 * time.Minute)
	longer := c.changes(at)
	longer.Limits = driver.Limits{Lifetime: 48 * time.Hour, Idle: 2 * time.Hour}
	rec := k.save(t, c.rec, longer)
	assert.Equal(t, longer.Limits, rec.Limits(), "the limits are those of the last save")
	assert.Equal(t, k.start, rec.CreatedAt(), "without Restart the lifetime goes on")

	restart := c.replacement(at)
	restart.Restart = true
	restart.Limits = driver.Limits{Lifetime: 3 * time.Hour, Idle: 3 * time.Hour, Remembered: true}
	k.save(t, rec, restart)
	c.secret = restart.Install
	rec = k.load(t, c.id, at)
	assert.Equal(t, at, rec.CreatedAt(), "Restart begins the lifetime anew")
	assert.Equal(t, restart.Limits, rec.Limits())
	last := at.Add(3*time.Hour - tick)
	assert.Equal(t, restart.Limits, k.save(t, rec, c.changes(last)).Limits(), "remembered limits stay")
	k.noSave(t, rec, c.changes(last.Add(tick)), driver.ErrNoSession, "the new lifetime has passed")
}

// testExpiredID begins a session under the id of one that has expired, as sessions by client
// address do.
func testExpiredID(t testing.TB, k *kit) {
	c := k.create(t, set("old", "1"))
	ch := begin(k.start.Add(limits.Idle), set("new", "1"))
	ch.ID = c.id
	want := apply(t, ch, nil)
	same(t, want, k.save(t, nil, ch), "a session that has expired stands for none")
	same(t, want, k.load(t, c.id, ch.Now), "a session that has expired stands for none")
}

// testKeptUntilItEnds uses a session for longer than its idle timeout, by the real clock: a driver
// that lets its store forget records must move the time with each save.
func testKeptUntilItEnds(t testing.TB, k *kit) {
	const idle, rest = time.Second, 100 * time.Millisecond
	short := driver.Limits{Lifetime: time.Hour, Idle: idle}
	for range 10 {
		ch := begin(k.now(), add("n", 1))
		ch.Limits = short
		last := time.Now() // before the last save that was acknowledged
		c := client{id: ch.ID, secret: ch.Install, rec: k.save(t, nil, ch)}
		for first := last; ; {
			time.Sleep(rest) // only how often the session is used depends on it
			started := time.Now()
			ch := c.changes(k.now(), add("n", 1))
			ch.Limits = short
			_, err := k.driver.Save(k.ctx, c.rec, ch)
			if time.Since(last) > idle-rest {
				break // this machine stood still for so long that the session may have expired
			}
			require.NoError(t, err, "the driver forgot a session %v before its end", idle-time.Since(last))
			if last = started; time.Since(first) > 2*idle {
				return
			}
		}
	}
	require.Fail(t, "ten times a save took longer than the idle timeout of a second")
}
