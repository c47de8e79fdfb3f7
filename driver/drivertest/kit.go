package drivertest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// limits are those of the suite's sessions unless a test says otherwise.
var limits = driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}

const tick = time.Millisecond // what records keep times to

// A kit is a driver under test.
type kit struct {
	driver  driver.Driver
	again   driver.Driver // what driver stores, opened once more if the options allow it
	options Options
	start   time.Time // when the test's sessions begin, in whole milliseconds
	ctx     context.Context
}

// patience bounds the operations of one test, however slow a store is.
const patience = 5 * time.Minute

func newKit(t *testing.T, d driver.Driver, options []Options) *kit {
	t.Helper()
	k := &kit{driver: d, again: d, ctx: within(t, patience)}
	if len(options) > 0 {
		k.options = options[0]
	}
	if k.options.Again != nil {
		k.again = k.options.Again(t, d)
	}
	k.start = k.now()
	return k
}

// within returns a context with a deadline. A driver may give up early without one.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// now returns the time of the driver's clock, as package session asks for it.
func (k *kit) now() time.Time {
	now := time.Now()
	if clock, ok := k.driver.(driver.Clock); ok {
		now = clock.Time(now)
	}
	return time.UnixMilli(now.UnixMilli())
}

// A client holds a secret that opens a session.
type client struct {
	id     driver.ID
	secret driver.Digest
	rec    *driver.Record // as it was when the session began
}

// begin returns the changes that begin a session at a time.
func begin(at time.Time, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: driver.NewID(), Number: newNumber(), Now: at, New: true, Use: true, Install: newSecret(), Limits: limits, Ops: ops,
	}
}

// changes returns the changes of one save by a client.
func (c *client) changes(at time.Time, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{ID: c.id, Number: newNumber(), Now: at, Use: true, Expect: c.secret, Limits: limits, Ops: ops}
}

// replacement returns changes that replace the client's secret.
func (c *client) replacement(at time.Time, ops ...driver.Op) *driver.Changes {
	ch := c.changes(at, ops...)
	ch.Install, ch.Replace = newSecret(), true
	return ch
}

// ending returns what ends the client's session by its secret.
func (c *client) ending(at time.Time) *driver.Ending {
	return &driver.Ending{ID: c.id, Now: at, For: driver.Tombstone, Secret: c.secret}
}

func endingByUser(id driver.ID, user string, at time.Time) *driver.Ending {
	return &driver.Ending{ID: id, Now: at, For: driver.IndexTombstone, User: user}
}

// create begins a session.
func (k *kit) create(t testing.TB, ops ...driver.Op) *client {
	t.Helper()
	ch := begin(k.start, ops...)
	return &client{id: ch.ID, secret: ch.Install, rec: k.save(t, nil, ch)}
}

// save stores changes, and checks what Save returns.
func (k *kit) save(t testing.TB, base *driver.Record, ch *driver.Changes) *driver.Record {
	t.Helper()
	rec, err := k.driver.Save(k.ctx, base, ch)
	require.NoError(t, err, "Save")
	require.NotNil(t, rec, "Save returns the record as stored")
	return rec
}

// load returns a record that must be there.
func (k *kit) load(t testing.TB, id driver.ID, at time.Time) *driver.Record {
	t.Helper()
	rec, err := k.driver.Load(k.ctx, id, at)
	require.NoError(t, err, "Load")
	require.NotNil(t, rec, "Load returns a record or an error")
	return rec
}

// end ends a session and returns what End returns.
func (k *kit) end(t testing.TB, base *driver.Record, e *driver.Ending) *driver.Record {
	t.Helper()
	rec, err := k.driver.End(k.ctx, base, e)
	require.NoError(t, err, "End")
	return rec
}

// refused checks that Save returns the error that Apply returns for the record as it is, and that
// it stores nothing.
func (k *kit) refused(t testing.TB, base *driver.Record, ch *driver.Changes, why string) error {
	t.Helper()
	was := k.load(t, ch.ID, k.start)
	_, want := ch.Apply(was)
	require.Error(t, want, "%s: the suite expects Apply to refuse this", why)
	rec, err := k.driver.Save(k.ctx, base, ch)
	require.Error(t, err, "%s: Save accepted what Changes.Apply refuses", why)
	assert.Nil(t, rec, "%s: Save returns a record or an error", why)
	assert.Equal(t, want.Error(), err.Error(), "%s: Save returns the error of Changes.Apply as it is", why)
	same(t, was, k.load(t, ch.ID, k.start), why+": a refused save stores nothing")
	return err
}

