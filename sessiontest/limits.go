package sessiontest

import (
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
)

const tick = time.Millisecond // what times are kept to

func testIdleTimeout(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	k.load(t, tok, k.start.Add(limits.Idle-tick))

	tok = k.create(t, set("a", "'1"))
	at := k.start
	for range 4 { // each use moves the end
		at = at.Add(limits.Idle / 2)
		tok = k.use(t, tok, at)
	}
	k.assertGone(t, tok, at.Add(limits.Idle), "the idle timeout has passed")

	tok = k.create(t, set("a", "'1"))
	tok = k.save(t, tok, k.start.Add(limits.Idle/2), set("a", "'2"))
	k.load(t, tok, k.start.Add(limits.Idle+tick)) // saving counts as use
	k.assertGone(t, k.create(t, set("a", "'1")), k.start.Add(limits.Idle), "the idle timeout has passed")
}

func testLifetime(t *testing.T, k *kit) {
	b := k.builder(k.start, set("a", "'1"))
	b.Limits = session.Limits{Lifetime: 90 * time.Minute, Idle: time.Hour}
	tok := k.store(t, nil, build(t, b))
	tok = k.use(t, tok, k.start.Add(45*time.Minute))
	tok = k.save(t, tok, k.start.Add(89*time.Minute), set("a", "'2"))
	rec := k.load(t, tok, k.start.Add(90*time.Minute-tick))
	assert.Equal(t, k.start.Add(90*time.Minute), rec.ExpiresAt())
	k.assertGone(t, tok, k.start.Add(90*time.Minute), "no use lengthens the lifetime")
}

// testExpiredStaysDead saves what was opened in time and comes too late.
func testExpiredStaysDead(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	rec := k.load(t, tok, k.start)
	for _, late := range []time.Time{k.start.Add(limits.Idle), k.start.Add(limits.Lifetime)} {
		k.assertSaveIsGone(t, rec, late, "a save to a session that has expired")
		k.assertGone(t, tok, late, "a late save revived a session that had expired")
	}
}

func testRotationLimits(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	at := k.start.Add(30 * time.Minute)
	b := k.builder(at)
	b.Rotates = true
	b.Limits = session.Limits{Lifetime: 2 * time.Hour, Idle: 2 * time.Hour, Remembered: true}
	tok = k.store(t, k.load(t, tok, at), build(t, b))
	rec := k.load(t, tok, at)
	assert.Equal(t, at, rec.CreatedAt())
	assert.Equal(t, b.Limits, rec.Limits())
	k.load(t, tok, at.Add(2*time.Hour-tick))
	k.assertGone(t, tok, at.Add(2*time.Hour), "the new lifetime has passed")
}

// testExpiryIsMonotone opens and saves with clocks of which one is behind.
func testExpiryIsMonotone(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	ahead, behind := k.start.Add(20*time.Minute), k.start.Add(10*time.Minute)
	end := k.load(t, tok, ahead).ExpiresAt()
	assert.Equal(t, ahead.Add(limits.Idle), end)
	assert.Equal(t, end, k.load(t, tok, behind).ExpiresAt(), "a use by a clock that is behind")
	k.save(t, tok, behind, set("a", "'2"))
	assert.Equal(t, end, k.load(t, tok, behind).ExpiresAt(), "a save by a clock that is behind")
}
