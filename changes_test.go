package session_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A recordingDriver keeps the changes that it is given.
type recordingDriver struct {
	session.Driver
	saved []*session.Changes
}

func (d *recordingDriver) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	d.saved = append(d.saved, ch)
	return d.Driver.Save(ctx, rec, ch)
}

// A recorder serves one handler after the other to one client, and keeps what they change.
type recorder struct {
	driver *recordingDriver
	m      *session.Manager
	cookie *http.Cookie
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	d := &recordingDriver{Driver: session.NewMemoryDriver(session.MemoryConfig{})}
	return &recorder{driver: d, m: newManager(t, session.Config{
		Default: "d", Drivers: map[string]session.Driver{"d": d}, Logger: slog.New(slog.DiscardHandler),
	})}
}

// serve runs a handler that answers with a status, and returns what the driver was given.
func (r *recorder) serve(t *testing.T, status int, do func(s *session.Session)) []*session.Changes {
	t.Helper()
	r.driver.saved = nil
	w, q := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	if r.cookie != nil {
		q.AddCookie(r.cookie)
	}
	r.m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		do(session.FromRequest(q))
		w.WriteHeader(status)
	})).ServeHTTP(w, q)
	require.Equal(t, status, w.Code)
	if c := (page{Response: w.Result()}).cookie("s_d"); c != nil {
		r.cookie = c
	}
	return r.driver.saved
}

// ops returns operations without what differs from run to run.
func ops(ch *session.Changes) (ops []session.Op) {
	for op := range ch.All() {
		op.Stamp = 0
		ops = append(ops, op)
	}
	return ops
}

func TestChangesHoldOneOperationAKeyInOrder(t *testing.T) {
	set := func(key, encoded string) session.Op {
		return session.Op{Kind: session.OpSet, Key: key, Value: encoded}
	}
	of := func(kind session.OpKind, key string) session.Op { return session.Op{Kind: kind, Key: key} }
	gone := []session.Op{of(session.OpDelete, "a"), of(session.OpDeleteFlash, "a")}
	for _, test := range []struct {
		name   string
		status int // 404 unless given: no flash ends
		do     func(s *session.Session)
		want   []session.Op
	}{
		{
			name: "the last set wins, where the first one stood",
			do:   func(s *session.Session) { s.Set("a", 1); s.Set("b", 2); s.Set("a", 3) },
			want: []session.Op{set("a", "3"), set("b", "2")},
		},
		{name: "set then delete", do: func(s *session.Session) { s.Set("a", 1); s.Delete("a") }, want: gone},
		{
			name: "delete then set", do: func(s *session.Session) { s.Delete("a"); s.Set("a", 1) },
			want: []session.Op{set("a", "1"), of(session.OpDeleteFlash, "a")},
		},
		{name: "pull", do: func(s *session.Session) { s.Pull("a") }, want: gone},
		{
			name: "increments are one", do: func(s *session.Session) { s.Increment("n", 2); s.Increment("n", 5); s.Decrement("n", 1) },
			want: []session.Op{{Kind: session.OpAdd, Key: "n", By: 6}},
		},
		{
			name: "increment after set is a set", do: func(s *session.Session) { s.Set("n", 40); s.Increment("n", 2) },
			want: []session.Op{set("n", "42")},
		},
		{
			name: "increment after delete is a set", do: func(s *session.Session) { s.Delete("n"); s.Increment("n", 2) },
			want: []session.Op{set("n", "2"), of(session.OpDeleteFlash, "n")},
		},
		{
			name: "set after increment", do: func(s *session.Session) { s.Increment("n", 2); s.Set("n", 1) },
			want: []session.Op{set("n", "1")},
		},
		{
			name: "reset comes first and takes what was before",
			do:   func(s *session.Session) { s.Set("a", 1); s.Flash("f", 1); s.Reset(); s.Set("b", 1) },
			want: []session.Op{of(session.OpClear, ""), {Kind: session.OpFlash, Key: "f", Value: "1"}, set("b", "1")},
		},
		{
			name: "increment after reset is a set", do: func(s *session.Session) { s.Reset(); s.Increment("n", 2) },
			want: []session.Op{of(session.OpClear, ""), set("n", "2")},
		},
		{
			name: "what reset cleared needs no delete", do: func(s *session.Session) { s.Reset(); s.Delete("a") },
			want: []session.Op{of(session.OpClear, ""), of(session.OpDeleteFlash, "a")},
		},
		{
			name: "what was set after reset does", do: func(s *session.Session) { s.Flush(); s.Set("a", 1); s.Delete("a") },
			want: []session.Op{of(session.OpClear, ""), of(session.OpClearFlash, ""), of(session.OpDelete, "a")},
		},
		{
			name: "flush", do: func(s *session.Session) { s.Set("a", 1); s.Flash("a", 1); s.Flush() },
			want: []session.Op{of(session.OpClear, ""), of(session.OpClearFlash, "")},
		},
		{
			name: "flash and data of a key are apart", do: func(s *session.Session) { s.Set("a", 1); s.Flash("a", 2); s.Set("a", 3) },
			want: []session.Op{set("a", "3"), {Kind: session.OpFlash, Key: "a", Value: "2"}},
		},
		{name: "keep", do: func(s *session.Session) { s.KeepFlash("f", "missing") }, want: []session.Op{of(session.OpKeepFlash, "f")}},
		{
			name: "flash after keep", do: func(s *session.Session) { s.Reflash(); s.Flash("f", 2) },
			want: []session.Op{{Kind: session.OpFlash, Key: "f", Value: "2"}},
		},
		{
			name: "keep after flash", do: func(s *session.Session) { s.Flash("f", 2); s.KeepFlash("f") },
			want: []session.Op{{Kind: session.OpFlash, Key: "f", Value: "2"}},
		},
		{
			name: "flash ends with a 200", status: 200, do: func(s *session.Session) { s.Get("f") },
			want: []session.Op{of(session.OpExpireFlash, "f")},
		},
		{
			name: "flash that is kept does not", status: 200, do: (*session.Session).Reflash,
			want: []session.Op{of(session.OpKeepFlash, "f")},
		},
		{
			name: "flash that is replaced does not", status: 200, do: func(s *session.Session) { s.Flash("f", 2) },
			want: []session.Op{{Kind: session.OpFlash, Key: "f", Value: "2"}},
		},
		{name: "flash now is not stored", do: func(s *session.Session) { s.FlashNow("x", 1) }},
		{name: "reading changes nothing", do: func(s *session.Session) { s.All(); s.Has("f") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRecorder(t)
			r.serve(t, 404, func(s *session.Session) { s.Set("a", 1); s.Set("n", 1); s.Flash("f", 1) })
			status := test.status
			if status == 0 {
				status = 404
			}
			saved := r.serve(t, status, test.do)
			if test.want == nil {
				assert.Empty(t, saved)
				return
			}
			require.Len(t, saved, 1)
			assert.Equal(t, test.want, ops(saved[0]))
		})
	}
}

