package session

import (
	"encoding/json"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Decoding n bytes may allocate no more than allocPerByte*n + allocBase bytes. Small objects need
// the most for a byte: {"":0}, is 7 bytes and becomes a map.
const (
	allocPerByte = 1024
	allocBase    = 64 << 10
)

// Allocated is allocated for the tests of package session_test.
var Allocated = allocated

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzDecodeValue checks that nothing panics or allocates without bound, that a plain form has
// one spelling, and that any other form has one as well once it was read and stored again.
func FuzzDecodeValue(f *testing.F) {
	require.Greater(f, len(valueForms), 20, "the seeds are gone")
	for _, tt := range valueForms {
		f.Add(tt.enc)
	}
	for _, enc := range malformedForms {
		f.Add(enc)
	}
	f.Fuzz(func(t *testing.T, enc string) {
		var v any
		var err error
		used := allocated(func() { v, err = decodeValue(jsonCodec{}, enc) })
		assert.LessOrEqual(t, used, uint64(allocPerByte*len(enc)+allocBase))
		for _, dst := range []any{new(string), new(int), new(testCart), new(testLevel), new(json.Number)} {
			_ = scanValue(jsonCodec{}, enc, dst)
		}
		n, isInt := encodedInt(enc)
		var scanned int64
		assert.True(t, !isInt || scanValue(nil, enc, &scanned) == nil && scanned == n)
		if err != nil {
			assert.False(t, isInt)
			return
		}
		again, err := encodeValue(jsonCodec{}, v)
		if isCodecForm(enc) && err != nil {
			return // it is deeper than what is encoded
		}
		require.NoError(t, err)
		if isCodecForm(enc) { // 1.0 is written as 1, and then stays as it is
			enc = again
			v, err = decodeValue(jsonCodec{}, again)
			require.NoError(t, err)
			again = mustEncode(t, v)
		}
		assert.Equal(t, enc, again)
	})
}
