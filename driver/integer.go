package driver

import (
	"math"
	"strconv"
)

// FormatInt returns the encoded form of an integer: its decimal text.
func FormatInt(n int64) string { return strconv.FormatInt(n, 10) }

// ParseInt returns the integer that an encoded value stands for. It accepts the form of FormatInt.
// It also accepts an encoded float ('~' and the shortest decimal text) that is a whole number of at
// most 2^53 in magnitude. It accepts no other spelling of a number.
func ParseInt(encoded string) (n int64, ok bool) {
	if encoded == "" {
		return 0, false
	}
	if encoded[0] == '~' {
		return wholeFloat(encoded[1:])
	}
	if c := encoded[0]; c != '-' && (c < '0' || c > '9') {
		return 0, false
	}
	n, err := strconv.ParseInt(encoded, 10, 64)
	var buf [20]byte
	return n, err == nil && string(strconv.AppendInt(buf[:0], n, 10)) == encoded
}

func wholeFloat(text string) (int64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), strconv.FormatFloat(f, 'g', -1, 64) == text
}
