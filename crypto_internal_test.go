package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	goflag "flag" // the package has a function of that name
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var xaesMillion = goflag.Bool("xaes-million", false, "check the million accumulated XAES-256-GCM vectors too")

// Fixed secrets, so that a failure can be run again. The two colliding ones were searched for:
// they differ and derive the same key id.
const (
	cryptoSecret      = "mO2mGt6V-Dx9eTzq0y4vQ1cB7nKpLsWfHjRi3XaUZ8E"
	cryptoOtherSecret = "Yk5wT0-bRzVh2uJq8sGfD1xNcM7eLaPi9oKtW3CyBv4"
	cryptoCollidingA  = "v66sFZv0O2qYyq0IrmK7Fre9SW0RnfufyPaEMO6kS9U"
	cryptoCollidingB  = "_JZCgRBzZ6nZtDL-ouLqlLQuk74daIgtzhq66TIZOCU"

	cryptoName = "s_cookie"
)

// The published vectors of XAES-256-GCM.

type xaesVector struct {
	Key, Nonce, L, K1, Kx, Plaintext, AAD, Ciphertext string
}

func (v xaesVector) sealed(t testing.TB) []byte {
	return append([]byte(v.Nonce), unhex(t, v.Ciphertext)...)
}

func xaesVectors(t testing.TB) (vectors []xaesVector, accumulated map[string]string) {
	t.Helper()
	data, err := os.ReadFile("testdata/xaes_vectors.json")
	require.NoError(t, err)
	var file struct {
		Vectors     []xaesVector
		Accumulated map[string]string
	}
	require.NoError(t, json.Unmarshal(data, &file))
	require.Len(t, file.Vectors, 2)
	return file.Vectors, file.Accumulated
}

func TestXAESDerivesThePublishedKeys(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			x := mustXAES(t, unhex(t, v.Key))
			assert.Equal(t, v.K1, hex.EncodeToString(x.k1[:]))
			assert.Equal(t, v.Kx, hex.EncodeToString(x.deriveKey([]byte(v.Nonce[:12]))))
		})
	}
}

func TestXAESMakesThePublishedCiphertexts(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			x := mustXAES(t, unhex(t, v.Key))
			got := xaesSealFixed(t, x, []byte(v.Nonce), []byte(v.Plaintext), []byte(v.AAD))
			assert.Equal(t, v.Ciphertext, hex.EncodeToString(got))
		})
	}
}

func TestXAESOpensThePublishedCiphertexts(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			got, err := mustXAES(t, unhex(t, v.Key)).open(v.sealed(t), []byte(v.AAD))
			require.NoError(t, err)
			assert.Equal(t, v.Plaintext, string(got))
		})
	}
}

// The wire form around a vector is built here without any of the code that it is to check: GCM
// under the published Kx, with the published nonce.
func TestOpenReadsTheWireFormOfThePublishedVectors(t *testing.T) {
	vectors, _ := xaesVectors(t)
	for i, v := range vectors {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			header := [sealedHeader]byte{1, 0xA, 0xB, 0xC, 0xD}
			aad := append(header[:], cryptoName...)
			ciphertext := gcmOf(t, unhex(t, v.Kx)).Seal(nil, []byte(v.Nonce[12:]), []byte(v.Plaintext), aad)
			wire := slices.Concat(header[:], []byte(v.Nonce), ciphertext)

			k := &keyring{keys: []*sealingKey{{header: header, cipher: mustXAES(t, unhex(t, v.Key))}}}
			got, current, err := k.open(cryptoName, tobase64(wire))
			require.NoError(t, err)
			assert.True(t, current)
			assert.Equal(t, v.Plaintext, string(got))
		})
	}
}

func TestXAESAgreesWithTenThousandAccumulatedVectors(t *testing.T) {
	_, accumulated := xaesVectors(t)
	assert.Equal(t, accumulated["10000"], xaesAccumulate(t, 10_000))
}

func TestXAESAgreesWithAMillionAccumulatedVectors(t *testing.T) {
	if !*xaesMillion {
		t.Skip("takes seconds; run with -xaes-million")
	}
	_, accumulated := xaesVectors(t)
	assert.Equal(t, accumulated["1000000"], xaesAccumulate(t, 1_000_000))
}

