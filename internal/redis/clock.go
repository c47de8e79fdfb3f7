package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"example.com/session/driver"
)

// A clock estimates by how much the server's clock is ahead of this process's clock. To avoid
// jitter, a reading replaces the estimate in two cases only: the two differ by more than their
// combined errors, or the reading is at least twice as accurate.
type clock struct {
	tolerance time.Duration // a smaller contradiction is ignored
	known     atomic.Bool   // false: ask before the next operation
	offset    atomic.Int64  // nanoseconds
	read      atomic.Int64  // when the last reading was taken, in seconds since 1970

	mu     sync.Mutex
	radius time.Duration // by how much offset may be wrong

	asking sync.Mutex // held while Driver.Time waits for the server
	asked  time.Time  // when it last did
}

// A save reads the clock along the way if the last reading is older, in seconds.
const readEvery = 10

// How far apart readings of one server, and of the masters of a cluster, may be to count as equal.
const (
	ownTolerance    = time.Millisecond
	clientTolerance = time.Second
)

func newClock(tolerance time.Duration) *clock {
	return &clock{tolerance: tolerance, radius: math.MaxInt64 / 4}
}

// forget makes the driver read the clock again, because another server may answer from now on.
// Until then the estimate is used.
func (c *clock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.Store(false)
	c.radius = math.MaxInt64 / 4
}

// due reports whether it is time for another reading.
func (c *clock) due() bool {
	age := time.Now().Unix() - c.read.Load()
	return age > readEvery || age < 0
}

// observe takes the reply to TIME, and when the command was sent and the reply was received. The
// server read its clock at some moment in between.
func (c *clock) observe(sent, received time.Time, reply any) error {
	server, err := parseTime(reply)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	half := received.Sub(sent) / 2
	middle := server.Sub(sent.Add(half))
	apart := (middle - time.Duration(c.offset.Load())).Abs()
	switch sum := c.radius + half; {
	case apart-c.tolerance > sum: // it was moved
		c.offset.Store(int64(middle))
		c.radius = half
	case apart > sum || c.radius <= 2*half: // nothing is learned
	case apart > half:
		c.offset.Store(int64(middle))
		c.radius = half
	default: // the offset stays, and is known better
		c.radius = min(c.radius, half+apart)
	}
	c.known.Store(true)
	c.read.Store(received.Unix())
	return nil
}

var errUnexpected = errors.New("unexpected reply")

// parseTime reads the reply to TIME: seconds and microseconds.
func parseTime(reply any) (time.Time, error) {
	parts, _ := reply.([]any)
	if len(parts) != 2 {
		return time.Time{}, errUnexpected
	}
	seconds, err := strconv.ParseInt(text(parts[0]), 10, 64)
	micros, err2 := strconv.ParseInt(text(parts[1]), 10, 64)
	if err != nil || err2 != nil {
		return time.Time{}, errUnexpected
	}
	return time.Unix(seconds, micros*1000), nil
}

// Time converts a time of this process's clock to the server's clock. If the server's clock is not
// known, or another server may have taken its place, Time asks the server first, for at most
// DialTimeout and at most once a second. If that fails, it uses the last estimate, or returns local
// if there is none.
func (d *Driver) Time(local time.Time) time.Time {
	if c := d.clock; !c.known.Load() {
		d.askTime()
	}
	return local.Add(time.Duration(d.clock.offset.Load()))
}

func (d *Driver) askTime() {
	d.clock.asking.Lock()
	defer d.clock.asking.Unlock()
	if d.clock.known.Load() || time.Since(d.clock.asked) < time.Second {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.patience)
	defer cancel()
	d.learnTime(ctx) // the operation that follows tells the error
	d.clock.asked = time.Now()
}

// learnTime asks the server for its time.
func (d *Driver) learnTime(ctx context.Context) error {
	sent := time.Now()
	reply, err := d.send(ctx, "TIME")
	if err != nil {
		return err
	}
	return classify(d.clock.observe(sent, time.Now(), reply), false)
}

// knowTime makes sure that the offset is known. It fails if this changes the offset by more than a
// second, because the times that were passed to the operation are then wrong.
func (d *Driver) knowTime(ctx context.Context) error {
	if d.clock.known.Load() {
		return nil
	}
	before := d.clock.offset.Load()
	if err := d.learnTime(ctx); err != nil {
		return err
	}
	if moved := time.Duration(d.clock.offset.Load() - before).Abs(); moved > clientTolerance {
		return fmt.Errorf("%w: redis: the server's clock was not known yet: try again", driver.ErrUnavailable)
	}
	return nil
}
