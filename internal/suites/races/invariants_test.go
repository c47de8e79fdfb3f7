package races_test

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"example.com/session/driver"
)

// underWay is how long after the replacement of its token a request counts as sent before it.
const underWay = 5 * time.Second

// check notes every invariant that the run has broken. It ends all sessions of the users.
func (w *world) check() {
	live := w.live()
	w.checkBrowser(live)
	w.checkAnswers()
	w.checkDrops()
	w.checkWrites(live)
	w.checkEndings(live)
	w.checkEndAll(live)
	w.checkIndex(live)
	w.checkCookies()
	w.checkAttacker()
	w.checkJoined()
	w.checkSecondEndAll()
}

// live returns the records that are stored by now.
func (w *world) live() map[driver.ID]*driver.Record {
	live := make(map[driver.ID]*driver.Record)
	for id := range w.labels {
		if rec, err := w.inner[1].Load(w.ctx, id, w.clock.Now()); err == nil {
			live[id] = rec
		}
	}
	return live
}

// checkAnswers: a request fails only if its store does, and a failed request leaves nothing in the
// browser that opens.
func (w *world) checkAnswers() {
	for _, q := range w.requests {
		failed := q.status() >= http.StatusInternalServerError
		if (failed || q.err != nil) && !q.hadFault() {
			w.violation(fmt.Sprintf("%s failed without a fault: %v", q.op, q.failure()))
		}
		token, sets := q.cookie()
		if saved := q.save && q.saveErr == nil; failed && !saved && sets && token != "" {
			w.violation("a failed request sent a cookie")
		}
		if sets && token != "" && !q.changesIdentity() && q.presented != "" && q.op != "set" {
			w.violation("a request that only reads sent a cookie")
		}
	}
}

// checkDrops: changes are dropped only if another request has ended the session or replaced its
// token, and the sign-in of a visitor only if something ended.
func (w *world) checkDrops() {
	for _, q := range w.requests {
		if !q.wasDropped() {
			continue
		}
		ended := w.happened(q, func(op *operation) bool {
			return op.name == "End" && (op.record != nil || op.unknown) || op.name == "EndBefore"
		})
		replaced := w.happened(q, func(op *operation) bool { return op.name == "Save" && op.replace })
		switch {
		case q.op == "login" && q.loadedUser == "" && !ended:
			w.violation("a visitor's sign-in was dropped though nothing ended")
		case !ended && !replaced:
			w.violation("changes were dropped for no reason")
		}
	}
}

// happened reports whether another request did something.
func (w *world) happened(q *request, what func(*operation) bool) bool {
	return slices.ContainsFunc(w.log, func(op *operation) bool { return op.by != q && (op.applied || op.unknown) && what(op) })
}

// endedIDs returns the sessions that were certainly ended, and those that may have been.
func (w *world) endedIDs() (certain, possible map[driver.ID]bool) {
	certain, possible = make(map[driver.ID]bool), make(map[driver.ID]bool)
	for _, op := range w.log {
		switch {
		case op.name == "End" && op.applied && op.record != nil:
			certain[op.id], possible[op.id] = true, true
		case op.name == "End" && op.unknown:
			possible[op.id] = true
		}
	}
	return certain, possible
}

// checkWrites: an acknowledged write is there unless its session was ended, and each increment
// counts once.
func (w *world) checkWrites(live map[driver.ID]*driver.Record) {
	_, ended := w.endedIDs()
	for _, q := range w.requests {
		if !q.writes() || !q.acknowledged() {
			continue
		}
		id, ok := driver.ParseID(q.handle)
		rec := live[id]
		switch {
		case !ok:
			w.violation(fmt.Sprintf("an acknowledged %s has no session", q.op))
		case rec == nil && !ended[id]:
			w.violation("an acknowledged session is gone")
		case rec != nil && !hasKey(rec, "k "+q.name):
			w.violation(fmt.Sprintf("the acknowledged write of a %s is lost", q.op))
		}
	}
	for id, rec := range live {
		w.checkCount(id, rec)
	}
}

func hasKey(rec *driver.Record, key string) bool {
	_, ok := rec.Value(driver.Data, key)
	return ok
}

// checkCount: a session counts every acknowledged increment once.
func (w *world) checkCount(id driver.ID, rec *driver.Record) {
	least, most, base := 0, 0, 0
	for _, q := range w.requests {
		if !q.writes() || q.recorder == nil {
			continue
		}
		if own, _ := driver.ParseID(q.handle); own == id && q.acknowledged() {
			least++
			most++
			if q.loaded != q.handle {
				base = max(base, q.seen-1) // it began with a copy of what was loaded
			}
		} else if !q.acknowledged() && (q.status() != http.StatusOK || q.handle != "" || q.saveErr != nil) {
			most++ // nobody knows
			base = max(base, q.seen-1)
		}
	}
	encoded, _ := rec.Value(driver.Data, "n")
	n, _ := driver.ParseInt(encoded)
	if int(n) < least || int(n) > base+most {
		w.violation(fmt.Sprintf("a session counts %d increments, not %d to %d", n, least, base+most))
	}
}