// xaesAccumulate seals and opens n pseudorandom messages and returns the hash of all ciphertexts.
func xaesAccumulate(t testing.TB, n int) string {
	source, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte {
		b := make([]byte, n)
		source.Read(b)
		return b
	}
	for range n {
		x, nonce := mustXAES(t, read(32)), read(24)
		plaintext := read(int(read(1)[0]))
		aad := read(int(read(1)[0]))

		ciphertext := xaesSealFixed(t, x, nonce, plaintext, aad)
		opened, err := x.open(slices.Concat(nonce, ciphertext), aad)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("does not open: %x: %v", ciphertext, err)
		}
		sum.Write(ciphertext)
	}
	out := make([]byte, 32)
	sum.Read(out)
	return hex.EncodeToString(out)
}

// xaesSealFixed seals with a nonce of the caller's choice, which the package itself never does.
func xaesSealFixed(t testing.TB, x *xaes, nonce, plaintext, aad []byte) []byte {
	return gcmOf(t, x.deriveKey(nonce[:12])).Seal(nil, nonce[12:], plaintext, aad)
}

// Sealing and opening.

func TestSealedValueOpensToWhatWasSealed(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	for n := range 301 {
		plaintext := bytes.Repeat([]byte{byte(n)}, n)
		value := k.seal(cryptoName, plaintext)
		require.Len(t, value, sealedSize(n))
		require.Regexp(t, `^[A-Za-z0-9_-]+$`, value)

		got, current, err := k.open(cryptoName, value)
		require.NoError(t, err)
		require.True(t, current)
		require.True(t, bytes.Equal(plaintext, got), "%d bytes", n)
		require.Equal(t, n, bytes.Count(plaintext, []byte{byte(n)}), "seal changed its argument")
	}
}

func TestSealedValueFillsACookieToTheLastByte(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	largest := base64.RawURLEncoding.DecodedLen(sealedMax) - sealedOverhead
	require.Equal(t, sealedMax, sealedSize(largest))

	_, _, err := k.open(cryptoName, k.seal(cryptoName, make([]byte, largest)))
	require.NoError(t, err)
	requireUnsealed(t, k, cryptoName, k.seal(cryptoName, make([]byte, largest+1)))
}

// The value was sealed by the first release; every later one has to open it.
func TestSealedValueOfAnOlderReleaseStillOpens(t *testing.T) {
	const value = "AfnGdIbrbUFMM7JAgIt-bDuUm48lgeBDm22YzibmO5MFG5wF" +
		"uLj9dSgoUF2cje3E1afmz1vMqTeEPsz2HcfyajLP5yfvaR4u"
	got, current, err := mustKeyring(t, cryptoSecret).open(cryptoName, value)
	require.NoError(t, err)
	assert.True(t, current)
	assert.Equal(t, "sealed by the first release", string(got))
}

func TestSealingTheSameTwiceShowsNoLikeness(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	a := unbase64(t, k.seal(cryptoName, []byte("same")))
	b := unbase64(t, k.seal(cryptoName, []byte("same")))
	assert.Equal(t, a[:sealedHeader], b[:sealedHeader])
	assert.NotEqual(t, a[sealedHeader+12:sealedHeader+24], b[sealedHeader+12:sealedHeader+24], "nonce")
	assert.NotEqual(t, a[sealedHeader+24:], b[sealedHeader+24:], "ciphertext")
}

// A message key seals no more than it may, also where goroutines seal at once, and no nonce comes
// twice under it.
func TestAMessageKeySealsOnlySoManyMessages(t *testing.T) {
	const goroutines, each = 8, messagesPerKey
	k := mustKeyring(t, cryptoSecret)
	sealed := make(chan []byte, goroutines*each)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				wire, err := base64.RawURLEncoding.DecodeString(k.seal(cryptoName, []byte("x")))
				if assert.NoError(t, err) {
					sealed <- wire
				}
			}
		})
	}
	wg.Wait()
	close(sealed)
	nonces := make(map[string]map[string]bool)
	for wire := range sealed {
		salt, nonce := string(wire[sealedHeader:][:xaesSalt]), string(wire[sealedHeader+xaesSalt:][:12])
		if nonces[salt] == nil {
			nonces[salt] = make(map[string]bool)
		}
		assert.False(t, nonces[salt][nonce], "a nonce comes twice")
		nonces[salt][nonce] = true
	}
	assert.GreaterOrEqual(t, len(nonces), goroutines, "a salt serves too many messages")
	for _, under := range nonces {
		assert.LessOrEqual(t, len(under), messagesPerKey, "a salt serves too many messages")
	}
}

