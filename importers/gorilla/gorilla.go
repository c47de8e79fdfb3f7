// Package gorilla imports the sessions of github.com/gorilla/sessions, so that a change to package
// session signs nobody out. FromCookies is for its CookieStore, and FromStore for stores that keep
// sessions on a server, such as FilesystemStore and github.com/boj/redistore. Both read the sessions of
// github.com/gin-contrib/sessions too, whose stores are made of these: give FromCookies a CookieStore
// with the same keys.
//
//	old := sessions.NewCookieStore(keys...) // as the application had it, Options too
//	manager, err := session.NewManager(session.Config{
//		Default: "redis", Secret: secret,
//		Import: gorilla.FromCookies(old, "session-name", gorilla.Options{
//			User: func(values map[any]any) (string, time.Time) {
//				user, _ := values["user"].(string)
//				return user, time.Time{}
//			},
//		}),
//		ImportUntil: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
//	})
//
// The types that were registered with encoding/gob have to be registered still.
package gorilla

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"example.com/session"
	"example.com/session/driver"
)

// Options say what the values of an old session mean.
type Options struct {
	// User returns who is signed in by the values of an old session, and since when: "" for nobody,
	// the zero time if that is not known. Nil means that nobody is.
	User func(values map[any]any) (user string, since time.Time)

	// Values returns what the new session holds. Nil means all of the old values, whose keys must be
	// strings then. An error leaves the old session alone.
	Values func(values map[any]any) (map[string]any, error)

	// ID returns what names an old session for good, for FromCookies, if its values hold such a thing. No
	// two sessions may have the same: a user's name is not enough.
	// Nil means its cookie: then an earlier cookie of the same session passes for another session, and
	// can be imported too until it expires.
	ID func(values map[any]any) string
}

// FromCookies returns an importer of sessions that are in the cookies of a name.
func FromCookies(store *sessions.CookieStore, name string, o Options) session.Importer {
	return &importer{name: name, codecs: store.Codecs, cookie: store.Options, Options: o}
}

// FromStore returns an importer of sessions that a store keeps on a server. The codecs are those of the
// cookie, and cookie says how it is set: both are fields of the store. What store.New cannot decode is damage,
// but a row of redistore that was cut off passes for an outage, because its error is that of a lost connection.
func FromStore(store sessions.Store, codecs []securecookie.Codec, cookie *sessions.Options, name string, o Options) session.Importer {
	return &importer{name: name, store: store, codecs: codecs, cookie: cookie, Options: o}
}

type importer struct {
	name   string
	store  sessions.Store // nil: the cookie holds the values
	codecs []securecookie.Codec
	cookie *sessions.Options
	Options
}

const maxCookie = 4096 // characters of a value: browsers keep no more with the name

// A found cookie is what Find hands to Load.
type found struct {
	request *http.Request
	values  map[any]any // of a CookieStore
	ends    time.Time
	err     error // why a genuine cookie cannot be read
}

func (i *importer) Find(r *http.Request) (*session.OldCookie, error) {
	c, err := r.Cookie(i.name)
	switch {
	case err != nil:
		return nil, nil
	case len(c.Value) > maxCookie:
		return nil, fmt.Errorf("gorilla: the cookie %q has %d characters, and browsers keep no more than %d", i.name, len(c.Value), maxCookie)
	}
	f := found{request: r, ends: i.endsAt(c.Value)}
	old := &session.OldCookie{Expire: []*http.Cookie{{
		Name: i.name, Path: i.cookie.Path, Domain: i.cookie.Domain, Secure: i.cookie.Secure, HttpOnly: i.cookie.HttpOnly,
		SameSite: i.cookie.SameSite, Partitioned: i.cookie.Partitioned,
	}}}
	if i.store != nil {
		if err := securecookie.DecodeMulti(i.name, c.Value, &old.ID, i.codecs...); err != nil {
			return nil, i.refused(err)
		}
		if old.ID == "" {
			return nil, fmt.Errorf("gorilla: the cookie %q names no session", i.name)
		}
		old.Value = f
		return old, nil
	}
	old.ID = hash(c.Value)
	switch err := securecookie.DecodeMulti(i.name, c.Value, &f.values, i.codecs...); {
	case err == nil && i.ID != nil:
		old.ID = hash(i.ID(f.values))
	case err == nil:
	case !isGenuine(err):
		return nil, i.refused(err)
	default:
		f.err = err
	}
	old.Value = f
	return old, nil
}

