package driver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

func TestOnlyAFirstSaveBeginsASession(t *testing.T) {
	assert.Equal(t, driver.ErrNoSession, refuse(t, save(2, set("a", "1")), nil))
	rec := apply(t, begin(set("a", "1")), nil)
	other := begin(set("a", "2"))
	other.Number = 2
	assertConflict(t, refuse(t, other, rec), rec, "")
}

func TestLastEightSavesAreRemembered(t *testing.T) {
	first := begin(add("n", 1))
	rec := apply(t, first, nil)
	for number := uint64(2); number <= 20; number++ {
		rec = apply(t, save(number, add("n", 1)), rec)
		for old := uint64(1); old <= number; old++ {
			assert.Equal(t, old+8 > number, rec.Applied(old), "save %d after save %d", old, number)
		}
		assert.False(t, rec.Applied(0))
		assert.Equal(t, number, rec.LastSave())
	}
	n, _ := rec.Value(driver.Data, "n")
	assert.Equal(t, "20", n)
}

// TestRepeatedSaveReturnsTheRecordItself judges the number before anything else that could refuse
// the save.
func TestRepeatedSaveReturnsTheRecordItself(t *testing.T) {
	first := begin(add("n", 1))
	rec := apply(t, first, nil)
	assert.Same(t, rec, mustApply(t, first, rec), "a repeated first save")

	replace := save(2, add("n", 1), driver.Op{Kind: driver.Swap, Key: "s", Encoded: "1"})
	replace.Install, replace.Replace = secret(2), true
	rec = apply(t, replace, rec)
	replace.Retried = true
	assert.Same(t, rec, mustApply(t, replace, rec), "its secret is replaced, and its Swap would miss")
	replace.Now = start.Add(100 * time.Hour)
	assert.Same(t, rec, mustApply(t, replace, rec), "the session has expired since")
	assert.Same(t, rec, mustApply(t, first, rec), "an older save that is remembered")
}

func mustApply(t *testing.T, ch *driver.Changes, rec *driver.Record) *driver.Record {
	t.Helper()
	next, err := ch.Apply(rec)
	require.NoError(t, err)
	return next
}

func TestRetriedSaveIsRefusedIfNobodyCanTell(t *testing.T) {
	rec := apply(t, begin(), nil)
	for number := uint64(2); number <= 8; number++ {
		rec = apply(t, save(number), rec)
	}
	late := save(100)
	late.Retried, late.Since = true, 1
	apply(t, late, rec) // eight saves are known since: the first attempt was not among them

	rec = apply(t, save(9), rec)
	err := refuse(t, late, rec)
	assert.ErrorIs(t, err, driver.ErrUnavailable)
	assert.NotErrorIs(t, err, driver.ErrNoSession)
	late.Since = 2
	apply(t, late, rec)
	late.Since, late.Retried = 1, false
	apply(t, late, rec) // there was no earlier attempt
}

func TestSecretIsJudged(t *testing.T) {
	rec := apply(t, begin(set("a", "1")), nil)
	for _, wrong := range []driver.Digest{{}, secret(2), {0: 1, 31: 0xd0}, {0: 1}} {
		ch := save(2, set("a", "2"))
		ch.Expect = wrong
		assertConflict(t, refuse(t, ch, rec), rec, "")
	}
	apply(t, save(2, set("a", "2")), rec)
}

