package sessiontest

import (
	"strings"
	"testing"
	"time"

	"example.com/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// garbage are values that no driver has issued, in a scope where it has issued others.
func garbage(valid string) []string {
	return []string{
		"", "a", "=", "*", "?", "..", "../../etc/passwd", "%00", "null",
		strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("=", 43),
		strings.Repeat("A", 42) + "B", // 43 characters of the alphabet, but bits that no encoder sets
		strings.Repeat("A", 43), strings.Repeat("\x00", 43), strings.Repeat("é", 21) + "a",
		strings.Repeat("x", 1<<20),
		valid + "=", valid + "\x00", valid + "\n", " " + valid, valid[1:], valid[:len(valid)-1],
		strings.ToLower(valid), strings.ToUpper(valid), valid + valid,
	}
}

func testGarbage(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	for _, value := range garbage(tok.Value()) {
		bad := tok.WithValue(value)
		k.assertGone(t, bad, k.start, "garbage opens something")
		assert.NoError(t, k.driver.Destroy(t.Context(), bad))
		k.assertGone(t, bad, k.start, "destroyed garbage opens something")
	}
	k.assertGone(t, session.Token{}, k.start, "the zero token opens something")
	assert.NoError(t, k.driver.Destroy(t.Context(), session.Token{}))
	assert.Equal(t, map[string]string{"a": "'1"}, contentOf(k.load(t, tok, k.start)).Values)
}

func testOtherScope(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	other := session.NewToken("s_other").WithValue(tok.Value())
	k.assertGone(t, other, k.start, "a token opens the session of another cookie")
	assert.NoError(t, k.driver.Destroy(t.Context(), other))
	k.load(t, tok, k.start)
}

// testUnknownToken is the way of session fixation: a token that somebody made up, or that a
// store has lost, must not become a session's.
func testUnknownToken(t *testing.T, k *kit) {
	for _, value := range []string{session.NewToken(scope).Value(), "garbage", strings.Repeat("A", 42) + "B"} {
		tok := session.NewToken(scope).WithValue(value)
		k.assertGone(t, tok, k.start, "an unknown token opens something")
		k.assertSaveIsGone(t, stranger(t, tok, k.start), k.start, "a save under an unknown token")
		k.assertGone(t, tok, k.start, "an unknown token was adopted")
		require.NoError(t, k.driver.Destroy(t.Context(), tok))
		rec, err := k.driver.Load(t.Context(), tok, k.start)
		assert.ErrorIs(t, err, session.ErrNoSession)
		assert.NotErrorIs(t, err, session.ErrEnded, "Destroy stores nothing for an unknown token")
		assert.Nil(t, rec)
	}
}

func testNewSessionReplacesNothing(t *testing.T, k *kit) {
	tok := k.create(t, set("owner", "'first"))
	b := k.builder(k.start, set("owner", "'second"))
	b.NewToken = tok
	_, err := k.driver.Save(t.Context(), nil, build(t, b))
	assert.Error(t, err, "a new session took the token of another")
	assert.Equal(t, map[string]string{"owner": "'first"}, contentOf(k.load(t, tok, k.start)).Values)

	other := k.load(t, k.create(t, set("owner", "'other")), k.start)
	b = k.builder(k.start)
	b.NewToken, b.Rotates = tok, true
	_, err = k.driver.Save(t.Context(), other, build(t, b))
	assert.Error(t, err, "a rotation took the token of another session")
	assert.Equal(t, map[string]string{"owner": "'first"}, contentOf(k.load(t, tok, k.start)).Values)

	require.NoError(t, k.driver.Destroy(t.Context(), tok))
	b = k.builder(k.start, set("owner", "'second"))
	b.NewToken = tok
	_, err = k.driver.Save(t.Context(), nil, build(t, b))
	assert.Error(t, err, "a new session took a token that has ended")
	k.assertGone(t, tok, k.start, "a token that has ended lives again")
}

func testEnded(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	require.NoError(t, k.driver.Destroy(t.Context(), tok))
	k.assertEnded(t, tok, time.Now())
	require.NoError(t, k.driver.Destroy(t.Context(), tok), "a second Destroy")
}

// assertEnded says that a token is known as ended, for as long as a tombstone stands.
func (k *kit) assertEnded(t *testing.T, tok session.Token, now time.Time) {
	t.Helper()
	_, err := k.driver.Load(t.Context(), tok, now)
	assert.ErrorIs(t, err, session.ErrEnded)
	assert.ErrorIs(t, err, session.ErrNoSession)
	if k.sealed {
		return // it may open again then: a copied record has no other end than its limits
	}
	_, err = k.driver.Load(t.Context(), tok, now.Add(session.Tombstone+time.Second))
	assert.ErrorIs(t, err, session.ErrNoSession)
	assert.NotErrorIs(t, err, session.ErrEnded, "the tombstone stands for too long")
}

func testEndedStaysDead(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	rec := k.load(t, tok, k.start)
	require.NoError(t, k.driver.Destroy(t.Context(), tok))
	now := time.Now()
	_, err := k.driver.Save(t.Context(), rec, k.changes(t, now, set("a", "'2")))
	assert.ErrorIs(t, err, session.ErrEnded)
	k.assertSaveIsGone(t, rec, now, "a save to a session that has ended")
	k.assertGone(t, tok, now, "a late save revived a session that had ended")

	forgotten := now.Add(session.Tombstone + time.Second)
	k.assertSaveIsGone(t, rec, forgotten, "a save to a session whose tombstone is gone")
	k.assertGone(t, tok, forgotten, "a late save revived a session whose tombstone was gone")
	_, err = k.driver.Save(t.Context(), rec, k.changes(t, k.start, set("a", "'2")))
	assert.ErrorIs(t, err, session.ErrNoSession, "by a clock that is behind")
}

func testReplacedToken(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"), flash("f", "'1"))
	rec := k.load(t, tok, k.start)
	ch := k.rotation(t, k.start, set("b", "'2"))
	fresh := k.store(t, rec, ch)
	assert.NotEqual(t, tok, fresh)
	k.assertEnded(t, tok, k.start)
	got := k.load(t, fresh, k.start)
	assertSame(t, ch.Apply(rec), got)
	assert.NotEqual(t, rec.ID(), got.ID(), "a replaced token has another identifier")
}

func testReplacedStaysDead(t *testing.T, k *kit) {
	tok := k.create(t, set("a", "'1"))
	rec := k.load(t, tok, k.start)
	fresh := k.store(t, rec, k.rotation(t, k.start))
	k.assertSaveIsGone(t, rec, k.start, "a save under a replaced token")
	k.assertSaveIsGone(t, rec, k.start.Add(session.Tombstone), "a save under a token that was replaced long ago")
	k.assertGone(t, tok, k.start, "a replaced token lives again")
	require.NoError(t, k.driver.Destroy(t.Context(), tok))
	assert.Equal(t, map[string]string{"a": "'1"}, contentOf(k.load(t, fresh, k.start)).Values)
}
