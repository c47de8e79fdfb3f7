package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A visitor is a client with a cookie jar, and what it knows of its session. Several workers send
// its requests at once.
type visitor struct {
	l      *Load
	id     string
	client *http.Client

	// alone is held for reading by requests that may not meet a change of the token: the answer
	// would not tell that they came too late.
	alone sync.RWMutex

	mu         sync.Mutex
	state      state
	since      time.Time // when what opens the session was last acknowledged
	added      count     // by Increment
	cart       count     // by Update
	values     map[string]*value
	logins     int
	unanswered time.Time // when the last sign-in or renewal ended without an answer, if no later request was served
}

type state int

const (
	coming  state = iota // no request of it was acknowledged
	inside               // it has a session
	unknown              // a sign-out had no answer
	outside              // it has signed out, or was found to be signed out
)

// A count is how often a number was raised by one.
type count struct {
	acknowledged []time.Time // when each of them was
	unsure       int         // those without an answer
}

// A value is what one key was set to, by one worker: numbers that grow.
type value struct {
	last, acknowledged int
	at                 time.Time // of the acknowledgement
}

func newVisitor(l *Load, id string) *visitor {
	jar, _ := cookiejar.New(nil) // without options there is no error
	return &visitor{l: l, id: id, values: make(map[string]*value),
		client: &http.Client{Jar: jar, Transport: l.transport, Timeout: time.Minute}}
}

// An outcome is what an answer says about a change.
type outcome int

const (
	stored  outcome = iota
	failed          // perhaps stored, perhaps not
	dropped         // not stored: the session had ended
)

// send sends a request and returns whose session served it.
func (v *visitor) send(path string, form url.Values) (o outcome, who string, body []byte) {
	begin := time.Now()
	response, err := v.client.Get(v.l.server.URL + path + "?" + form.Encode())
	status := 0
	if err == nil {
		status, who = response.StatusCode, response.Header.Get(whoHeader)
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	switch {
	case err == nil && status == http.StatusOK:
		o = stored
	case err == nil && status == http.StatusConflict:
		o = dropped
	default:
		o, who = failed, ""
	}
	v.l.books.request(begin, o, status)
	return o, who, body
}

// met judges whose session served a request of a visitor that has one. One that began before a sign-in
// had no answer tells nothing of it.
func (v *visitor) met(who string, began time.Time) {
	if who == v.id {
		v.mu.Lock()
		defer v.mu.Unlock()
		if began.After(v.unanswered) {
			v.unanswered = time.Time{}
		}
		return
	}
	if who != "" {
		v.l.books.note(func(r *Report) { r.Mixed++ })
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state == inside {
		v.state = outside
		if !v.unanswered.IsZero() {
			v.l.books.note(func(r *Report) { r.Unanswered++ })
			return
		}
		v.l.books.lose(Loss{What: "session of " + v.id, Acknowledged: v.since})
	}
}

func (v *visitor) isIn(s state) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state == s
}

func (v *visitor) to(s state) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state, v.since = s, time.Now()
}

// enter begins the session.
func (v *visitor) enter() bool {
	v.alone.Lock()
	defer v.alone.Unlock()
	if !v.isIn(coming) {
		return true
	}
	if o, _, _ := v.send("/enter", url.Values{"who": {v.id}}); o != stored {
		return false
	}
	v.l.books.note(func(r *Report) { r.Acknowledged++ })
	v.to(inside)
	return true
}

// change sends a request that changes the session and notes its outcome by note, which v.mu guards.
func (v *visitor) change(path string, form url.Values, saving bool, note func(o outcome)) {
	if v.isIn(coming) && !v.enter() {
		return
	}
	if saving {
		form.Set("save", "1")
	} else {
		v.alone.RLock()
		defer v.alone.RUnlock()
	}
	if !v.isIn(inside) {
		return
	}
	began := time.Now()
	o, who, _ := v.send(path, form)
	v.mu.Lock()
	note(o)
	v.mu.Unlock()
	if o == stored {
		v.l.books.note(func(r *Report) { r.Acknowledged++ })
		v.met(who, began)
	}
}

// raise raises a count of the session.
func (v *visitor) raise(path string, n *count, saving bool) {
	v.change(path, url.Values{}, saving, func(o outcome) {
		switch o {
		case stored:
			n.acknowledged = append(n.acknowledged, time.Now())
		case failed:
			n.unsure++
		}
	})
}