// Keys that are kept are those of values that opened: what a client invents pushes out none.
func TestOnlyTheKeyOfWhatOpensIsKept(t *testing.T) {
	sealer, opener := mustKeyring(t, cryptoSecret), mustKeyring(t, cryptoSecret)
	value := sealer.seal(cryptoName, []byte("kept"))
	slot := &opener.keys[0].cipher.recent[unbase64(t, value)[sealedHeader]]

	forged := unbase64(t, value)
	forged[sealedHeader+1] ^= 1
	_, _, err := opener.open(cryptoName, base64.RawURLEncoding.EncodeToString(forged))
	require.Error(t, err)
	assert.Nil(t, slot.Load(), "a key of what did not open is kept")

	for range 2 { // with a key that is derived, then with the one that is kept
		got, _, err := opener.open(cryptoName, value)
		require.NoError(t, err)
		assert.Equal(t, "kept", string(got))
	}
	kept := slot.Load()
	require.NotNil(t, kept)
	_, _, err = opener.open(cryptoName, base64.RawURLEncoding.EncodeToString(forged))
	require.Error(t, err, "a kept key opens what another salt sealed")
	assert.Same(t, kept, slot.Load(), "what a client invents pushes out a key")
}

// decodeBase64 takes exactly what the standard library's strict decoder takes, without its line
// breaks.
func TestBase64IsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	check := func(text string) {
		want, err := strictBase64.DecodeString(text)
		got := make([]byte, strictBase64.DecodedLen(len(text)))
		ok := decodeBase64(got, text)
		if strings.ContainsAny(text, "\r\n") {
			assert.False(t, ok, "%q", text)
			return
		}
		require.Equal(t, err == nil, ok, "%q", text)
		if ok {
			assert.Equal(t, want, got, "%q", text)
		}
	}
	for n := range 70 {
		raw := make([]byte, n)
		rand.Read(raw)
		text := base64.RawURLEncoding.EncodeToString(raw)
		check(text)
		for i := range text {
			for c := range 256 {
				if n < 8 || c%16 == n%16 {
					check(text[:i] + string([]byte{byte(c)}) + text[i+1:])
				}
			}
			check(text[:i])
		}
	}
}

func TestOpenRefusesEverySingleFlippedBit(t *testing.T) {
	k := mustKeyring(t, cryptoSecret, cryptoOtherSecret)
	for _, plaintext := range []string{"", "sixteen bytes...", "and some more than that"} {
		wire := unbase64(t, k.seal(cryptoName, []byte(plaintext)))
		for bit := range 8 * len(wire) {
			flipped := bytes.Clone(wire)
			flipped[bit/8] ^= 1 << (bit % 8)
			requireUnsealed(t, k, cryptoName, tobase64(flipped))
		}
	}
}

func TestOpenRefusesEveryTruncation(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	value := k.seal(cryptoName, []byte("truncated"))
	wire := unbase64(t, value)
	for n := range len(value) {
		requireUnsealed(t, k, cryptoName, value[:n])
		requireUnsealed(t, k, cryptoName, value[n+1:])
	}
	for n := range len(wire) {
		requireUnsealed(t, k, cryptoName, tobase64(wire[:n]))
	}
}

func TestOpenRefusesAnExtendedValue(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	value := k.seal(cryptoName, []byte("extended"))
	wire := unbase64(t, value)
	for n := 1; n < 40; n++ {
		zeros := make([]byte, n)
		requireUnsealed(t, k, cryptoName, tobase64(append(bytes.Clone(wire), zeros...)))
		requireUnsealed(t, k, cryptoName, tobase64(append(zeros, wire...)))
		requireUnsealed(t, k, cryptoName, value+strings.Repeat("A", n))
	}
}

func TestOpenRefusesTheCookieOfAnotherName(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	value := k.seal(cryptoName, []byte("bound to its name"))
	for _, name := range []string{"", "s_cooki", "s_cookie2", "S_cookie", "t_cookie", "s_redis"} {
		requireUnsealed(t, k, name, value)
	}
}