func TestChangesAfterASaveAreOnlyWhatIsNew(t *testing.T) {
	r := newRecorder(t)
	saved := r.serve(t, 404, func(s *session.Session) {
		s.Increment("n", 1)
		require.NoError(t, s.Save())
		s.Increment("n", 2)
		s.Set("a", 1)
	})
	require.Len(t, saved, 2)
	assert.Equal(t, []session.Op{{Kind: session.OpAdd, Key: "n", By: 1}}, ops(saved[0]), "what a driver was given stays as it was")
	assert.Equal(t, []session.Op{{Kind: session.OpAdd, Key: "n", By: 2}, {Kind: session.OpSet, Key: "a", Value: "1"}}, ops(saved[1]))
	assert.NotEqual(t, saved[0].Number(), saved[1].Number())
}

func TestIterationOverChangesCanStop(t *testing.T) {
	b := session.ChangesBuilder{Ops: []session.Op{
		{Kind: session.OpClear}, {Kind: session.OpClearFlash}, {Kind: session.OpDelete, Key: "a"}, {Kind: session.OpDelete, Key: "b"},
	}}
	ch, err := b.Build()
	require.NoError(t, err)
	for stop := range 4 {
		seen := 0
		for range ch.All() {
			if seen++; seen > stop {
				break
			}
		}
		assert.Equal(t, stop+1, seen)
	}
}

func TestChangesBuilderRefusesWhatNoRequestCanDo(t *testing.T) {
	for _, op := range []session.Op{
		{}, {Kind: session.OpAccount + 1, Key: "a"}, {Kind: session.OpSet}, {Kind: session.OpSet, Key: string(make([]byte, 256))},
	} {
		b := session.ChangesBuilder{Ops: []session.Op{op}}
		_, err := b.Build()
		assert.Error(t, err, "%+v", op)
	}
}

// TestApplyLeavesTheRecordAsItWas also holds that a save is applied once.
func TestApplyLeavesTheRecordAsItWas(t *testing.T) {
	b := session.ChangesBuilder{Now: time.Now(), Number: 1, Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour}}
	b.Ops = []session.Op{{Kind: session.OpAdd, Key: "n", By: 1}}
	ch, err := b.Build()
	require.NoError(t, err)
	first := ch.Apply(nil)
	assert.Same(t, first, ch.Apply(first), "these changes have been applied")
	b.Number = 2
	again, err := b.Build()
	require.NoError(t, err)
	second := again.Apply(first)
	n, _ := first.Value("n")
	assert.Equal(t, "1", n)
	n, _ = second.Value("n")
	assert.Equal(t, "2", n)
	assert.Equal(t, []uint64{1, 2}, second.Numbers())
	assert.Same(t, second, ch.Apply(second), "the record remembers the first ones still")
}
