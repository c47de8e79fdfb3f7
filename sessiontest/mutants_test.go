package sessiontest_test

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/sessiontest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutants are drivers with one fault each, and a test of the suite that must find it. Others may
// find it too.
var mutants = []struct{ fault, foundBy string }{
	{fault: "writes the whole record back as the request loaded it, with its changes", foundBy: "ParallelSavesLoseNothing"},
	{fault: "reads before it locks", foundBy: "ParallelSavesLoseNothing"},
	{fault: "stores half of the changes", foundBy: "FaultAtAnyCallLosesAndRepeatsNothing"},
	{fault: "stores before it checks", foundBy: "RefusedIncrementStoresNothing"},
	{fault: "answers a check with an error of its own", foundBy: "RefusedIncrementStoresNothing"},
	{fault: "takes a refused increment", foundBy: "RefusedIncrementStoresNothing"},
	{fault: "adds as floating point", foundBy: "IncrementsAreExactAtTheBorders"},
	{fault: "applies a repeated save again", foundBy: "RepeatedSaveCountsOnce"},
	{fault: "remembers the last save only", foundBy: "RepeatedSaveCountsOnce"},
	{fault: "refuses a repeated creation", foundBy: "RepeatedSaveCountsOnce"},
	{fault: "refuses a repeated rotation", foundBy: "RepeatedRotationIsAnswered"},

	{fault: "leaves no tombstone", foundBy: "EndedSessionOpensNothing"},
	{fault: "leaves a tombstone for ever", foundBy: "EndedSessionOpensNothing"},
	{fault: "revives on save", foundBy: "EndedSessionDoesNotComeBack"},
	{fault: "revives once the tombstone is gone", foundBy: "EndedSessionDoesNotComeBack"},
	{fault: "buries what never lived", foundBy: "UnknownTokenIsNotAdopted"},
	{fault: "adopts an unknown token on load", foundBy: "UnknownTokenIsNotAdopted"},
	{fault: "adopts an unknown token on save", foundBy: "UnknownTokenIsNotAdopted"},
	{fault: "adopts an unknown token on rotation", foundBy: "UnknownTokenIsNotAdopted"},
	{fault: "lets a new session replace another", foundBy: "NewSessionReplacesNothing"},
	{fault: "lets a rotation replace another", foundBy: "NewSessionReplacesNothing"},
	{fault: "does not destroy", foundBy: "EndedSessionOpensNothing"},
	{fault: "fails to destroy what is unknown", foundBy: "GarbageOpensNothing"},
	{fault: "leaves the old token alive on rotation", foundBy: "ReplacedTokenOpensNothing"},
	{fault: "keeps the identifier on rotation", foundBy: "ReplacedTokenOpensNothing"},
	{fault: "rotates what the request loaded", foundBy: "RotationKeepsWhatIsAcknowledgedBesideIt"},
	{fault: "rotates in two steps", foundBy: "OneOfTwoRotationsWins"},
	{fault: "leaves the copy of a rotation that came too late", foundBy: "EndedSessionDoesNotComeBack"},

	{fault: "ignores the idle limit", foundBy: "IdleTimeoutIsJudgedByTheTimePassedIn"},
	{fault: "ignores the lifetime", foundBy: "LifetimeIsJudgedByTheTimePassedIn"},
	{fault: "does not count opening as use", foundBy: "IdleTimeoutIsJudgedByTheTimePassedIn"},
	{fault: "moves the last use back", foundBy: "ExpiryNeverMovesBack"},
	{fault: "expires a moment late", foundBy: "IdleTimeoutIsJudgedByTheTimePassedIn"},
	{fault: "expires a moment early", foundBy: "IdleTimeoutIsJudgedByTheTimePassedIn"},
	{fault: "expires by its own clock", foundBy: "IdleTimeoutIsJudgedByTheTimePassedIn"},
	{fault: "saves what has expired", foundBy: "ExpiredSessionDoesNotComeBack"},
	{fault: "keeps the limits on rotation", foundBy: "RotationStartsBothLimitsAnew"},

	{fault: "trims tokens", foundBy: "GarbageOpensNothing"},
	{fault: "folds the case of tokens", foundBy: "GarbageOpensNothing"},
	{fault: "ignores the scope", foundBy: "TokenOfAnotherScopeOpensNothing"},
	{fault: "keeps text only", foundBy: "KeysAndValuesOfAnyBytesAreKept"},
	{fault: "ends keys at a zero byte", foundBy: "KeysAndValuesOfAnyBytesAreKept"},
	{fault: "drops empty values", foundBy: "KeysAndValuesOfAnyBytesAreKept"},
	{fault: "cuts large values", foundBy: "LargeValuesAreKeptOrRefused"},
	{fault: "drops the account part", foundBy: "StoredRecordIsWhatTheChangesMake"},
	{fault: "clears the account part with the data", foundBy: "AccountIsApartFromDataAndFlash"},
	{fault: "drops the clock of flash", foundBy: "StoredRecordIsWhatTheChangesMake"},
	{fault: "expires flash by its key", foundBy: "FlashExpiresByItsStamp"},
	{fault: "keeps what was not asked for", foundBy: "RandomChangesEndWhereApplyEnds"},

	{fault: "takes an ended context for a missing session", foundBy: "CancelledContextDoesNotLookLikeNoSession"},
	{fault: "swallows the error of a save", foundBy: "CancelledContextDoesNotLookLikeNoSession"},
	{fault: "swallows the error of a destroy", foundBy: "CancelledContextDoesNotLookLikeNoSession"},
	{fault: "returns a record with an error", foundBy: "FaultAtAnyCallLosesAndRepeatsNothing"},
	{fault: "forgets after a fault that it has stored", foundBy: "FaultAtAnyCallLosesAndRepeatsNothing"},
}