// Also where the very key sealed it: a version is never read as another.
func TestOpenRefusesAnotherVersion(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	for version := range 256 {
		if version == sealedVersion {
			continue
		}
		header := k.keys[0].header
		header[0] = byte(version)
		aad := append(header[:], cryptoName...)
		wire := k.keys[0].cipher.seal(bytes.Clone(header[:]), []byte("another version"), aad)
		requireUnsealed(t, k, cryptoName, tobase64(wire))
	}
}

func TestOpenRefusesTheKeyIDOfAnotherKey(t *testing.T) {
	k := mustKeyring(t, cryptoSecret, cryptoOtherSecret)
	wire := unbase64(t, k.seal(cryptoName, []byte("sealed by the first key")))
	copy(wire, k.keys[1].header[:])
	requireUnsealed(t, k, cryptoName, tobase64(wire))
}

func TestOpenRefusesTheValueOfARetiredSecret(t *testing.T) {
	value := mustKeyring(t, cryptoOtherSecret).seal(cryptoName, []byte("retired"))
	requireUnsealed(t, mustKeyring(t, cryptoSecret), cryptoName, value)
	requireUnsealed(t, mustKeyring(t, cryptoSecret, NewSecret(), NewSecret()), cryptoName, value)
}

func TestPreviousSecretsOpenButNeverSeal(t *testing.T) {
	old := mustKeyring(t, cryptoOtherSecret)
	k := mustKeyring(t, cryptoSecret, NewSecret(), cryptoOtherSecret)

	got, current, err := k.open(cryptoName, old.seal(cryptoName, []byte("from before")))
	require.NoError(t, err)
	assert.False(t, current)
	assert.Equal(t, "from before", string(got))

	requireUnsealed(t, old, cryptoName, k.seal(cryptoName, []byte("from now on")))
}

// notBase64 spells a value in ways that a lenient decoder takes for the value itself.
func notBase64(value string) map[string]string {
	half := len(value) / 2
	spelled := map[string]string{
		"padding":             value + "=",
		"more padding":        value + "==",
		"newline at the end":  value + "\n",
		"newline at the head": "\n" + value,
		"newline inside":      value[:half] + "\n" + value[half:],
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

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestOpenRefusesEveryOtherSpellingOfAValue(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	for n := range 3 { // 0, 1 and 2 bytes over a multiple of three: trailing bits or none
		value := k.seal(cryptoName, make([]byte, n))
		for name, spelled := range notBase64(value) {
			t.Run(fmt.Sprint(n, " ", name), func(t *testing.T) {
				requireUnsealed(t, k, cryptoName, spelled)
			})
		}
	}
}

func TestOpenRefusesTheStandardBase64Alphabet(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	other := strings.NewReplacer("-", "+", "_", "/")
	for spelled := 0; spelled < 10; {
		value := k.seal(cryptoName, []byte("alphabet"))
		if s := other.Replace(value); s != value {
			requireUnsealed(t, k, cryptoName, s)
			spelled++
		}
	}
}

// Every byte at every place, in place of the one there and before it.
func TestOpenRefusesEveryOtherByteAtEveryPlace(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	value := k.seal(cryptoName, []byte("x"))
	for i := range len(value) {
		for b := range 256 {
			c := string([]byte{byte(b)})
			if value[i:i+1] != c {
				requireUnsealed(t, k, cryptoName, value[:i]+c+value[i+1:])
			}
			requireUnsealed(t, k, cryptoName, value[:i]+c+value[i:])
		}
	}
}

func TestOpenAllocatesNothingForAValueOfAnImpossibleLength(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	for name, value := range map[string]string{
		"empty":    "",
		"short":    strings.Repeat("A", sealedSize(0)-1),
		"too long": strings.Repeat("A", sealedMax+1),
		"huge":     strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			requireUnsealed(t, k, cryptoName, value)
			assert.Zero(t, testing.AllocsPerRun(10, func() { k.open(cryptoName, value) }))
		})
	}
}

func TestErrUnsealedIsANoSession(t *testing.T) {
	assert.ErrorIs(t, errUnsealed, ErrNoSession)
	assert.NotErrorIs(t, errUnsealed, ErrEnded)
	assert.True(t, strings.HasPrefix(errUnsealed.Error(), "session: "))
}

