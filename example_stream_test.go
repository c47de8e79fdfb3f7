package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"example.com/session"
	"example.com/session/driver"
)

// A handler loads the session before it does what cannot be undone.
func ExampleSession_Open() {
	visits(func(s *session.Session) {
		if err := s.Open(); err != nil {
			return // the middleware sends the error answer
		}
		fmt.Println("charge the credit card")
	})
	// Output: charge the credit card
}

// A long upload stores its progress, which other requests of the session can read.
func ExampleSession_Save() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) { s.Set("percent", 0) })
	b.visit(func(upload *session.Session) {
		upload.Set("percent", 50)
		if err := upload.Save(); errors.Is(err, session.ErrNoSession) {
			return // signed out meanwhile
		}
		b.visit(func(s *session.Session) { fmt.Println(s.Get("percent")) })
		upload.Set("percent", 100)
	})
	b.visit(func(s *session.Session) { fmt.Println(s.Get("percent")) })
	// Output:
	// 50
	// 100
}

// A stream waits for what another request stores.
func ExampleSession_Reload() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) { s.Set("percent", 0) })
	b.visit(func(stream *session.Session) {
		fmt.Println(stream.Get("percent"))
		b.visit(func(upload *session.Session) { upload.Set("percent", 50) })
		fmt.Println(stream.Get("percent"))
		fmt.Println(stream.Reload(), stream.Get("percent"))
		b.visit(func(other *session.Session) { other.Destroy() })
		fmt.Println(errors.Is(stream.Reload(), session.ErrNoSession))
	})
	// Output:
	// 0
	// 0
	// <nil> 50
	// true
}

// If another request ends the session, the changes of this request are not stored.
func ExampleSession_Err() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) { s.Set("name", "Ann") })
	b.visit(func(slow *session.Session) {
		slow.Set("name", "Ben")
		b.visit(func(fast *session.Session) { fast.Destroy() })
		fmt.Println(slow.Err())
		fmt.Println(errors.Is(slow.Save(), session.ErrEnded), errors.Is(slow.Err(), session.ErrEnded))
	})
	// Output:
	// <nil>
	// true true
}

// A new session needs a cookie, so it cannot begin once the header was sent.
func ExampleSession_Save_late() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.get(b.manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "the page begins")
		s := session.FromRequest(r)
		s.Set("name", "Ann")
		fmt.Println(errors.Is(s.Save(), session.ErrLateChange))
	})), "/")
	// Output: true
}

func ExampleSession_IsNew() {
	visits(
		func(s *session.Session) { fmt.Println(s.IsNew()); s.Set("name", "Ann") },
		func(s *session.Session) { fmt.Println(s.IsNew()) },
	)
	// Output:
	// true
	// false
}

// A mapStore is a Store that keeps sessions in a map.
type mapStore struct {
	mu      sync.Mutex
	entries map[string]driver.Entry
}

func (m *mapStore) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(key), nil
}

func (m *mapStore) get(key string) []byte {
	if entry := m.entries[key]; time.Now().Before(entry.Expires) {
		return entry.Data
	}
	return nil
}

func (m *mapStore) Update(_ context.Context, key string, change func([]byte) (driver.Entry, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, err := change(m.get(key))
	if err == nil && entry.Data != nil {
		entry.Data = bytes.Clone(entry.Data)
		m.entries[key] = entry
	}
	return err
}

func ExampleStore() {
	var store session.Store = &mapStore{entries: map[string]driver.Entry{}}
	data, err := store.Get(context.Background(), "AAAAAAAAAAAAAAAAAAAAAA")
	fmt.Println(data == nil, err)
	// Output: true <nil>
}

func ExampleStoreDriver() {
	b := newExampleBrowser(session.Config{
		Default: "map",
		Drivers: map[string]session.Driver{
			"map": session.StoreDriver(&mapStore{entries: map[string]driver.Entry{}}),
		},
	})
	b.visit(func(s *session.Session) { s.Login("ann") })
	b.visit(func(s *session.Session) { fmt.Println(s.User()) })
	devices, err := b.manager.Sessions(context.Background(), "ann")
	fmt.Println(len(devices), err)
	// Output:
	// ann true
	// 1 <nil>
}

// Drivers are made by NewMemoryDriver, NewRedisDriver and StoreDriver.
func ExampleDriver() {
	drivers := map[string]session.Driver{
		"memory2": session.NewMemoryDriver(session.MemoryConfig{}),
		"map":     session.StoreDriver(&mapStore{entries: map[string]driver.Entry{}}),
	}
	_, err := session.NewManager(session.Config{Default: "map", Drivers: drivers})
	fmt.Println(err)
	// Output: <nil>
}
