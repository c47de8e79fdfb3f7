package session

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"example.com/session/driver"
)

// logEvery is how often one kind of message that clients can cause is logged at most.
const logEvery = time.Minute

// An eventLog writes what the operator should know. What clients can cause is written at most once
// a minute a kind, with the number of messages that were left out. What clients sent goes into
// attributes, never into the message. Tokens and values go nowhere.
type eventLog struct {
	logger *slog.Logger
	now    func() time.Time
	plain  sync.Once

	mu    sync.Mutex
	kinds map[string]*rateLimit // by message: a fixed set of texts
}

// A rateLimit counts one kind of message between two lines of the log.
type rateLimit struct {
	last    time.Time
	leftOut int
}

func newEventLog(logger *slog.Logger, now func() time.Time) *eventLog {
	return &eventLog{logger: logger, now: now, kinds: make(map[string]*rateLimit)}
}

// atMostOncePerMinute logs a message unless one of its kind was logged within the last minute.
func (l *eventLog) atMostOncePerMinute(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	leftOut, ok := l.allow(text)
	if ok {
		l.logger.LogAttrs(ctx, level, text, append(attrs, slog.Int("more_since_last", leftOut))...)
	}
}

func (l *eventLog) allow(text string) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, now := l.kinds[text], l.now()
	if limit == nil {
		limit = new(rateLimit)
		l.kinds[text] = limit
	} else if now.Sub(limit.last) < logEvery {
		limit.leftOut++
		return 0, false
	}
	leftOut = limit.leftOut
	limit.last, limit.leftOut = now, 0
	return leftOut, true
}

func (l *eventLog) tampered(s *Session) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn, "session: a sealed cookie failed authentication; it is ignored",
		driverAttr(s.source))
}

func (l *eventLog) revoked(s *Session) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelInfo,
		"session: a cookie of a signed-in user was refused, because the driver of Revocation has no such session; "+
			"users who signed in before Revocation was set have to sign in again",
		driverAttr(s.source))
}

func (l *eventLog) severalCookies(s *Session) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn, "session: a request has several different cookies of one name",
		driverAttr(s.source), slog.String("cookie", s.source.cookie))
}

func (l *eventLog) largeCookies(s *Session, size int) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn, "session: the cookies of a response are large: a proxy with a "+
		"header buffer of 4 KB answers 502: store less, or enlarge the buffer (nginx: proxy_buffer_size)",
		driverAttr(s.source), slog.Int("bytes", size))
}

func (l *eventLog) refusedOld(s *Session, err error) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn, "session: the cookie of an old session was refused",
		driverAttr(s.source), slog.Any("error", err))
}

func (l *eventLog) unreadableOld(s *Session, err error) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn, "session: an old session cannot be imported, and is left unchanged",
		driverAttr(s.source), slog.Any("error", err))
}

func (l *eventLog) keptOld(s *Session, err error) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn,
		"session: an old session was imported, but its store did not delete it",
		driverAttr(s.source), slog.Any("error", err))
}

func (l *eventLog) dropped(s *Session, err error) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn,
		"session: changes were dropped, because the session had ended or its token was replaced meanwhile",
		driverAttr(s.source), slog.Any("error", err))
}

// damaged reports a record that cannot be decoded. Ending the session heals it.
func (l *eventLog) damaged(s *Session, op string, id driver.ID) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelError, "session: a stored record is damaged; sign out to remove it",
		driverAttr(s.source), slog.String("operation", op), slog.String("handle", id.String()))
}

// The messages below are about mistakes of the program. They are written every time.

func (l *eventLog) lateChange(s *Session, op string) {
	l.logger.LogAttrs(s.request.Context, slog.LevelWarn, "session: a change came after the response header and was not stored",
		append(requestAttrs(&s.request.handed), driverAttr(s.source), slog.String("operation", op))...)
}

func (l *eventLog) lateOpen(s *Session) {
	l.logger.LogAttrs(s.request.Context, slog.LevelWarn,
		"session: the session was first used after the header was sent, so caches may store the page: "+
			"call a method of the session before the first write",
		append(requestAttrs(&s.request.handed), driverAttr(s.source))...)
}

func (l *eventLog) lostByHijack(s *Session) {
	l.logger.LogAttrs(s.request.Context, slog.LevelWarn,
		"session: the handler hijacked the connection, so no cookie could be sent, and changes that need one were lost: "+
			"change the session in an earlier request, or call WriteHeader before Hijack", lossAttrs(s)...)
}

func (l *eventLog) lostByBypass(s *Session) {
	l.logger.LogAttrs(s.request.Context, slog.LevelWarn,
		"session: the response was sent by another writer than the one of Manager.Middleware, so no cookie could be sent, "+
			"what needs one was lost, and caches may store the page: put the middleware around the framework's handler",
		lossAttrs(s)...)
}

// lossAttrs name the keys that the handler has changed.
func lossAttrs(s *Session) []slog.Attr {
	var keys []string
	for _, op := range s.pending.ops {
		if op.Part != driver.Account {
			keys = append(keys, op.Key)
		}
	}
	return append(requestAttrs(&s.request.handed), driverAttr(s.source), slog.Any("keys", keys))
}

func (l *eventLog) changeRejected(s *Session, err error) {
	l.logger.LogAttrs(s.request.Context, slog.LevelError, "session: a change after the response header cannot be stored",
		append(requestAttrs(&s.request.handed), driverAttr(s.source), slog.Any("error", err))...)
}

// requestFailed reports why a request got the error answer.
func (l *eventLog) requestFailed(r *http.Request, err error) {
	l.logger.LogAttrs(r.Context(), slog.LevelError, "session: a request failed; nothing of it was stored",
		append(requestAttrs(r), slog.Any("error", err))...)
}

func requestAttrs(r *http.Request) []slog.Attr {
	return []slog.Attr{slog.String("method", r.Method), slog.String("pattern", r.Pattern), slog.String("path", r.URL.Path)}
}

func (l *eventLog) unreadable(s *Session, key, kind string, err error) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelWarn, "session: a value could not be read as the requested type", driverAttr(s.source),
		slog.String("key", key), slog.String("holds", kind), slog.Any("error", err))
}

// lostLate reports changes after the header that a store did not take.
func (l *eventLog) lostLate(s *Session, err error) {
	l.atMostOncePerMinute(s.request.Context, slog.LevelError, "session: changes after the response header may be lost",
		driverAttr(s.source), slog.Any("error", err))
}

// plainHTTP warns once, because behind a proxy every request looks like this.
func (l *eventLog) plainHTTP(r *http.Request) {
	l.plain.Do(func() {
		l.logger.LogAttrs(r.Context(), slog.LevelWarn,
			"session: a Secure cookie was sent over plain HTTP, and the browser will refuse it: serve HTTPS; "+
				"if a proxy in front speaks TLS, set CookieAttributes.Secure to SecureAlways; "+
				"SecureNever sends cookies that everybody on the network path can read",
			slog.String("host", r.Host))
	})
}

func driverAttr(src *source) slog.Attr { return slog.String("driver", src.name) }
