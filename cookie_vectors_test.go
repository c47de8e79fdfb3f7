package session_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/internal/hooks"
	"example.com/session/internal/sealed"
	"example.com/session/internal/suites/book"
	"example.com/session/internal/suites/kit"
)

var updateCookies = flag.Bool("update", false, "write testdata/cookie_vectors.json anew")

const cookieVectorsFile = "testdata/cookie_vectors.json"

// A cookieVector is a Cookie line, and the session that it holds at a time.
type cookieVector struct {
	Name    string         `json:"name"`
	At      int64          `json:"at"` // the time, in milliseconds
	Cookies string         `json:"cookies"`
	Handle  string         `json:"handle,omitempty"`
	User    string         `json:"user,omitempty"`
	Values  map[string]any `json:"values"`
	Holds   *book.Session  `json:"holds,omitempty"`
}

type cookieVectors struct {
	Secret string         `json:"secret"`
	Opens  []cookieVector `json:"opens"`
	Refuse []cookieVector `json:"opens_nothing"`
}

func TestRecordedCookiesOpen(t *testing.T) {
	all := recordedCookies(t)
	for _, v := range all.Opens {
		t.Run(v.Name, func(t *testing.T) {
			handle, user, values, _ := visitAt(t, all.Secret, v)
			assert.Equal(t, v.Handle, handle)
			assert.Equal(t, v.User, user)
			assert.Equal(t, v.Values, values)
			assert.Equal(t, v.Holds, byTheBook(all.Secret, v))
		})
	}
}

// What opens nothing is left alone too.
func TestRecordedCookiesThatMustOpenNothingDoNot(t *testing.T) {
	all := recordedCookies(t)
	for _, v := range all.Refuse {
		t.Run(v.Name, func(t *testing.T) {
			handle, user, values, set := visitAt(t, all.Secret, v)
			assert.Empty(t, handle)
			assert.Empty(t, user)
			assert.Empty(t, values)
			assert.Empty(t, set)
			assert.Nil(t, byTheBook(all.Secret, v), "the independent decoder accepts it")
		})
	}
}

func recordedCookies(t *testing.T) (all cookieVectors) {
	t.Helper()
	if *updateCookies {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		require.NoError(t, encoder.Encode(makeCookieVectors(t)))
		require.NoError(t, os.WriteFile(cookieVectorsFile, text.Bytes(), 0o644))
	}
	data, err := os.ReadFile(cookieVectorsFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &all))
	require.NotEmpty(t, all.Opens)
	require.NotEmpty(t, all.Refuse)
	return all
}

// byTheBook reads a vector by docs/format.md alone.
func byTheBook(secret string, v cookieVector) *book.Session {
	line, _ := http.ParseCookie(v.Cookies)
	cookies := make(map[string]string)
	for _, c := range line {
		cookies[c.Name] = c.Value
	}
	return book.ReadSession([]string{secret}, "s_cookie", cookies, uint64(v.At))
}

// visitAt sends the cookies of a vector at its time to a page that looks at its session.
func visitAt(t *testing.T, secret string, v cookieVector) (handle, user string, values map[string]any, set []string) {
	t.Helper()
	m := kit.NewManager(t, session.Config{Secret: secret, Logger: kit.Quiet})
	hooks.SetClock(m, func() time.Time { return time.UnixMilli(v.At) })
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", v.Cookies)
	w := httptest.NewRecorder()
	m.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromRequest(r)
		handle, values = s.Handle(), s.All()
		user, _ = s.User()
		w.WriteHeader(http.StatusAccepted) // not 200: flash stays
	})).ServeHTTP(w, r)
	return handle, user, values, w.Result().Header["Set-Cookie"]
}

// A forger seals what it is given, with the secret of the vectors.
type forger struct {
	t    *testing.T
	keys *sealed.Keyring
}

func (f forger) seal(name string, plain []byte) string {
	f.t.Helper()
	return string(f.keys.Seal(nil, name, plain))
}

func (f forger) open(name, value string) []byte {
	f.t.Helper()
	plain, ok := book.Open([]string{kit.Secret}, name, value)
	require.True(f.t, ok)
	return plain
}

// A jar is the cookies of one session.
type jar struct{ identity, dataName, data, hint string }

func (j jar) line() string {
	line := "s_cookie=" + j.identity
	if j.dataName != "" {
		line += "; " + j.dataName + "=" + j.data
	}
	if j.hint != "" {
		line += "; s_cookie_f=" + j.hint
	}
	return line
}

func jarOf(p kit.Page) (j jar) {
	for _, c := range p.Cookies() {
		switch c.Name {
		case "s_cookie":
			j.identity = c.Value
		case "s_cookie_f":
			j.hint = c.Value
		default:
			j.dataName, j.data = c.Name, c.Value
		}
	}
	return j
}

