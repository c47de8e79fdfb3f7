package driver_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// secretsOf returns the first bytes of the accepted and of the replaced digests of a record.
func secretsOf(rec *driver.Record) (accepted, replaced []byte) {
	for _, c := range rec.Credentials() {
		if c.Replaced {
			replaced = append(replaced, c.Digest[0])
		} else {
			accepted = append(accepted, c.Digest[0])
		}
	}
	return accepted, replaced
}

// install returns changes by one secret that install another.
func install(number uint64, by, other byte, replace bool) *driver.Changes {
	ch := save(number)
	ch.Expect, ch.Install, ch.Replace = secret(by), secret(other), replace
	return ch
}

func TestFirstSaveInstallsItsSecretAndRemembersTheVisitors(t *testing.T) {
	ch := begin()
	ch.Expect = secret(9)
	rec := apply(t, ch, nil)
	assert.True(t, rec.Accepts(secret(1)))
	assert.False(t, rec.Accepts(secret(9)), "the secret before the first save opens nothing")
	at, ok := rec.ReplacedAt(secret(9))
	assert.True(t, ok, "and is remembered as replaced")
	assert.Equal(t, start, at)

	ch.Install, ch.Expect = driver.Digest{}, driver.Digest{}
	rec = apply(t, ch, nil)
	assert.Empty(t, rec.Credentials())
	assert.False(t, rec.Accepts(driver.Digest{}), "no secret is not a secret")
	_, ok = rec.ReplacedAt(driver.Digest{})
	assert.False(t, ok)
}

func TestReplaceRetiresEverySecret(t *testing.T) {
	rec := apply(t, install(2, 1, 2, false), apply(t, begin(), nil))
	ch := install(3, 2, 3, true)
	ch.Now = start.Add(time.Minute)
	rec = apply(t, ch, rec)
	accepted, replaced := secretsOf(rec)
	assert.Equal(t, []byte{3}, accepted)
	assert.Equal(t, []byte{1, 2}, replaced)
	for _, old := range replaced {
		at, ok := rec.ReplacedAt(secret(old))
		assert.True(t, ok)
		assert.Equal(t, ch.Now, at)
		assertConflict(t, refuse(t, install(4, old, 5, true), rec), rec, "")
	}
	_, ok := rec.ReplacedAt(secret(3))
	assert.False(t, ok, "an accepted secret is not replaced")
	_, ok = rec.ReplacedAt(secret(7))
	assert.False(t, ok, "an unknown secret is not replaced")
}

func TestAFifthSecretRetiresTheOldestThatJoined(t *testing.T) {
	rec := apply(t, begin(), nil)
	for n := byte(2); n <= 4; n++ {
		rec = apply(t, install(uint64(n), 1, n, false), rec)
	}
	accepted, replaced := secretsOf(rec)
	assert.Equal(t, []byte{1, 2, 3, 4}, accepted)
	assert.Empty(t, replaced)
	rec = apply(t, install(5, 3, 5, false), rec)
	rec = apply(t, install(6, 4, 6, false), rec)
	accepted, replaced = secretsOf(rec)
	assert.Equal(t, []byte{1, 4, 5, 6}, accepted, "the first secret did not join, and stays")
	assert.Equal(t, []byte{2, 3}, replaced)
}

// TestPresentedSecretStaysAtCleanUp installs an accepted secret in the place of the others.
func TestPresentedSecretStaysAtCleanUp(t *testing.T) {
	rec := apply(t, begin(), nil)
	for n := byte(2); n <= 4; n++ {
		rec = apply(t, install(uint64(n), 1, n, false), rec)
	}
	clean := install(9, 3, 3, true)
	clean.Now = start.Add(30 * time.Second)
	rec = apply(t, clean, rec)
	accepted, replaced := secretsOf(rec)
	assert.Equal(t, []byte{3}, accepted)
	assert.Equal(t, []byte{1, 2, 4}, replaced)
	assert.True(t, rec.Accepts(secret(3)))
	_, ok := rec.ReplacedAt(secret(3))
	assert.False(t, ok)
	same := apply(t, install(10, 3, 3, false), rec)
	accepted, replaced = secretsOf(same)
	assert.Equal(t, []byte{3}, accepted, "a secret that is installed again is there once")
	assert.Equal(t, []byte{1, 2, 4}, replaced)
}

