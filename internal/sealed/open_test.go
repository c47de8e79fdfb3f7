package sealed_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sealed"
	"example.com/session/internal/suites/book"
)

func TestOpenRefusesEverySingleFlippedBit(t *testing.T) {
	k := mustKeyring(t, secret, otherSecret)
	for _, plain := range []string{"", "sixteen bytes...", "and some more than that"} {
		wire := unbase64(t, seal(k, cookieName, []byte(plain)))
		for bit := range 8 * len(wire) {
			flipped := bytes.Clone(wire)
			flipped[bit/8] ^= 1 << (bit % 8)
			want := sealed.ErrOpen
			if bit < 8*headerLen {
				want = sealed.ErrNotOurs
			}
			requireRefused(t, want, k, cookieName, tobase64(flipped))
		}
	}
}

func TestOpenRefusesEveryTruncation(t *testing.T) {
	k := mustKeyring(t, secret)
	value := seal(k, cookieName, []byte("truncated"))
	wire := unbase64(t, value)
	for n := range len(value) {
		requireRefused(t, nil, k, cookieName, value[:n])
		requireRefused(t, nil, k, cookieName, value[n+1:])
	}
	for n := range len(wire) {
		want := sealed.ErrOpen
		if n < overhead {
			want = sealed.ErrNotOurs
		}
		requireRefused(t, want, k, cookieName, tobase64(wire[:n]))
	}
}

func TestOpenRefusesAnExtendedValue(t *testing.T) {
	k := mustKeyring(t, secret)
	value := seal(k, cookieName, []byte("extended"))
	wire := unbase64(t, value)
	for n := 1; n < 40; n++ {
		zeros := make([]byte, n)
		requireRefused(t, sealed.ErrOpen, k, cookieName, tobase64(append(bytes.Clone(wire), zeros...)))
		requireRefused(t, sealed.ErrNotOurs, k, cookieName, tobase64(append(zeros, wire...)))
		requireRefused(t, nil, k, cookieName, value+strings.Repeat("A", n))
	}
}

func TestOpenRefusesTheCookieOfAnotherName(t *testing.T) {
	k := mustKeyring(t, secret)
	value := seal(k, cookieName, []byte("bound to its name"))
	for _, name := range []string{"", "s_cooki", "s_cookie2", "S_cookie", "t_cookie", "s_redis"} {
		requireRefused(t, sealed.ErrOpen, k, name, value)
	}
}

// Also a value of the right key: a version is never read as another.
func TestOpenRefusesAnotherVersion(t *testing.T) {
	k := mustKeyring(t, secret)
	header := unbase64(t, seal(k, cookieName, nil))[:headerLen]
	for version := range 256 {
		header[0] = byte(version)
		value := string(k.SealWith(header, cookieName, []byte("versioned")))
		if version != 1 {
			requireRefused(t, sealed.ErrNotOurs, k, cookieName, value)
			continue
		}
		_, err := k.Open(nil, cookieName, value)
		require.NoError(t, err)
	}
}

func TestOpenRefusesTheKeyIDOfAnotherKey(t *testing.T) {
	k := mustKeyring(t, secret, otherSecret)
	wire := unbase64(t, seal(k, cookieName, []byte("sealed by the first key")))
	copy(wire, unbase64(t, seal(mustKeyring(t, otherSecret), cookieName, nil))[:headerLen])
	requireRefused(t, sealed.ErrOpen, k, cookieName, tobase64(wire))
}

// A rolling deployment or another application on the host: nothing is called tampering.
func TestTheValueOfAnUnknownSecretIsNotOurs(t *testing.T) {
	value := seal(mustKeyring(t, otherSecret), cookieName, []byte("unknown"))
	requireRefused(t, sealed.ErrNotOurs, mustKeyring(t, secret), cookieName, value)
	requireRefused(t, sealed.ErrNotOurs, mustKeyring(t, secret, newSecret(), newSecret()), cookieName, value)
}

