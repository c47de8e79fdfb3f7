package session

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// An accountIndex is a Driver that keeps which sessions a user is signed in with. The index is
// a list of its own beside the sessions: an entry is made before the session that it names, and
// goes after it. So it may name a session that is not there, which whoever reads it finds out,
// and never lacks one that is.
//
// user is the key of one user's index. The index cleans itself: an entry goes when the lifetime
// of its session is over.
type accountIndex interface {
	Driver

	// enroll adds a session. It returns ErrEnded where all of the user's sessions were ended
	// at e.signedIn or later, unless e goes on from the one that was kept then, and errIndexFull
	// where the user has e.most other sessions already.
	enroll(ctx context.Context, user string, e enrollment) error

	// withdraw takes an entry out, if it is there and ends when m does, or m says no end.
	withdraw(ctx context.Context, user string, m member) error

	// members returns the entries, those that end first at the front.
	members(ctx context.Context, user string, now time.Time) ([]member, error)

	// noteEnding makes enroll refuse whoever has not signed in after the time that it returns,
	// which is now or just later, but for the session of the entry kept, empty for none.
	noteEnding(ctx context.Context, user, kept string, now time.Time) (int64, error)

	// peek returns what is stored under a store key, at least its head and account part. It
	// counts as no use.
	peek(ctx context.Context, id string, now time.Time) (*Record, error)

	// endID is Destroy by store key.
	endID(ctx context.Context, id string, now time.Time) error
}

// rememberEnding is for how long enroll refuses sign-ins from before all of a user's sessions
// were ended: longer than any request takes from the sign-in to its commit.
const rememberEnding = time.Hour

// A member is one entry of a user's index: the store key and the handle of a session.
type member struct {
	id, handle string
	ends       int64 // of the session's lifetime, in milliseconds since 1970
}

// name is what an index keeps of a member beside its end.
func (m member) name() string { return m.id + m.handle }

// endingMark is the name of the entry that says that all sessions were ended. Its end is when
// that is forgotten.
const endingMark = "!"

// keptMark is the name of the entry that says that a session was kept at the ending whose mark
// has this end.
func keptMark(ends int64, name string) string { return "+" + strconv.FormatInt(ends, 10) + name }

// isSession reports whether a name is that of a session.
func isSession(name string) bool { return len(name) == idLength+handleLength }

const (
	idLength     = tokenLength // 32 bytes of base64url
	handleLength = 22          // 16 bytes of base64url
)

// parseMember reads a name. It reports false for the mark, and for what was not written here.
func parseMember(name string, ends int64) (member, bool) {
	if !isSession(name) {
		return member{}, false
	}
	return member{id: strings.Clone(name[:idLength]), handle: strings.Clone(name[idLength:]), ends: ends}, true
}

// An enrollment is a session that is to be added to an index.
type enrollment struct {
	member
	replaces string // name of the entry of the session that this one goes on from
	signedIn int64
	most     int  // sessions that a user may have; 0: any number
	stored   bool // the session is, and is entered once more
	now      time.Time
}

// errIndexFull is not for callers: it begins a search for entries that name nothing any more.
var errIndexFull = errors.New("session: the user's index is full")

// handleOf is the text form of a record identifier.
func handleOf(id [idBytes]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// indexKey names the index of a user among the sessions of one cookie name. No cookie name has a
// space, so it never meets the key of a session.
func indexKey(scope, user string) string {
	return Token{scope: scope + " user", value: user}.ID()
}
