// Package scs imports the sessions of github.com/alexedwards/scs, so that switching to package
// session signs nobody out. It reads them with scs itself, from any store of scs:
//
//	old := scs.New() // as the application had it: Store, Lifetime, Cookie, Codec
//	manager, err := session.NewManager(session.Config{
//		Default: "redis", Secret: secret,
//		Import: scsimport.New(old, scsimport.Options{User: func(values map[string]any) (string, time.Time) {
//			user, _ := values["userID"].(string)
//			return user, time.Time{}
//		}}),
//		ImportUntil: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
//	})
//
// Keep registering the types that the application has registered with encoding/gob.
package scs

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"example.com/session"
	"example.com/session/driver"
)

// Options tell how to read the values of an old session.
type Options struct {
	// User finds out from the values of an old session who is signed in and since when. It returns
	// "" for nobody, and the zero time if the time is not known. Nil means that nobody is signed
	// in.
	User func(values map[string]any) (user string, since time.Time)

	// Values returns the values of the new session. Nil means all of the old values, under their
	// keys. If Values returns an error, the session is not imported.
	Values func(values map[string]any) (map[string]any, error)
}

// New returns an importer of the sessions of an scs manager. It does not change the manager.
func New(old *scs.SessionManager, o Options) session.Importer {
	manager := *old
	manager.Codec = codec{old.Codec}
	return &importer{&manager, o}
}

type importer struct {
	old *scs.SessionManager
	Options
}

const (
	maxToken   = 256            // characters; those of scs have 43
	rememberMe = "__rememberMe" // the key of scs.SessionManager.RememberMe
)

func (i *importer) Find(r *http.Request) (*session.OldCookie, error) {
	c, err := r.Cookie(i.old.Cookie.Name)
	switch {
	case err != nil || c.Value == "":
		return nil, nil
	case len(c.Value) > maxToken:
		return nil, fmt.Errorf("scs: the token has %d characters, but tokens of scs have 43", len(c.Value))
	}
	own := i.old.Cookie
	return &session.OldCookie{ID: c.Value, Expire: []*http.Cookie{{
		Name: own.Name, Domain: own.Domain, Path: own.Path, Secure: own.Secure, HttpOnly: own.HttpOnly,
		SameSite: own.SameSite, Partitioned: own.Partitioned,
	}}}, nil
}

// find returns a context with the old session, nil if it is over.
func (i *importer) find(ctx context.Context, c *session.OldCookie) (context.Context, error) {
	ctx, err := i.old.Load(ctx, c.ID)
	if err != nil {
		return nil, fmt.Errorf("scs: load an old session: %w", err)
	}
	if i.old.Token(ctx) == "" || !time.Now().Before(i.old.Deadline(ctx)) {
		return nil, nil
	}
	return ctx, nil
}

func (i *importer) Load(ctx context.Context, c *session.OldCookie) (*session.OldSession, error) {
	ctx, err := i.find(ctx, c)
	if ctx == nil {
		return nil, err
	}
	values := make(map[string]any)
	for _, key := range i.old.Keys(ctx) {
		if key != rememberMe {
			values[key] = i.old.Get(ctx, key)
		}
	}
	ends := i.old.Deadline(ctx)
	old := &session.OldSession{CreatedAt: ends.Add(-i.old.Lifetime), ExpiresAt: ends, Values: values}
	if i.User != nil {
		old.User, old.SignedInAt = i.User(values)
	}
	if i.Values != nil {
		if old.Values, err = i.Values(values); err != nil {
			return nil, fmt.Errorf("scs: %w: %w", driver.ErrDamaged, err)
		}
	}
	return old, nil
}

func (i *importer) Remove(ctx context.Context, c *session.OldCookie) error {
	ctx, err := i.find(ctx, c)
	if ctx == nil {
		return err
	}
	return i.old.Destroy(ctx)
}

// A codec tells what cannot be decoded from a store that cannot be asked.
type codec struct{ scs.Codec }

func (c codec) Decode(data []byte) (time.Time, map[string]any, error) {
	deadline, values, err := c.Codec.Decode(data)
	if err != nil {
		return deadline, values, fmt.Errorf("%w: %w", driver.ErrDamaged, err)
	}
	return deadline, values, nil
}
