package session

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// logEvery is how often one kind of message that clients can cause is logged at most.
const logEvery = time.Minute

// An eventLog writes what the operator should know. What clients sent goes into attributes, never
// into the message. Tokens and values go nowhere.
type eventLog struct {
	logger *slog.Logger
	now    func() time.Time
	plain  sync.Once

	mu    sync.Mutex
	kinds map[*message]*rateLimit
}

// A rateLimit counts one kind of message between two lines of the log.
type rateLimit struct {
	last    time.Time
	leftOut int
}

// A message is one kind of line in the log. Clients can cause most messages, so each kind is written
// at most once a minute, with the number of messages that were left out.
type message struct {
	level   slog.Level
	mistake bool // of the program: it is written every time, with the request
	text    string
}

var (
	tamperedCookie = &message{level: slog.LevelWarn,
		text: "session: a sealed cookie failed authentication; it is ignored"}

	revokedCookie = &message{level: slog.LevelInfo,
		text: "session: a cookie of a signed-in user was refused, " +
			"because the driver of Revocation has no such session; " +
			"users who signed in before Revocation was set have to sign in again"}

	severalCookies = &message{level: slog.LevelWarn,
		text: "session: a request has several different cookies of one name"}

	tooLargeCookies = &message{level: slog.LevelWarn,
		text: "session: the cookies of a response are large: a proxy with a header buffer of 4 KB answers 502: " +
			"store less, or enlarge the buffer (nginx: proxy_buffer_size)"}

	refusedOld = &message{level: slog.LevelWarn,
		text: "session: the cookie of an old session was refused"}

	unreadableOld = &message{level: slog.LevelWarn,
		text: "session: an old session cannot be imported, and is left unchanged"}

	undeletedOld = &message{level: slog.LevelWarn,
		text: "session: an old session was imported, but its store did not delete it"}

	droppedChanges = &message{level: slog.LevelWarn,
		text: "session: changes were dropped, because the session had ended or its token was replaced meanwhile"}

	// Ending the session heals it.
	damagedRecord = &message{level: slog.LevelError,
		text: "session: a stored record is damaged; sign out to remove it"}

	unreadableValue = &message{level: slog.LevelWarn,
		text: "session: a value could not be read as the requested type"}

	// The store did not take them.
	lostLateChanges = &message{level: slog.LevelError,
		text: "session: changes after the response header may be lost"}

	lateChange = &message{level: slog.LevelWarn, mistake: true,
		text: "session: a change came after the response header and was not stored"}

	lateOpen = &message{level: slog.LevelWarn, mistake: true,
		text: "session: the session was first used after the header was sent, so caches may store the page: " +
			"call a method of the session before the first write"}

	lostByHijack = &message{level: slog.LevelWarn, mistake: true,
		text: "session: the handler hijacked the connection, so no cookie could be sent, " +
			"and changes that need one were lost: " +
			"change the session in an earlier request, or call WriteHeader before Hijack"}

	lostByBypass = &message{level: slog.LevelWarn, mistake: true,
		text: "session: the response was sent by another writer than the one of Manager.Middleware, " +
			"so no cookie could be sent, what needs one was lost, and caches may store the page: " +
			"put the middleware around the framework's handler"}

	rejectedLateChange = &message{level: slog.LevelError, mistake: true,
		text: "session: a change after the response header cannot be stored"}
)

func newEventLog(logger *slog.Logger, now func() time.Time) *eventLog {
	return &eventLog{logger: logger, now: now, kinds: make(map[*message]*rateLimit)}
}

// log writes a message about the session. args are further attributes, as for slog.
func (s *Session) log(m *message, args ...any) {
	l := s.request.manager.log
	attrs := append([]any{driverAttr(s.source)}, args...)
	if m.mistake {
		attrs = append(requestAttrs(&s.request.handed), attrs...)
	} else {
		leftOut, ok := l.allow(m)
		if !ok {
			return
		}
		attrs = append(attrs, "more_since_last", leftOut)
	}
	l.logger.Log(s.request.Context, m.level, m.text, attrs...)
}

// allow reports whether a message may be written now, and how many of its kind were left out since the
// last one.
func (l *eventLog) allow(m *message) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, now := l.kinds[m], l.now()
	if limit == nil {
		limit = new(rateLimit)
		l.kinds[m] = limit
	} else if now.Sub(limit.last) < logEvery {
		limit.leftOut++
		return 0, false
	}
	leftOut = limit.leftOut
	limit.last, limit.leftOut = now, 0
	return leftOut, true
}

// requestFailed reports why a request got the error answer.
func (l *eventLog) requestFailed(r *http.Request, err error) {
	l.logger.Log(r.Context(), slog.LevelError, "session: a request failed; nothing of it was stored",
		append(requestAttrs(r), slog.Any("error", err))...)
}

func requestAttrs(r *http.Request) []any {
	return []any{slog.String("method", r.Method), slog.String("pattern", r.Pattern), slog.String("path", r.URL.Path)}
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
