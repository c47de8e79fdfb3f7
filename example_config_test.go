package session_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"example.com/session"
)

func ExampleConfig() {
	_, err := session.NewManager(session.Config{
		Default:     "redis",
		Lifetime:    7 * 24 * time.Hour,
		IdleTimeout: 4 * time.Hour,
		Redis:       session.RedisConfig{URL: "redis://127.0.0.1:6379/1", Namespace: "shop"},
		Passive:     func(r *http.Request) bool { return r.URL.Path == "/poll" },
		Skip:        func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/static/") },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			slog.ErrorContext(r.Context(), "the session failed", "error", err)
			http.Error(w, "Please try again in a moment.", http.StatusServiceUnavailable)
		},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleLoadConfig() {
	cfg, err := session.LoadConfig("session.json")
	if errors.Is(err, fs.ErrNotExist) {
		cfg, err = session.Config{Default: "memory"}, nil
	}
	fmt.Println(cfg.Default, err)
	// Output: memory <nil>
}

func ExampleParseConfig() {
	cfg, err := session.ParseConfig([]byte(`{"default": "memory", "lifetime": "12h", "memory": {"timeout": 900}}`))
	fmt.Println(cfg.Default, cfg.Lifetime, cfg.Memory.IdleTimeout, err)

	_, err = session.ParseConfig([]byte(`{"default": "memory", "lifetime": 43200, "idle_timeout": true}`))
	fmt.Println(err)
	// Output:
	// memory 12h0m0s 15m0s <nil>
	// session: parse config: line 1: idle_timeout: want a number of seconds such as 0.5, or a string such as "90m"
}

func ExampleAssurance() {
	for _, level := range []session.Assurance{session.AAL1, session.AAL2, session.AAL3} {
		_, err := session.NewManager(session.Config{
			Default: "memory", Assurance: level, Lifetime: 20 * time.Hour, IdleTimeout: 10 * time.Minute,
		})
		fmt.Println(level, err)
	}
	// Output:
	// AAL1 <nil>
	// AAL2 <nil>
	// AAL3 session: Config.Lifetime: 20h0m0s is more than the 12h0m0s that Assurance AAL3 allows: make it shorter
}

// With this prefix, browsers guarantee that the cookie comes from this host, over TLS.
func ExampleCookieAttributes() {
	b := newExampleBrowser(session.Config{
		Default:          "memory",
		CookieAttributes: session.CookieAttributes{Prefix: "__Host-s_", SameSite: http.SameSiteStrictMode},
	})
	cookie := b.visit(func(s *session.Session) { s.Set("name", "Ann") }).Cookies()[0]
	fmt.Println(cookie.Name, cookie.Secure, cookie.HttpOnly, cookie.SameSite == http.SameSiteStrictMode)
	// Output: __Host-s_memory true true true
}

// Behind a proxy that speaks TLS.
func ExampleSecureMode() {
	attributes := session.CookieAttributes{Secure: session.SecureAlways}
	fmt.Println(attributes.Secure, session.SecureAuto, session.SecureNever)
	// Output: always auto never
}

// A mode can be set on the command line.
func ExampleSecureMode_UnmarshalText() {
	var mode session.SecureMode
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.TextVar(&mode, "secure", session.SecureAuto, "when cookies are Secure: auto, always or never")
	fmt.Println(flags.Parse([]string{"-secure=always"}), mode)
	// Output: <nil> always
}

func ExampleSecureMode_MarshalText() {
	text, err := json.Marshal(session.SecureAlways)
	fmt.Println(string(text), err)
	// Output: "always" <nil>
}

// Cookies that can be revoked: sessions stay in the browser, and redis keeps a record of each
// signed-in session.
func ExampleCookieConfig() {
	manager, err := session.NewManager(session.Config{
		Secret: session.NewSecret(), // from the environment, in a program
		Cookie: session.CookieConfig{Revocation: "redis", RevocationWindow: 5 * time.Second},
		Redis:  session.RedisConfig{Host: "127.0.0.1"},
	})
	fmt.Println(manager != nil, err)
	// Output: true <nil>
}

// A session that does not fit into a cookie is not saved. The handler can delete a value, and save
// again.
func ExampleSizeError() {
	b := newExampleBrowser(session.Config{Secret: session.NewSecret()})
	b.visit(func(s *session.Session) {
		s.Set("name", "Ann")
		s.Set("photo", strings.Repeat("x", 5000))
		var tooLarge *session.SizeError
		if errors.As(s.Save(), &tooLarge) {
			fmt.Println(tooLarge.Limit, tooLarge.Largest[0].Key)
			s.Delete("photo")
		}
		fmt.Println(s.Save())
	})
	// Output:
	// 3500 photo
	// <nil>
}

func ExampleKeySize() {
	err := &session.SizeError{Largest: []session.KeySize{{Key: "photo", Size: 5002}, {Key: "name", Size: 5}}}
	for _, key := range err.Largest {
		fmt.Println(key.Key, key.Size)
	}
	// Output:
	// photo 5002
	// name 5
}

func ExampleMemoryConfig() {
	_, err := session.NewManager(session.Config{
		Default: "memory",
		Memory:  session.MemoryConfig{IdleTimeout: 15 * time.Minute, MaxSessions: 50_000},
	})
	fmt.Println(err)
	// Output: <nil>
}

// A second memory driver, for sessions that last longer than those of the default driver.
func ExampleNewMemoryDriver() {
	b := newExampleBrowser(session.Config{
		Default: "memory",
		Drivers: map[string]session.Driver{
			"kiosk": session.NewMemoryDriver(session.MemoryConfig{IdleTimeout: 12 * time.Hour}),
		},
	})
	response := b.visit(func(s *session.Session) {
		kiosk, err := s.Using("kiosk")
		if err != nil {
			log.Fatal(err)
		}
		kiosk.Set("place", "entrance")
	})
	fmt.Println(response.Cookies()[0].Name)
	// Output: s_kiosk
}

func ExampleSession_Using() {
	b := newExampleBrowser(session.Config{Default: "memory", Secret: session.NewSecret()})
	b.visit(func(s *session.Session) {
		inBrowser, err := s.Using("cookie")
		if err != nil {
			log.Fatal(err)
		}
		inBrowser.Set("language", "de")
		fmt.Println(s.Has("language"))
		_, err = s.Using("attic")
		fmt.Println(errors.Is(err, session.ErrUnknownDriver))
	})
	b.visit(func(s *session.Session) {
		inBrowser, _ := s.Using("cookie")
		fmt.Println(inBrowser.Get("language"))
	})
	// Output:
	// false
	// true
	// de
}

func ExampleRedisConfig() {
	_ = session.Config{
		Default: "redis",
		Redis: session.RedisConfig{
			Host: "redis.internal", Password: "from the environment", Namespace: "shop",
			Options: session.RedisOptions{DB: 1, TLS: &tls.Config{MinVersion: tls.VersionTLS13}},
		},
	}
}

func ExampleRedisOptions() {
	options := session.RedisOptions{
		Username: "shop", TLSCA: "/etc/ssl/redis.pem", ReadTimeout: 200 * time.Millisecond,
	}
	_ = session.Config{Default: "redis", Redis: session.RedisConfig{Password: "from the environment", Options: options}}
}

// A second redis server, beside that of Config.Redis.
func ExampleNewRedisDriver() {
	archive, err := session.NewRedisDriver(session.RedisConfig{URL: "redis://archive.internal:6379"})
	if err != nil {
		log.Fatal(err)
	}
	defer archive.(io.Closer).Close()
	_, err = session.NewManager(session.Config{
		Default: "redis", Drivers: map[string]session.Driver{"archive": archive},
	})
	fmt.Println(err)
	// Output: <nil>
}

// timedClient logs how long each command of another client takes.
type timedClient struct{ next session.RedisClient }

func (c timedClient) Do(ctx context.Context, args ...any) (any, error) {
	began := time.Now()
	reply, err := c.next.Do(ctx, args...)
	slog.DebugContext(ctx, "redis", "command", args[0], "took", time.Since(began), "error", err)
	return reply, err
}

func ExampleRedisClient() {
	var cluster session.RedisClient // goredis.New(redis.NewClusterClient(...))
	_ = session.Config{
		Default: "redis",
		Redis:   session.RedisConfig{Options: session.RedisOptions{Client: timedClient{cluster}}},
	}
}
