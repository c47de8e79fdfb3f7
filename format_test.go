package session_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
)

// A recordedCookie is one of testdata/cookie_vectors.json.
type recordedCookie struct {
	Name            string
	Secret          string
	PreviousSecrets []string `json:"previous_secrets"`
	CookieName      string   `json:"cookie_name"`
	Time            int64
	Payload         string
	Entries         map[string]string
	Cookie          string
}

func recordedCookies(t testing.TB) (opens, refused, expired []recordedCookie) {
	t.Helper()
	data, err := os.ReadFile("testdata/cookie_vectors.json")
	require.NoError(t, err)
	var file struct{ Opens, Refused, Expired []recordedCookie }
	require.NoError(t, json.Unmarshal(data, &file))
	require.GreaterOrEqual(t, len(file.Opens), 8)
	require.GreaterOrEqual(t, len(file.Refused), 30)
	require.Len(t, file.Expired, 2)
	return file.Opens, file.Refused, file.Expired
}

// driver returns a driver that has the secrets of a recorded cookie.
func (v recordedCookie) driver(t testing.TB) *session.CookieDriver {
	t.Helper()
	driver, err := session.NewCookieDriver(session.CookieConfig{}, v.Secret, v.PreviousSecrets...)
	require.NoError(t, err)
	return driver
}

// load opens a cookie in place of the recorded one, as the middleware does.
func (v recordedCookie) load(d *session.CookieDriver, cookie string) (*session.Record, error) {
	tok := session.NewToken(v.CookieName).WithValue(cookie)
	return d.Load(context.Background(), tok, time.UnixMilli(v.Time))
}

// byTheBook opens a recorded cookie with the independent decoder.
func (v recordedCookie) byTheBook(cookie string) (record []byte, entries map[string]string) {
	return openByTheBook(append([]string{v.Secret}, v.PreviousSecrets...), v.CookieName, cookie, uint64(v.Time))
}

func TestRecordedCookiesOpenToWhatWasSealed(t *testing.T) {
	opens, _, _ := recordedCookies(t)
	for _, v := range opens {
		t.Run(v.Name, func(t *testing.T) {
			rec, err := v.load(v.driver(t), v.Cookie)
			require.NoError(t, err)
			packed, err := rec.AppendBinary(nil)
			require.NoError(t, err)
			payload := unhexed(t, v.Payload)
			copy(payload[26:34], packed[26:34]) // loading counts as use
			assert.Equal(t, payload, packed)
			assert.Equal(t, max(v.Time, usedAt(t, v)), rec.UsedAt().UnixMilli())
			if v.Entries != nil {
				assert.Equal(t, v.Entries, entries(rec))
			}
		})
	}
}

func TestRecordedCookiesAreRead(t *testing.T) {
	opens, _, expired := recordedCookies(t)
	for _, v := range append(opens, expired...) {
		t.Run("by the book: "+v.Name, func(t *testing.T) {
			record, found := v.byTheBook(v.Cookie)
			assert.Equal(t, v.Payload, hex.EncodeToString(record))
			require.NotNil(t, found)
			if v.Entries != nil {
				assert.Equal(t, v.Entries, found)
			}
		})
	}
}

func TestRecordedCookiesThatMustNotOpenDoNot(t *testing.T) {
	_, refused, _ := recordedCookies(t)
	for _, v := range refused {
		t.Run(v.Name, func(t *testing.T) {
			v.requireRefused(t, v.driver(t), v.Cookie)
		})
	}
}

// What is over is no session, but the cookie is one of ours: it is not taken for tampering.
func TestRecordedCookiesAreOverAtTheirLimits(t *testing.T) {
	_, _, expired := recordedCookies(t)
	for _, v := range expired {
		t.Run(v.Name, func(t *testing.T) {
			_, err := v.load(v.driver(t), v.Cookie)
			assert.ErrorIs(t, err, session.ErrNoSession)
			assert.EqualError(t, err, session.ErrNoSession.Error())

			v.Time-- // a millisecond sooner it opens
			_, err = v.load(v.driver(t), v.Cookie)
			assert.NoError(t, err)
		})
	}
}

func TestNoTruncationOfARecordedCookieOpens(t *testing.T) {
	opens, _, _ := recordedCookies(t)
	for _, v := range opens {
		d, wire := v.driver(t), unbase64ed(t, v.Cookie)
		for n := range len(v.Cookie) {
			v.requireRefused(t, d, v.Cookie[:n])
		}
		for n := range len(wire) {
			v.requireRefused(t, d, base64.RawURLEncoding.EncodeToString(wire[:n]))
			v.requireRefused(t, d, base64.RawURLEncoding.EncodeToString(wire[n+1:]))
		}
	}
}

