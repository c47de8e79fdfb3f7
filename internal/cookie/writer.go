package cookie

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const expired = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"

// A Writer makes Set-Cookie lines with the attributes of one manager. It is immutable and safe for
// concurrent use.
type Writer struct {
	attributes Attributes
	forced     bool // an attribute demands Secure: Auto means Always

	scope string    // "; Path=/" and, if it is set, "; Domain=example.com"
	flags [2]string // "; HttpOnly; SameSite=Lax" and so on, without and with Secure
}

// NewWriter returns a writer that uses the attributes, which must be valid.
func NewWriter(a Attributes) *Writer {
	forced := len(a.secureReasons()) > 0
	return &Writer{
		attributes: a,
		forced:     forced,
		scope:      scopeOf(a.path(), a.Domain),
		flags:      [2]string{flagsOf(a, forced), flagsOf(a, true)},
	}
}

func scopeOf(path, domain string) string {
	if domain == "" {
		return "; Path=" + path
	}
	return "; Path=" + path + "; Domain=" + domain
}

// flagsOf returns the attributes that follow Expires. HttpOnly is always one of them (ASVS 3.3.4),
// and SameSite is always written, because browsers have different defaults (RFC 6265bis, section
// 5.6.7).
func flagsOf(a Attributes, secure bool) string {
	c := http.Cookie{Name: "s", HttpOnly: true, Secure: secure, SameSite: a.sameSite(), Partitioned: a.Partitioned}
	return strings.TrimPrefix(c.String(), "s=")
}

func (w *Writer) flagsFor(secure bool) string {
	if secure {
		return w.flags[1]
	}
	return w.flags[0]
}

// Set returns a complete Set-Cookie line. maxAge is rounded up to whole seconds, at least one, so
// that the browser does not forget a session that the server would still open: a Max-Age of 0 or
// less deletes the cookie. A maxAge of 0 makes a cookie that ends with the browser. Expires says
// the same as Max-Age, for clients that take Max-Age alone for RFC 2965. name and value are a
// cookie-name and a cookie-value of RFC 6265: nothing is quoted.
func (w *Writer) Set(name string, value []byte, maxAge time.Duration, secure bool, now time.Time) string {
	const age, expires = "; Max-Age=", "; Expires="
	flags := w.flagsFor(secure)
	var buf [32]byte
	var line strings.Builder
	line.Grow(len(name) + 1 + len(value) + len(w.scope) + len(age) + 20 +
		len(expires) + len(http.TimeFormat) + len(flags))
	line.WriteString(name)
	line.WriteByte('=')
	line.Write(value)
	line.WriteString(w.scope)
	if maxAge != 0 {
		seconds := int64((max(maxAge, 1)-1)/time.Second) + 1 // rounded up
		line.WriteString(age)
		line.Write(strconv.AppendInt(buf[:0], seconds, 10))
		line.WriteString(expires)
		line.Write(appendDate(buf[:0], now.Unix()+seconds))
	}
	line.WriteString(flags)
	return line.String()
}

// appendDate appends a time in the form of http.TimeFormat, faster than time.AppendFormat: every response
// with a cookie pays for it.
func appendDate(dst []byte, unix int64) []byte {
	t := time.Unix(unix, 0).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, t.Weekday().String()[:3]...)
	dst = append(dst, ", "...)
	dst = append(appendTwo(dst, day), ' ')
	dst = append(append(dst, month.String()[:3]...), ' ')
	dst = append(appendTwo(appendTwo(dst, year/100), year%100), ' ')
	dst = append(appendTwo(dst, hour), ':')
	dst = append(appendTwo(dst, minute), ':')
	return append(appendTwo(dst, second), " GMT"...)
}

func appendTwo(dst []byte, n int) []byte { return append(dst, '0'+byte(n/10), '0'+byte(n%10)) }

// Expire returns the Set-Cookie line that deletes what Set has set. Browsers find the cookie by
// name, Domain and Path, and ignore the line if it lacks attributes that the prefix of the name
// demands, so the line repeats all of them.
func (w *Writer) Expire(name string, secure bool) string {
	return name + "=" + w.scope + expired + w.flagsFor(secure)
}
