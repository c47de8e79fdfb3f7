package session_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"example.com/session"
	"example.com/session/sessiontest"
)

// At a sign-in the session gets a new token, and keeps what the visitor had put into it.
func ExampleSession_Login() {
	visits(
		func(s *session.Session) { s.Set("cart", "mug") },
		func(s *session.Session) { s.Login("ann") }, // once the password was checked
		func(s *session.Session) { fmt.Println(s.User()); fmt.Println(s.Get("cart")) },
	)
	// Output:
	// ann true
	// mug
}

func ExampleSession_User() {
	visits(func(s *session.Session) {
		user, ok := s.User()
		fmt.Printf("%q %t\n", user, ok)
		s.Login("ann")
		user, ok = s.User()
		fmt.Printf("%q %t\n", user, ok)
	})
	// Output:
	// "" false
	// "ann" true
}

func ExampleSession_Logout() {
	visits(
		func(s *session.Session) { s.Login("ann"); s.Set("name", "Ann") },
		func(s *session.Session) { s.Logout(); s.Flash("success", "You are signed out.") },
		func(s *session.Session) { fmt.Println(s.All()) },
	)
	// Output: map[success:You are signed out.]
}

func ExampleSession_Destroy() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann") },
		func(s *session.Session) { s.Destroy() },
		func(s *session.Session) { fmt.Println(s.Has("name"), s.IsNew()) },
	)
	// Output: false true
}

// An application that does not use Login replaces the token at every change of privilege.
func ExampleSession_Regenerate() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	before := b.visit(func(s *session.Session) { s.Set("name", "Ann") }).Cookies()
	after := b.visit(func(s *session.Session) { s.Regenerate(); s.Set("admin", true) }).Cookies()
	fmt.Println("the cookie changed:", before[0].Value != after[0].Value)
	b.visit(func(s *session.Session) { fmt.Println(s.Get("name"), s.Get("admin")) })
	// Output:
	// the cookie changed: true
	// Ann true
}

// "Keep me signed in" was checked.
func ExampleSession_Remember() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	response := b.visit(func(s *session.Session) {
		s.Login("ann")
		s.Remember(30 * 24 * time.Hour)
	})
	fmt.Println(response.Cookies()[0].MaxAge/(24*60*60), "days")
	// Output: 30 days
}

// A change of password needs a recent sign-in.
func ExampleSession_FreshWithin() {
	visits(func(s *session.Session) {
		fmt.Println(s.FreshWithin(10 * time.Minute))
		s.Login("ann")
		fmt.Println(s.FreshWithin(10 * time.Minute))
	})
	// Output:
	// false
	// true
}

// After a time without activity the user has to sign in again. The session keeps its data.
func ExampleSession_Locked() {
	b := newExampleBrowser(session.Config{Default: "memory", LockAfter: 15 * time.Minute})
	clock := sessiontest.NewClock(b.manager)
	b.visit(func(s *session.Session) { s.Login("ann"); s.Set("cart", "mug") })
	clock.Advance(20 * time.Minute)
	b.visit(func(s *session.Session) {
		_, signedIn := s.User()
		user, locked := s.Locked()
		fmt.Println(signedIn, user, locked, s.Get("cart"))
		s.Login(user)
		_, signedIn = s.User()
		fmt.Println(signedIn)
	})
	// Output:
	// false ann true mug
	// true
}

func ExampleSession_AuthenticatedAt() {
	visits(func(s *session.Session) {
		fmt.Println(s.AuthenticatedAt().IsZero())
		s.Login("ann")
		fmt.Println(time.Since(s.AuthenticatedAt()) < time.Minute)
	})
	// Output:
	// true
	// true
}

func ExampleSession_CreatedAt() {
	visits(
		func(s *session.Session) { fmt.Println(s.CreatedAt().IsZero()); s.Set("name", "Ann") },
		func(s *session.Session) { fmt.Println(s.CreatedAt().IsZero()) },
	)
	// Output:
	// true
	// false
}

func ExampleSession_ExpiresAt() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann") },
		func(s *session.Session) { fmt.Println(time.Until(s.ExpiresAt()).Round(time.Minute)) },
	)
	// Output: 1h0m0s
}

// A log line names the session by its handle, which opens nothing.
func ExampleSession_Handle() {
	visits(
		func(s *session.Session) { s.Set("name", "Ann") },
		func(s *session.Session) { slog.Debug("an order", "session", s.Handle()) },
		func(s *session.Session) { fmt.Println(len(s.Handle()), "characters") },
	)
	// Output: 22 characters
}

func ExampleSession_Describe() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	b.visit(func(s *session.Session) {
		s.Login("ann")
		s.Describe(map[string]string{"agent": "Firefox"}) // r.UserAgent()
	})
	devices, err := b.manager.Sessions(context.Background(), "ann")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(devices[0].Hints["agent"])
	// Output: Firefox
}

func ExampleManager_RequireUser() {
	b := newExampleBrowser(session.Config{Default: "memory"})
	account := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := session.FromRequest(r).User()
		fmt.Println("the account of", user)
	})
	mux := http.NewServeMux()
	mux.Handle("/account", b.manager.RequireUser(account, http.RedirectHandler("/sign-in", http.StatusSeeOther)))

	fmt.Println(b.get(mux, "/account").Header.Get("Location"))
	b.visit(func(s *session.Session) { s.Login("ann") })
	b.get(mux, "/account")
	// Output:
	// /sign-in
	// the account of ann
}

