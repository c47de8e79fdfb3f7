package session_test

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Changes.Apply is the one definition of a merge; here the redis script is held to it.

// A scripted session is stored in redis, and in want as Apply has it.
type scripted struct {
	t      *testing.T
	driver *session.RedisDriver
	now    time.Time
	tok    session.Token
	want   *session.Record
}

func newScripted(t *testing.T) (*scripted, *redistest.Server) {
	t.Helper()
	server := redistest.Start(t)
	t.Cleanup(func() { assertAllExpire(t, server) })
	driver, err := session.NewRedisDriver(session.RedisConfig{Host: server.Host(), Port: server.Port(), Options: patientRedis()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	return &scripted{t: t, driver: driver, now: time.UnixMilli(time.Now().UnixMilli())}, server
}

func (s *scripted) changes(rotates bool, ops ...session.Op) *session.Changes {
	s.t.Helper()
	b := session.ChangesBuilder{
		Now: s.now, Number: rand.Uint64(), NewToken: session.NewToken("s_test"), NewID: [16]byte{1},
		Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour}, Rotates: rotates, Ops: ops,
	}
	ch, err := b.Build()
	require.NoError(s.t, err)
	return ch
}

// create begins a session; what it was before is left alone.
func (s *scripted) create(ops ...session.Op) {
	s.t.Helper()
	ch := s.changes(false, ops...)
	tok, err := s.driver.Save(s.t.Context(), nil, ch)
	require.NoError(s.t, err)
	s.tok, s.want = tok, ch.Apply(nil)
	s.compare(ops)
}

// apply saves changes in both ways and compares what became of the session.
func (s *scripted) apply(ch *session.Changes, ops []session.Op) {
	s.t.Helper()
	rec, err := s.driver.Load(s.t.Context(), s.tok, s.now)
	require.NoError(s.t, err)
	tok, err := s.driver.Save(s.t.Context(), rec, ch)
	if refusal := ch.Check(s.want); refusal != nil {
		require.EqualError(s.t, err, refusal.Error(), "%+v", ops)
	} else {
		require.NoError(s.t, err, "%+v", ops)
		s.tok, s.want = tok, ch.Apply(s.want)
	}
	s.compare(ops)
}

// compare packs both records: equal bytes are an equal identifier, times, limits, numbers of
// saves, flash and data.
func (s *scripted) compare(ops []session.Op) {
	s.t.Helper()
	got, err := s.driver.Load(s.t.Context(), s.tok, s.now)
	require.NoError(s.t, err)
	want, _ := s.want.Touched(s.now).AppendBinary(nil)
	packed, _ := got.AppendBinary(nil)
	require.Equal(s.t, want, packed, "%+v", ops)
}

// borders are encoded values at which integers begin and end, and what only looks like one.
var borders = []string{
	"0", "1", "-1", "9", "-9", "10", "9007199254740991", "9007199254740992", "9007199254740993",
	"9223372036854775806", "9223372036854775807", "9223372036854775808", "18446744073709551615",
	"-9223372036854775807", "-9223372036854775808", "-9223372036854775809", "99999999999999999999",
	"-0", "00", "007", "-007", "+1", " 1", "1 ", "1\n", "1\x00", "0x1", "1e3", "1.0", "", "-", "'1", "~1", "t",
}

func TestRedisScriptIncrementsAsApplyDoes(t *testing.T) {
	s, _ := newScripted(t)
	steps := []int64{
		0, 1, -1, 2, -2, 1 << 53, -1 << 53, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1,
	}
	for _, was := range borders {
		for _, by := range steps {
			s.create(session.Op{Kind: session.OpSet, Key: "n", Value: was})
			add := []session.Op{{Kind: session.OpAdd, Key: "n", By: by}, {Kind: session.OpSet, Key: "other", Value: "'1"}}
			s.apply(s.changes(false, add...), add)
			cleared := append([]session.Op{{Kind: session.OpClear}}, add...)
			s.apply(s.changes(false, cleared...), cleared)
		}
	}
}

func TestRedisScriptAppliesWhatApplyDoes(t *testing.T) {
	s, _ := newScripted(t)
	seed := scheduleSeed(t)
	t.Logf("SESSION_TEST_SEED=%d repeats this", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 40 {
		keys := make([]string, 1+r.IntN(6))
		for i := range keys {
			keys[i] = randomBytes(r, 1+r.IntN(255))
		}
		s.create()
		for range 15 {
			s.now = s.now.Add(time.Duration(r.IntN(3)) * time.Second)
			ops := make([]session.Op, r.IntN(8))
			for i := range ops {
				ops[i] = s.randomOp(r, keys)
			}
			s.apply(s.changes(r.IntN(8) == 0, ops...), ops)
		}
	}
}

func randomBytes(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		if b[i] = byte(r.Uint32()); r.IntN(3) == 0 {
			b[i] = "\x00\r\n %v:f@-09"[r.IntN(12)]
		}
	}
	return string(b)
}

func (s *scripted) randomOp(r *rand.Rand, keys []string) session.Op {
	op := session.Op{
		Kind: session.OpKind(1 + r.IntN(int(session.OpAccount))), Key: keys[r.IntN(len(keys))],
		By: r.Int64N(5) - 2, Stamp: r.Uint64(), Value: randomBytes(r, r.IntN(40)),
	}
	if (op.Kind == session.OpClear || op.Kind == session.OpClearFlash) && r.IntN(4) > 0 {
		op.Kind = session.OpSet
	}
	if r.IntN(2) == 0 {
		op.Value = borders[r.IntN(len(borders))]
	}
	if r.IntN(2) == 0 {
		op.Until = time.UnixMilli(r.Int64N(1 << 50))
	}
	for key, f := range s.want.Flash() {
		if key == op.Key && r.IntN(4) > 0 {
			op.Stamp = f.Stamp
		}
	}
	return op
}

// TestRedisHashCanBeReadByAPerson shows the layout that people find with HGETALL.
func TestRedisHashCanBeReadByAPerson(t *testing.T) {
	s, server := newScripted(t)
	ch := s.changes(false,
		session.Op{Kind: session.OpSet, Key: "name", Value: "'Ann"},
		session.Op{Kind: session.OpAdd, Key: "visits", By: 3},
		session.Op{Kind: session.OpFlash, Key: "notice", Value: "'Saved"},
	)
	tok, err := s.driver.Save(t.Context(), nil, ch)
	require.NoError(t, err)
	fields, err := redis.StringMap(server.Conn(t).Do("HGETALL", "session:session:"+tok.ID()))
	require.NoError(t, err)
	assert.Equal(t, "'Ann", fields["v:name"])
	assert.Equal(t, "3", fields["v:visits"])
	assert.Regexp(t, `^[0-9a-f]{16} 0 'Saved$`, fields["f:notice"])
	assert.Equal(t, strconv.FormatInt(s.now.UnixMilli(), 10), fields["@created"])
	assert.Equal(t, "3600000", fields["@idle"])
	assert.Len(t, fields["@saves"], 8)
	assert.Len(t, fields, 10)
}
