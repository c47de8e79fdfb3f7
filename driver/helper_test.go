package driver_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// start is the time at which the sessions of the tests begin.
var start = time.UnixMilli(1_700_000_000_000)

var limits = driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}

// secret returns the digest of the nth secret of a test.
func secret(n byte) driver.Digest { return driver.Digest{0: n, 31: 0xd1} }

// begin returns the changes that begin a session with the first secret, as save 1.
func begin(ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: driver.ID{1, 2, 3}, Number: 1, Now: start, New: true, Use: true, Install: secret(1), Limits: limits, Ops: ops,
	}
}

// save returns the changes of a later save by the first secret.
func save(number uint64, ops ...driver.Op) *driver.Changes {
	return &driver.Changes{
		ID: driver.ID{1, 2, 3}, Number: number, Now: start, Use: true, Expect: secret(1), Limits: limits, Ops: ops,
	}
}

// apply returns what Apply makes, and checks that it can be stored and leaves rec as it was.
func apply(tb testing.TB, ch *driver.Changes, rec *driver.Record) *driver.Record {
	tb.Helper()
	before := ""
	if rec != nil {
		before = pack(rec)
	}
	next, err := ch.Apply(rec)
	require.NoError(tb, err)
	if rec != nil {
		require.Equal(tb, before, pack(rec), "Apply changed the record that it was given")
	}
	again, err := driver.ParseRecord([]byte(pack(next)))
	require.NoError(tb, err, "Apply made a record that cannot be read")
	require.Equal(tb, next, again)
	return next
}

// refuse returns the error of Apply.
func refuse(tb testing.TB, ch *driver.Changes, rec *driver.Record) error {
	tb.Helper()
	next, err := ch.Apply(rec)
	require.Error(tb, err)
	require.Nil(tb, next)
	return err
}

func pack(rec *driver.Record) string {
	data, _ := rec.AppendBinary(nil)
	return string(data)
}

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Key: key, Encoded: encoded}
}

func flash(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Flash, Key: key, Encoded: encoded}
}

func add(key string, by int64) driver.Op { return driver.Op{Kind: driver.Add, Key: key, By: by} }

func account(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Account, Key: key, Encoded: encoded}
}

func values(rec *driver.Record, p driver.Part) map[string]string { return maps.Collect(rec.Values(p)) }

// assertConflict asserts an error that names the record as it is.
func assertConflict(tb testing.TB, err error, current *driver.Record, key string) {
	tb.Helper()
	var conflict *driver.ConflictError
	if assert.ErrorAs(tb, err, &conflict) {
		assert.Same(tb, current, conflict.Current)
		assert.Equal(tb, key, conflict.Key)
	}
}
