package driver_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// fiveValues returns a session of five small values.
func fiveValues(tb testing.TB) *driver.Record {
	ch := begin()
	for i := range 5 {
		ch.Ops = append(ch.Ops, set("key "+strconv.Itoa(i), "'a small value"))
	}
	return apply(tb, ch, nil)
}

var sink *driver.Record // what is stored here is allocated, as in a driver

func BenchmarkApply(b *testing.B) {
	rec, ch := fiveValues(b), save(2, set("key 2", "'another value"))
	b.ReportAllocs()
	for b.Loop() {
		sink, _ = ch.Apply(rec)
	}
	require.NotNil(b, sink)
}

func BenchmarkParseRecord(b *testing.B) {
	data := []byte(pack(fiveValues(b)))
	b.ReportAllocs()
	for b.Loop() {
		sink, _ = driver.ParseRecord(data)
	}
	require.NotNil(b, sink)
}

func BenchmarkValue(b *testing.B) {
	rec := fiveValues(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := rec.Value(driver.Data, "key 2"); !ok {
			b.Fatal("no value")
		}
	}
}

func BenchmarkAccepts(b *testing.B) {
	rec := fiveValues(b)
	b.ReportAllocs()
	for b.Loop() {
		if !rec.Accepts(secret(1)) {
			b.Fatal("not accepted")
		}
	}
}
