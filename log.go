package session

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// logEvery is how often one kind of event that clients can cause is logged at most.
const logEvery = time.Minute

// An eventLog writes what the operator should know. What clients can cause is written at most
// once a minute a kind, with the count of what was passed over; what they sent goes into
// attributes, never into the message, and tokens and values go nowhere.
type eventLog struct {
	logger *slog.Logger
	now    func() time.Time
	plain  sync.Once

	mu   sync.Mutex
	seen map[string]*occasion // by message: a fixed set of texts
}

// An occasion counts one kind of event between two lines of the log.
type occasion struct {
	last   time.Time
	passed int
}

// An operation is one that a store was asked for.
type operation struct {
	kind  uint32 // reading or writing
	began time.Time
}

const (
	reading = 1 << iota
	writing
)

// An outage is the time in which a store does not serve. It lasts until each kind of operation
// that failed is served again: a store whose memory is full refuses to write and reads all the
// while, and each of its answers would begin or end an outage of its own.
type outage struct {
	failing atomic.Uint32 // kinds of operation; 0: the store serves

	mu           sync.Mutex
	since, ended time.Time
	failed       int
}

// fails notes that an operation failed and reports whether an outage begins with it. One that
// began before the last outage ended belongs to that: it has waited for its time-out.
func (o *outage) fails(op operation, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	begins := o.failing.Load() == 0
	if begins {
		if op.began.Before(o.ended) {
			return false
		}
		o.since, o.failed = now, 0
	}
	o.failed++
	o.failing.Or(op.kind)
	return begins
}

// serves notes that an operation was served and reports whether the outage ends with it: how
// long it was and how many operations failed. One that began earlier says nothing about it.
func (o *outage) serves(op operation, now time.Time) (ends bool, lasted time.Duration, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	failing := o.failing.Load()
	if failing&op.kind == 0 || op.began.Before(o.since) {
		return false, 0, 0
	}
	o.failing.Store(failing &^ op.kind)
	if failing != op.kind {
		return false, 0, 0
	}
	o.ended = now
	return true, now.Sub(o.since), o.failed
}

func newEventLog(logger *slog.Logger, now func() time.Time) *eventLog {
	return &eventLog{logger: logger, now: now, seen: make(map[string]*occasion)}
}

// occasionally logs an event unless one of its kind was logged within the last minute.
func (l *eventLog) occasionally(level slog.Level, text string, attrs ...slog.Attr) {
	l.mu.Lock()
	o := l.seen[text]
	now := l.now()
	if o == nil {
		o = new(occasion)
		l.seen[text] = o
	} else if now.Sub(o.last) < logEvery {
		o.passed++
		l.mu.Unlock()
		return
	}
	passed := o.passed
	o.last, o.passed = now, 0
	l.mu.Unlock()
	l.logger.LogAttrs(context.Background(), level, text, append(attrs, slog.Int("more_since_last", passed))...)
}

func (l *eventLog) tampered(src *source) {
	l.occasionally(slog.LevelWarn, "session: a cookie came that cannot be ours; it is cleared", driverAttr(src))
}

func (l *eventLog) doubles(src *source) {
	l.occasionally(slog.LevelWarn, "session: several different cookies of one name came", driverAttr(src),
		slog.String("cookie", src.cookie))
}

func (l *eventLog) dropped(src *source, err error) {
	l.occasionally(slog.LevelWarn, "session: changes were dropped: the session had ended meanwhile",
		driverAttr(src), slog.Any("error", err))
}

func (l *eventLog) late(src *source, op string) {
	l.occasionally(slog.LevelWarn, "session: a change came after the response header and was not stored",
		driverAttr(src), slog.String("operation", op))
}

func (l *eventLog) unreadable(src *source, key, kind string, err error) {
	l.occasionally(slog.LevelWarn, "session: a value could not be read as asked", driverAttr(src),
		slog.String("key", key), slog.String("holds", kind), slog.Any("error", err))
}

// refused tells of a change that came too late for the request to fail.
func (l *eventLog) refused(src *source, err error) {
	l.occasionally(slog.LevelError, "session: a change after the response header cannot be stored",
		driverAttr(src), slog.Any("error", err))
}

// failed tells why a request was answered by the ErrorHandler.
func (l *eventLog) failed(r *http.Request, err error) {
	l.occasionally(slog.LevelError, "session: a request failed; nothing of it was stored",
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
}

// lost tells of a change after the header that a store did not take.
func (l *eventLog) lost(src *source, err error) {
	l.occasionally(slog.LevelError, "session: changes after the response header may be lost",
		driverAttr(src), slog.Any("error", err))
}

// plainHTTP warns once: behind a proxy every request looks so.
func (l *eventLog) plainHTTP(r *http.Request) {
	l.plain.Do(func() {
		l.logger.LogAttrs(context.Background(), slog.LevelWarn,
			"session: a Secure cookie goes to a client over plain HTTP, and its browser will drop it: serve HTTPS; "+
				"where a proxy in front speaks TLS, say so with CookieAttributes.Secure SecureAlways; "+
				"SecureNever sends cookies that anybody on the way can read",
			slog.String("host", r.Host))
	})
}

// unavailable logs when an outage begins, and reports whether one did.
func (l *eventLog) unavailable(src *source, op operation, err error) bool {
	begins := src.outage.fails(op, l.now())
	if begins {
		l.logger.LogAttrs(context.Background(), slog.LevelError, "session: the store is unavailable",
			driverAttr(src), slog.Any("error", err))
	}
	return begins
}

// served logs when an outage ends, and reports whether one did.
func (l *eventLog) served(src *source, op operation) bool {
	ends, lasted, failed := src.outage.serves(op, l.now())
	if ends {
		l.logger.LogAttrs(context.Background(), slog.LevelInfo, "session: the store is available again",
			driverAttr(src), slog.Duration("after", lasted), slog.Int("failed_operations", failed))
	}
	return ends
}

func driverAttr(src *source) slog.Attr { return slog.String("driver", src.name) }
