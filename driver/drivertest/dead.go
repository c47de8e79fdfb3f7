package drivertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

func testEnd(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	applied := c.changes(k.start, set("a", "2"))
	now := k.save(t, c.rec, applied)
	at := k.start.Add(10 * time.Second)
	same(t, now, k.end(t, c.rec, c.ending(at)), "End returns the record that it ended, as it was by then")
	k.gone(t, c.id, at, driver.ErrEnded, "Load of a session that has ended")
	k.deadToSaves(t, c, at, driver.ErrEnded)
	k.noSave(t, c.rec, applied, driver.ErrEnded, "a repeated save to a session that has ended")
	assert.Nil(t, k.end(t, c.rec, c.ending(at)), "a second End returns nil: there is no record")

	later := at.Add(driver.Tombstone - time.Second)
	_, err := k.driver.Load(k.ctx, c.id, later)
	var end *driver.EndedError
	require.ErrorAs(t, err, &end, "a tombstone stands for as long as Ending.For says")
	assert.InDelta(t, (driver.Tombstone - time.Second).Seconds(), end.Ago.Seconds(), 1, "EndedError.Ago")
	assert.ErrorIs(t, err, driver.ErrNoSession)
	k.deadToSaves(t, c, later, driver.ErrEnded)

	forgotten := at.Add(driver.Tombstone + time.Second)
	k.gone(t, c.id, forgotten, driver.ErrNoSession, "the tombstone stands for too long")
	k.noSave(t, c.rec, c.changes(forgotten, set("a", "3")), driver.ErrNoSession,
		"a save when the tombstone is gone")
	k.gone(t, c.id, forgotten, driver.ErrNoSession, "a late save revived a session that had ended")
}

// deadToSaves checks that no save brings a session back.
func (k *kit) deadToSaves(t testing.TB, c *client, at time.Time, reason error) {
	t.Helper()
	k.noSave(t, c.rec, c.changes(at, set("a", "3")), reason, "a save to a session that has ended")
	k.noSave(t, c.rec, c.replacement(at), reason, "a replacement in a session that has ended")
	ch := begin(at, set("a", "3"))
	ch.ID = c.id
	k.noSave(t, nil, ch, reason, "a new session under an id that has ended")
	k.gone(t, c.id, at, reason, "a late save revived a session that had ended")
}

func testEndNotAllowed(t testing.TB, k *kit) {
	c := k.create(t, signIn("ann"), set("a", "1"))
	for why, e := range map[string]*driver.Ending{
		"with an unknown secret":   {ID: c.id, Now: k.start, For: driver.Tombstone, Secret: newSecret()},
		"with a similar secret":    {ID: c.id, Now: k.start, For: driver.Tombstone, Secret: flipped(c.secret)},
		"without secret or user":   {ID: c.id, Now: k.start, For: driver.Tombstone},
		"of another user's record": endingByUser(c.id, "Ann", k.start),
	} {
		assert.Nil(t, k.end(t, c.rec, e), "End "+why+" returns nil")
		same(t, c.rec, k.load(t, c.id, k.start), "End "+why+" changes nothing")
	}
	k.save(t, c.rec, c.changes(k.start, set("a", "2")))
	same(t, k.load(t, c.id, k.start), k.end(t, c.rec, endingByUser(c.id, "ann", k.start)),
		"End by the record's user")
	k.gone(t, c.id, k.start, driver.ErrEnded, "End by the record's user")

	visitor := k.create(t, set("a", "1"))
	same(t, visitor.rec, k.end(t, nil, endingByUser(visitor.id, "ann", k.start)),
		"End by a user, of a visitor's record")
	k.gone(t, visitor.id, k.start, driver.ErrEnded, "End by a user, of a visitor's record")
}

func testEndStaleBase(t testing.TB, k *kit) {
	c := k.create(t, signIn("ann"))
	k.save(t, c.rec, c.changes(k.start, signIn("ben")))
	assert.Nil(t, k.end(t, c.rec, endingByUser(c.id, "ann", k.start)),
		"End judges the record as it is, not base")
	k.load(t, c.id, k.start)

	join := c.changes(k.start)
	join.Install = newSecret()
	k.save(t, c.rec, join)
	joined := client{id: c.id, secret: join.Install, rec: c.rec}
	assert.NotNil(t, k.end(t, c.rec, joined.ending(k.start)), "End judges the record as it is, not base")
	k.gone(t, c.id, k.start, driver.ErrEnded, "End with a secret that base does not accept")
}

