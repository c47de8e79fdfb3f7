package sealed_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/internal/sealed"
	"example.com/session/internal/suites/book"
)

// Fixed secrets, so that a failure can be run again. The two colliding ones were searched for: they
// differ and derive the same key id.
const (
	secret      = "mO2mGt6V-Dx9eTzq0y4vQ1cB7nKpLsWfHjRi3XaUZ8E"
	otherSecret = "Yk5wT0-bRzVh2uJq8sGfD1xNcM7eLaPi9oKtW3CyBv4"
	collidingA  = "v66sFZv0O2qYyq0IrmK7Fre9SW0RnfufyPaEMO6kS9U"
	collidingB  = "_JZCgRBzZ6nZtDL-ouLqlLQuk74daIgtzhq66TIZOCU"

	cookieName = "s_cookie"
	headerLen  = 5
	overhead   = headerLen + 24 + 16
)

func TestSealedValueOpensToWhatWasSealed(t *testing.T) {
	k := mustKeyring(t, secret)
	for n := range 301 {
		plain := bytes.Repeat([]byte{byte(n)}, n)
		value := seal(k, cookieName, plain)
		require.Len(t, value, sealed.SealedLen(n))
		require.Regexp(t, `^[A-Za-z0-9_-]+$`, value)

		got, err := k.Open(nil, cookieName, value)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got), "%d bytes", n)
		require.Equal(t, n, bytes.Count(plain, []byte{byte(n)}), "Seal changed its argument")
	}
}

func TestSealedValueFillsACookieToTheLastByte(t *testing.T) {
	k := mustKeyring(t, secret)
	largest := base64.RawURLEncoding.DecodedLen(4096) - overhead
	require.Equal(t, 4096, sealed.SealedLen(largest))

	_, err := k.Open(nil, cookieName, seal(k, cookieName, make([]byte, largest)))
	require.NoError(t, err)
	requireRefused(t, sealed.ErrNotOurs, k, cookieName, seal(k, cookieName, make([]byte, largest+1)))
}

func TestSealedValueOfAnOlderReleaseStillOpens(t *testing.T) {
	const value = "AfnGdIbrbUFMM7JAgIt-bDuUm48lgeBDm22YzibmO5MFG5wF" +
		"uLj9dSgoUF2cje3E1afmz1vMqTeEPsz2HcfyajLP5yfvaR4u"
	got, err := mustKeyring(t, secret).Open(nil, cookieName, value)
	require.NoError(t, err)
	assert.Equal(t, "sealed by the first release", string(got))
}

// Both halves of the nonce are fresh for every value, also when goroutines seal at once.
func TestEveryValueHasAFreshNonce(t *testing.T) {
	const goroutines, each = 8, 250
	k := mustKeyring(t, secret)
	values := make(chan string, goroutines*each)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				values <- seal(k, cookieName, []byte("same"))
			}
		})
	}
	wg.Wait()
	close(values)
	seen := make(map[string]bool)
	for value := range values {
		wire := unbase64(t, value)
		for _, part := range [][]byte{wire[headerLen:][:12], wire[headerLen+12:][:12], wire[headerLen+24:]} {
			assert.False(t, seen[string(part)], "a half of a nonce or a ciphertext comes twice")
			seen[string(part)] = true
		}
	}
	assert.Len(t, seen, 3*goroutines*each)
}

func TestKeyringServesGoroutinesAtOnce(t *testing.T) {
	k := mustKeyring(t, secret, otherSecret)
	old := seal(mustKeyring(t, otherSecret), cookieName, []byte("old"))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				plain := fmt.Sprint(g, i)
				got, err := k.Open(nil, cookieName, seal(k, cookieName, []byte(plain)))
				assert.True(t, err == nil && string(got) == plain)
				got, err = k.Open(nil, cookieName, old)
				assert.True(t, err == nil && string(got) == "old")
			}
		})
	}
	wg.Wait()
}

// fipsChild tells the test binary that it runs as the child of the test below.
const fipsChild = "SESSION_TEST_FIPS_CHILD"

// GODEBUG is read when a program starts, so the test starts itself again.
func TestSealingWorksIfOnlyFIPSIsAllowed(t *testing.T) {
	if os.Getenv(fipsChild) != "" {
		sealUnderFIPS(t)
		return
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", fipsChild+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: "+t.Name())
}

func sealUnderFIPS(t *testing.T) {
	require.True(t, fips140.Enabled())
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(t, err)
	_, err = cipher.NewGCM(block)
	require.Error(t, err, "GCM with free nonces is allowed, so this is not fips140=only")

	old, k := mustKeyring(t, secret), mustKeyring(t, newSecret(), secret)
	for n := range 301 {
		got, err := k.Open(nil, cookieName, seal(k, cookieName, make([]byte, n)))
		require.NoError(t, err)
		assert.Len(t, got, n)
	}
	_, err = k.Open(nil, cookieName, seal(old, cookieName, nil))
	require.NoError(t, err)
}

func TestPrintingAKeyringRevealsNothing(t *testing.T) {
	k := mustKeyring(t, secret)
	inside := struct{ k sealed.Keyring }{*k} // fmt calls no methods on unexported fields
	for name, v := range map[string]any{"pointer": k, "value": *k, "field": inside, "pointer to it": &inside} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			t.Run(name+verb, func(t *testing.T) { requireNoKeys(t, fmt.Sprintf(verb, v)) })
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		assert.Equal(t, "sealed.Keyring(redacted)", fmt.Sprintf(verb, k))
		assert.Equal(t, "sealed.Keyring(redacted)", fmt.Sprintf(verb, *k))
	}
}

func TestKeyringInJSONAndLogsRevealsNothing(t *testing.T) {
	k := mustKeyring(t, secret)
	for _, v := range []any{k, *k} {
		out, err := json.Marshal(v)
		require.NoError(t, err)
		assert.JSONEq(t, `{}`, string(out))

		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "keys", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "keys", v)
		assert.Contains(t, log.String(), "keys=sealed.Keyring(redacted)")
		assert.Contains(t, log.String(), `"keys":{}`)
		requireNoKeys(t, log.String())
	}
}

// requireNoKeys looks for the keys of secret in the forms that fmt gives to bytes.
func requireNoKeys(t testing.TB, printed string) {
	t.Helper()
	main := book.Derive(secret, "session: sealed cookie key v1", 32)
	for _, part := range [][]byte{main[:4], mustXAES(t, main).K1()[:4]} {
		for _, form := range []string{
			secret,
			strings.Trim(fmt.Sprint(part), "[]"),
			strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
			hex.EncodeToString(part),
		} {
			require.NotContains(t, strings.ToLower(printed), strings.ToLower(form))
		}
	}
}

func BenchmarkSeal300Bytes(b *testing.B) {
	k, plain := mustKeyring(b, secret), make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		k.Seal(nil, cookieName, plain)
	}
}

func BenchmarkOpen300Bytes(b *testing.B) {
	k := mustKeyring(b, secret)
	value := seal(k, cookieName, make([]byte, 300))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(nil, cookieName, value); err != nil {
			b.Fatal(err)
		}
	}
}

func mustKeyring(t testing.TB, secret string, previous ...string) *sealed.Keyring {
	t.Helper()
	k, err := sealed.NewKeyring(secret, previous)
	require.NoError(t, err)
	return k
}

func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return tobase64(b)
}

func seal(k *sealed.Keyring, name string, plain []byte) string {
	return string(k.Seal(nil, name, plain))
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(t, err)
	return b
}

func tobase64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
