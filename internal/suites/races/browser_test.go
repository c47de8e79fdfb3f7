package races_test

import (
	"slices"
	"time"

	"example.com/session/driver"
)

// checkBrowser holds the promises to the browser's user, for every order in which the responses of
// two requests can reach it, and for each of them dropped.
func (w *world) checkBrowser(live map[driver.ID]*driver.Record) {
	var own []*request
	for _, q := range w.requests {
		if q.who == browser {
			own = append(own, q)
		}
	}
	if w.has(attacker) || w.has(process) || len(own) == 0 || w.usesJar {
		return
	}
	for _, delivered := range deliveries(own) {
		w.checkDelivery(own, delivered, live)
	}
}

// deliveries returns the orders in which the responses of at most two requests arrive, all of them
// or all but one. Of more requests the order is that in which they were sent, and its reverse.
func deliveries(own []*request) [][]*request {
	backwards := slices.Clone(own)
	slices.Reverse(backwards)
	if len(own) != 2 {
		return [][]*request{own, backwards}
	}
	return [][]*request{own, backwards, own[:1], own[1:]}
}

func (w *world) checkDelivery(own, delivered []*request, live map[driver.ID]*driver.Record) {
	token := w.token
	for _, q := range delivered {
		if value, sets := q.cookie(); sets {
			token = value
		}
	}
	p := w.open(token)
	signsIn := count(delivered, func(q *request) bool { return q.op == "login" && q.acknowledged() })
	changes := count(own, func(q *request) bool {
		return q.changesIdentity() || q.op == "set" && (w.start == noSession || w.tookLong(own)) // it begins a session
	})
	sameUser := count(own, func(q *request) bool { return q.op == "login" && q.user == "U" })
	signsOut := count(delivered, func(q *request) bool { return q.op == "logout" && q.acknowledged() })
	logins := count(own, func(q *request) bool { return q.op == "login" || q.op == "login again" })
	switch {
	case signsIn > 0 && changes == sameUser:
		w.checkSignedIn(p, token, own, live)
	case signsOut > 0 && logins == 0 && p.user != "":
		w.violation("the browser is signed in again after a sign-out")
	case logins == 0 && signsOut == 0 && len(delivered) == len(own) && w.start != noSession:
		w.checkKept(p, own)
	}
}

// checkSignedIn: of two sign-ins at once one session is left, with what the visitor had.
func (w *world) checkSignedIn(p *probe, token string, own []*request, live map[driver.ID]*driver.Record) {
	if p.user != "U" {
		w.violation("the browser is not signed in after a sign-in")
		return
	}
	if w.start != visitor || w.tookLong(own) {
		return
	}
	if !p.cart {
		w.violation("the browser is signed in, and the cart is lost")
	}
	sessions := 0
	for _, rec := range live {
		if rec.User() == "U" {
			sessions++
		}
	}
	if sessions != 1 {
		w.violation("a double click has left several sessions")
	}
}

// checkKept: requests that sign nobody in or out leave the browser with its session. A Regenerate
// that came with a replaced token begins a visitor's session anew.
func (w *world) checkKept(p *probe, own []*request) {
	exempt := func(q *request) bool { return q.op == "logout" || q.hadFault() || q.loaded == "" }
	if slices.ContainsFunc(own, exempt) || w.tookLong(own) {
		return
	}
	if !p.cart || w.start == signedIn && p.user != "U" {
		w.violation("the browser has lost its session")
	}
}

// tookLong reports whether a request entered so long after a replacement that it does not count as
// sent before it.
func (w *world) tookLong(own []*request) bool {
	return slices.ContainsFunc(w.log, func(op *operation) bool {
		return op.name == "Save" && op.replace && slices.ContainsFunc(own, func(q *request) bool {
			return q != op.by && q.entered.Sub(op.started) > underWay
		})
	})
}

// checkJoined: half a minute after a double click the token that the browser uses stays, and the
// others open nothing.
func (w *world) checkJoined() {
	tokens := make(map[string]bool)
	for _, q := range w.requests {
		token, _ := q.cookie()
		if p := w.open(token); token != "" && p.user != "" {
			tokens[token] = true
		}
	}
	if len(tokens) < 2 {
		return
	}
	w.clock.Advance(31 * time.Second)
	handles, first := make(map[string]bool), ""
	for _, q := range w.requests {
		token, _ := q.cookie()
		if !tokens[token] {
			continue
		}
		p := w.open(token)
		if first == "" {
			first = token
		}
		if token != first && p.user != "" && handles[p.handle] {
			w.violation("two tokens of a double click open the session for longer than 30 seconds")
		}
		handles[p.handle] = true
		if token == first && p.user == "" {
			w.violation("the token that is used does not outlive the other one")
		}
	}
}

func count(all []*request, what func(*request) bool) (n int) {
	for _, q := range all {
		if what(q) {
			n++
		}
	}
	return n
}