func TestPreviousSecretsOpenButNeverSeal(t *testing.T) {
	old := mustKeyring(t, otherSecret)
	k := mustKeyring(t, secret, newSecret(), otherSecret)

	got, err := k.Open(nil, cookieName, seal(old, cookieName, []byte("from before")))
	require.NoError(t, err)
	assert.Equal(t, "from before", string(got))

	requireRefused(t, sealed.ErrNotOurs, old, cookieName, seal(k, cookieName, []byte("from now on")))
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// otherSpellings spells a value in ways that a lenient decoder takes for the value itself.
func otherSpellings(value string) map[string]string {
	half := len(value) / 2
	spelled := map[string]string{
		"padding":             value + "=",
		"more padding":        value + "==",
		"newline at the end":  value + "\n",
		"newline at the head": "\n" + value,
		"newline inside":      value[:half] + "\n" + value[half:],
		"two newlines":        value[:half] + "\n\n" + value[half:],
		"three newlines":      value[:half] + "\n\n\n" + value[half:],
		"four newlines":       value[:half] + "\n\n\n\n" + value[half:],
		"carriage return":     value[:half] + "\r" + value[half:],
		"both":                value[:half] + "\r\n" + value[half:],
		"space at the head":   " " + value,
		"space at the end":    value + " ",
		"quotes":              `"` + value + `"`,
		"NUL":                 value + "\x00",
		"percent":             value[:half] + "%2D" + value[half:],
	}
	if len(value)%4 != 0 { // else every bit is used
		last := strings.IndexByte(base64Alphabet, value[len(value)-1])
		spelled["trailing bits"] = value[:len(value)-1] + base64Alphabet[last+1:last+2]
	}
	return spelled
}

func TestOpenRefusesEveryOtherSpellingOfAValue(t *testing.T) {
	k := mustKeyring(t, secret)
	for n := range 3 { // 0, 1 and 2 bytes over a multiple of three: with trailing bits or without
		value := seal(k, cookieName, make([]byte, n))
		for name, spelled := range otherSpellings(value) {
			t.Run(fmt.Sprint(n, " ", name), func(t *testing.T) {
				requireRefused(t, sealed.ErrNotOurs, k, cookieName, spelled)
			})
		}
	}
}

func TestOpenRefusesTheStandardBase64Alphabet(t *testing.T) {
	k := mustKeyring(t, secret)
	other := strings.NewReplacer("-", "+", "_", "/")
	for spelled := 0; spelled < 10; {
		value := seal(k, cookieName, []byte("alphabet"))
		if s := other.Replace(value); s != value {
			requireRefused(t, sealed.ErrNotOurs, k, cookieName, s)
			spelled++
		}
	}
}

// Every byte at every place, instead of the one there and before it.
func TestOpenRefusesEveryOtherByteAtEveryPlace(t *testing.T) {
	k := mustKeyring(t, secret)
	value := seal(k, cookieName, []byte("x"))
	for i := range len(value) {
		for b := range 256 {
			c := string([]byte{byte(b)})
			if value[i:i+1] != c {
				requireRefused(t, nil, k, cookieName, value[:i]+c+value[i+1:])
			}
			requireRefused(t, nil, k, cookieName, value[:i]+c+value[i:])
		}
	}
}

func TestOpenAllocatesNothingForAValueOfAnImpossibleLength(t *testing.T) {
	k := mustKeyring(t, secret)
	for name, value := range map[string]string{
		"empty":    "",
		"short":    strings.Repeat("A", sealed.SealedLen(0)-1),
		"too long": strings.Repeat("A", 4097),
		"huge":     strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			requireRefused(t, sealed.ErrNotOurs, k, cookieName, value)
			assert.Zero(t, testing.AllocsPerRun(10, func() { k.Open(nil, cookieName, value) }))
		})
	}
}

func FuzzOpen(f *testing.F) {
	k := mustKeyring(f, secret, otherSecret)
	for n := range 4 {
		value := seal(k, cookieName, make([]byte, n))
		f.Add(value)
		for _, spelled := range otherSpellings(value) {
			f.Add(spelled)
		}
	}
	for _, v := range recordedVectors(f).Opens {
		f.Add(v.Cookie)
	}
	for _, n := range []int{4095, 4096, 4097, 1 << 16} {
		f.Add(strings.Repeat("A", n))
	}
	f.Fuzz(func(t *testing.T, value string) {
		plain, err := k.Open(nil, cookieName, value)
		want, ok := book.Open([]string{secret, otherSecret}, cookieName, value)
		assert.Equal(t, ok, err == nil, "an independent decoder disagrees about %q", value)
		assert.True(t, bytes.Equal(want, plain))
		if err == nil {
			wire, err := base64.RawURLEncoding.DecodeString(value)
			require.NoError(t, err)
			assert.Equal(t, tobase64(wire), value, "a second spelling")
			return
		}
		assert.True(t, errors.Is(err, sealed.ErrOpen) || errors.Is(err, sealed.ErrNotOurs))
	})
}

// requireRefused requires that value does not open, with the wanted error, or with either for nil.
func requireRefused(t testing.TB, want error, k *sealed.Keyring, name, value string) {
	t.Helper()
	plain, err := k.Open(nil, name, value)
	known := err == sealed.ErrOpen || err == sealed.ErrNotOurs
	if plain != nil || !known || want != nil && err != want {
		t.Fatalf("%q opened to %q, error %v, want %v", value, plain, err, want)
	}
}
