// Package gorilla imports the sessions of github.com/gorilla/sessions, so that switching to package
// session signs nobody out. FromCookies is for its CookieStore, and FromStore for stores that keep
// sessions on a server, such as FilesystemStore and github.com/boj/redistore. Both also read the
// sessions of github.com/gin-contrib/sessions, whose stores are built on these; for its cookie
// store, give FromCookies a CookieStore with the same keys.
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
// Keep registering the types that the application has registered with encoding/gob.
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

// Options tell how to read the values of an old session.
type Options struct {
	// User finds out from the values of an old session who is signed in and since when. It returns
	// "" for nobody, and the zero time if the time is not known. Nil means that nobody is signed
	// in.
	User func(values map[any]any) (user string, since time.Time)

	// Values returns the values of the new session. Nil means all of the old values, whose keys
	// must then be strings. If Values returns an error, the session is not imported.
	Values func(values map[any]any) (map[string]any, error)

	// ID returns an identifier from the values of an old session, for FromCookies. It must stay the
	// same for the life of the session, and no two sessions may have the same one, so a user's name
	// is not enough. Nil means that the cookie itself is the identifier. An earlier cookie of the
	// same session then counts as another session, and can also be imported until it expires.
	ID func(values map[any]any) string
}

// FromCookies returns an importer of the sessions that store keeps in cookies of a name.
func FromCookies(store *sessions.CookieStore, name string, o Options) session.Importer {
	return &importer{name: name, codecs: store.Codecs, cookie: store.Options, Options: o}
}

// FromStore returns an importer of sessions that a store keeps on a server. codecs decode the
// cookie, and cookie has its attributes: both are fields of the store. A session that store.New
// cannot decode is reported as damaged. There is one exception: a truncated value of redistore is
// reported as an outage, because its error is that of a lost connection.
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
	old := &session.OldCookie{Expire: []*http.Cookie{sessions.NewCookie(i.name, "", i.cookie)}}
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
	return fmt.Errorf("gorilla: none of %d keys opens the cookie %q: %w", len(i.codecs), i.name, errors.Join(eachCodec(err)...))
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
			return nil, fmt.Errorf("the key %v is a %T: set Options.Values to give it another key", key, key)
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