func testEndByReplaced(t testing.TB, k *kit) {
	c := k.create(t, set("a", "1"))
	now := k.save(t, c.rec, c.replacement(k.start))
	same(t, now, k.end(t, c.rec, c.ending(k.start)), "End with a secret that is remembered as replaced")
	k.gone(t, c.id, k.start, driver.ErrEnded, "End with a secret that is remembered as replaced")

	visitor := newSecret()
	ch := begin(k.start)
	ch.Expect = visitor
	k.save(t, nil, ch)
	c = &client{id: ch.ID, secret: visitor}
	assert.NotNil(t, k.end(t, nil, c.ending(k.start)), "End with the secret that the first save replaced")
}

func testEndUnknown(t testing.TB, k *kit) {
	ch := begin(k.start, signIn("ann"))
	assert.Nil(t, k.end(t, nil, endingByUser(ch.ID, "ann", k.start)),
		"End returns nil if there was no record")
	for _, after := range []time.Duration{0, driver.Tombstone + time.Second, driver.IndexTombstone - time.Second} {
		ch.Now = k.start.Add(after)
		k.gone(t, ch.ID, ch.Now, driver.ErrEnded,
			"End by the user leaves a tombstone even if nothing is stored")
		k.noSave(t, nil, ch, driver.ErrEnded, "the first save of a session that was ended before it")
	}
	k.gone(t, ch.ID, k.start.Add(driver.IndexTombstone+time.Second), driver.ErrNoSession,
		"the tombstone stands for too long")
}

func testTombstoneKept(t testing.TB, k *kit) {
	c := k.create(t, signIn("ann"))
	k.end(t, c.rec, endingByUser(c.id, "ann", k.start))
	short := endingByUser(c.id, "ann", k.start.Add(time.Second))
	short.For = driver.Tombstone
	k.end(t, nil, short)
	k.end(t, c.rec, c.ending(k.start.Add(time.Second)))
	k.gone(t, c.id, k.start.Add(driver.IndexTombstone-time.Second), driver.ErrEnded,
		"an End never shortens a tombstone")
}

func testTombstoneLengthened(t testing.TB, k *kit) {
	c := k.create(t, signIn("ann"))
	k.end(t, c.rec, c.ending(k.start))
	at := k.start.Add(time.Second)
	assert.Nil(t, k.end(t, nil, endingByUser(c.id, "ann", at)), "End returns nil if there was no record")
	k.gone(t, c.id, at.Add(driver.IndexTombstone-2*time.Second), driver.ErrEnded,
		"End by the user lengthens a tombstone")
}

func testDamage(t testing.TB, k *kit) {
	if k.options.Damage == nil {
		return
	}
	c := k.create(t, set("a", "1"))
	good := packed(c.rec)
	for why, data := range map[string]string{
		"no record": "garbage", "cut off": good[:len(good)-1], "a byte too long": good + "\x00", "one byte": "\x02",
		"of an unknown version": "\x03" + good[1:], "no text": "\xff\xfe\x00\x00\xff\xff\xff\xff\xff\xff",
	} {
		c := k.create(t, set("a", "1"))
		k.options.Damage(t, k.driver, c.id, []byte(data))
		k.gone(t, c.id, k.start, driver.ErrDamaged, "Load of data that is "+why)
		k.noSave(t, c.rec, c.changes(k.start, set("a", "2")), driver.ErrDamaged, "Save to data that is "+why)
		k.gone(t, c.id, k.start, driver.ErrDamaged, "Save repaired data that is "+why)
		k.end(t, nil, &driver.Ending{ID: c.id, Now: k.start, For: driver.Tombstone, Secret: newSecret()})
		k.gone(t, c.id, k.start, driver.ErrEnded, "End of data that is "+why)
	}
}