// refused says why none of the codecs opens a cookie.
func (i *importer) refused(err error) error {
	return fmt.Errorf("gorilla: no key of %d opens the cookie %q: %w", len(i.codecs), i.name, errors.Join(eachCodec(err)...))
}

// eachCodec returns what each codec says.
func eachCodec(err error) []error {
	if all, ok := err.(securecookie.MultiError); ok {
		return all
	}
	return []error{err}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:])
}

// isGenuine reports whether a cookie is authentic and could not be decoded.
func isGenuine(err error) bool {
	for _, err := range eachCodec(err) {
		var cause securecookie.Error
		if errors.As(err, &cause) && cause.Cause() != nil && !errors.As(cause.Cause(), new(base64.CorruptInputError)) {
			return true
		}
	}
	return false
}

// endsAt returns when a cookie expires, zero if its store sets no Max-Age. The value of a cookie of
// package securecookie begins with the time in seconds, inside base64.
func (i *importer) endsAt(value string) time.Time {
	raw, _ := base64.URLEncoding.DecodeString(value)
	stamp, _, _ := bytes.Cut(raw, []byte("|"))
	seconds, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil || i.cookie.MaxAge <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).Add(time.Duration(i.cookie.MaxAge) * time.Second)
}

func (i *importer) Load(_ context.Context, c *session.OldCookie) (*session.OldSession, error) {
	f := c.Value.(found)
	values, err := f.values, f.err
	if err != nil {
		return nil, fmt.Errorf("gorilla: %w: %w", driver.ErrDamaged, err)
	}
	if i.store != nil {
		old, err := i.open(f.request)
		if old == nil {
			return nil, err
		}
		values = old.Values
	}
	one := &session.OldSession{ExpiresAt: f.ends}
	if i.User != nil {
		one.User, one.SignedInAt = i.User(values)
	}
	convert := i.Values
	if convert == nil {
		convert = withTextKeys
	}
	if one.Values, err = convert(values); err != nil {
		return nil, fmt.Errorf("gorilla: %w: %w", driver.ErrDamaged, err)
	}
	return one, nil
}

// open returns the session in the store, nil if it is over.
func (i *importer) open(r *http.Request) (*sessions.Session, error) {
	old, err := i.store.New(r, i.name)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil && !old.IsNew:
		return old, nil
	case err == nil, errors.Is(err, os.ErrNotExist):
		return nil, nil
	case strings.HasPrefix(err.Error(), "gob: "), errors.As(err, &syntax), errors.As(err, &kind), isGenuine(err):
		return nil, fmt.Errorf("gorilla: %w: %w", driver.ErrDamaged, err)
	}
	return nil, fmt.Errorf("gorilla: load an old session: %w", err)
}

func withTextKeys(values map[any]any) (map[string]any, error) {
	all := make(map[string]any, len(values))
	for key, value := range values {
		text, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("the key %v is a %T: set Options.Values, which says what it becomes", key, key)
		}
		all[text] = value
	}
	return all, nil
}

func (i *importer) Remove(_ context.Context, c *session.OldCookie) error {
	if i.store == nil {
		return nil
	}
	r := c.Value.(found).request
	old, err := i.open(r)
	if old == nil {
		if errors.Is(err, driver.ErrDamaged) {
			return nil
		}
		return err
	}
	gone := *old.Options
	gone.MaxAge = -1
	old.Options = &gone
	return i.store.Save(r, nowhere{http.Header{}}, old)
}

// nowhere discards the Set-Cookie line of a store.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}