// makeCookieVectors records sessions of this version, and what must not pass for one of them.
func makeCookieVectors(t *testing.T) cookieVectors {
	m := kit.NewManager(t, session.Config{Secret: kit.Secret, Logger: kit.Quiet, LockAfter: time.Hour / 2})
	clock := kit.SetClock(m)
	begin := func(do func(s *session.Session)) jar {
		return jarOf(kit.NewVisitor(t, m).Visit(do))
	}
	visitor := begin(func(s *session.Session) { s.Set("cart", []any{"tea"}) })
	signedIn := begin(func(s *session.Session) { s.Login("ann"); s.Set("city", "Wien") })
	flash := begin(func(s *session.Session) { s.Set("theme", "dark"); s.Flash("success", "Saved") })
	remembered := begin(func(s *session.Session) {
		s.Login("bob")
		s.Remember(30 * 24 * time.Hour)
		s.Describe(map[string]string{"device": "laptop"})
	})
	at := clock.Now().UnixMilli()

	clock.Advance(50 * time.Minute)
	v := kit.NewVisitor(t, m)
	used := signedIn
	used.hint = v.Visit(func(s *session.Session) { s.Get("city") }, "Cookie", signedIn.line()).Cookie("s_cookie_f").Value
	later := clock.Now().Add(45 * time.Minute).UnixMilli()

	keys, err := sealed.NewKeyring(kit.Secret, nil)
	require.NoError(t, err)
	f := forger{t, keys}
	token, other := f.open("s_cookie", signedIn.identity), f.open("s_cookie", visitor.identity)
	record := f.open(signedIn.dataName, signedIn.data)

	with := func(j jar, change func(j *jar)) string {
		change(&j)
		return j.line()
	}
	withData := func(plain []byte) string {
		return with(signedIn, func(j *jar) { j.data = f.seal(j.dataName, plain) })
	}
	all := cookieVectors{Secret: kit.Secret}
	opens := func(name string, at int64, cookies string) {
		v := cookieVector{Name: name, At: at, Cookies: cookies}
		v.Handle, v.User, v.Values, _ = visitAt(t, kit.Secret, v)
		v.Holds = byTheBook(kit.Secret, v)
		require.NotNil(t, v.Holds, name)
		all.Opens = append(all.Opens, v)
	}
	opens("a visitor", at, visitor.line())
	opens("signed in", at, signedIn.line())
	opens("flash is pending", at, flash.line())
	opens("remembered and described", at, remembered.line())
	opens("used later, as the flash cookie says", later, used.line())
	opens("the flash cookie of another session", at, with(visitor, func(j *jar) { j.hint = used.hint }))
	opens("the flash cookie is no use", at, with(visitor, func(j *jar) { j.hint = "1AAAA" }))
	opens("data of another session beside it", at, signedIn.line()+"; "+visitor.dataName+"="+visitor.data)
	opens("made by a clock that is five minutes ahead", at-5*60*1000, signedIn.line())

	refuse := func(name string, at int64, cookies string) {
		all.Refuse = append(all.Refuse, cookieVector{Name: name, At: at, Cookies: cookies})
	}
	refuse("no data", at, with(signedIn, func(j *jar) { j.dataName = "" }))
	refuse("no identity", at, strings.Replace(signedIn.line(), "s_cookie=", "other=", 1))
	refuse("data of another session under this name", at, with(signedIn, func(j *jar) { j.data = visitor.data }))
	refuse("the record of another session", at, withData(f.open(visitor.dataName, visitor.data)))
	refuse("the identity of another session", at, with(signedIn, func(j *jar) { j.identity = visitor.identity }))
	refuse("the identity in place of the data", at, with(signedIn, func(j *jar) { j.data = j.identity }))
	refuse("the data in place of the identity", at, with(signedIn, func(j *jar) { j.identity = j.data }))
	refuse("a token of another secret, with data of its name", at, with(signedIn, func(j *jar) {
		mixed := append(bytes.Clone(token[:16]), other[16:]...)
		j.identity, j.dataName = f.seal("s_cookie", mixed), visitor.dataName
		j.data = f.seal(j.dataName, record)
	}))
	refuse("a token that is a byte short", at, with(signedIn, func(j *jar) { j.identity = f.seal("s_cookie", token[:41]) }))
	refuse("a token with a byte more", at, with(signedIn, func(j *jar) { j.identity = f.seal("s_cookie", append(bytes.Clone(token), 0)) }))
	refuse("an empty token", at, with(signedIn, func(j *jar) { j.identity = f.seal("s_cookie", nil) }))
	refuse("a token that is not sealed", at, with(signedIn, func(j *jar) { j.identity = base64.RawURLEncoding.EncodeToString(token) }))
	refuse("data with a byte more", at, withData(append(bytes.Clone(record), 0)))
	refuse("data that are cut off", at, withData(record[:len(record)-1]))
	refuse("no data in the data cookie", at, withData(nil))
	refuse("data of an unknown version", at, withData(append([]byte{1}, record[1:]...)))
	refuse("a secret that was replaced", at, withData(asReplaced(record)))
	refuse("made by a clock that is more than five minutes ahead", at-5*60*1000-1, signedIn.line())
	refuse("idle for too long", later, signedIn.line())
	refuse("idle for too long, with the use of another session", later, with(visitor, func(j *jar) { j.hint = used.hint }))
	refuse("a use that is more than five minutes ahead", later, with(signedIn, func(j *jar) {
		use := f.open("s_cookie_f", used.hint[1:])
		binary.BigEndian.PutUint64(use[32:], uint64(later+5*60*1000+1))
		j.hint = "0" + f.seal("s_cookie_f", use)
	}))
	refuse("over its lifetime", at+24*3600*1000, with(signedIn, func(j *jar) {
		use := f.open("s_cookie_f", used.hint[1:])
		binary.BigEndian.PutUint64(use[32:], uint64(at+24*3600*1000-1))
		j.hint = "0" + f.seal("s_cookie_f", use)
	}))
	return all
}

// asReplaced returns a record of one secret as if that had been replaced.
func asReplaced(record []byte) []byte {
	rec := book.Read(record)
	digest, _ := hex.DecodeString(rec.Credentials[0].Digest)
	replaced := bytes.Clone(record)
	replaced[bytes.Index(record, digest)+32] |= 0x80
	return replaced
}
