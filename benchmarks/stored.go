package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"example.com/session"
	"example.com/session/driver"
	inmemory "example.com/session/internal/memory"
	"github.com/alexedwards/scs/v2/memstore"
)

// A footprint is what one stored session of five small values takes of the heap.
type footprint struct {
	name     string
	sessions int
	saves    int // after the first one
	bytes    float64
}

// tokenLength is the length of a token's text.
const tokenLength = 56

// ourFootprints fills a memory driver through the middleware, and then saves each session eight
// times more: a record keeps the numbers of its last eight saves.
func ourFootprints(sessions int) []footprint {
	tokens := make([]byte, 0, sessions*tokenLength) // made before: it is not the library's
	m, err := session.NewManager(config(setup{driver: memory}))
	fail(err)
	p, c := ourPages(m, false), newClient(0)
	before := heap()
	for range sessions {
		value := setCookie(c.get(p.fill).header, "s_memory=")
		tokens = append(tokens, value...)
	}
	once := heap()
	for range 8 {
		for i := range sessions {
			token := tokens[i*tokenLength:][:tokenLength]
			c.line[0] = "s_memory=" + unsafe.String(&token[0], tokenLength)
			c.get(p.write)
		}
	}
	if got := string(c.answer.body); got != "8" {
		fail(fmt.Errorf("the last session counts %q saves", got))
	}
	c.line[0] = ""
	nine := heap()
	runtime.KeepAlive(tokens)
	p.close()
	return []footprint{
		{ours, sessions, 0, perSession(before, once, sessions)},
		{ours, sessions, 8, perSession(before, nine, sessions)},
	}
}

// footprintOf is the same of another library, without further saves: it keeps nothing of them.
func footprintOf(name string, start func(setup) (*pages, error), sessions int) footprint {
	p, err := start(setup{driver: memory})
	fail(err)
	c := newClient(0)
	before := heap()
	for range sessions {
		c.get(p.fill)
	}
	after := heap()
	p.close()
	return footprint{name, sessions, 0, perSession(before, after, sessions)}
}

func perSession(before, after uint64, sessions int) float64 {
	return float64(int64(after)-int64(before)) / float64(sessions)
}

func setCookie(h http.Header, name string) string {
	for _, line := range h["Set-Cookie"] {
		if value, found := strings.CutPrefix(line, name); found {
			value, _, _ = strings.Cut(value, ";")
			return value
		}
	}
	fail(fmt.Errorf("no %q is set", name))
	return ""
}

// A stall is the longest time that one operation took while all sessions expired.
type stall struct {
	name       string
	sessions   int
	operations int
	processor  time.Duration // that the operation used itself
	clock      time.Duration // that passed; other processes of the machine are in it
}

// ourStall lets all sessions of a memory driver expire at once and then does what requests do:
// first writes, loads of sessions that are there, that have expired and that never were, and
// saves. Nothing of the driver runs but within an operation, so the processor's time of the
// longest one is how long it can make others wait.
func ourStall(sessions int) stall {
	d := inmemory.New(inmemory.Options{MaxSessions: 2 * sessions})
	ctx := context.Background()
	add := func(now time.Time) driver.ID {
		ch := changes(now, driver.NewID())
		ch.New, ch.Ops = true, fiveValues
		_, err := d.Save(ctx, nil, ch)
		fail(err)
		return ch.ID
	}
	start := time.UnixMilli(time.Now().UnixMilli())
	old := make([]driver.ID, 1000)
	for i := range sessions {
		old[i%len(old)] = add(start)
	}
	later := start.Add(2 * time.Hour)
	var live driver.ID
	longest := stall{name: ours, sessions: sessions}
	steps := []func(i int){
		func(int) { live = add(later) },
		func(int) { _, err := d.Load(ctx, live, later); fail(err) },
		func(i int) { d.Load(ctx, old[i%len(old)], later) },
		func(int) { d.Load(ctx, driver.NewID(), later) },
		func(int) {
			rec, err := d.Load(ctx, live, later)
			fail(err)
			ch := changes(later, live)
			ch.Ops = fiveValues[:1]
			_, err = d.Save(ctx, rec, ch)
			fail(err)
		},
	}
	longest.watch(sessions, func(i int) { steps[i%len(steps)](i) })
	return longest
}

func changes(now time.Time, id driver.ID) *driver.Changes {
	secret := driver.Digest{1}
	return &driver.Changes{ID: id, Number: rand.Uint64(), Now: now, Use: true, Expect: secret, Install: secret,
		Limits: driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Hour}}
}

func set(key, encoded string) driver.Op {
	return driver.Op{Kind: driver.Set, Part: driver.Data, Key: key, Encoded: encoded}
}

var fiveValues = []driver.Op{
	set("name", "'client-0"), set("email", "'"+email), set("theme", "'"+theme), set("admin", "t"), set("visits", "0"),
}

// scsStall does it with scs's store, which looks at all sessions from time to time.
func scsStall(sessions int) stall {
	const every = 500 * time.Millisecond
	store := memstore.NewWithCleanupInterval(every)
	defer store.StopCleanup()
	value := make([]byte, 200)
	over := time.Now().Add(-time.Second)
	for i := range sessions {
		fail(store.Commit(fmt.Sprint("token-", i), value, over))
	}
	longest := stall{name: nameSCS, sessions: sessions}
	live := time.Now().Add(time.Hour)
	for end := time.Now().Add(3 * every / 2); time.Now().Before(end); {
		longest.watch(1000, func(i int) {
			if i%2 == 0 {
				fail(store.Commit("live", value, live))
			} else {
				store.Find("live")
			}
		})
	}
	return longest
}

// leastOf returns the shortest of several tries. A stall that the code makes is there each time.
func leastOf(tries int, measure func() stall) stall {
	least := measure()
	for range tries - 1 {
		s := measure()
		least.processor, least.clock = min(least.processor, s.processor), min(least.clock, s.clock)
	}
	return least
}

// watch does the operations one after another.
func (s *stall) watch(n int, do func(i int)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s.operations += n
	for i := range n {
		began, used := time.Now(), threadClock()
		do(i)
		s.processor = max(s.processor, threadClock()-used)
		s.clock = max(s.clock, time.Since(began))
	}
}
