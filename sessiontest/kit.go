package sessiontest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scope is the cookie name of the suite's tokens.
const scope = "s_sessiontest"

// limits are those of the suite's sessions where a test does not say others.
var limits = session.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}

// A kit is a driver under test and what is known of it.
type kit struct {
	driver session.Driver
	sealed bool      // the token is the record
	start  time.Time // whole milliseconds; when the test's sessions begin
}

func newKit(t *testing.T, d session.Driver) *kit {
	t.Helper()
	k := &kit{driver: d, start: time.UnixMilli(time.Now().UnixMilli())}
	tok := k.create(t, set("probe", "1"))
	k.sealed = k.save(t, tok, k.start, set("probe", "2")) != tok
	return k
}

// builder returns what changes at a time begin with: a number, a token and an identifier that
// nobody has.
func (k *kit) builder(at time.Time, ops ...session.Op) session.ChangesBuilder {
	b := session.ChangesBuilder{Now: at, NewToken: session.NewToken(scope), Limits: limits, Ops: ops}
	var number [8]byte
	rand.Read(number[:])
	b.Number = binary.BigEndian.Uint64(number[:])
	rand.Read(b.NewID[:])
	return b
}

func build(t *testing.T, b session.ChangesBuilder) *session.Changes {
	t.Helper()
	ch, err := b.Build()
	require.NoError(t, err)
	return ch
}

// changes returns the changes of one save.
func (k *kit) changes(t *testing.T, at time.Time, ops ...session.Op) *session.Changes {
	t.Helper()
	return build(t, k.builder(at, ops...))
}

// rotation returns changes that replace the token.
func (k *kit) rotation(t *testing.T, at time.Time, ops ...session.Op) *session.Changes {
	t.Helper()
	b := k.builder(at, ops...)
	b.Rotates = true
	return build(t, b)
}

// create stores a new session and returns its token.
func (k *kit) create(t *testing.T, ops ...session.Op) session.Token {
	t.Helper()
	tok, err := k.driver.Save(t.Context(), nil, k.changes(t, k.start, ops...))
	require.NoError(t, err)
	return tok
}

// load opens a token that lives.
func (k *kit) load(t *testing.T, tok session.Token, at time.Time) *session.Record {
	t.Helper()
	rec, err := k.driver.Load(t.Context(), tok, at)
	require.NoError(t, err)
	require.NotNil(t, rec)
	return rec
}

// save opens a token, stores changes and returns the token that opens the result.
func (k *kit) save(t *testing.T, tok session.Token, at time.Time, ops ...session.Op) session.Token {
	t.Helper()
	return k.store(t, k.load(t, tok, at), k.changes(t, at, ops...))
}

func (k *kit) store(t *testing.T, rec *session.Record, ch *session.Changes) session.Token {
	t.Helper()
	tok, err := k.driver.Save(t.Context(), rec, ch)
	require.NoError(t, err)
	return tok
}

// use opens a token so that the use is noted, and returns the token that knows of it.
func (k *kit) use(t *testing.T, tok session.Token, at time.Time) session.Token {
	t.Helper()
	if k.sealed {
		return k.save(t, tok, at)
	}
	k.load(t, tok, at)
	return tok
}

// assertGone says that a token opens nothing.
func (k *kit) assertGone(t *testing.T, tok session.Token, at time.Time, why string) {
	t.Helper()
	rec, err := k.driver.Load(t.Context(), tok, at)
	assert.ErrorIs(t, err, session.ErrNoSession, why)
	assert.Nil(t, rec, why)
}

// assertSaveIsGone says that a save of changes to rec finds no session, and stores nothing under a new
// token either.
func (k *kit) assertSaveIsGone(t *testing.T, rec *session.Record, at time.Time, why string) {
	t.Helper()
	_, err := k.driver.Save(t.Context(), rec, k.changes(t, at, set("late", "1")))
	assert.ErrorIs(t, err, session.ErrNoSession, why)
	ch := k.rotation(t, at, set("late", "1"))
	_, err = k.driver.Save(t.Context(), rec, ch)
	assert.ErrorIs(t, err, session.ErrNoSession, "%s, for a rotation", why)
	k.assertGone(t, ch.NewToken(), at, why+": a rotation stored it under its new token")
}

// stranger returns a record under a token that no driver has issued.
func stranger(t *testing.T, tok session.Token, at time.Time) *session.Record {
	t.Helper()
	b := session.RecordBuilder{CreatedAt: at, UsedAt: at, Limits: limits}
	b.Value("planted", "'yes")
	rec, err := b.Build(tok)
	require.NoError(t, err)
	return rec
}

func set(key, encoded string) session.Op {
	return session.Op{Kind: session.OpSet, Key: key, Value: encoded}
}

func remove(key string) session.Op { return session.Op{Kind: session.OpDelete, Key: key} }

func add(key string, by int64) session.Op {
	return session.Op{Kind: session.OpAdd, Key: key, By: by}
}

func flash(key, encoded string) session.Op {
	return session.Op{Kind: session.OpFlash, Key: key, Value: encoded}
}

func account(key, value string) session.Op {
	return session.Op{Kind: session.OpAccount, Key: key, Value: value}
}

// A content is what a record holds, in a form that can be compared.
type content struct {
	Values  map[string]string
	Flash   map[string]session.FlashValue
	Account map[string]string
}

func contentOf(rec *session.Record) content {
	return content{Values: maps.Collect(rec.Values()), Flash: maps.Collect(rec.Flash()), Account: maps.Collect(rec.Account())}
}

// assertSame says that a driver returned the record that Apply makes.
func assertSame(t *testing.T, want, got *session.Record) bool {
	t.Helper()
	return assert.Equal(t, contentOf(want), contentOf(got)) &&
		assert.Equal(t, want.ID(), got.ID(), "identifier") &&
		assert.Equal(t, want.Limits(), got.Limits(), "limits") &&
		assert.Equal(t, want.CreatedAt(), got.CreatedAt(), "time of creation")
}

// integer returns the integer under a key, 0 where there is none.
func integer(t *testing.T, rec *session.Record, key string) int {
	t.Helper()
	encoded, ok := rec.Value(key)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(encoded)
	require.NoError(t, err)
	return n
}

// parallel runs a function n times at once and returns when all have ended.
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

// patiently repeats a save that the store could not serve, as a request does; the number of the
// changes keeps it from counting twice.
func (k *kit) patiently(ctx context.Context, rec *session.Record, ch *session.Changes) (tok session.Token, err error) {
	for range 5 {
		if tok, err = k.driver.Save(ctx, rec, ch); err == nil || isGone(err) {
			break
		}
	}
	return tok, err
}