func TestNoFlippedBitOfARecordedCookieOpens(t *testing.T) {
	opens, _, _ := recordedCookies(t)
	for _, v := range opens {
		d, wire := v.driver(t), unbase64ed(t, v.Cookie)
		step := 1
		if len(wire) > 120 {
			step = 7 // each byte at least once
		}
		for bit := 0; bit < 8*len(wire); bit += step {
			wire[bit/8] ^= 1 << (bit % 8)
			v.requireRefused(t, d, base64.RawURLEncoding.EncodeToString(wire))
			wire[bit/8] ^= 1 << (bit % 8)
		}
	}
}

const notOurs = "session: no such session: the token is not one of ours"

// requireRefused requires that neither the library nor the independent decoder opens a cookie,
// and that the library says the same of it whatever is wrong.
func (v recordedCookie) requireRefused(t *testing.T, d *session.CookieDriver, cookie string) {
	t.Helper()
	rec, err := v.load(d, cookie)
	if rec != nil || !errors.Is(err, session.ErrNoSession) || err.Error() != notOurs {
		require.Fail(t, "the library opens it, or says more of it than of others", "%s: %q: %v", v.Name, cookie, err)
	}
	if _, found := v.byTheBook(cookie); found != nil {
		require.Fail(t, "the independent decoder opens it", "%s: %q", v.Name, cookie)
	}
}

// What the library seals now, the independent decoder reads.
func TestSealedCookiesAreReadByTheBook(t *testing.T) {
	m := newManager(t, driverConfig(t, "cookie"))
	b := newBrowser(t, m.Middleware(httpHandler(func(s *session.Session) {
		s.Set("name", "Ann")
		s.Set("visits", 3)
		s.Set("cart", map[string]any{"price": 5.0, "items": []int{1, 2}})
		s.Flash("success", "Saved!")
	})))
	cookie := b.get("/").cookie("s_cookie")
	require.NotNil(t, cookie)

	_, found := openByTheBook([]string{testSecret}, "s_cookie", cookie.Value, uint64(time.Now().UnixMilli()))
	assert.Equal(t, map[string]string{
		"v:name": "'Ann", "v:visits": "3", "v:cart": `={"items":[1,2],"price":5.0}`, "f:success": "'Saved!",
	}, found)
}

func entries(rec *session.Record) map[string]string {
	found := make(map[string]string)
	for key, value := range rec.Values() {
		found["v:"+key] = value
	}
	for key, flash := range rec.Flash() {
		found["f:"+key] = flash.Value
	}
	for key, value := range rec.Account() {
		found["a:"+key] = value
	}
	return found
}

func usedAt(t *testing.T, v recordedCookie) int64 {
	return int64(number(unhexed(t, v.Payload)[26:]))
}

func unbase64ed(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	return b
}

func unhexed(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// Every kind of value in the recorded cookies reads back as docs/format.md says.
func TestRecordedValuesReadAsTheFormatSays(t *testing.T) {
	opens, _, _ := recordedCookies(t)
	v := opens[1]
	require.Equal(t, "every kind of value", v.Name)
	m := newManager(t, session.Config{Secret: v.Secret})
	m.SetClock(func() time.Time { return time.UnixMilli(v.Time) })
	var all map[string]any
	b := newBrowser(t, m.Middleware(httpHandler(func(s *session.Session) { all = s.All() })))
	b.get("/", "Cookie", v.CookieName+"="+v.Cookie)

	assert.Equal(t, "NaN -0 -Inf", fmt.Sprint(all["nan"], " ", all["negative zero"], " ", all["infinite"]))
	maps.DeleteFunc(all, func(key string, _ any) bool { return key == "nan" || key == "negative zero" || key == "infinite" })
	assert.Equal(t, map[string]any{
		"string": "Ann", "empty": "", "unicode": "Zoë ✓", "integer": 42, "negative": -7,
		"least": -9223372036854775808, "largest": uint64(18446744073709551615), "float": 5.0, "small": 1e-07,
		"true": true, "false": false, "nil": nil, "ключ": "a key of another script",
		"object": map[string]any{"items": []any{1, 2.5, 5.0, nil}, "name": "Ann"},
	}, all)
}