func FuzzOpen(f *testing.F) {
	k := mustKeyring(f, cryptoSecret, cryptoOtherSecret)
	seeds := 0
	for n := range 4 {
		value := k.seal(cryptoName, make([]byte, n))
		f.Add(value)
		for _, spelled := range notBase64(value) {
			f.Add(spelled)
			seeds++
		}
	}
	require.NotZero(f, seeds)
	f.Fuzz(func(t *testing.T, value string) {
		_, wire, ok := decodeSealed(nil, cryptoName, value)
		if ok && tobase64(wire) != value {
			t.Errorf("%q is a second spelling", value)
		}
		if _, _, err := k.open(cryptoName, value); err != nil && err != errUnsealed {
			t.Errorf("%q: %v", value, err)
		}
	})
}

func TestKeyringServesGoroutinesAtOnce(t *testing.T) {
	k := mustKeyring(t, cryptoSecret, cryptoOtherSecret)
	old := mustKeyring(t, cryptoOtherSecret).seal(cryptoName, []byte("old"))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				plaintext := fmt.Sprint(g, i)
				got, current, err := k.open(cryptoName, k.seal(cryptoName, []byte(plaintext)))
				assert.True(t, err == nil && current && string(got) == plaintext)
				got, current, err = k.open(cryptoName, old)
				assert.True(t, err == nil && !current && string(got) == "old")
			}
		})
	}
	wg.Wait()
}

// fipsChild tells the test binary that it runs as the child of the test below.
const fipsChild = "SESSION_TEST_FIPS_CHILD"

// GODEBUG is read when a program starts, so the test starts itself again.
func TestSealingWorksWhereOnlyFIPSIsAllowed(t *testing.T) {
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

	old, k := mustKeyring(t, cryptoSecret), mustKeyring(t, NewSecret(), cryptoSecret)
	for n := range 301 {
		got, current, err := k.open(cryptoName, k.seal(cryptoName, make([]byte, n)))
		require.NoError(t, err)
		assert.True(t, current)
		assert.Len(t, got, n)
	}
	_, current, err := k.open(cryptoName, old.seal(cryptoName, nil))
	require.NoError(t, err)
	assert.False(t, current)
}

// Printing.

func TestPrintingAKeyringRevealsNothing(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	inside := struct{ k keyring }{*k} // fmt calls no methods on unexported fields
	printed := map[string]any{"pointer": k, "value": *k, "field": inside, "pointer to it": &inside}
	for name, v := range printed {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			t.Run(name+verb, func(t *testing.T) { requireNoKeys(t, k, fmt.Sprintf(verb, v)) })
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		assert.Equal(t, "session.keyring(redacted)", fmt.Sprintf(verb, k))
		assert.Equal(t, "session.keyring(redacted)", fmt.Sprintf(verb, *k))
	}
}

func TestKeyringInJSONAndLogsRevealsNothing(t *testing.T) {
	k := mustKeyring(t, cryptoSecret)
	for _, v := range []any{k, *k} {
		out, err := json.Marshal(v)
		require.NoError(t, err)
		assert.JSONEq(t, `"session.keyring(redacted)"`, string(out))

		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "keys", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "keys", v)
		assert.Equal(t, 2, strings.Count(log.String(), "session.keyring(redacted)"))
		requireNoKeys(t, k, log.String())
	}
}

// requireNoKeys looks for the key's parts in the forms that fmt gives to bytes.
func requireNoKeys(t testing.TB, k *keyring, printed string) {
	t.Helper()
	part := k.keys[0].cipher.k1[:4]
	for _, form := range []string{
		cryptoSecret,
		strings.Trim(fmt.Sprint(part), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
		hex.EncodeToString(part),
	} {
		require.NotContains(t, strings.ToLower(printed), strings.ToLower(form))
	}
}

// Secrets.

func TestNewKeyringReportsAllFaultsAtOnce(t *testing.T) {
	_, err := newKeyring("short", []string{cryptoSecret, strings.Repeat("x", 40), "change-me-" + cryptoSecret})
	require.Error(t, err)
	for _, field := range []string{"Secret", "PreviousSecrets[1]", "PreviousSecrets[2]"} {
		assert.Contains(t, err.Error(), "session: "+field+": ")
	}
	assert.NotContains(t, err.Error(), "PreviousSecrets[0]")
}

func TestNewKeyringRefusesTwoSecretsWithOneKeyID(t *testing.T) {
	require.NotEqual(t, cryptoCollidingA, cryptoCollidingB)
	for _, tt := range []struct {
		name     string
		secret   string
		previous []string
		want     string
	}{{
		name:     "identical",
		secret:   cryptoSecret,
		previous: []string{cryptoSecret},
		want:     "session: PreviousSecrets[0]: has the key id of Secret",
	}, {
		name:     "identical previous ones",
		secret:   cryptoSecret,
		previous: []string{cryptoOtherSecret, cryptoOtherSecret},
		want:     "session: PreviousSecrets[1]: has the key id of PreviousSecrets[0]",
	}, {
		name:     "different",
		secret:   cryptoCollidingA,
		previous: []string{cryptoCollidingB},
		want:     "session: PreviousSecrets[0]: has the key id of Secret",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := newKeyring(tt.secret, tt.previous)
			assert.Nil(t, k)
			assert.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), tt.secret)
		})
	}
	_, err := newKeyring(cryptoCollidingA, nil)
	assert.NoError(t, err)
}