// gone checks that there is no record under an id, for a reason.
func (k *kit) gone(t testing.TB, id driver.ID, at time.Time, reason error, why string) {
	t.Helper()
	rec, err := k.driver.Load(k.ctx, id, at)
	assert.ErrorIs(t, err, reason, why)
	if reason != driver.ErrEnded {
		assert.NotErrorIs(t, err, driver.ErrEnded, why)
	}
	assert.Nil(t, rec, why)
}

// noSave checks that a save fails for a reason.
func (k *kit) noSave(t testing.TB, base *driver.Record, ch *driver.Changes, reason error, why string) {
	t.Helper()
	rec, err := k.driver.Save(k.ctx, base, ch)
	assert.ErrorIs(t, err, reason, why)
	assert.Nil(t, rec, why)
}

// same checks that two records are one, byte for byte.
func same(t testing.TB, want, got *driver.Record, why string) {
	t.Helper()
	if assert.NotNil(t, got, why) && assert.Equal(t, contentOf(want), contentOf(got), why) {
		assert.Equal(t, packed(want), packed(got), why)
	}
}

func packed(rec *driver.Record) string {
	data, _ := rec.AppendBinary(nil)
	return string(data)
}

// A content is what a record holds, in a form that can be printed.
type content struct {
	ID            string
	Created, Used time.Time
	Limits        driver.Limits
	LastSave      uint64
	Data, Account map[string]string
	Flash         []string
}

func contentOf(rec *driver.Record) content {
	c := content{
		ID: rec.ID().String(), Created: rec.CreatedAt(), Used: rec.UsedAt(), Limits: rec.Limits(), LastSave: rec.LastSave(),
		Data: maps.Collect(rec.Values(driver.Data)), Account: maps.Collect(rec.Values(driver.Account)),
	}
	for v := range rec.Flash() {
		c.Flash = append(c.Flash, fmt.Sprintf("%q %q %x %v %v", v.Key, v.Encoded, v.Stamp, v.Until, v.Listed))
	}
	return c
}

// integer returns the integer under a key, 0 if there is none.
func integer(t testing.TB, rec *driver.Record, key string) int {
	t.Helper()
	encoded, ok := rec.Value(driver.Data, key)
	if !ok {
		return 0
	}
	n, ok := driver.ParseInt(encoded)
	require.True(t, ok, "the value under %q is no integer: %q", key, encoded)
	return int(n)
}

func newNumber() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

func newSecret() (d driver.Digest) {
	rand.Read(d[:])
	return d
}

func newUser() string {
	d := newSecret()
	return base64.RawURLEncoding.EncodeToString(d[:])
}

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Key: key, Encoded: encoded}
}

func add(key string, by int64) driver.Op { return driver.Op{Kind: driver.Add, Key: key, By: by} }

func flash(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Flash, Key: key, Encoded: encoded}
}

func account(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Account, Key: key, Encoded: encoded}
}

func signIn(user string) driver.Op { return account(driver.UserKey, user) }

const (
	writers = 32 // goroutines of a parallel test

	// spend is about how long the operations of a parallel test take one after the other, if a
	// store is so slow that it cannot do more of them.
	spend = 500 * time.Millisecond
)

// rounds returns how often each of n goroutines may do something that has taken cost, up to most.
func rounds(n int, cost time.Duration, most int) int {
	return max(1, min(most, int(spend/(time.Duration(n)*max(cost, time.Microsecond)))))
}

// median returns the middle one of the times that three runs take.
func median(run func()) time.Duration {
	var times [3]time.Duration
	for i := range times {
		start := time.Now()
		run()
		times[i] = time.Since(start)
	}
	a, b, c := times[0], times[1], times[2]
	return max(min(a, b), min(max(a, b), c))
}

// saveCost measures one save.
func (k *kit) saveCost(t testing.TB) time.Duration {
	t.Helper()
	c := k.create(t)
	return median(func() { k.save(t, c.rec, c.changes(k.start, add("n", 1))) })
}

// parallel runs a function n times at once, and returns when all have ended. The function must not
// end the test.
func parallel(n int, run func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	all.Wait()
}

// process returns one of the two processes in turn.
func (k *kit) process(i int) driver.Driver {
	if i%2 == 1 {
		return k.again
	}
	return k.driver
}

// allNil requires that no operation of several failed.
func allNil(t testing.TB, errs []error, why string) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err, why)
	}
}

// ended returns a context that has ended.
func ended(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(within(t, patience))
	cancel()
	return ctx
}
