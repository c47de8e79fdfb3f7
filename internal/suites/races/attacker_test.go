package races_test

import (
	"slices"
	"strings"
)

// checkAttacker: a copy of the browser's token does not outlive its replacement, and nobody is
// signed in with a token that was planted.
func (w *world) checkAttacker() {
	tokens, proven := []string{w.token}, map[string]bool{}
	for _, q := range w.requests {
		if q.who != attacker {
			continue
		}
		if token, _ := q.cookie(); token != "" {
			tokens = append(tokens, token)
		}
		if q.op == "login" {
			proven[q.user] = true
		}
	}
	by := w.firstReplacement()
	if w.start == noSession || !w.has(attacker) || by == nil || by.who == attacker && w.start == signedIn {
		return // whoever holds a stolen token may be the first to replace it
	}
	for _, token := range tokens {
		p := w.open(token)
		if p.user != "" && !proven[p.user] {
			w.violation("the attacker's token opens the session of a user")
		}
		for key := range p.keys {
			if q := w.named(strings.TrimPrefix(key, "k ")); q != nil && q.who == browser && w.hasReplaced(q) && q.acknowledged() && !proven[p.user] {
				w.violation("the attacker's token opens what the browser has stored since")
			}
		}
	}
}

// hasReplaced reports whether a request has replaced a token.
func (w *world) hasReplaced(q *request) bool {
	return slices.ContainsFunc(w.log, func(op *operation) bool {
		return op.by == q && op.name == "Save" && op.replace && op.applied
	})
}

func (w *world) has(sender who) bool {
	return slices.ContainsFunc(w.requests, func(q *request) bool { return q.who == sender })
}

func (w *world) named(name string) *request {
	for _, q := range w.requests {
		if q.name == name {
			return q
		}
	}
	return nil
}

// firstReplacement returns which request has first replaced the token of the first session, or has
// ended it. It returns nil if nobody has, or if nobody knows.
func (w *world) firstReplacement() *request {
	for _, op := range w.log {
		replaces := op.name == "Save" && op.replace || op.name == "End" && (op.record != nil || op.unknown)
		switch {
		case op.id != w.first || !replaces:
		case op.unknown:
			return nil
		case op.applied:
			return op.by
		}
	}
	return nil
}