// checkEndings: an acknowledged sign-out means that the session is dead, and dead sessions stay dead.
func (w *world) checkEndings(live map[driver.ID]*driver.Record) {
	dead := make(map[driver.ID]bool)
	for _, op := range w.log {
		switch {
		case op.name == "End" && op.applied && op.record != nil:
			dead[op.id] = true
		case op.name == "Save" && op.applied && dead[op.id]:
			w.violation("a session was stored after its end")
		}
	}
	for id := range dead {
		if live[id] != nil {
			w.violation("a session lives after its end")
		}
	}
	for _, q := range w.requests {
		id, _ := driver.ParseID(q.loaded)
		if q.op == "login" && q.loadedUser != "" && q.loadedUser != q.user && q.acknowledged() && live[id] != nil {
			w.violation("another user has signed in, and the session of the one before lives")
		}
		if q.op != "logout" || !q.acknowledged() {
			continue
		}
		id, ok := idOf(q.presented)
		if ok && live[id] != nil && w.replacements(id) < 4 { // a record remembers four secrets
			w.violation("a sign-out was acknowledged, and the session lives")
		}
	}
}

// replacements returns how often a session's token may have been replaced.
func (w *world) replacements(id driver.ID) (n int) {
	for _, op := range w.log {
		if op.name == "Save" && op.id == id && op.replace && (op.applied || op.unknown) {
			n++
		}
	}
	return n
}

// idOf returns the id in a token.
func idOf(token string) (driver.ID, bool) {
	if len(token) < 22 {
		return driver.ID{}, false
	}
	return driver.ParseID(token[:22])
}

// checkEndAll: after an acknowledged EndAll or EndOthers only those sessions of the user live whose
// sign-in entered the middleware afterwards.
func (w *world) checkEndAll(live map[driver.ID]*driver.Record) {
	for _, q := range w.requests {
		user, kept := q.user, driver.ID{}
		if q.op == "password" {
			user = q.loadedUser
			kept, _ = driver.ParseID(q.loaded)
		} else if q.op != "end all" {
			continue
		}
		if q.err != nil || q.crashed || user == "" {
			continue
		}
		noted := w.notedBy(q)
		for id, rec := range live {
			if rec.User() == user && id != kept && !w.signedInAfter(id, user, noted, q) {
				w.violation(fmt.Sprintf("%s of a user missed a session", q.op))
			}
		}
	}
}

// notedBy returns when a request has last noted that all sessions end.
func (w *world) notedBy(q *request) (at time.Time) {
	for _, op := range w.log {
		if op.by == q && op.name == "EndBefore" && op.applied {
			at = op.noted
		}
	}
	return at
}

// signedInAfter reports whether a request that entered after a time may have signed a user in with
// a session. The request that has ended the others may go on.
func (w *world) signedInAfter(id driver.ID, user string, at time.Time, ender *request) bool {
	return slices.ContainsFunc(w.log, func(op *operation) bool {
		q := op.by
		if op.name != "Save" || op.id != id || !op.applied && !op.unknown {
			return false
		}
		signsIn := q.op == "login" && q.user == user || q.op == "login again" && q.loadedUser == user
		return signsIn && (q.entered.After(at) || !w.notedBy(q).Before(at))
	})
}

// checkIndex: the list of a user's sessions names each one that lives, and no other.
func (w *world) checkIndex(live map[driver.ID]*driver.Record) {
	for _, user := range w.users() {
		infos, err := w.managers[1].Sessions(w.ctx, user)
		if err != nil {
			w.violation("the list of sessions cannot be read: " + err.Error())
		}
		listed := make(map[string]bool)
		for _, info := range infos {
			listed[info.Handle] = true
		}
		for id, rec := range live {
			if rec.User() == user && !listed[id.String()] {
				w.violation("the list misses a live session")
			}
			if listed[id.String()] && rec.User() != user {
				w.violation("the list names another user's session")
			}
		}
	}
}

// users returns who may be signed in.
func (w *world) users() (all []string) {
	for _, q := range w.requests {
		if q.user != "" && q.user != "U" && !slices.Contains(all, q.user) {
			all = append(all, q.user)
		}
	}
	return append(all, "U")
}

// checkCookies: a token that was given out opens its session, until that is ended or its token is
// replaced.
func (w *world) checkCookies() {
	_, ended := w.endedIDs()
	for _, q := range w.requests {
		token, _ := q.cookie()
		id, ok := idOf(token)
		if !ok || !q.acknowledged() || ended[id] || !w.tickedAt.IsZero() && w.shared(id) {
			continue // the first of several tokens to be used for long retires the others
		}
		last := w.lastSave(q, id)
		later := slices.ContainsFunc(w.log[last+1:], func(op *operation) bool {
			return op.name == "Save" && op.id == id && op.replace && (op.applied || op.unknown)
		})
		if p := w.open(token); !later && p.handle != id.String() {
			w.violation(fmt.Sprintf("the cookie of an acknowledged %s opens nothing", q.op))
		}
	}
}

// shared reports whether several requests got a token of a session.
func (w *world) shared(id driver.ID) bool {
	return count(w.requests, func(q *request) bool {
		token, _ := q.cookie()
		own, ok := idOf(token)
		return ok && own == id
	}) > 1
}

// lastSave returns where in the log a request last saved a session.
func (w *world) lastSave(q *request, id driver.ID) (at int) {
	for i, op := range w.log {
		if op.by == q && op.name == "Save" && op.id == id {
			at = i
		}
	}
	return at
}

// checkSecondEndAll: whatever failed before, EndAll ends everything.
func (w *world) checkSecondEndAll() {
	w.clock.Advance(time.Millisecond)
	for _, user := range w.users() {
		if err := w.managers[0].EndAll(w.ctx, user); err != nil {
			w.violation("EndAll failed after the run: " + err.Error())
		}
	}
	for _, rec := range w.live() {
		if rec.User() != "" {
			w.violation("a second EndAll missed a session")
		}
	}
}