// TestExpiredSessionAcceptsNoSave checks the last millisecond of a session and the first after it.
func TestExpiredSessionAcceptsNoSave(t *testing.T) {
	for name, test := range map[string]struct {
		stored, configured driver.Limits
		end                time.Duration
	}{
		"idle timeout":           {limits, limits, time.Hour},
		"lifetime":               {driver.Limits{Lifetime: time.Minute, Idle: time.Hour}, limits, time.Minute},
		"shorter configuration":  {limits, driver.Limits{Lifetime: 24 * time.Hour, Idle: time.Minute}, time.Minute},
		"shorter lifetime":       {limits, driver.Limits{Lifetime: time.Minute, Idle: 24 * time.Hour}, time.Minute},
		"longer configuration":   {limits, driver.Limits{Lifetime: 48 * time.Hour, Idle: 48 * time.Hour}, time.Hour},
		"remembered, longer":     {driver.Limits{Lifetime: 10 * time.Hour, Idle: 9 * time.Hour, Remembered: true}, limits, 9 * time.Hour},
		"remembered, then short": {driver.Limits{Lifetime: time.Minute, Idle: time.Minute, Remembered: true}, limits, time.Minute},
		"remembered by the save": {limits, driver.Limits{Lifetime: time.Minute, Idle: time.Minute, Remembered: true}, time.Hour},
		"no limits":              {driver.Limits{}, limits, 0},
	} {
		t.Run(name, func(t *testing.T) {
			first := begin()
			first.Limits = test.stored
			rec := apply(t, first, nil)
			assert.Equal(t, start.Add(test.end), rec.ExpiresWithin(test.configured))
			ch := save(2)
			ch.Limits = test.configured
			for _, late := range []time.Duration{0, time.Millisecond, time.Hour} {
				ch.Now = start.Add(test.end + late)
				assert.Equal(t, driver.ErrNoSession, refuse(t, ch, rec))
			}
			if test.end > 0 {
				ch.Now = start.Add(test.end - time.Millisecond)
				apply(t, ch, rec)
			}
			fresh := begin(set("fresh", "1"))
			fresh.Number, fresh.Install, fresh.Limits, fresh.Now = 3, secret(3), test.configured, start.Add(test.end)
			next := apply(t, fresh, rec)
			assert.Equal(t, pack(apply(t, fresh, nil)), pack(next),
				"an expired record leaves nothing to the session that follows it")
		})
	}
}

func TestLimitsFollowTheSave(t *testing.T) {
	configured := driver.Limits{Lifetime: 12 * time.Hour, Idle: 30 * time.Minute}
	remembered := driver.Limits{Lifetime: 90 * time.Hour, Idle: 80 * time.Hour, Remembered: true}
	for name, test := range map[string]struct {
		stored, given, want driver.Limits
		restart             bool
	}{
		"configured":                           {stored: limits, given: configured, want: configured},
		"remembered ones stay":                 {stored: remembered, given: configured, want: remembered},
		"remembered ones need a restart":       {stored: limits, given: remembered, want: limits},
		"remembered ones do not replace some":  {stored: remembered, given: driver.Limits{Remembered: true}, want: remembered},
		"restart with configured ones":         {stored: limits, given: configured, want: configured, restart: true},
		"restart with remembered ones":         {stored: limits, given: remembered, want: remembered, restart: true},
		"restart takes remembered limits back": {stored: remembered, given: configured, want: configured, restart: true},
	} {
		first := begin()
		first.Limits = test.stored
		ch := save(2)
		ch.Now, ch.Limits, ch.Restart = start.Add(time.Minute), test.given, test.restart
		rec := apply(t, first, nil)
		if test.given.Lifetime == 0 {
			ch.Now = start
		}
		rec = apply(t, ch, rec)
		assert.Equal(t, test.want, rec.Limits(), name)
		want := start
		if test.restart {
			want = ch.Now
		}
		assert.Equal(t, want, rec.CreatedAt(), name)
	}
}

func TestUseNeverMovesBack(t *testing.T) {
	rec := apply(t, begin(), nil)
	ch := save(2)
	ch.Now = start.Add(10 * time.Minute)
	rec = apply(t, ch, rec)
	assert.Equal(t, ch.Now, rec.UsedAt())
	behind := save(3)
	behind.Now = start.Add(time.Minute)
	assert.Equal(t, ch.Now, apply(t, behind, rec).UsedAt(), "a clock that is behind")
	passive := save(4)
	passive.Now, passive.Use = start.Add(20*time.Minute), false
	assert.Equal(t, ch.Now, apply(t, passive, rec).UsedAt(), "a save that is no use")
}

// TestAccountPartIsBounded fills the account part to its last byte.
func TestAccountPartIsBounded(t *testing.T) {
	fits := account("k", strings.Repeat("x", 4096-4))
	rec := apply(t, begin(fits), nil)
	fits.Encoded += "x"
	var refused *driver.ValueError
	assert.ErrorAs(t, refuse(t, begin(fits), nil), &refused, "no retry can store it")
	assert.ErrorAs(t, refuse(t, save(2, account("l", "")), rec), &refused)
	fits.Encoded = strings.Repeat("x", 1<<17)
	assert.ErrorAs(t, refuse(t, save(2, fits), rec), &refused)
	assert.NotContains(t, refused.Error(), "xx")
}

func TestMilliIsATimeInMilliseconds(t *testing.T) {
	assert.Equal(t, start, driver.MilliOf(start.Add(999*time.Microsecond)).Time())
	assert.True(t, driver.Milli(0).Time().IsZero())
	assert.Zero(t, driver.MilliOf(time.Time{}))
}
