package store_test

import (
	"testing"
	"time"

	"example.com/session/driver"
	"example.com/session/internal/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEndedSessionStaysEnded(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		base := begin(t, d, set("a", "secret data"))
		id := base.ID()
		again := change(id)
		again.New, again.Expect, again.Install = true, driver.Digest{}, secretA
		ended, err := d.End(t.Context(), base, byClient(id, secretA))
		require.NoError(t, err)
		assert.Equal(t, base, ended)
		assert.NotContains(t, string(k.raw(id.String())), "secret data", "an ended session leaves data")

		at := func(after time.Duration) error {
			_, err := d.Load(t.Context(), id, start.Add(after))
			return err
		}
		assert.Equal(t, &driver.EndedError{}, at(0))
		assert.Equal(t, &driver.EndedError{}, at(-time.Minute), "a clock behind brings the session back")
		assert.Equal(t, &driver.EndedError{Ago: 29 * time.Second}, at(29*time.Second))
		assert.Equal(t, driver.ErrNoSession, at(driver.Tombstone))

		for _, ch := range []*driver.Changes{change(id, set("a", "1")), again} {
			for _, known := range []*driver.Record{base, nil} {
				_, err = d.Save(t.Context(), known, ch)
				assert.ErrorIs(t, err, driver.ErrEnded, "an ended session came back")
			}
		}
		late := change(id, set("a", "1"))
		late.Now = start.Add(time.Minute)
		_, err = d.Save(t.Context(), base, late)
		assert.Equal(t, driver.ErrNoSession, err, "an ended session came back after its tombstone")
	})
}

func TestEndingNeedsASecretOrTheUser(t *testing.T) {
	replace := func(t *testing.T, d *store.Driver, base *driver.Record) *driver.Record {
		ch := change(base.ID(), set("a", "1"))
		ch.Install, ch.Replace = secretB, true
		rec, err := d.Save(t.Context(), base, ch)
		require.NoError(t, err)
		return rec
	}
	for _, test := range []struct {
		name   string
		ending func(id driver.ID) *driver.Ending
		ends   bool
	}{
		{"accepted secret", func(id driver.ID) *driver.Ending { return byClient(id, secretB) }, true},
		{"replaced secret", func(id driver.ID) *driver.Ending { return byClient(id, secretA) }, true},
		{"invented secret", func(id driver.ID) *driver.Ending { return byClient(id, secretC) }, false},
		{"no secret", func(id driver.ID) *driver.Ending { return byClient(id, driver.Digest{}) }, false},
		{"its user", func(id driver.ID) *driver.Ending { return byUser(id, "ann") }, true},
		{"another user", func(id driver.ID) *driver.Ending { return byUser(id, "bob") }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
				base := begin(t, d, signIn("ann"))
				rec := replace(t, d, base)
				ended, err := d.End(t.Context(), base, test.ending(rec.ID()))
				require.NoError(t, err)
				if test.ends {
					assert.Equal(t, rec, ended)
					_, err := d.Load(t.Context(), rec.ID(), start)
					assert.ErrorIs(t, err, driver.ErrEnded)
					return
				}
				assert.Nil(t, ended)
				assert.Equal(t, rec, load(t, d, rec.ID()))
			})
		})
	}
}

func TestOnlyTheUserIndexEndsWhatIsNotStoredYet(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		invented := driver.NewID()
		ended, err := d.End(t.Context(), nil, byClient(invented, secretA))
		require.NoError(t, err)
		assert.Nil(t, ended)
		assert.Nil(t, k.raw(invented.String()), "an invented cookie wrote something")

		ch := change(driver.NewID(), signIn("ann"))
		ch.New, ch.Expect, ch.Install = true, driver.Digest{}, secretA
		ended, err = d.End(t.Context(), nil, byUser(ch.ID, "ann"))
		require.NoError(t, err)
		assert.Nil(t, ended)
		ch.Now = start.Add(driver.IndexTombstone - time.Second)
		_, err = d.Save(t.Context(), nil, ch)
		assert.ErrorIs(t, err, driver.ErrEnded, "EndAll missed a sign-in that was under way")
	})
}

func TestEndingNeverShortensATombstone(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		id := begin(t, d, signIn("ann")).ID()
		until := func() (stands time.Duration) {
			for stands = 0; ; stands += 10 * time.Second {
				if _, err := d.Load(t.Context(), id, start.Add(stands)); err == driver.ErrNoSession {
					return stands
				}
			}
		}
		end := func(e *driver.Ending) {
			t.Helper()
			ended, err := d.End(t.Context(), nil, e)
			require.NoError(t, err)
			assert.Nil(t, ended, "a session was ended twice")
		}
		_, err := d.End(t.Context(), nil, byClient(id, secretA))
		require.NoError(t, err)
		end(byUser(id, "ann"))
		assert.Equal(t, driver.IndexTombstone, until(), "the index could not prolong a tombstone")
		end(byClient(id, secretA))
		short := byUser(id, "ann")
		short.For = driver.Tombstone
		end(short)
		earlier := byUser(id, "ann")
		earlier.Now = start.Add(-time.Minute)
		end(earlier)
		assert.Equal(t, driver.IndexTombstone, until())

		later := byUser(id, "ann")
		later.Now = start.Add(time.Minute)
		end(later)
		_, err = d.Load(t.Context(), id, start.Add(2*time.Minute))
		assert.Equal(t, &driver.EndedError{Ago: 2 * time.Minute}, err, "a repeated ending moved the time of the first")
	})
}

func TestSessionOfATombstoneThatPassedCanBeginAnew(t *testing.T) {
	onEach(t, func(t *testing.T, k *kind, d *store.Driver) {
		base := begin(t, d)
		_, err := d.End(t.Context(), base, byClient(base.ID(), secretA))
		require.NoError(t, err)
		ch := change(base.ID())
		ch.New, ch.Expect, ch.Install, ch.Now = true, driver.Digest{}, secretB, start.Add(driver.Tombstone)
		_, err = d.Save(t.Context(), nil, ch)
		assert.NoError(t, err)
	})
}

func TestTombstoneIsKeptAsLongAsItStands(t *testing.T) {
	s := new(mapStore)
	d := store.New(s)
	id := begin(t, d).ID()
	_, err := d.End(t.Context(), nil, byClient(id, secretA))
	require.NoError(t, err)
	entry := s.entries[id.String()]
	assert.Equal(t, driver.Tombstone, entry.TTL)
	assert.Equal(t, start.Add(driver.Tombstone), entry.Expires)
	assert.Len(t, entry.Data, 25)
}

// A Swapper may compare 9 bytes, so each of these changes must change them.
func TestFirstNineBytesNameEachState(t *testing.T) {
	s := new(mapStore)
	d := store.New(s)
	seen := map[string]bool{}
	changed := func(key string) {
		t.Helper()
		state := string(name(s.entries[key].Data))
		assert.False(t, seen[state], "a state has the name of an earlier one")
		seen[state] = true
	}
	base := begin(t, d)
	key := base.ID().String()
	changed(key)
	_, err := d.Save(t.Context(), base, change(base.ID(), set("a", "1")))
	require.NoError(t, err)
	changed(key)
	for i := range time.Duration(5) {
		e := byUser(base.ID(), "ann")
		e.For += i * time.Hour
		_, err = d.End(t.Context(), base, e)
		require.NoError(t, err)
		changed(key)
	}
	for i := range time.Duration(5) {
		require.NoError(t, d.Enter(t.Context(), user, driver.IndexEntry{ID: base.ID(), Entered: start,
			Ends: start.Add(i * time.Hour)}, 0, start))
		changed("user:" + user)
	}
}
