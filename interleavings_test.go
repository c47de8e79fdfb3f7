package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A save is one step for a handler, but a rotation is several for the store. Here the operations
// of the store are the steps: actors write to one session, replace its token, destroy it and
// crash, each at any of its steps, and whatever comes of it, no acknowledged write may be lost
// and exactly one token that anybody was given may live.

func TestEveryInterleavingOfStoreDriverLeavesOneToken(t *testing.T) {
	store := new(casstore.Store)
	runInterleavings(t, 2000, func(a *actor) session.Driver {
		return session.StoreDriver(&stepStore{Store: store, actor: a})
	})
}

func TestEveryInterleavingOfRedisLeavesOneToken(t *testing.T) {
	server := redistest.Start(t)
	conns := make(map[int]redis.Conn)
	runInterleavings(t, 1000, func(a *actor) session.Driver {
		if conns[a.slot] == nil {
			conns[a.slot] = server.Conn(t)
		}
		dial := func() (redis.Conn, error) {
			if a.crashed {
				return nil, errCrashed
			}
			return &stepConn{Conn: conns[a.slot], actor: a}, nil
		}
		options := patientRedis()
		options.Pool = &redis.Pool{Dial: dial}
		driver, err := session.NewRedisDriver(session.RedisConfig{Options: options})
		require.NoError(t, err)
		return driver
	})
	assertAllExpire(t, server)
}

var errCrashed = errors.New("the process has crashed")

// An actor is a process that does one thing to the session, step by step. It runs in a goroutine
// of its own, but never beside another one.
type actor struct {
	slot    int
	kind    string
	driver  session.Driver
	ready   chan struct{} // it stands before an operation of its store
	goOn    chan bool     // false: it crashes there; nil: nobody directs it
	ended   chan struct{}
	crashed bool

	acks  int           // increments that were acknowledged
	token session.Token // the new one, whether or not anybody was given it
	err   error
}

// step waits until it is the actor's turn.
func (a *actor) step() error {
	switch {
	case a.goOn == nil:
		return nil
	case a.crashed:
		return errCrashed
	}
	a.ready <- struct{}{}
	if a.crashed = !<-a.goOn; a.crashed {
		return errCrashed
	}
	return nil
}

// waits waits until the actor stands before its next step, and reports whether there is one.
func (a *actor) waits() bool {
	select {
	case <-a.ready:
		return true
	case <-a.ended:
		return false
	}
}

// A stepStore is the store as one actor reaches it.
type stepStore struct {
	session.Store
	actor *actor
}

func (s *stepStore) Get(ctx context.Context, id string) ([]byte, error) {
	if err := s.actor.step(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, id)
}

func (s *stepStore) Update(ctx context.Context, id string, change func([]byte) (session.Entry, error)) error {
	if err := s.actor.step(); err != nil {
		return err
	}
	return s.Store.Update(ctx, id, change)
}

// A stepConn is a connection of one actor to redis. Close leaves it open for the next one.
type stepConn struct {
	redis.Conn
	actor *actor
}

func (c *stepConn) Close() error { return nil }

func (c *stepConn) Err() error {
	if c.actor.crashed {
		return errCrashed
	}
	return c.Conn.Err()
}

func (c *stepConn) DoWithTimeout(d time.Duration, command string, args ...any) (any, error) {
	if command == "" { // the pool takes the connection back
		return nil, nil
	}
	if err := c.actor.step(); err != nil {
		return nil, err
	}
	return redis.DoWithTimeout(c.Conn, d, command, args...)
}

func (c *stepConn) Do(command string, args ...any) (any, error) {
	return c.DoWithTimeout(0, command, args...)
}

func (c *stepConn) ReceiveWithTimeout(d time.Duration) (any, error) {
	return redis.ReceiveWithTimeout(c.Conn, d)
}

func runInterleavings(t *testing.T, n int, open func(a *actor) session.Driver) {
	seed := scheduleSeed(t)
	kinds := map[string]int{}
	for i := range uint64(n) {
		run := &interleaving{t: t, r: rand.New(rand.NewPCG(seed+i, 1)), open: open, now: time.Now()}
		run.all()
		if problem := run.judge(); problem != "" {
			t.Fatalf("SESSION_TEST_SEED=%d repeats this: %s\n%s", seed+i, problem, strings.Join(run.trace, "\n"))
		}
		for _, a := range run.actors {
			kinds[fmt.Sprintf("%s, crashed %v, failed %v", a.kind, a.crashed, a.err != nil)]++
		}
	}
	for kind, count := range kinds { // else the test has tested less than it says
		assert.Greater(t, count, n/200, kind)
	}
	assert.Len(t, kinds, 8, "%v", kinds)
}