// signedInTwice returns two browsers in which ann is signed in.
func signedInTwice() (phone, laptop *exampleBrowser) {
	phone = newExampleBrowser(session.Config{Default: "memory"})
	laptop = newExampleBrowser(session.Config{Default: "memory"})
	laptop.manager = phone.manager
	for name, b := range map[string]*exampleBrowser{"phone": phone, "laptop": laptop} {
		b.visit(func(s *session.Session) { s.Login("ann"); s.Describe(map[string]string{"name": name}) })
	}
	return phone, laptop
}

func printUser(s *session.Session) { fmt.Println(s.User()) }

// A page shows where the user is signed in.
func ExampleManager_Sessions() {
	phone, _ := signedInTwice()
	phone.visit(func(s *session.Session) {
		user, _ := s.User()
		devices, err := phone.manager.Sessions(context.Background(), user)
		if err != nil {
			log.Fatal(err)
		}
		for _, device := range devices {
			fmt.Println(device.Hints["name"], "is this one:", device.Handle == s.Handle())
		}
	})
	// Unordered output:
	// phone is this one: true
	// laptop is this one: false
}

func ExampleInfo() {
	phone, _ := signedInTwice()
	devices, err := phone.manager.Sessions(context.Background(), "ann")
	if err != nil {
		log.Fatal(err)
	}
	device := devices[0]
	fmt.Println(device.Driver, time.Since(device.AuthenticatedAt) < time.Minute)
	// Output: memory true
}

func ExampleManager_End() {
	phone, laptop := signedInTwice()
	var handle string // what the form of the page of devices sends
	phone.visit(func(s *session.Session) { handle = s.Handle() })

	fmt.Println(phone.manager.End(context.Background(), "ann", handle))
	phone.visit(printUser)
	laptop.visit(printUser)
	err := phone.manager.End(context.Background(), "ben", handle)
	fmt.Println(errors.Is(err, session.ErrNoSession))
	// Output:
	// <nil>
	//  false
	// ann true
	// true
}

// After a change of password, all other devices are signed out.
func ExampleManager_EndOthers() {
	phone, laptop := signedInTwice()
	phone.visit(func(s *session.Session) {
		if err := phone.manager.EndOthers(context.Background(), s); err != nil {
			log.Fatal(err)
		}
	})
	phone.visit(printUser)
	laptop.visit(printUser)
	// Output:
	// ann true
	//  false
}

func ExampleManager_EndAll() {
	phone, laptop := signedInTwice()
	if err := phone.manager.EndAll(context.Background(), "ann"); err != nil {
		log.Fatal(err)
	}
	phone.visit(printUser)
	laptop.visit(printUser)
	// Output:
	//  false
	//  false
}

// The cookie driver lists sessions only if CookieConfig.Revocation is set.
func ExampleManager_Sessions_unsupported() {
	manager, err := session.NewManager(session.Config{Secret: session.NewSecret()})
	if err != nil {
		log.Fatal(err)
	}
	_, err = manager.Sessions(context.Background(), "ann")
	fmt.Println(errors.Is(err, session.ErrUnsupported))
	// Output: true
}

func ExampleSignInPolicy() {
	phone := newExampleBrowser(session.Config{
		Default: "memory", MaxPerUser: 1, AtMaxPerUser: session.RefuseNew, // EndOldest is the default
	})
	phone.visit(func(s *session.Session) { s.Login("ann") })
	laptop := newExampleBrowser(session.Config{Default: "memory", AtMaxPerUser: session.EndOldest})
	laptop.manager = phone.manager
	laptop.visit(func(s *session.Session) {
		s.Login("ann")
		err := s.Save()
		fmt.Println(errors.Is(err, session.ErrTooManySessions))
	})
	// Output: true
}

func ExampleEvent() {
	b := newExampleBrowser(session.Config{
		Default: "memory",
		Events: func(_ context.Context, e session.Event) {
			if e.Kind == session.EventLogin || e.Kind == session.EventEnded {
				fmt.Printf("%s %s %q\n", e.Kind, e.User, e.Reason)
			}
		},
	})
	b.visit(func(s *session.Session) { s.Login("ann") })
	b.visit(func(s *session.Session) { s.Logout() })
	// Output:
	// login ann ""
	// ended ann "logout"
}

// Events are written to an audit log.
func ExampleEvent_Attrs() {
	audit := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	_ = session.Config{Events: func(ctx context.Context, e session.Event) {
		audit.LogAttrs(ctx, slog.LevelInfo, "session", e.Attrs()...)
	}}
}

// A log line for each slow operation. Module otelsession makes spans.
func ExampleOperation() {
	_ = session.Config{Trace: func(ctx context.Context, op session.Operation) (context.Context, func(error)) {
		began := time.Now()
		return ctx, func(err error) {
			if took := time.Since(began); took > 100*time.Millisecond {
				slog.WarnContext(ctx, "slow", "operation", op.Name, "driver", op.Driver, "handle", op.Handle, "took", took, "error", err)
			}
		}
	}}
}

// A log level for each kind of event.
func ExampleEventKind() {
	level := func(kind session.EventKind) slog.Level {
		switch kind {
		case session.EventUnavailable, session.EventTampered:
			return slog.LevelError
		case session.EventEvicted, session.EventLateChange, session.EventLoginFailed, session.EventRevoked:
			return slog.LevelWarn
		case session.EventCreated, session.EventImported, session.EventLogin, session.EventRegenerated, session.EventEnded,
			session.EventExpiredIdle, session.EventExpiredLifetime, session.EventAvailable:
			return slog.LevelInfo
		case session.EventOpened, session.EventUnknown:
		}
		return slog.LevelDebug
	}
	fmt.Println(level(session.EventTampered), level(session.EventLogin), level(session.EventOpened))
	// Output: ERROR INFO DEBUG
}
