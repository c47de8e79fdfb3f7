package redis_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redistest"
)

// Each pair of benchmarks does the same with redigo alone: a GET or SET of as many bytes through a
// pool of the same size.

func pooled(b *testing.B, server *redistest.Server) *redigo.Pool {
	pool := &redigo.Pool{MaxIdle: 64, MaxActive: 64, Wait: true, Dial: func() (redigo.Conn, error) {
		return redigo.Dial("tcp", server.Addr(), redigo.DialReadTimeout(time.Second), redigo.DialWriteTimeout(time.Second))
	}}
	b.Cleanup(func() { require.NoError(b, pool.Close()) })
	return pool
}

// fiveValues is what the sessions of the benchmarks hold.
var fiveValues = []driver.Op{set("user", "4711"), set("name", "'Ann Example"), set("theme", "'dark"),
	set("visits", "12"), set("csrf", "'0123456789012345678901234567890123456789012")}

func BenchmarkLoadBesideGET(b *testing.B) {
	server := redistest.Start(b)
	d := newDriver(b, config(server.Addr(), ""))
	rec := begin(b, d, fiveValues...)
	ctx := inAnHour(b)
	pool, key := pooled(b, server), "session:"+rec.ID().String()
	compare(b, func() error {
		conn := pool.Get()
		defer conn.Close()
		_, err := redigo.Bytes(conn.Do("GET", key))
		return err
	}, func() error {
		_, err := d.Load(ctx, rec.ID(), time.Now())
		return err
	})
}

func BenchmarkSaveBesideSET(b *testing.B) {
	server := redistest.Start(b)
	d := newDriver(b, config(server.Addr(), ""))
	records := make(chan *driver.Record, 256) // no two clients save one session at once
	for range cap(records) {
		records <- begin(b, d, fiveValues...)
	}
	ctx := inAnHour(b)
	pool, packed := pooled(b, server), make([]byte, begin(b, d, fiveValues...).Size()+56) // seven numbers of saves
	compare(b, func() error {
		conn := pool.Get()
		defer conn.Close()
		_, err := conn.Do("SET", "bare", packed, "PX", 3600000)
		return err
	}, func() error {
		rec := <-records
		saved, err := d.Save(ctx, rec, changes(rec, set("visits", "13")))
		records <- saved
		return err
	})
}

// inAnHour returns a context with a deadline, as the root package passes.
func inAnHour(b *testing.B) context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	b.Cleanup(cancel)
	return ctx
}

// compare measures both with one client and with 64. They take turns, so that what else the machine
// does slows both down. The ratio is the median of those of the turns.
func compare(b *testing.B, bare, driver func() error) {
	for _, clients := range []int{1, 64} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			var ratios []float64
			var bareTime, driverTime time.Duration
			for b.Loop() {
				one, other := turn(b, clients, bare), turn(b, clients, driver)
				ratios = append(ratios, float64(other)/float64(one))
				bareTime, driverTime = bareTime+one, driverTime+other
			}
			slices.Sort(ratios)
			operations := float64(len(ratios) * operationsPerTurn)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(float64(bareTime.Nanoseconds())/operations, "bare-ns")
			b.ReportMetric(float64(driverTime.Nanoseconds())/operations, "driver-ns")
		})
	}
}

const operationsPerTurn = 640

func turn(b *testing.B, clients int, once func() error) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range operationsPerTurn / clients {
				if err := once(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}