func TestCheckSecretRefusesWhatSomebodyCouldGuess(t *testing.T) {
	for name, secret := range map[string]string{
		"empty":                   "",
		"31 bytes":                cryptoSecret[:31],
		"one byte":                strings.Repeat("a", 32),
		"one zero byte":           string(make([]byte, 32)),
		"two bytes":               strings.Repeat("ab", 32),
		"few different bytes":     "abcabdabeabfabgaabcaadabaabfagabcdae",
		"short period":            strings.Repeat("k7Qz9-Xw2", 5),
		"long period":             strings.Repeat("k7Qz9-Xw2mPv4Rt8", 2),
		"period and newline":      strings.Repeat("k7Qz9!Xw2mPv4Rt#", 2) + "\n",
		"digits":                  "01234567890123456789012345678901",
		"digits and letters":      "0123456789abcdefghijklmnopqrstuvwxyz",
		"hex digits twice":        "0123456789abcdef0123456789abcdef",
		"letters":                 "abcdefghijklmnopqrstuvwxyzABCDEF",
		"backwards":               "zyxwvutsrqponmlkjihgfedcba987654321",
		"groups":                  "aaaabbbbccccddddeeeeffffgggghhhhiiii",
		"groups that count":       "abcd1234mnop6789ABCD5678vwxy3456",
		"keyboard":                "qwertyuiopasdfghjklzxcvbnm!@#$%^&*()",
		"numbers in hex":          "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"one byte in hex":         strings.Repeat("a5", 32),
		"zeros in base64":         base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"numbers in base64":       "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"sample in base64":        base64.StdEncoding.EncodeToString([]byte("change-me-to-something-of-your-own")),
		"change me":               "change-me-change-it-and-do-it-soon!!",
		"CHANGE_ME":               "CHANGE_ME_BEFORE_YOU_GO_LIVE_0xF00",
		"change this":             "Please change this secret before release",
		"your secret":             "your-secret-goes-in-here-thank-you",
		"your 256 bit secret":     "your-256-bit-secret-goes-right-in-here",
		"replace me":              "<replace me with 40 random characters>",
		"placeholder":             "PLACEHOLDER-kq83hf8sq0zhw7cbqqwe81-x",
		"example":                 "this is the example of the README, no?",
		"32 bytes":                "a-secret-of-at-least-32-bytes-or-so",
		"my secret":               "my secret is so good that nobody knows",
		"super secret":            "super_secret_key_for_signing_cookies",
		"password":                "Pass-word of the quick brown fox 1987",
		"passphrase from a comic": "correct horse battery staple, indeed",
		"Masonite 2":              "NCTpkICMlTXie5te9nJniMj9aVbPM6lsjeq5iDZ0dqY=",
		"Masonite 4":              "-RkDOqXojJIlsF_I8wWiUq_KRZ0PtGWTOZ676u5HtLg=",
		"Laravel":                 "AckfSECXIvnK5r28GVIWUAxmbBSjTsmF",
		"Laravel, prefixed":       "base64:AckfSECXIvnK5r28GVIWUAxmbBSjTsmF",
		"Laravel 5":               "SomeRandomString3232RandomString",
		"Lumen":                   "SomeRandomKey!!!SomeRandomKey!!!",
		"Django":                  "django-insecure-hn8h3i!t7t8j4y2&2-ct-tzyris+%!3)nj&!^%ys+c-0ifrd9@",
		"Flask":                   "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
		"Symfony":                 "ThisTokenIsNotSoSecretChangeItPlease",
		"Fiber":                   "secret-thirty-2-character-string",
		"Gorilla":                 "32-byte-long-auth-key-1029384756",
		"Express":                 "keyboard cat and some more of the same",
	} {
		t.Run(name, func(t *testing.T) {
			err := checkSecret("PreviousSecrets[3]", secret)
			require.Error(t, err)
			text := err.Error()
			assert.True(t, strings.HasPrefix(text, "session: PreviousSecrets[3]: "), text)
			assert.Contains(t, text, "`head -c 32 /dev/urandom | base64`")
			assert.Contains(t, text, "session.NewSecret")
			if secret != "" {
				assert.NotContains(t, text, secret)
				assert.NotContains(t, text, secret[:8])
			}
		})
	}
}

