package cookie_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session/internal/cookie"
)

func named(name string) func(string) bool { return func(other string) bool { return other == name } }

func TestAResponseHasOneSetCookieLineOfAName(t *testing.T) {
	h := http.Header{}
	cookie.Add(h, "a", "a=1")
	cookie.Add(h, "ab", "ab=1; Path=/a=b")
	h.Add("Set-Cookie", " a =of the handler; Path=/other")
	cookie.Add(h, "a", "a=2")
	assert.Equal(t, []string{"ab=1; Path=/a=b", "a=2"}, h["Set-Cookie"])
}

func TestLinesForVariantsStandBeforeTheCurrentCookie(t *testing.T) {
	h := http.Header{}
	cookie.Add(h, "a", "a=1")
	cookie.Add(h, "a", "a=; Path=/app; Max-Age=0", "a=2")
	assert.Equal(t, []string{"a=; Path=/app; Max-Age=0", "a=2"}, h["Set-Cookie"])
	cookie.Add(h, "a", "a=3")
	assert.Equal(t, []string{"a=3"}, h["Set-Cookie"])
}

func TestDropRemovesOnlyTheLinesOfTheName(t *testing.T) {
	h := http.Header{"Set-Cookie": {"a=1", "A=2", "b=a", "a", "aa=3"}}
	cookie.Drop(h, named("a"))
	assert.Equal(t, []string{"A=2", "b=a", "aa=3"}, h["Set-Cookie"])
	cookie.Drop(h, named("c"))
	assert.Equal(t, []string{"A=2", "b=a", "aa=3"}, h["Set-Cookie"])
}

func TestDropLeavesNoEmptyField(t *testing.T) {
	h := http.Header{"Set-Cookie": {"a=1", "a=2"}, "Vary": {"Cookie"}}
	cookie.Drop(h, named("a"))
	assert.Equal(t, http.Header{"Vary": {"Cookie"}}, h)
}

// A recovery middleware may have kept the lines.
func TestDropChangesNoSliceThatOthersHold(t *testing.T) {
	lines := []string{"a=1", "b=1", "a=2"}
	h := http.Header{"Set-Cookie": lines}
	cookie.Drop(h, named("a"))
	cookie.Add(h, "c", "c=1")
	assert.Equal(t, []string{"a=1", "b=1", "a=2"}, lines)
	assert.Equal(t, []string{"b=1", "c=1"}, h["Set-Cookie"])
}
