package sessiontest

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newRand returns a random source for a test and logs its seed. SESSION_TEST_SEED in the
// environment repeats a run.
func newRand(t *testing.T) *rand.Rand {
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

// testRandomChanges applies the same changes by the driver and by Apply, which is the one
// definition of a merge, and compares what they make.
func testRandomChanges(t *testing.T, k *kit) {
	r := newRand(t)
	for range 10 {
		b := k.builder(k.start, randomOps(r, nil)...)
		ch := build(t, b)
		tok, want := k.store(t, nil, ch), ch.Apply(nil)
		for step := range 20 {
			tok, want = k.randomStep(t, r, tok, want, k.start.Add(time.Duration(step)*time.Second))
		}
	}
}

// randomStep saves random changes and returns the token and the record that they should make.
func (k *kit) randomStep(t *testing.T, r *rand.Rand, tok session.Token, was *session.Record, at time.Time) (session.Token, *session.Record) {
	t.Helper()
	rec := k.load(t, tok, at)
	b := k.builder(at, randomOps(r, was)...)
	b.Rotates = r.IntN(10) == 0
	ch := build(t, b)
	after, err := k.driver.Save(t.Context(), rec, ch)
	want := was
	if refusal := ch.Check(was); refusal != nil {
		require.Error(t, err, "changes that Check refuses were stored: %v", b.Ops)
		assert.Equal(t, refusal.Error(), err.Error())
		after = tok
	} else {
		require.NoError(t, err)
		want = ch.Apply(was)
	}
	require.True(t, assertSame(t, want, k.load(t, after, at)), "operations: %v", b.Ops)
	return after, want
}

var (
	randomKeys   = []string{"a", "b", "\x00", "v:a", "@id", "\xff\r\n"}
	randomValues = []string{
		"'text", "", "t", "n", "~-0", "={}", "'\x00\xff", "0", "1", "-1", "-0", "007", "+1", "1 ",
		strconv.Itoa(math.MaxInt64), strconv.Itoa(math.MaxInt64 - 1), strconv.Itoa(math.MinInt64),
		strconv.Itoa(math.MinInt64 + 1), strconv.FormatUint(math.MaxUint64, 10), "-9223372036854775809",
	}
	randomSteps = []int64{0, 1, -1, 2, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, 1 << 53}
)

// randomOps returns some operations. Those on flash know the stamps of rec, or others.
func randomOps(r *rand.Rand, rec *session.Record) []session.Op {
	ops := make([]session.Op, r.IntN(6))
	for i := range ops {
		ops[i] = randomOp(r, rec)
	}
	return ops
}

func randomOp(r *rand.Rand, rec *session.Record) session.Op {
	op := session.Op{
		Kind: session.OpKind(1 + r.IntN(int(session.OpAccount))),
		Key:  randomKeys[r.IntN(len(randomKeys))],
	}
	switch op.Kind {
	case session.OpClear, session.OpClearFlash:
		if r.IntN(3) > 0 { // else there would seldom be much
			op.Kind, op.Value = session.OpSet, randomValues[r.IntN(len(randomValues))]
			break
		}
		op.Key = ""
	case session.OpSet, session.OpFlash, session.OpAccount:
		op.Value = randomValues[r.IntN(len(randomValues))]
	case session.OpAdd:
		op.By = randomSteps[r.IntN(len(randomSteps))]
	case session.OpExpireFlash, session.OpKeepFlash:
		op.Stamp = randomStamp(r, rec, op.Key)
	}
	if r.IntN(2) == 0 && (op.Kind == session.OpFlash || op.Kind == session.OpKeepFlash) {
		op.Until = time.UnixMilli(r.Int64N(1 << 42))
	}
	return op
}

// randomStamp is mostly that of the flash under a key.
func randomStamp(r *rand.Rand, rec *session.Record, key string) uint64 {
	if rec != nil && r.IntN(4) > 0 {
		for k, v := range rec.Flash() {
			if k == key {
				return v.Stamp
			}
		}
	}
	return r.Uint64()
}
