package redistest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Keys lists the keys of all databases, sorted.
func (s *Server) Keys(tb testing.TB) []string {
	tb.Helper()
	var keys []string
	if err := s.eachKey(func(_ redis.Conn, key string) error {
		keys = append(keys, key)
		return nil
	}); err != nil {
		tb.Fatalf("redistest: keys of %s: %v", s.Addr(), err)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TTLs is what is left of each key's time, in all databases; negative for a key that never
// expires. Where databases share a key, the least is told.
func (s *Server) TTLs(tb testing.TB) map[string]time.Duration {
	tb.Helper()
	ttls := make(map[string]time.Duration)
	if err := s.eachKey(func(c redis.Conn, key string) error {
		const gone = -2 // it expired since it was listed
		ms, err := redis.Int64(c.Do("PTTL", key))
		if err != nil || ms == gone {
			return err
		}
		left := time.Duration(ms) * time.Millisecond
		if seen, ok := ttls[key]; !ok || left < seen {
			ttls[key] = left
		}
		return nil
	}); err != nil {
		tb.Fatalf("redistest: expiries of %s: %v", s.Addr(), err)
	}
	return ttls
}

// eachKey calls visit for each key, with a connection on which the key's database is selected. A
// key that changes meanwhile may come twice, as SCAN has it.
func (s *Server) eachKey(visit func(c redis.Conn, key string) error) error {
	c, err := s.dial(replyLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	numbers, err := databases(c)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if _, err := c.Do("SELECT", n); err != nil {
			return err
		}
		if err := scan(c, visit); err != nil {
			return err
		}
	}
	return nil
}

// databases lists the databases that hold something.
func databases(c redis.Conn) ([]string, error) {
	info, err := redis.String(c.Do("INFO", "keyspace"))
	if err != nil {
		return nil, err
	}
	var numbers []string
	for line := range strings.Lines(info) {
		name, _, found := strings.Cut(line, ":keys=")
		if found {
			numbers = append(numbers, strings.TrimPrefix(name, "db"))
		}
	}
	return numbers, nil
}

func scan(c redis.Conn, visit func(c redis.Conn, key string) error) error {
	for cursor := "0"; ; {
		reply, err := redis.Values(c.Do("SCAN", cursor, "COUNT", 1000))
		if err != nil {
			return err
		}
		var keys []string
		if _, err := redis.Scan(reply, &cursor, &keys); err != nil {
			return err
		}
		for _, key := range keys {
			if err := visit(c, key); err != nil {
				return err
			}
		}
		if cursor == "0" {
			return nil
		}
	}
}

// Commands is how often each command ran since the server started, by its name in lower case
// ("hgetall", "config|get"). Commands that a script runs are counted like others, and so are the
// helpers' own.
func (s *Server) Commands(tb testing.TB) map[string]int {
	tb.Helper()
	return commands(tb, s.Conn(tb))
}

// CommandsDuring is how often each command ran while do did, the helper's own left out. Whoever
// else uses the server is counted: it takes a server from Start.
func (s *Server) CommandsDuring(tb testing.TB, do func()) map[string]int {
	tb.Helper()
	c := s.Conn(tb)
	before := commands(tb, c)
	do()
	after := commands(tb, c)
	after["info"]-- // the first of our two: a command is counted once it has run
	for name, n := range before {
		after[name] -= n
	}
	for name, n := range after {
		if n == 0 {
			delete(after, name)
		}
	}
	return after
}

// RoundTrips is how often the server was sent something while do did: one for each command, or for
// several in a pipeline. Connecting counts where it sends something (AUTH, SELECT), and so does
// closing a connection.
func (s *Server) RoundTrips(tb testing.TB, do func()) int {
	tb.Helper()
	c := s.Conn(tb)
	before := reads(tb, c)
	do()
	return reads(tb, c) - before - 1 // our second question
}

func commands(tb testing.TB, c redis.Conn) map[string]int {
	tb.Helper()
	counts := make(map[string]int)
	for line := range strings.Lines(info(tb, c, "commandstats")) {
		name, rest, found := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if found {
			counts[name] = number(tb, rest)
		}
	}
	return counts
}

func reads(tb testing.TB, c redis.Conn) int {
	tb.Helper()
	_, rest, found := strings.Cut(info(tb, c, "stats"), "\ntotal_reads_processed:")
	if !found {
		tb.Fatal("redistest: this redis does not count its reads: version 6 or later is needed")
	}
	return number(tb, rest)
}

func info(tb testing.TB, c redis.Conn, section string) string {
	tb.Helper()
	text, err := redis.String(c.Do("INFO", section))
	if err != nil {
		tb.Fatalf("redistest: info %s: %v", section, err)
	}
	return text
}

// number reads the digits that s begins with.
func number(tb testing.TB, s string) int {
	tb.Helper()
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.Atoi(s[:cmp.Or(max(end, 0), len(s))])
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	return n
}
