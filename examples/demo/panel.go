package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/session"
)

// Bytes of name and value.
const (
	cookieLimit = 4096 // that browsers keep
	dataLimit   = 3500 // of the cookie driver's data
)

// A panel is the data of the page about the session.
type panel struct {
	Exists   bool
	Handle   string
	Device   string
	Created  time.Time
	Ends     time.Time
	Lifetime bar
	Idle     bar
	Cookie   cookieUse
	Proof    proof
	Token    string // its mark
	Keys     []keyUse
	Bytes    int
}

// A bar shows how much of something is left, or used.
type bar struct {
	Label string
	Text  string
	Share float64 // percent
	Steps []step  // how it shrinks with time; none if it does not
}

// A step is the share that a bar shows from some time on.
type step struct {
	At    float64 // seconds after the page was loaded
	Share float64 // percent
}

const barSteps = 50 // until a full bar is empty

type cookieUse struct {
	Name  string
	Bytes int
	Bar   bar
}

type keyUse struct {
	Key, Kind string
	Bytes     int
}

func (a *app) showSession(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	p := panel{
		Exists:  !s.IsNew(),
		Handle:  s.Handle(),
		Device:  deviceOf(r.UserAgent()),
		Created: s.CreatedAt(),
		Ends:    s.ExpiresAt(),
		Cookie:  a.cookieUse(r),
	}
	if c, err := r.Cookie(a.cookie); err == nil {
		p.Token = mark(c.Value)
	}
	p.Proof, _ = replaced.Get(s)
	lifetime, idle := a.limits(s)
	p.Lifetime = timeBar("Lifetime", lifetime-time.Since(p.Created), lifetime)
	p.Idle = timeBar("Idle timeout", idle, idle)
	p.Keys, p.Bytes = keysOf(s)
	a.render(w, r, http.StatusOK, "session.html", "This session", p)
}

// limits returns the limits of the session. A remembered session has its own.
func (a *app) limits(s *session.Session) (lifetime, idle time.Duration) {
	if s.GetBool("remembered") {
		return remembered, remembered
	}
	lifetime, idle = a.cfg.Lifetime, a.cfg.IdleTimeout
	switch a.cfg.Default {
	case "cookie":
		idle = orDefault(a.cfg.Cookie.IdleTimeout, idle)
	case "memory":
		idle = orDefault(a.cfg.Memory.IdleTimeout, idle)
	case "redis":
		idle = orDefault(a.cfg.Redis.IdleTimeout, idle)
	}
	return orDefault(lifetime, 24*time.Hour), orDefault(idle, time.Hour)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func timeBar(label string, left, whole time.Duration) bar {
	left = min(max(left, 0), whole)
	b := bar{
		Label: label,
		Text:  roughly(left) + " of " + roughly(whole) + " left",
		Share: 100 * float64(left) / float64(whole),
	}
	for passed := whole / barSteps; passed <= left && passed > 0; passed += whole / barSteps {
		b.Steps = append(b.Steps, step{passed.Seconds(), 100 * float64(left-passed) / float64(whole)})
	}
	return b
}

// roughly returns a duration in at most two units.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, unit := range units[:3] {
		if d < unit.size || d < 2*day && unit.size == day {
			continue
		}
		text := fmt.Sprintf("%d %s", d/unit.size, unit.name)
		if next := units[i+1]; d%unit.size >= next.size {
			text += fmt.Sprintf(" %d %s", d%unit.size/next.size, next.name)
		}
		return text
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// cookieUse compares the size of the session's largest cookie with its limit.
func (a *app) cookieUse(r *http.Request) cookieUse {
	use, limit := cookieUse{Name: a.cookie}, cookieLimit
	for _, c := range r.Cookies() {
		if isData := isDataName(c.Name); isData && a.cfg.Default == "cookie" || c.Name == a.cookie && use.Bytes == 0 {
			use.Name, use.Bytes = c.Name, len(c.Name)+len(c.Value)
			if isData {
				limit = dataLimit
			}
		}
	}
	use.Bar = bar{
		Label: "Size",
		Text:  fmt.Sprintf("%d of %d bytes used", use.Bytes, limit),
		Share: 100 * float64(use.Bytes) / float64(limit),
	}
	return use
}

// keysOf lists the keys of a session, with the size of each value as JSON.
func keysOf(s *session.Session) (keys []keyUse, sum int) {
	for key, value := range s.All() {
		text, err := json.Marshal(value)
		if err != nil {
			continue
		}
		keys = append(keys, keyUse{key, kindOf(value), len(text)})
		sum += len(key) + len(text)
	}
	slices.SortFunc(keys, func(a, b keyUse) int { return strings.Compare(a.Key, b.Key) })
	return keys, sum
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "yes or no"
	case int, int64, uint64, float64:
		return "number"
	case []any:
		return "list"
	}
	return "object"
}

func (a *app) reset(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	keep := s.GetBool("remembered")
	s.Reset()
	if keep {
		s.Set("remembered", true) // Reset leaves the limits of the session
	}
	s.Flash("success", "The session's data is cleared. The session itself goes on.")
	redirect(w, r, "/session")
}
