package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSavesFromOneBaseAreBothKept(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		base := begin(t, d, set("a", "1"))
		_, err := d.Save(t.Context(), base, change(base.ID(), set("b", "2")))
		require.NoError(t, err)
		rec, err := d.Save(t.Context(), base, change(base.ID(), set("c", "3")))
		require.NoError(t, err)
		for key, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
			assertValue(t, rec, key, want)
		}
		assert.Equal(t, rec, load(t, d, base.ID()), "Save returned another record than it stored")
	})
}

func TestStoredRecordIsTheFormOfParseRecord(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		rec := begin(t, d, set("a", "1"))
		stored, err := driver.ParseRecord(k.raw(rec.ID().String()))
		require.NoError(t, err)
		assert.Equal(t, rec, stored)
	})
}

func TestSaveWithoutABaseReadsTheRecord(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		id := begin(t, d, set("a", "1")).ID()
		rec, err := d.Save(t.Context(), nil, change(id, set("b", "2")))
		require.NoError(t, err)
		assertValue(t, rec, "a", "1")
	})
}

func TestLoadTellsWhatIsThere(t *testing.T) {
	foreign := begin(t, store.New(new(mapStore)))
	foreignData, err := foreign.AppendBinary(nil)
	require.NoError(t, err)
	for name, stored := range map[string][]byte{
		"garbage":                []byte("garbage"),
		"one byte":               {2},
		"the record of another":  foreignData,
		"a record cut short":     foreignData[:len(foreignData)-1],
		"a tombstone cut short":  make([]byte, 24),
		"a tombstone and more":   make([]byte, 26),
		"the index of some user": append([]byte{3}, make([]byte, 24)...),
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
				id := driver.NewID()
				k.put(id.String(), stored)
				_, err := d.Load(t.Context(), id, start)
				assert.ErrorIs(t, err, driver.ErrDamaged)
				assert.NotErrorIs(t, err, driver.ErrNoSession)
				_, err = d.Save(t.Context(), nil, change(id))
				assert.ErrorIs(t, err, driver.ErrDamaged)
				_, err = d.Save(t.Context(), foreign, change(id))
				assert.ErrorIs(t, err, driver.ErrDamaged, "with a base")
				assert.Equal(t, stored, k.raw(id.String()), "damage was overwritten")

				ended, err := d.End(t.Context(), nil, byClient(id, secretA))
				require.NoError(t, err)
				assert.Nil(t, ended)
				_, err = d.Load(t.Context(), id, start)
				assert.ErrorIs(t, err, driver.ErrEnded, "damage could not be ended")
			})
		})
	}
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		_, err := d.Load(t.Context(), driver.NewID(), start)
		assert.Equal(t, driver.ErrNoSession, err)
	})
}

func TestErrorsOfApplyAreReturnedAndNothingIsStored(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		base := begin(t, d, set("text", "x"))
		id := base.ID()
		before := k.raw(id.String())

		stranger := change(id, set("a", "1"))
		stranger.Expect = secretB
		late := change(id, set("a", "1"))
		late.Now = start.Add(time.Hour)
		taken := change(id, set("a", "1"))
		taken.New, taken.Expect, taken.Install = true, driver.Digest{}, secretB
		swap := change(id, driver.Op{Kind: driver.Swap, Part: driver.Data, Key: "text", Old: "y", Encoded: "z"})

		var conflict *driver.ConflictError
		var value *driver.ValueError
		for _, known := range []*driver.Record{base, nil} {
			for _, ch := range []*driver.Changes{stranger, taken, swap} {
				_, err := d.Save(t.Context(), known, ch)
				require.ErrorAs(t, err, &conflict)
				assert.Equal(t, base, conflict.Current)
			}
			assert.Equal(t, "text", conflict.Key)
			_, err := d.Save(t.Context(), known, change(id, add("text", 1)))
			assert.ErrorAs(t, err, &value)
			_, err = d.Save(t.Context(), known, late)
			assert.Equal(t, driver.ErrNoSession, err)
		}
		assert.Equal(t, before, k.raw(id.String()))

		unknown := change(driver.NewID(), set("a", "1"))
		_, err := d.Save(t.Context(), base, unknown)
		assert.Equal(t, driver.ErrNoSession, err)
		assert.Nil(t, k.raw(unknown.ID.String()), "an unknown id was adopted")
	})
}

func TestRepeatedSaveIsAppliedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		base := begin(t, d)
		ch := change(base.ID(), add("n", 1))
		first, err := d.Save(t.Context(), base, ch)
		require.NoError(t, err)
		for _, known := range []*driver.Record{base, first, nil} {
			again, err := d.Save(t.Context(), known, ch)
			require.NoError(t, err)
			assert.Equal(t, first, again)
		}
		assertValue(t, load(t, d, base.ID()), "n", "1")
	})
}

// A base that is out of date must not decide that a save fails.
func TestStaleBaseRefusesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		base := begin(t, d)
		replace := change(base.ID(), set("a", "1"))
		replace.Install, replace.Replace = secretB, true
		_, err := d.Save(t.Context(), base, replace)
		require.NoError(t, err)

		ch := change(base.ID(), driver.Op{Kind: driver.Swap, Part: driver.Data, Key: "a", Old: "1", Encoded: "2"})
		ch.Expect = secretB
		rec, err := d.Save(t.Context(), base, ch)
		require.NoError(t, err)
		assertValue(t, rec, "a", "2")

		ended, err := d.End(t.Context(), base, byClient(base.ID(), secretB))
		require.NoError(t, err)
		assert.Equal(t, rec, ended)
	})
}

func TestSwapperIsReadOnlyIfNeeded(t *testing.T) {
	s := new(swapStore)
	d := store.New(s)
	calls := func(what string, want ...string) {
		t.Helper()
		assert.Equal(t, want, s.takeCalls(), what)
	}
	base := begin(t, d)
	calls("first save", "Swap")
	load(t, d, base.ID())
	calls("load", "Get")
	ch := change(base.ID(), set("a", "1"))
	second, err := d.Save(t.Context(), base, ch)
	require.NoError(t, err)
	calls("save", "Swap")
	_, err = d.Save(t.Context(), second, ch)
	require.NoError(t, err)
	calls("repeated save", "Get")
	_, err = d.Save(t.Context(), base, change(base.ID(), set("b", "1")))
	require.NoError(t, err)
	calls("save after another one", "Swap", "Swap")
	_, err = d.End(t.Context(), second, byClient(base.ID(), secretA))
	require.NoError(t, err)
	calls("end after another save", "Swap", "Swap")
	base = begin(t, d)
	s.takeCalls()
	_, err = d.End(t.Context(), base, byClient(base.ID(), secretA))
	require.NoError(t, err)
	calls("end", "Swap")
	require.NoError(t, d.EndBefore(t.Context(), user, start))
	calls("index", "Get", "Swap")
}

func TestEntryExpiresWithTheRecord(t *testing.T) {
	s := new(mapStore)
	d := store.New(s)
	base := begin(t, d)
	entry := s.entries[base.ID().String()]
	assert.Equal(t, start.Add(time.Hour), entry.Expires)
	assert.Equal(t, time.Hour, entry.TTL)

	passive := change(base.ID(), set("a", "1"))
	passive.Now, passive.Use = start.Add(20*time.Minute), false
	_, err := d.Save(t.Context(), base, passive)
	require.NoError(t, err)
	entry = s.entries[base.ID().String()]
	assert.Equal(t, start.Add(time.Hour), entry.Expires, "a passive save prolonged the session")
	assert.Equal(t, 40*time.Minute, entry.TTL)

	shorter := change(base.ID(), set("a", "2"))
	shorter.Now = start.Add(time.Hour - time.Nanosecond)
	shorter.Use = false
	_, err = d.Save(t.Context(), base, shorter)
	require.NoError(t, err)
	assert.Equal(t, time.Millisecond, s.entries[base.ID().String()].TTL, "a Store may take less for no expiry")
}

func TestPingAsksTheStore(t *testing.T) {
	s := new(mapStore)
	require.NoError(t, store.New(s).Ping(t.Context()))
	assert.Equal(t, []string{"Get"}, s.takeCalls())
	s.step = func(context.Context, func()) error { return errDisk }
	assert.ErrorIs(t, store.New(s).Ping(t.Context()), driver.ErrUnavailable)

	own := &pingStore{err: fmt.Errorf("%w: wrong password", driver.ErrMisconfigured)}
	assert.Equal(t, own.err, store.New(own).Ping(t.Context()))
}

