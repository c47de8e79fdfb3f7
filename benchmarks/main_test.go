package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"example.com/session/internal/redistest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// quick is a pace at which everything is done and nothing is measured well.
var quick = pace{rounds: 2, slice: 100 * time.Microsecond, clock: wallClock}

func setups(t *testing.T) []setup {
	s := redistest.Shared(t)
	var all []setup
	for _, driver := range []string{memory, cookie, server} {
		for _, large := range []bool{false, true} {
			all = append(all, setup{driver: driver, address: s.Addr(), port: s.Port(), large: large})
		}
	}
	return all
}

func TestEveryContenderDoesTheWorkThatIsMeasured(t *testing.T) {
	for _, s := range setups(t) {
		for _, c := range contenders {
			p, err := c.start(s)
			require.NoError(t, err)
			if p == nil {
				continue
			}
			assert.NoError(t, p.prove(), "%s on %s, large %t", c.name, s.driver, s.large)
			p.close()
		}
	}
}

func TestNobodyIsLeftOutButWhoHasNoSuchStore(t *testing.T) {
	for _, tc := range []struct {
		driver string
		large  bool
		want   []string
	}{
		{driver: memory, want: []string{ours, nameSCS, namePlainSCS, nameGin}},
		{driver: memory, large: true, want: []string{ours, nameSCS, namePlainSCS, nameGin}},
		{driver: cookie, want: []string{ours, nameGorilla, nameGin}},
		{driver: cookie, large: true, want: []string{ours, nameGorilla}},
		{driver: server, want: []string{ours, nameSCS, namePlainSCS, nameGorilla, nameGin}},
		{driver: server, large: true, want: []string{ours, nameSCS, namePlainSCS, nameGorilla, nameGin}},
	} {
		var got []string
		for _, c := range contenders {
			s := redistest.Shared(t)
			p, err := c.start(setup{driver: tc.driver, large: tc.large, address: s.Addr(), port: s.Port()})
			require.NoError(t, err)
			if p != nil {
				got = append(got, c.name)
				p.close()
			}
		}
		assert.Equal(t, tc.want, got, "%s, large %t", tc.driver, tc.large)
	}
}

func TestAWriteOfTheTimedLoopIsReadByTheNextRequest(t *testing.T) {
	for _, s := range setups(t) {
		if s.driver == cookie {
			continue // its clients send the same cookie each time
		}
		for _, c := range contenders {
			p, err := c.start(s)
			require.NoError(t, err)
			if p == nil {
				continue
			}
			browser := newClient(7)
			p.begin(browser)
			for range 5 {
				writeOne.do(p, browser)
			}
			assert.Equal(t, "5", string(browser.answer.body), "%s on %s", c.name, s.driver)
			p.close()
		}
	}
}

func TestAFlashRoundShowsTheMessageAndEndsWhereItBegan(t *testing.T) {
	for _, s := range setups(t) {
		for _, c := range contenders {
			p, err := c.start(s)
			require.NoError(t, err)
			if p == nil {
				continue
			}
			browser := newClient(7)
			p.begin(browser)
			before := browser.line[0]
			for range 3 {
				flash.do(p, browser)
				assert.Equal(t, message, string(browser.answer.body), "%s on %s", c.name, s.driver)
				assert.Equal(t, before, browser.line[0], "%s on %s", c.name, s.driver)
			}
			p.close()
		}
	}
}

func TestProofsFindAContenderThatDoesNothing(t *testing.T) {
	nothing := bareHandler
	p := &pages{untouched: nothing, fill: nothing, read: nothing, write: nothing, flash: nothing, show: nothing}
	err := p.prove()
	require.Error(t, err)
	for _, want := range []string{"a session of", "visit 1 reads", "the page that leaves a message"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestTheFloorOfRedisSendsPlainCommands(t *testing.T) {
	for w, want := range map[*work]map[string]float64{
		readOne: {"get": 1}, writeOne: {"get": 1, "set": 1}, flash: {"get": 2, "set": 2}, first: {"set": 1},
	} {
		t.Run(w.name, func(t *testing.T) {
			s := redistest.Start(t)
			r, err := newBareRedis(setup{driver: server, address: s.Addr(), port: s.Port()})
			require.NoError(t, err)
			defer r.close()
			assert.Greater(t, len(r.value), 150, "as many bytes as a session")
			got := make(map[string]float64)
			for command, n := range s.CommandsDuring(t, func() { r.do(w) }) {
				got[command] = float64(n)
			}
			assert.Equal(t, want, got)
		})
	}
}

func TestTheFloorOfTheCookieDriverOpensWhatItSeals(t *testing.T) {
	box := newSealedBox()
	plain := []byte("some record")
	value := box.seal(bytes.Clone(plain))
	assert.Equal(t, plain, box.open(value))
	assert.NotEqual(t, value, box.seal(plain), "a nonce is used twice")
}

func TestTrafficIsCountedOnTheServer(t *testing.T) {
	counts, err := countTraffic(t)
	require.NoError(t, err)
	found := 0
	for _, c := range counts {
		switch {
		case c.name == ours && c.work == readOne:
			found++
			assert.Equal(t, 1.0, c.roundTrips)
			assert.Equal(t, map[string]float64{"getex": 1}, c.commands)
		case c.name == nameGorilla && c.work == readOne:
			found++
			assert.Equal(t, 2.0, c.roundTrips)
			assert.Equal(t, map[string]float64{"get": 1, "ping": 1}, c.commands)
		case c.work == unopened && c.name == ours:
			found++
			assert.Empty(t, c.commands)
		}
	}
	assert.Equal(t, 3, found)
}

func TestARowHasEverybodyAndTheFloor(t *testing.T) {
	s := redistest.Shared(t)
	for _, w := range works {
		for _, clients := range []int{1, 8} {
			r := newRow(w, setup{driver: memory, address: s.Addr(), port: s.Port()}, clients)
			require.NoError(t, r.measure(quick))
			for _, name := range []string{ours, nameSCS, namePlainSCS, nameGin, floor} {
				assert.Len(t, r.times[name], quick.rounds, "%s by %s", w.name, name)
				assert.Positive(t, median(r.times[name]))
			}
		}
	}
}

func TestStoredSessionsAreWeighedAndEveryOneIsThere(t *testing.T) {
	for _, f := range ourFootprints(2000) {
		assert.Greater(t, f.bytes, 100.0, "%d saves", f.saves)
		assert.Less(t, f.bytes, 2000.0, "%d saves", f.saves)
	}
	assert.Greater(t, footprintOf(nameSCS, startSCS, 2000).bytes, 100.0)
}

func TestStallsAreWatched(t *testing.T) {
	s := ourStall(2000)
	assert.Equal(t, 2000, s.operations)
	assert.Positive(t, s.processor)
	assert.Positive(t, s.clock)

	var busy stall
	busy.watch(3, func(i int) {
		for until := threadClock() + time.Duration(i)*time.Millisecond; threadClock() < until; {
		}
	})
	assert.GreaterOrEqual(t, busy.processor, 2*time.Millisecond, "the longest operation is not the one that is kept")
}

func TestSocketsServePages(t *testing.T) {
	for _, row := range compareSockets(quick) {
		assert.Len(t, row.times, quick.rounds, row.name)
	}
}

func TestTemplatesAreRenderedInThreeWays(t *testing.T) {
	assert.Len(t, compareTemplates(quick), 3)
}