// set sets a key that only this worker sets.
func (v *visitor) set(worker int, saving bool) {
	key := fmt.Sprintf("w%d", worker)
	v.mu.Lock()
	if v.values[key] == nil {
		v.values[key] = new(value)
	}
	val := v.values[key]
	val.last++
	n := val.last
	v.mu.Unlock()
	v.change("/set", url.Values{"key": {key}, "value": {strconv.Itoa(n)}}, saving, func(o outcome) {
		if o == stored {
			val.acknowledged, val.at = n, time.Now()
		}
	})
}

// login signs the visitor in, again or for the first time, or only renews the token; the old one
// must open nothing any more.
func (v *visitor) login(path string) {
	v.alone.Lock()
	defer v.alone.Unlock()
	if !v.isIn(inside) {
		return
	}
	before := v.cookies()
	v.mu.Lock()
	v.logins++
	n := v.logins
	if v.values["login"] == nil {
		v.values["login"] = new(value)
	}
	val := v.values["login"]
	val.last = n
	v.mu.Unlock()
	began := time.Now()
	o, who, _ := v.send(path, url.Values{"who": {v.id}, "value": {strconv.Itoa(n)}})
	v.mu.Lock()
	if o != stored {
		v.unanswered = time.Now()
		v.mu.Unlock()
		return
	}
	v.unanswered = time.Time{}
	val.acknowledged, val.at = n, time.Now()
	v.since = val.at
	v.mu.Unlock()
	v.l.books.note(func(r *Report) { r.Acknowledged++ })
	v.l.noteEnded(v.id, before)
	v.met(who, began)
}

// logout ends the session, and reports whether the visitor is gone.
func (v *visitor) logout() bool {
	v.alone.Lock()
	defer v.alone.Unlock()
	if !v.isIn(inside) {
		return !v.isIn(coming)
	}
	before := v.cookies()
	v.to(unknown) // whatever comes of it, nobody asks for this visitor any more
	if o, _, _ := v.send("/logout", url.Values{}); o != stored {
		return true
	}
	v.to(outside)
	v.l.books.note(func(r *Report) { r.Acknowledged++ })
	v.l.noteEnded(v.id, before)
	return true
}

func (v *visitor) cookies() []*http.Cookie {
	u, _ := url.Parse(v.l.server.URL)
	return v.client.Jar.Cookies(u)
}

// look reads.
func (v *visitor) look() {
	v.alone.RLock()
	defer v.alone.RUnlock()
	if v.isIn(inside) {
		v.read()
	}
}

// read returns what the session holds.
func (v *visitor) read() (found map[string]any, ok bool) {
	began := time.Now()
	o, who, body := v.send("/look", url.Values{})
	if o != stored {
		return nil, false
	}
	v.met(who, began)
	return found, json.Unmarshal(body, &found) == nil
}

// judge compares what the session holds with what it must hold.
func (v *visitor) judge(tb testing.TB) {
	tb.Helper()
	if !v.isIn(inside) {
		return
	}
	found, ok := v.read()
	for try := 0; !ok && try < 20; try++ {
		time.Sleep(100 * time.Millisecond)
		found, ok = v.read()
	}
	if !ok {
		tb.Errorf("load: %s cannot be read back", v.id)
		return
	}
	if !v.isIn(inside) {
		return // it was found to be signed out
	}
	v.l.books.note(func(r *Report) { v.compare(found, r) })
}

// compare notes what is not there, and what is there too often.
func (v *visitor) compare(found map[string]any, r *Report) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r.Read++
	v.added.compare("increment of "+v.id, integer(found["n"]), r)
	stored, _ := found["cart"].(map[string]any)
	v.cart.compare("Update of "+v.id, integer(stored["Items"]), r)
	for key, val := range v.values {
		n := integer(found[key])
		if n < val.acknowledged {
			what := fmt.Sprintf("%s of %s: %d in place of %d", key, v.id, n, val.acknowledged)
			r.Lost = append(r.Lost, Loss{What: what, Acknowledged: val.at})
		}
		if n > val.last {
			r.Mixed++ // nobody has set that here
		}
	}
}

// compare notes what of a count is lost, and what counted twice. n is what is stored.
func (c *count) compare(what string, n int, r *Report) {
	if lost := len(c.acknowledged) - n; lost > 0 { // which ones they are nobody can tell
		for _, at := range c.acknowledged[len(c.acknowledged)-lost:] {
			r.Lost = append(r.Lost, Loss{What: what, Acknowledged: at})
		}
	}
	r.Twice += max(0, n-len(c.acknowledged)-c.unsure)
}

// integer reads what the application has sent as a number or as a text, 0 where there is nothing.
func integer(sent any) int {
	n, _ := strconv.Atoi(fmt.Sprint(sent))
	return n
}