// mutantFault tells a test binary that was started by TestSuiteFindsEachFault which fault to have.
const mutantFault = "SESSIONTEST_FAULT"

func TestSuiteFindsEachFault(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, m := range mutants {
		t.Run(m.fault, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestReferenceDriver$/", "-test.v", "-test.timeout=1m")
			cmd.Env = append(os.Environ(), mutantFault+"="+m.fault)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite finds nothing wrong with a driver that %s", m.fault)
			failed := regexp.MustCompile(`(?m)^    --- FAIL: TestReferenceDriver/(\w+)`).FindAllStringSubmatch(string(out), -1)
			names := make([]string, len(failed))
			for i, f := range failed {
				names[i] = f[1]
			}
			assert.Contains(t, names, m.foundBy, "%s", out)
		})
	}
}

// TestReferenceDriver holds the driver that the faults are built into to the suite: what is found
// is the fault.
func TestReferenceDriver(t *testing.T) {
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		return &reference{fault: os.Getenv(mutantFault), records: map[string]*session.Record{}, graves: map[string]grave{}}
	})
}

// A reference is a driver as simple as one can be: a map, a lock, and changes applied to the
// record as it is. Where it has a fault, it does one thing wrong.
type reference struct {
	fault   string
	mu      sync.Mutex
	records map[string]*session.Record
	graves  map[string]grave
}

type grave struct {
	at     time.Time
	number uint64 // of the save that replaced the token
}

func (d *reference) has(fault string) bool { return d.fault == fault }

var errTaken = errors.New("the token is taken")