// An interleaving is one order of the steps of some actors.
type interleaving struct {
	t      *testing.T
	r      *rand.Rand
	open   func(a *actor) session.Driver
	now    time.Time
	owner  session.Driver // made the session, and looks at what is left of it
	old    session.Token
	actors []*actor
	trace  []string
}

func (run *interleaving) all() {
	run.owner = run.open(&actor{})
	var err error
	run.old, err = run.owner.Save(run.t.Context(), nil, run.changes(false, "n", 0))
	require.NoError(run.t, err)
	var waiting []*actor
	for slot := range 2 + run.r.IntN(3) {
		a := run.start(1 + slot)
		run.actors = append(run.actors, a)
		if a.waits() {
			waiting = append(waiting, a)
		}
	}
	for len(waiting) > 0 {
		i := run.r.IntN(len(waiting))
		a, live := waiting[i], run.r.IntN(12) > 0
		run.trace = append(run.trace, fmt.Sprintf("%s %d goes on: %v", a.kind, a.slot, live))
		a.goOn <- live
		if !a.waits() {
			waiting = append(waiting[:i], waiting[i+1:]...)
		}
	}
}

// start lets an actor run until its first step.
func (run *interleaving) start(slot int) *actor {
	a := &actor{slot: slot, ready: make(chan struct{}), goOn: make(chan bool), ended: make(chan struct{})}
	a.driver = run.open(a)
	kinds := map[string]func(){
		"writer":    func() { run.write(a) },
		"rotator":   func() { run.rotate(a) },
		"destroyer": func() { a.err = a.driver.Destroy(run.t.Context(), run.old) },
	}
	a.kind = []string{"writer", "writer", "writer", "rotator", "rotator", "destroyer"}[run.r.IntN(6)]
	if a.kind == "destroyer" && run.r.IntN(2) == 0 {
		a.kind = "writer"
	}
	go func() {
		defer close(a.ended)
		kinds[a.kind]()
	}()
	return a
}

func (run *interleaving) write(a *actor) {
	rec, err := a.driver.Load(run.t.Context(), run.old, run.now)
	for i := 0; i < 2 && err == nil; i++ {
		if _, err = a.driver.Save(run.t.Context(), rec, run.changes(false, "n", 1)); err == nil {
			a.acks++
		}
	}
	a.err = err
}

func (run *interleaving) rotate(a *actor) {
	rec, err := a.driver.Load(run.t.Context(), run.old, run.now)
	if err == nil {
		ch := run.changes(true, "rotations", 1)
		a.token = ch.NewToken()
		_, err = a.driver.Save(run.t.Context(), rec, ch)
	}
	a.err = err
}

func (run *interleaving) changes(rotates bool, key string, by int64) *session.Changes {
	b := session.ChangesBuilder{
		Now: run.now, Number: run.r.Uint64(), NewToken: session.NewToken("s_test"), Rotates: rotates,
		Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour},
		Ops:    []session.Op{{Kind: session.OpAdd, Key: key, By: by}},
	}
	ch, err := b.Build()
	if err != nil {
		panic(err)
	}
	return ch
}

// judge says what is wrong with what is left, if anything is.
func (run *interleaving) judge() string {
	acks, destroyed, won := 0, false, 0
	lives := run.old
	for _, a := range run.actors {
		acks += a.acks
		destroyed = destroyed || a.kind == "destroyer" && a.err == nil
		if a.kind == "rotator" && a.err == nil {
			won, lives = won+1, a.token
		}
		if a.err != nil && !a.crashed && !errors.Is(a.err, session.ErrNoSession) {
			return fmt.Sprintf("%s %d: %v", a.kind, a.slot, a.err)
		}
	}
	if won > 1 {
		return "two rotations replaced one token"
	}
	if destroyed && won == 0 {
		lives = session.Token{}
	}
	return run.judgeTokens(lives, acks, won)
}

// judgeTokens opens every token. That of a rotation that crashed is nobody's, and may live
// until it expires.
func (run *interleaving) judgeTokens(lives session.Token, acks, won int) string {
	tokens := []session.Token{run.old}
	for _, a := range run.actors {
		if !a.token.IsZero() && !a.crashed {
			tokens = append(tokens, a.token)
		}
	}
	for i, tok := range tokens {
		rec, err := run.owner.Load(run.t.Context(), tok, run.now)
		switch {
		case tok != lives && !errors.Is(err, session.ErrNoSession):
			return fmt.Sprintf("token %d opens something (%v)", i, err)
		case tok != lives:
			continue
		case err != nil:
			return fmt.Sprintf("token %d opens nothing: %v", i, err)
		}
		n, _ := rec.Value("n")
		rotations, _ := rec.Value("rotations")
		if n != fmt.Sprint(acks) || rotations != []string{"", "1"}[won] {
			return fmt.Sprintf("the counter is %s after %d acknowledged increments, rotations are %q", n, acks, rotations)
		}
	}
	return ""
}
