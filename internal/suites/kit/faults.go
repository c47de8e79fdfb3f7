package kit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/driver"
	"github.com/stretchr/testify/require"
)

// ErrDown is what an operation of a FaultyDriver fails with after Break.
var ErrDown = errors.New("the test's store is down")

// A Fault decides whether an operation, "load", "save" or "end", fails. It may block until ctx ends.
type Fault func(ctx context.Context, op string) error

// A FaultyDriver is a driver that fails if a test wants it to. It works until then.
type FaultyDriver struct {
	driver.Driver

	mu    sync.Mutex
	fault Fault
}

// WithFaults puts a FaultyDriver, named "faulty", in front of the default driver of cfg, which must
// be memory or redis, and makes it the default.
func WithFaults(t *testing.T, cfg *session.Config) *FaultyDriver {
	t.Helper()
	d := &FaultyDriver{Driver: session.NewMemoryDriver(cfg.Memory)}
	if cfg.Default == "redis" {
		redis, err := session.NewRedisDriver(cfg.Redis)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, redis.(interface{ Close() error }).Close()) })
		d.Driver = redis
	} else {
		require.Equal(t, "memory", cfg.Default)
	}
	cfg.Drivers = map[string]session.Driver{"faulty": d}
	cfg.Default = "faulty"
	return d
}

// Set makes fault decide from now on. Nil means that nothing fails.
func (d *FaultyDriver) Set(fault Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// Break makes the named operations fail, all of them if none is named.
func (d *FaultyDriver) Break(ops ...string) {
	d.Set(func(_ context.Context, op string) error {
		if len(ops) == 0 || slices.Contains(ops, op) {
			return ErrDown
		}
		return nil
	})
}

// Hang makes the named operations wait until their context ends.
func (d *FaultyDriver) Hang(ops ...string) {
	d.Set(func(ctx context.Context, op string) error {
		if !slices.Contains(ops, op) {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})
}

// Mend makes every operation work again.
func (d *FaultyDriver) Mend() { d.Set(nil) }

func (d *FaultyDriver) ask(ctx context.Context, op string) error {
	d.mu.Lock()
	fault := d.fault
	d.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx, op)
}

func (d *FaultyDriver) Load(ctx context.Context, id driver.ID, now time.Time) (*driver.Record, error) {
	if err := d.ask(ctx, "load"); err != nil {
		return nil, err
	}
	return d.Driver.Load(ctx, id, now)
}

func (d *FaultyDriver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	if err := d.ask(ctx, "save"); err != nil {
		return nil, err
	}
	return d.Driver.Save(ctx, base, ch)
}

func (d *FaultyDriver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (*driver.Record, error) {
	if err := d.ask(ctx, "end"); err != nil {
		return nil, err
	}
	return d.Driver.End(ctx, base, e)
}
