package drivertest

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// newRand returns a random source and logs its seed. SESSION_TEST_SEED in the environment repeats a
// run.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SESSION_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "SESSION_TEST_SEED")
	}
	t.Logf("SESSION_TEST_SEED=%d repeats this", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// testRandomChanges saves random changes by the driver and by Apply, and compares what they make.
func testRandomChanges(t testing.TB, k *kit) {
	r := newRand(t)
	for range rounds(20, k.saveCost(t), 10) {
		c := k.create(t, set("a", "1"), flash("a", "2"))
		secrets := []driver.Digest{c.secret}
		was := c.rec
		for step := range 20 {
			ch := c.changes(k.start.Add(time.Duration(step)*time.Second), randomOps(r, was)...)
			ch.Use, ch.Restart = r.IntN(3) > 0, r.IntN(8) == 0
			ch.Expect = secrets[max(0, len(secrets)-1-r.IntN(3))]
			if r.IntN(3) == 0 {
				ch.Install, ch.Replace = newSecret(), r.IntN(2) == 0
				secrets = append(secrets, ch.Install)
			}
			was = k.randomSave(t, []*driver.Record{c.rec, was}[r.IntN(2)], was, ch)
		}
	}
}

// randomSave saves changes with an old base or the newest, and returns the record that is there.
func (k *kit) randomSave(t testing.TB, base, was *driver.Record, ch *driver.Changes) *driver.Record {
	t.Helper()
	want, refusal := ch.Apply(was)
	got, err := k.driver.Save(k.ctx, base, ch)
	if refusal != nil {
		require.Error(t, err, "Save accepted what Changes.Apply refuses")
		assert.Equal(t, refusal.Error(), err.Error())
		want = was
	} else {
		require.NoError(t, err)
		same(t, want, got, "Save returns the record as stored")
	}
	same(t, want, k.load(t, ch.ID, ch.Now), "what is stored is what Changes.Apply makes")
	require.False(t, t.Failed())
	return want
}

var (
	randomKeys   = []string{"a", "b", "\x00", "user", "\xff\r\n"}
	randomValues = []string{
		"'text", "", "t", "n", "~-0", "={}", "'\x00\xff", "0", "1", "-1", "-0", "007", "~2",
		strconv.Itoa(math.MaxInt64), strconv.Itoa(math.MinInt64), strconv.FormatUint(math.MaxUint64, 10),
	}
	randomSteps = []int64{0, 1, -1, math.MaxInt64, math.MinInt64}
)

// randomOps returns some operations, as requests make them.
func randomOps(r *rand.Rand, rec *driver.Record) []driver.Op {
	var ops []driver.Op
	if r.IntN(6) == 0 {
		ops = append(ops, driver.Op{Kind: driver.Clear, Part: driver.Part(r.IntN(3))})
	}
	for range r.IntN(6) {
		op := randomOp(r, driver.Part(r.IntN(3)))
		op.Stamp = randomStamp(r, rec)
		ops = append(ops, op)
	}
	return ops
}

func randomOp(r *rand.Rand, p driver.Part) driver.Op {
	kinds := []driver.OpKind{driver.Set, driver.Delete}
	switch p {
	case driver.Data:
		kinds = append(kinds, driver.Add, driver.Swap)
	case driver.Flash:
		kinds = append(kinds, driver.Append, driver.Expire, driver.Keep)
	}
	op := driver.Op{
		Kind: kinds[r.IntN(len(kinds))], Part: p, Key: randomKeys[r.IntN(len(randomKeys))],
		Encoded: randomValues[r.IntN(len(randomValues))], Old: randomValues[r.IntN(len(randomValues))],
		By: randomSteps[r.IntN(len(randomSteps))],
	}
	if r.IntN(2) == 0 {
		op.Until = time.UnixMilli(r.Int64N(1 << 42))
	}
	return op
}

// randomStamp is mostly that of a flash value of rec.
func randomStamp(r *rand.Rand, rec *driver.Record) uint64 {
	if rec != nil {
		for v := range rec.Flash() {
			if r.IntN(2) == 0 {
				return v.Stamp
			}
		}
	}
	return r.Uint64()
}
