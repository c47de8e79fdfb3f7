package kit

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/session"
	"example.com/session/internal/casstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// AccountDrivers are the ways in which the sessions of a user can be kept track of.
var AccountDrivers = []string{"memory", "redis", "store", "cookie, revoked in memory", "cookie, revoked in redis"}

// EachAccountDriver runs a test on each of them.
func EachAccountDriver(t *testing.T, test func(t *testing.T, cfg session.Config)) {
	t.Helper()
	for _, name := range AccountDrivers {
		t.Run(name, func(t *testing.T) { test(t, AccountConfig(t, name)) })
	}
}

func AccountConfig(t *testing.T, name string) session.Config {
	t.Helper()
	switch name {
	case "store":
		cfg := DriverConfig(t, "memory")
		cfg.Default, cfg.Drivers = "store", map[string]session.Driver{"store": session.StoreDriver(new(casstore.Store))}
		return cfg
	case "cookie, revoked in memory":
		cfg := DriverConfig(t, "cookie")
		cfg.Cookie.Revocation = "memory"
		return cfg
	case "cookie, revoked in redis":
		cfg := DriverConfig(t, "redis")
		cfg.Default, cfg.Cookie.Revocation = "cookie", "redis"
		return cfg
	}
	return DriverConfig(t, name)
}

// Login signs a visitor in and returns the handle of its session.
func Login(v *Visitor, user string, hints ...string) (handle string) {
	v.T.Helper()
	v.Visit(func(s *session.Session) {
		s.Login(user)
		for i := 0; i+1 < len(hints); i += 2 {
			s.Describe(map[string]string{hints[i]: hints[i+1]})
		}
	})
	v.Visit(func(s *session.Session) {
		handle = s.Handle()
		got, ok := s.User()
		assert.True(v.T, ok, "the sign-in was not stored: %v", s.Err())
		assert.Equal(v.T, user, got)
	})
	return handle
}

// UserOf returns who is signed in, "" for nobody.
func UserOf(v *Visitor) (user string) {
	v.T.Helper()
	v.Visit(func(s *session.Session) { user, _ = s.User() })
	return user
}

// Handles returns the handles of a user's sessions, sorted.
func Handles(t *testing.T, m *session.Manager, user string) []string {
	t.Helper()
	infos, err := m.Sessions(t.Context(), user)
	require.NoError(t, err)
	found := []string{}
	for _, info := range infos {
		found = append(found, info.Handle)
	}
	slices.Sort(found)
	return found
}

// An EventBook keeps what Config.Events was called with.
type EventBook struct {
	mu     sync.Mutex
	events []session.Event
}

// RecordEvents makes cfg report its events to the returned book.
func RecordEvents(cfg *session.Config) *EventBook {
	b := new(EventBook)
	cfg.Events = func(_ context.Context, e session.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	return b
}

// Take returns the events since the last call.
func (b *EventBook) Take() []session.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.events
	b.events = nil
	return taken
}

// Kinds returns their kinds in a line, with the reasons of endings.
func (b *EventBook) Kinds() string {
	var kinds []string
	for _, e := range b.Take() {
		kind := string(e.Kind)
		if e.Reason != "" {
			kind += ":" + e.Reason
		}
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, " ")
}

// Of returns the events of a kind.
func (b *EventBook) Of(kind session.EventKind) (found []session.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}