func TestReplacedSecretsAreRememberedForAnHour(t *testing.T) {
	rec := apply(t, install(2, 1, 2, true), apply(t, begin(), nil))
	for after, want := range map[time.Duration]bool{0: true, time.Hour - time.Millisecond: true, time.Hour: false, 2 * time.Hour: false} {
		ch := save(3)
		ch.Expect, ch.Now, ch.Limits = secret(2), start.Add(after), driver.Limits{Lifetime: 24 * time.Hour, Idle: 24 * time.Hour}
		old := rec
		if after >= time.Hour { // the idle timeout must be longer
			wide := save(4)
			wide.Expect, wide.Limits = secret(2), ch.Limits
			old = apply(t, wide, rec)
		}
		_, ok := apply(t, ch, old).ReplacedAt(secret(1))
		assert.Equal(t, want, ok, "after %v", after)
	}
}

func TestTheLastFourReplacedSecretsAreRemembered(t *testing.T) {
	rec := apply(t, begin(), nil)
	for n := byte(2); n <= 7; n++ {
		ch := install(uint64(n), n-1, n, true)
		ch.Now = start.Add(time.Duration(n) * time.Minute)
		rec = apply(t, ch, rec)
	}
	accepted, replaced := secretsOf(rec)
	assert.Equal(t, []byte{7}, accepted)
	assert.Equal(t, []byte{3, 4, 5, 6}, replaced)
}

// TestRandomCredentialsKeepTheirRules installs secrets at random and holds each record to the rules.
func TestRandomCredentialsKeepTheirRules(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		rec, now := apply(t, begin(), nil), start
		for step := uint64(2); step < 30; step++ {
			accepted, replaced := secretsOf(rec)
			require.NotEmpty(t, accepted)
			by := accepted[r.IntN(len(accepted))]
			next := byte(step)
			if r.IntN(4) == 0 {
				next = by
			}
			now = now.Add(time.Duration(r.Int64N(int64(20 * time.Minute))))
			ch := install(step, by, next, r.IntN(3) == 0)
			ch.Now = now
			rec = apply(t, ch, rec) // checks that it is well-formed
			after, gone := secretsOf(rec)
			require.LessOrEqual(t, len(after), 4)
			require.LessOrEqual(t, len(gone), 4)
			require.True(t, rec.Accepts(secret(next)), "what was installed is accepted")
			if ch.Replace {
				require.Equal(t, []byte{next}, after)
			}
			for _, old := range replaced {
				require.False(t, rec.Accepts(secret(old)), "a replaced secret is accepted again")
			}
		}
	}
}

func TestEndingAllows(t *testing.T) {
	ann := apply(t, install(2, 1, 2, true), apply(t, begin(account(driver.UserKey, "ann")), nil))
	visitor := apply(t, begin(), nil)
	bySecret := func(n byte) driver.Ending { return driver.Ending{Secret: secret(n)} }
	for name, test := range map[string]struct {
		ending driver.Ending
		rec    *driver.Record
		want   bool
	}{
		"accepted secret":                   {bySecret(2), ann, true},
		"replaced secret":                   {bySecret(1), ann, true},
		"unknown secret":                    {bySecret(3), ann, false},
		"secret, no record":                 {bySecret(2), nil, false},
		"neither secret nor user":           {driver.Ending{}, ann, false},
		"neither, a record without secrets": {driver.Ending{}, apply(t, &driver.Changes{Now: start, New: true}, nil), false},
		"neither, no record":                {driver.Ending{}, nil, false},
		"its user":                          {driver.Ending{User: "ann"}, ann, true},
		"another user":                      {driver.Ending{User: "ben"}, ann, false},
		"a user of another spelling":        {driver.Ending{User: "Ann"}, ann, false},
		"a visitor's record":                {driver.Ending{User: "ann"}, visitor, true},
		"user, no record":                   {driver.Ending{User: "ann"}, nil, true},
		"another user with an accepted key": {driver.Ending{User: "ben", Secret: secret(2)}, ann, false},
	} {
		assert.Equal(t, test.want, test.ending.Allows(test.rec), name)
	}
}