func TestCheckSecretAcceptsWhatGeneratorsMake(t *testing.T) {
	for name, secret := range map[string]string{
		"base64 with padding":   "q1vX9ShpZt0kHn3bYw8Rj2LmUeGfDc7AoKi5TzQxV4M=",
		"base64 with a newline": "q1vX9ShpZt0kHn3bYw8Rj2LmUeGfDc7AoKi5TzQxV4M=\n",
		"base64, standard":      "q1vX9Sh+Zt0kHn3bYw8Rj2/mUeGfDc7AoKi5TzQxV4M",
		"base64url":             cryptoSecret,
		"hex":                   "8f4b0e6d2a97c35180d6f3b94ce71a25f0a86b3d9e52c714673fbd08e41a9c52",
		"32 hex digits":         "8f4b0e6d2a97c35180d6f3b94ce71a25",
		"Laravel":               "base64:q1vX9ShpZt0kHn3bYw8Rj2LmUeGfDc7AoKi5TzQxV4M=",
		"bytes":                 string(unhex(t, "8f4b0e6d2a97c35180d6f3b94ce71a25f0a86b3d9e52c714673fbd08e41a9c52")),
		"words":                 "gravel onion tractor velvet mimic harp",
	} {
		t.Run(name, func(t *testing.T) { assert.NoError(t, checkSecret("Secret", secret)) })
	}
}

func TestCheckSecretAcceptsEveryNewSecret(t *testing.T) {
	for range 1000 {
		secret := NewSecret()
		require.NoError(t, checkSecret("Secret", secret))
		require.NoError(t, checkSecret("Secret", hex.EncodeToString(unbase64(t, secret))))
		require.NoError(t, checkSecret("Secret", string(unbase64(t, secret))))
	}
}

// Benchmarks.

func BenchmarkSeal200Bytes(b *testing.B) {
	k, plaintext := mustKeyring(b, cryptoSecret), make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		k.seal(cryptoName, plaintext)
	}
}

func BenchmarkOpen200Bytes(b *testing.B) {
	k := mustKeyring(b, cryptoSecret)
	value := k.seal(cryptoName, make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := k.open(cryptoName, value); err != nil {
			b.Fatal(err)
		}
	}
}

// Helpers.

func mustKeyring(t testing.TB, secret string, previous ...string) *keyring {
	t.Helper()
	k, err := newKeyring(secret, previous)
	require.NoError(t, err)
	return k
}

func mustXAES(t testing.TB, key []byte) *xaes {
	t.Helper()
	x, err := newXAES(key)
	require.NoError(t, err)
	return x
}

func gcmOf(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return gcm
}

// requireUnsealed requires that value does not open, with the one error that there is for it.
func requireUnsealed(t testing.TB, k *keyring, name, value string) {
	t.Helper()
	plaintext, current, err := k.open(name, value)
	if plaintext != nil || current || err != errUnsealed {
		t.Fatalf("%q opened to %q, current %v, error %v", value, plaintext, current, err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(t, err)
	return b
}

func tobase64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// The encoder is the library's own for speed only.
func TestAppendBase64IsTheStandardEncoding(t *testing.T) {
	src := make([]byte, 300)
	rand.Read(src)
	for n := range src {
		assert.Equal(t, "x"+base64.RawURLEncoding.EncodeToString(src[:n]), string(appendBase64([]byte("x"), src[:n])))
	}
	every := make([]byte, 0, 3<<12)
	for v := range 1 << 12 {
		every = append(every, byte(v>>4), byte(v<<4)|byte(v>>8), byte(v))
	}
	assert.Equal(t, base64.RawURLEncoding.EncodeToString(every), string(appendBase64(nil, every)))
}
