package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"example.com/session/driver"
)

// A stringStore is the driver.Store of sessions: each is one string, and no key is ever without an
// expiry, because each command that stores something sets both.
type stringStore struct{ d *Driver }

var (
	_ driver.Store   = stringStore{}
	_ driver.Swapper = stringStore{}
)

// Get implements driver.Store. GETEX without options leaves the expiry as it is. A replica refuses it, so
// Get never returns a session that has been ended or replaced.
func (s stringStore) Get(ctx context.Context, key string) ([]byte, error) {
	reply, err := s.d.do(ctx, "GETEX", s.d.prefix+key)
	if says(err, "MISCONF", "NOREPLICAS") {
		reply, err = s.d.eval(ctx, readScript, s.d.prefix+key)
	}
	if err != nil {
		return nil, err
	}
	return stored(reply)
}

// Update implements driver.Store.
func (s stringStore) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	old, err := s.Get(ctx, key)
	for err == nil {
		entry, err := change(old)
		if err != nil || entry.Data == nil {
			return err
		}
		current, swapped, err := s.Swap(ctx, key, old, entry)
		if err != nil || swapped {
			return err
		}
		old = current
	}
	return err
}

const (
	nameSize      = 9 // bytes of a value that tell it from every other one of its key
	tombstoneKind = 0 // the first byte of a tombstone

	// The modes of swap.lua.
	whenFull   = "full"
	returnTime = "time"
)

// Swap implements driver.Swapper. While the server's memory is full, it still stores tombstones,
// and entries that are not longer than old, apart from the number of one more save.
func (s stringStore) Swap(ctx context.Context, key string, old []byte, entry driver.Entry) (current []byte, swapped bool, err error) {
	if entry.Data[0] == tombstoneKind {
		return s.swap(ctx, key, old, entry, new(sentValue), whenFull)
	}
	if old == nil {
		return s.create(ctx, key, entry)
	}
	mode, value := "", new(sentValue)
	if s.d.clock.due() {
		mode = returnTime
	}
	current, swapped, err = s.swap(ctx, key, old, entry, value, mode)
	if says(err, "OOM") && len(entry.Data) <= len(old)+8 {
		value.sent.Add(-1) // it was sent and not run
		return s.swap(ctx, key, old, entry, value, whenFull)
	}
	return current, swapped, err
}

// swap runs swap.lua.
func (s stringStore) swap(ctx context.Context, key string, old []byte, entry driver.Entry, value *sentValue, mode string) ([]byte, bool, error) {
	value.data = entry.Data
	sent := time.Now()
	args := append(make([]any, 0, 4), old[:min(nameSize, len(old))], value, milliseconds(entry.TTL))
	if mode != "" {
		args = append(args, mode)
	}
	reply, err := s.d.eval(ctx, swapScript, s.d.prefix+key, args...)
	switch reply.(type) {
	case int64:
		return nil, true, err
	case []any:
		return nil, true, classify(s.d.clock.observe(sent, time.Now(), reply), false)
	}
	if err != nil {
		return nil, false, err
	}
	current, err := stored(reply)
	if err == nil && value.sent.Load() > 1 && forgotten(old, entry.Data, current) {
		err = errForgotten
	}
	return current, false, err
}

// create stores an entry if there is none.
func (s stringStore) create(ctx context.Context, key string, entry driver.Entry) (current []byte, swapped bool, err error) {
	reply, err := s.d.do(ctx, "SET", s.d.prefix+key, entry.Data, "NX", "PX", milliseconds(entry.TTL))
	switch {
	case err != nil:
		return nil, false, err
	case reply == nil:
		current, err = s.Get(ctx, key)
		return current, false, err
	case text(reply) != "OK":
		return nil, false, classify(errUnexpected, false)
	}
	return nil, true, nil
}

// milliseconds returns a time to live as redis takes it.
func milliseconds(ttl time.Duration) int64 { return max(1, ttl.Milliseconds()) }

// stored returns the stored bytes from a reply, nil for none. Any other reply is an error, so that
// a faulty client does not sign anybody out.
func stored(reply any) ([]byte, error) {
	switch v := reply.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	}
	return nil, classify(errUnexpected, false)
}

// A sentValue is an argument that counts how often it was sent. go-redis calls MarshalBinary and
// redigo calls RedisArg each time that it writes the command.
type sentValue struct {
	data []byte
	sent atomic.Int32
}

func (v *sentValue) MarshalBinary() ([]byte, error) {
	v.sent.Add(1)
	return v.data, nil
}

// RedisArg returns the value.
func (v *sentValue) RedisArg() any {
	v.sent.Add(1)
	return v.data
}

// String returns no content: clients log commands.
func (v *sentValue) String() string { return "session: (redacted)" }

var errForgotten = fmt.Errorf("%w: redis: a save was sent again after its reply was lost: too many other saves "+
	"came in between to tell whether it was applied", driver.ErrUnavailable)

// forgotten reports whether it is unknown if next was stored in place of old: next was sent more
// than once, and current is a record that remembers the number of neither.
func forgotten(old, next, current []byte) bool {
	rec, err := driver.ParseRecord(current)
	return err == nil && len(old) >= nameSize && !rec.Applied(saveNumber(old)) && !rec.Applied(saveNumber(next))
}

func saveNumber(record []byte) uint64 { return binary.BigEndian.Uint64(record[1:nameSize]) }