type pingStore struct {
	mapStore
	err error
}

func (s *pingStore) Ping(context.Context) error { return s.err }

func TestErrorsOfTheStoreAreOutages(t *testing.T) {
	misconfigured := fmt.Errorf("store: %w", driver.ErrMisconfigured)
	for name, err := range map[string]error{
		"another error":      errDisk,
		"unavailable":        fmt.Errorf("store: %w", driver.ErrUnavailable),
		"misconfigured":      misconfigured,
		"no session":         fmt.Errorf("store: %w", driver.ErrNoSession),
		"damaged":            driver.ErrDamaged,
		"the context's end":  context.Canceled,
		"several of the two": errors.Join(driver.ErrEnded, errDisk),
	} {
		t.Run(name, func(t *testing.T) {
			onEachOperation(t, func(context.Context, func()) error { return err }, func(t *testing.T, got error) {
				if err == misconfigured {
					assert.Equal(t, err, got)
					return
				}
				assert.ErrorIs(t, got, driver.ErrUnavailable)
				assert.NotErrorIs(t, got, driver.ErrNoSession, "an outage looks like a missing session")
				assert.NotErrorIs(t, got, driver.ErrDamaged)
				assert.ErrorContains(t, got, err.Error())
			})
		})
	}
}

func TestPanicOfTheStoreIsNotSwallowed(t *testing.T) {
	for _, d := range []*store.Driver{store.New(&mapStore{step: panics}), store.New(&swapStore{mapStore{step: panics}})} {
		assert.PanicsWithValue(t, "broken store", func() { _, _ = d.Load(t.Context(), driver.NewID(), start) })
		assert.PanicsWithValue(t, "broken store", func() { _ = d.EndBefore(t.Context(), user, start) })
	}
}

func panics(context.Context, func()) error { panic("broken store") }

// onEachOperation runs every operation of a Driver on a Store and a Swapper with a step.
func onEachOperation(t *testing.T, step func(context.Context, func()) error, check func(t *testing.T, err error)) {
	for name, s := range map[string]interface {
		driver.Store
		setStep(func(context.Context, func()) error)
	}{"Store": new(mapStore), "Swapper": new(swapStore)} {
		d := store.New(s)
		base := begin(t, d)
		s.setStep(step)
		ctx, id := t.Context(), base.ID()
		operations := map[string]func() error{
			"Load": func() error { _, err := d.Load(ctx, id, start); return err },
			"Save": func() error { _, err := d.Save(ctx, base, change(id, set("a", "1"))); return err },
			"End":  func() error { _, err := d.End(ctx, base, byClient(id, secretA)); return err },
			"Enter": func() error {
				return d.Enter(ctx, user, driver.IndexEntry{ID: id, Entered: start, Ends: start.Add(time.Hour)}, 0, start)
			},
			"Remove":    func() error { return d.Remove(ctx, user, id) },
			"List":      func() error { _, err := d.List(ctx, user, start); return err },
			"EndBefore": func() error { return d.EndBefore(ctx, user, start) },
			"Ping":      func() error { return d.Ping(ctx) },
		}
		names := make([]string, 0, len(operations))
		for operation := range operations {
			names = append(names, operation)
		}
		slices.Sort(names)
		for _, operation := range names {
			t.Run(name+" "+operation, func(t *testing.T) { check(t, operations[operation]()) })
		}
	}
}

func (s *mapStore) setStep(step func(context.Context, func()) error) { s.step = step }

// A row that was deleted meanwhile is nothing that an UPDATE of SQL complains about.
func TestStoreThatDoesNotCallChangeIsAnOutage(t *testing.T) {
	d := store.New(forgetfulStore{&mapStore{}})
	_, err := d.Save(t.Context(), nil, change(driver.NewID()))
	assert.ErrorIs(t, err, driver.ErrUnavailable)
	assert.ErrorContains(t, err, "without calling change")
	_, err = d.End(t.Context(), nil, &driver.Ending{ID: driver.NewID(), Now: start})
	assert.ErrorIs(t, err, driver.ErrUnavailable)
}

type forgetfulStore struct{ *mapStore }

func (forgetfulStore) Update(context.Context, string, func([]byte) (driver.Entry, error)) error {
	return nil
}
