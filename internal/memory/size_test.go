package memory_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/memory"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

var fiveValues = []driver.Op{
	set("key-1", "1value-1"), set("key-2", "1value-2"), set("key-3", "1value-3"), set("key-4", "1value-4"), set("key-5", "1value-5"),
}

func TestStoredSessionTakesAtMost350Bytes(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	const sessions = 30_000 // a bad case: the maps of the shards have grown lately
	ids := make([]driver.ID, sessions)
	start := heap()
	d := memory.New(memory.Options{MaxSessions: 2 * sessions})
	save := func(ch *driver.Changes) {
		if _, err := d.Save(t.Context(), nil, ch); err != nil {
			t.Fatal(err)
		}
	}
	for i := range ids {
		ids[i] = driver.NewID()
		save(first(ids[i], now, fiveValues...))
	}
	once := (heap() - start) / sessions
	for range 8 {
		for _, id := range ids {
			save(further(id, now, fiveValues[0]))
		}
	}
	nine := (heap() - start) / sessions
	assert.LessOrEqual(t, nine, int64(350), "%d bytes before the further saves", once)
	runtime.KeepAlive(d)
}

func TestLoadAllocatesNothing(t *testing.T) {
	d, now, id := memory.New(memory.Options{}), time.UnixMilli(1_700_000_000_000), driver.NewID()
	_, err := d.Save(t.Context(), nil, first(id, now))
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := d.Load(t.Context(), id, now); err != nil {
			panic(err)
		}
	}))
}

func BenchmarkDriver(b *testing.B) {
	now := time.UnixMilli(1_700_000_000_000)
	for _, sessions := range []int{1000, 500_000} {
		d := memory.New(memory.Options{})
		ids := make([]driver.ID, sessions)
		for i := range ids {
			ids[i] = driver.NewID()
			d.Save(b.Context(), nil, first(ids[i], now, fiveValues...))
		}
		b.Run(fmt.Sprint("Load/", sessions), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.Load(b.Context(), ids[i%sessions], now)
			}
		})
		b.Run(fmt.Sprint("Save/", sessions), func(b *testing.B) {
			b.ReportAllocs()
			ch := further(ids[0], now, fiveValues[0])
			for i := 0; b.Loop(); i++ {
				ch.ID = ids[i%sessions]
				ch.Number++
				d.Save(b.Context(), nil, ch)
			}
		})
	}
}