func (d *reference) Load(ctx context.Context, tok session.Token, now time.Time) (*session.Record, error) {
	if err := d.ended(ctx); err != nil {
		if d.has("returns a record with an error") {
			return d.records[d.id(tok)], err
		}
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rec, err := d.live(tok, now)
	if err != nil {
		if d.has("adopts an unknown token on load") && !errors.Is(err, session.ErrEnded) && tok.WithValue("") != tok {
			b := session.RecordBuilder{CreatedAt: now, UsedAt: now, Limits: session.Limits{Lifetime: time.Hour, Idle: time.Hour}}
			rec, err = b.Build(tok)
			d.records[d.id(tok)] = rec
		}
		return rec, err
	}
	if forward := now.After(rec.UsedAt()); forward && !d.has("does not count opening as use") || d.has("moves the last use back") {
		rec = rec.Touched(now)
		d.records[d.id(tok)] = rec
	}
	return rec, nil
}

// ended returns why a context has ended.
func (d *reference) ended(ctx context.Context) error {
	err := ctx.Err()
	if err != nil && d.has("takes an ended context for a missing session") {
		return session.ErrNoSession
	}
	return err
}

func (d *reference) id(tok session.Token) string {
	switch {
	case d.has("trims tokens"):
		tok = tok.WithValue(strings.Trim(tok.Value(), " =\n\x00"))
	case d.has("folds the case of tokens"):
		tok = tok.WithValue(strings.ToLower(tok.Value()))
	case d.has("ignores the scope"):
		return tok.Value()
	}
	return tok.ID()
}

// live returns the record of a token. The lock is held.
func (d *reference) live(tok session.Token, now time.Time) (*session.Record, error) {
	if g, ok := d.graves[d.id(tok)]; ok {
		if d.has("leaves no tombstone") || now.Sub(g.at) >= session.Tombstone && !d.has("leaves a tombstone for ever") {
			return nil, session.ErrNoSession
		}
		return nil, &session.EndedError{At: g.at}
	}
	rec := d.records[d.id(tok)]
	if rec == nil || !now.Before(d.expires(rec)) {
		return nil, session.ErrNoSession
	}
	return rec, nil
}

func (d *reference) expires(rec *session.Record) time.Time {
	switch {
	case d.has("ignores the idle limit"):
		return rec.CreatedAt().Add(rec.Limits().Lifetime)
	case d.has("ignores the lifetime"):
		return rec.UsedAt().Add(rec.Limits().Idle)
	case d.has("expires a moment late"):
		return rec.ExpiresAt().Add(time.Millisecond)
	case d.has("expires a moment early"):
		return rec.ExpiresAt().Add(-time.Millisecond)
	case d.has("expires by its own clock") && time.Now().Before(rec.ExpiresAt()):
		return rec.ExpiresAt().Add(100 * time.Hour)
	}
	return rec.ExpiresAt()
}

func (d *reference) Save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	if err := d.ended(ctx); err != nil {
		if d.has("swallows the error of a save") && rec != nil {
			return rec.Token(), nil
		}
		return session.Token{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tok, err := d.save(ctx, rec, d.spoiled(ch))
	if d.has("forgets after a fault that it has stored") && err == nil && ctx.Err() != nil && !ch.Rotates() {
		d.store(d.records[d.id(tok)], tok, func(b *session.RecordBuilder) { b.Numbers = nil })
	}
	if err == nil {
		err = ctx.Err() // it is stored, and the acknowledgement is lost
	}
	return tok, err
}

func (d *reference) save(ctx context.Context, rec *session.Record, ch *session.Changes) (session.Token, error) {
	if rec == nil {
		return ch.NewToken(), d.create(ch)
	}
	tok := rec.Token()
	now, err := d.live(tok, d.clock(ch))
	if ch.Rotates() {
		return d.rotate(rec, now, err, ch)
	}
	if err != nil {
		revives := d.has("revives on save") ||
			d.has("revives once the tombstone is gone") && !errors.Is(err, session.ErrEnded) && d.graves[d.id(tok)] != (grave{}) ||
			d.has("adopts an unknown token on save") && d.records[d.id(tok)] == nil && d.graves[d.id(tok)] == (grave{})
		if !revives {
			return session.Token{}, err
		}
		delete(d.graves, d.id(tok))
		now = rec
	}
	if d.applied(now, ch) {
		return tok, nil
	}
	if d.has("reads before it locks") {
		d.mu.Unlock()
		runtime.Gosched()
		d.mu.Lock()
	}
	if d.has("writes the whole record back as the request loaded it, with its changes") {
		now = rec
	}
	if err := d.check(ch, now); err != nil {
		return session.Token{}, err
	}
	if d.has("stores half of the changes") {
		d.records[d.id(tok)] = d.first(ch).Apply(now)
		if err := ctx.Err(); err != nil {
			return session.Token{}, err
		}
	}
	if d.has("clears the account part with the data") && slices.ContainsFunc(slices.Collect(ch.All()), func(op session.Op) bool { return op.Kind == session.OpClear }) {
		b := session.RecordBuilder{ID: now.ID(), CreatedAt: now.CreatedAt(), UsedAt: now.UsedAt(), Limits: now.Limits()}
		now, _ = b.Build(tok)
	}
	d.put(ch.Apply(now), tok)
	return tok, nil
}

// clock is the time by which a save judges limits.
func (d *reference) clock(ch *session.Changes) time.Time {
	if d.has("saves what has expired") {
		return time.Now()
	}
	return ch.Now()
}

func (d *reference) create(ch *session.Changes) error {
	id := d.id(ch.NewToken())
	_, dead := d.graves[id]
	if rec := d.records[id]; (rec != nil || dead) && !d.has("lets a new session replace another") {
		if !dead && d.applied(rec, ch) && !d.has("refuses a repeated creation") {
			return nil
		}
		return errTaken
	}
	delete(d.graves, id)
	d.put(ch.Apply(nil), ch.NewToken())
	return nil
}

func (d *reference) rotate(rec, now *session.Record, err error, ch *session.Changes) (session.Token, error) {
	old, fresh := d.id(rec.Token()), d.id(ch.NewToken())
	if err != nil {
		if g := d.graves[old]; g.number == ch.Number() && g != (grave{}) && !d.has("refuses a repeated rotation") {
			return ch.NewToken(), nil
		}
		if d.has("leaves the copy of a rotation that came too late") {
			d.put(ch.Apply(rec), ch.NewToken())
		}
		if !d.has("adopts an unknown token on rotation") || d.records[old] != nil || d.graves[old] != (grave{}) {
			return session.Token{}, err
		}
		now = rec
	}
	if d.has("rotates what the request loaded") {
		now = rec
	}
	if err := d.check(ch, now); err != nil {
		return session.Token{}, err
	}
	if d.records[fresh] != nil && !d.has("lets a rotation replace another") {
		return session.Token{}, errTaken
	}
	if d.has("rotates in two steps") {
		d.mu.Unlock()
		time.Sleep(time.Millisecond)
		d.mu.Lock()
	}
	d.put(ch.Apply(now), ch.NewToken())
	switch {
	case d.has("keeps the identifier on rotation"):
		d.store(d.records[fresh], ch.NewToken(), func(b *session.RecordBuilder) { b.ID = now.ID() })
	case d.has("keeps the limits on rotation"):
		d.store(d.records[fresh], ch.NewToken(), func(b *session.RecordBuilder) { b.Limits, b.CreatedAt = now.Limits(), now.CreatedAt() })
	}
	if !d.has("leaves the old token alive on rotation") {
		delete(d.records, old)
		d.graves[old] = grave{at: ch.Now(), number: ch.Number()}
	}
	return ch.NewToken(), nil
}

func (d *reference) Destroy(ctx context.Context, tok session.Token) error {
	if err := d.ended(ctx); err != nil && !d.has("swallows the error of a destroy") {
		return err
	} else if err != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.id(tok)
	switch {
	case d.has("does not destroy"):
		return nil
	case d.records[id] == nil && d.has("fails to destroy what is unknown"):
		return session.ErrNoSession
	case d.records[id] == nil && !d.has("buries what never lived"):
		return nil
	}
	delete(d.records, id)
	d.graves[id] = grave{at: time.Now()}
	return ctx.Err()
}

// applied reports whether a save is among the last eight.
func (d *reference) applied(rec *session.Record, ch *session.Changes) bool {
	numbers := rec.Numbers()
	if d.has("remembers the last save only") {
		numbers = numbers[max(0, len(numbers)-1):]
	}
	return slices.Contains(numbers, ch.Number()) && !d.has("applies a repeated save again")
}

func (d *reference) check(ch *session.Changes, now *session.Record) error {
	err := ch.Check(now)
	switch {
	case err == nil:
	case d.has("stores before it checks"):
		d.put(ch.Apply(now), now.Token())
	case d.has("answers a check with an error of its own"):
		return errors.New("not an integer")
	case d.has("takes a refused increment"):
		return nil
	}
	return err
}

// put stores a record as the fault lets it.
func (d *reference) put(rec *session.Record, tok session.Token) {
	switch {
	case d.has("applies a repeated save again") || d.has("remembers the last save only"):
		d.store(rec, tok, func(b *session.RecordBuilder) { b.Numbers = b.Numbers[max(0, len(b.Numbers)-1):] })
	default:
		d.store(rec, tok, func(*session.RecordBuilder) {})
	}
}

// store takes a record apart and stores what the fault leaves of it.
func (d *reference) store(rec *session.Record, tok session.Token, spoil func(b *session.RecordBuilder)) {
	b := session.RecordBuilder{ID: rec.ID(), CreatedAt: rec.CreatedAt(), UsedAt: rec.UsedAt(), Limits: rec.Limits(), Numbers: rec.Numbers()}
	spoil(&b)
	for key, value := range rec.Values() {
		switch {
		case d.has("keeps text only"):
			value = strings.ToValidUTF8(value, "?")
		case d.has("ends keys at a zero byte"):
			key, _, _ = strings.Cut(key, "\x00")
		case d.has("drops empty values") && value == "":
			continue
		case d.has("cuts large values"):
			value = value[:min(len(value), 1<<16)]
		}
		b.Value(key, value)
	}
	for key, v := range rec.Flash() {
		if d.has("drops the clock of flash") {
			v.Until = time.Time{}
		}
		b.Flash(key, v)
	}
	for key, value := range rec.Account() {
		if !d.has("drops the account part") {
			b.Account(key, value)
		}
	}
	stored, err := b.Build(tok)
	if err != nil {
		return // as a store that loses what it cannot keep
	}
	d.records[d.id(tok)] = stored
}

// spoiled returns the changes as a driver with a fault understands them.
func (d *reference) spoiled(ch *session.Changes) *session.Changes {
	switch {
	case d.has("adds as floating point"):
		return remade(ch, func(op *session.Op) bool {
			if op.Kind == session.OpAdd && (op.By > 1<<53 || op.By < -1<<53) {
				op.By = int64(math.Nextafter(float64(op.By), 0))
			}
			return true
		})
	case d.has("expires flash by its key"):
		return remade(ch, func(op *session.Op) bool {
			if op.Kind == session.OpExpireFlash {
				op.Stamp = d.stampNow(op.Key)
			}
			return true
		})
	case d.has("keeps what was not asked for"):
		return remade(ch, func(op *session.Op) bool { return op.Kind != session.OpClear })
	}
	return ch
}

// stampNow returns the stamp of the flash under a key, whosever it is.
func (d *reference) stampNow(key string) uint64 {
	for _, rec := range d.records {
		for k, v := range rec.Flash() {
			if k == key {
				return v.Stamp
			}
		}
	}
	return 0
}

// first returns changes that are the first operation of others.
func (d *reference) first(ch *session.Changes) *session.Changes {
	n := 0
	return remade(ch, func(*session.Op) bool { n++; return n == 1 })
}

// remade returns changes with other operations; those that edit refuses are left out.
func remade(ch *session.Changes, edit func(op *session.Op) bool) *session.Changes {
	b := session.ChangesBuilder{Now: ch.Now(), Number: ch.Number(), NewToken: ch.NewToken(), NewID: ch.NewID(), Limits: ch.Limits(), Rotates: ch.Rotates()}
	for op := range ch.All() {
		if edit(&op) {
			b.Ops = append(b.Ops, op)
		}
	}
	other, err := b.Build()
	if err != nil {
		panic("remade changes: " + strconv.Quote(err.Error()))
	}
	return other
}
