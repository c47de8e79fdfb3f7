package races_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/session/driver"
)

// A fault is what happens to one operation of a driver.
type fault int

const (
	none     fault = iota
	refused        // nothing is stored, and the operation returns an error
	lost           // it is stored, and the operation returns an error
	repeated       // it is stored, its reply is lost, and the driver sends it once more
	crashed        // the process ends: neither this operation nor a later one of the request is executed
)

func (f fault) String() string {
	return [...]string{"", "is refused", "is executed, its reply is lost", "is executed and will be repeated", "does not happen: the process ends"}[f]
}

var (
	errNoReply = fmt.Errorf("%w: no reply", driver.ErrUnavailable)
	errCrashed = fmt.Errorf("%w: the process has ended", driver.ErrUnavailable)
)

// An operation is one operation of a driver, as the scheduler and the invariants see it.
type operation struct {
	by      *request
	name    string
	id      driver.ID
	grant   chan fault
	started time.Time // when it was granted
	noted   time.Time // EndBefore: that time

	// What became of it. An operation whose reply was lost on the way may have been applied.
	applied bool
	unknown bool
	replace bool           // a Save that replaced the secrets
	record  *driver.Record // what Save has stored or End has ended
}

// indexedDriver is what the tests need of a driver.
type indexedDriver interface {
	driver.Driver
	driver.Index
}

// A controlledDriver is a driver whose operations wait until a scheduler grants them.
type controlledDriver struct{ world *world }

var _ indexedDriver = controlledDriver{}

func (d controlledDriver) Load(ctx context.Context, id driver.ID, now time.Time) (rec *driver.Record, err error) {
	err = d.run(ctx, &operation{name: "Load", id: id}, func(inner indexedDriver, _ *operation) (err error) {
		rec, err = inner.Load(ctx, id, now)
		return err
	})
	return rec, err
}

func (d controlledDriver) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (rec *driver.Record, err error) {
	err = d.run(ctx, &operation{name: "Save", id: ch.ID, replace: ch.Replace}, func(inner indexedDriver, op *operation) (err error) {
		rec, err = inner.Save(ctx, base, ch)
		op.record = rec
		return err
	})
	return rec, err
}

func (d controlledDriver) End(ctx context.Context, base *driver.Record, e *driver.Ending) (rec *driver.Record, err error) {
	err = d.run(ctx, &operation{name: "End", id: e.ID}, func(inner indexedDriver, op *operation) (err error) {
		rec, err = inner.End(ctx, base, e)
		if rec != nil {
			op.record = rec
		}
		return err
	})
	return rec, err
}

func (d controlledDriver) Enter(ctx context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	return d.run(ctx, &operation{name: "Enter", id: e.ID}, func(inner indexedDriver, _ *operation) error {
		return inner.Enter(ctx, user, e, limit, now)
	})
}

func (d controlledDriver) Remove(ctx context.Context, user string, id driver.ID) error {
	return d.run(ctx, &operation{name: "Remove", id: id}, func(inner indexedDriver, _ *operation) error {
		return inner.Remove(ctx, user, id)
	})
}

func (d controlledDriver) List(ctx context.Context, user string, now time.Time) (entries []driver.IndexEntry, err error) {
	err = d.run(ctx, &operation{name: "List"}, func(inner indexedDriver, _ *operation) (err error) {
		entries, err = inner.List(ctx, user, now)
		return err
	})
	return entries, err
}

func (d controlledDriver) EndBefore(ctx context.Context, user string, now time.Time) error {
	return d.run(ctx, &operation{name: "EndBefore", noted: now}, func(inner indexedDriver, _ *operation) error {
		return inner.EndBefore(ctx, user, now)
	})
}

type doFunc = func(inner indexedDriver, op *operation) error

// run executes an operation as the scheduler grants it. Operations of the test itself do not wait.
func (d controlledDriver) run(ctx context.Context, op *operation, do doFunc) error {
	w := d.world
	q, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return do(w.inner[0], op)
	}
	op.by = q
	again := false
	for {
		f := w.await(op)
		if f == crashed {
			return errCrashed
		}
		op.applied, op.unknown = false, false
		err := w.execute(op, f, do)
		w.finished(op, f, err)
		if f == repeated && !again && w.inject == nil { // else the driver repeats it itself
			again = true
			continue
		}
		return err
	}
}

// execute does what a fault leaves of an operation.
func (w *world) execute(op *operation, f fault, do doFunc) error {
	inner := w.inner[op.by.process]
	if w.inject != nil {
		defer w.inject(op.by.process, f)()
		return do(inner, op)
	}
	switch f {
	case refused:
		return errNoReply
	case lost:
		if err := do(inner, op); isUnavailable(err) {
			return err
		}
		op.applied = true
		return errNoReply
	}
	return do(inner, op)
}

func isUnavailable(err error) bool { return errors.Is(err, driver.ErrUnavailable) }
