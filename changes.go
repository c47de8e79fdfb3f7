package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// An OpKind says what an Op does.
type OpKind uint8

// The kinds of Op. Data and flash are apart: an operation on one never touches the other.
const (
	OpClear       OpKind = iota + 1 // all data goes
	OpClearFlash                    // all flash goes
	OpSet                           // Key holds Value
	OpDelete                        // Key holds nothing
	OpAdd                           // the integer under Key, 0 where there is none, grows by By
	OpFlash                         // the flash Key holds Value, with Changes.Number as its stamp, until Until
	OpDeleteFlash                   // the flash Key goes
	OpExpireFlash                   // the flash Key goes if its stamp is Stamp still
	OpKeepFlash                     // the flash Key, if its stamp is Stamp still, gets Changes.Number and Until anew
	OpAccount                       // the account part's Key holds Value
)

// An Op is one operation of Changes.
type Op struct {
	Kind  OpKind
	Key   string
	Value string // encoded; OpSet and OpFlash
	By    int64  // OpAdd
	Stamp uint64 // OpExpireFlash and OpKeepFlash
	Until time.Time
}

func (op *Op) onFlash() bool { return op.Kind >= OpFlash && op.Kind <= OpKeepFlash }

// Changes are what one request does to a session, in a form that can be applied to whatever
// the record is by then. For each key there is one operation on its data and one on its flash
// at the most, since the last one of a request wins. A driver reads them and never changes
// them; they are safe for concurrent reading.
type Changes struct {
	ops        []Op          // in the order in which the keys were first touched
	first      [1]Op         // where ops begins: most requests make one, and so no allocation more
	index      map[opKey]int // where an operation stands, once there are many
	account    []entry       // what is new in the account part, sorted by key
	clear      bool
	clearFlash bool
	rotates    bool
	limits     Limits
	now        int64
	token      Token
	id         [idBytes]byte
	number     uint64
	again      bool // an earlier try of this save had no answer
	flashTTL   time.Duration
}

type opKey struct {
	key   string
	flash bool
}

// indexFrom is the number of operations from which a map finds one sooner than a walk does.
const indexFrom = 16

// Rotates reports whether the session's token is to be replaced by NewToken.
func (ch *Changes) Rotates() bool { return ch.rotates }

// Limits returns the limits of a session that is new or rotates.
func (ch *Changes) Limits() Limits { return ch.limits }

// Now returns the time of the commit by the server's clock, in whole milliseconds.
func (ch *Changes) Now() time.Time { return time.UnixMilli(ch.now) }

// NewToken returns the token of a session that is new or rotates.
func (ch *Changes) NewToken() Token { return ch.token }

// NewID returns the record identifier of a session that is new or rotates.
func (ch *Changes) NewID() [16]byte { return ch.id }

// Number names this save. A save with a number that the record remembers has been applied.
func (ch *Changes) Number() uint64 { return ch.number }

// All returns the operations in the order in which they are to be applied: what clears goes
// first, then one operation a key, those on the account part last.
func (ch *Changes) All() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		if ch.clear && !yield(Op{Kind: OpClear}) {
			return
		}
		if ch.clearFlash && !yield(Op{Kind: OpClearFlash}) {
			return
		}
		for i := range ch.ops {
			if !yield(ch.ops[i]) {
				return
			}
		}
		for i := range ch.account {
			if e := &ch.account[i]; !yield(Op{Kind: OpAccount, Key: e.key, Value: e.value}) {
				return
			}
		}
	}
}

// repeats reports whether this save has been applied to rec before. A record remembers only its
// last saves: where a save is sent again and more of them came since than rec remembers, it may
// have been applied and forgotten, and nobody can tell. base is the record as the request knew
// it before its first try.
func (ch *Changes) repeats(base, rec *Record) (bool, error) {
	if rec.applied(ch.number) {
		return true, nil
	}
	if ch.again && len(rec.numbers) == keepNumbers*8 && (base == nil || !rec.applied(base.lastNumber())) {
		return false, errTooLate
	}
	return false, nil
}

// errTooLate is an ErrUnavailable: the outcome of the save stays unknown.
var errTooLate = errors.New("session: save again after a try without an answer: " +
	"too many other saves came since to tell whether it was applied")

// Check reports why the changes cannot be applied to rec: an increment of what is not an
// integer, or past the range of int64. A Driver returns the error as it is. rec may be nil.
func (ch *Changes) Check(rec *Record) error {
	var buf [indexFrom]int
	adds := ch.appendAdds(buf[:0])
	if len(adds) == 0 || (rec != nil && rec.applied(ch.number)) {
		return nil
	}
	var old cursor
	if !ch.clear {
		old = rec.dataEntries()
	}
	var refusal error
	first := len(ch.ops)
	more := old.next()
	for _, i := range adds {
		op := &ch.ops[i]
		for more && old.entry.key < op.Key {
			more = old.next()
		}
		found := more && old.entry.key == op.Key
		if _, err := addTo(old.entry.value, found, op); err != nil && i < first {
			first, refusal = i, err
		}
	}
	return refusal
}

// appendAdds adds where the increments stand, in the order of their keys.
func (ch *Changes) appendAdds(dst []int) []int {
	for i := range ch.ops {
		if ch.ops[i].Kind == OpAdd {
			dst = append(dst, i)
		}
	}
	if len(dst) > 1 {
		slices.SortFunc(dst, func(a, b int) int { return strings.Compare(ch.ops[a].Key, ch.ops[b].Key) })
	}
	return dst
}

// addTo returns what an increment makes of an encoded value.
func addTo(encoded string, found bool, op *Op) (int64, error) {
	if !found {
		return op.By, nil
	}
	n, ok := encodedInt(encoded)
	if !ok {
		return 0, notAnInteger(op.Key, encoded)
	}
	return addInts(op.Key, n, op.By)
}

func notAnInteger(key, encoded string) error {
	return &valueError{op: "increment", key: key, reason: "it holds " + article(kindOf(encoded)) + ", not an int64; set it to a number first"}
}

func article(noun string) string {
	if strings.IndexByte("aeiou", noun[0]) >= 0 {
		return "an " + noun
	}
	return "a " + noun
}

func addInts(key string, a, b int64) (int64, error) {
	if (b > 0 && a > math.MaxInt64-b) || (b < 0 && a < math.MinInt64-b) {
		return 0, pastRange(key)
	}
	return a + b, nil
}

func pastRange(key string) error {
	return &valueError{op: "increment", key: key, reason: "the sum is past the range of int64"}
}

// Apply returns the record that the changes make of rec, which is not changed. It is the one
// definition of a merge. With rec nil, or where the changes rotate, the result has a token, an
// identifier and limits that start at Now. A record that these changes were applied to before
// is returned as it is. An increment that Check refuses leaves its key as it was.
func (ch *Changes) Apply(rec *Record) *Record {
	if rec != nil && rec.applied(ch.number) {
		return rec
	}
	return ch.merge(rec, true)
}

// merge is Apply without the question whether it has been done. Without remember the record
// does not keep the save's number, for drivers that never see a save twice.
func (ch *Changes) merge(rec *Record, remember bool) *Record {
	next := &Record{token: ch.token, head: ch.mergeHead(rec)}
	if rec != nil && !ch.rotates {
		next.token = rec.token
	}
	packed, n := ch.pack(rec, remember)
	next.numbers, next.body = packed[:n], packed[n:]
	next.account = ch.mergeAccount(rec)
	return next
}

// appendPacked appends the packed form of the merged record, without save numbers.
func (ch *Changes) appendPacked(dst []byte, rec *Record) []byte {
	head := ch.mergeHead(rec)
	dst = head.append(dst, "", ch.mergeAccount(rec))
	if rec != nil && ch.changesNothing() {
		return append(dst, rec.body...)
	}
	return ch.appendBody(dst, rec)
}

// mergeHead returns the head of the merged record. The last use never goes back: another
// process's clock, or a request that was quicker, may be ahead of this commit.
func (ch *Changes) mergeHead(rec *Record) header {
	if rec != nil && !ch.rotates {
		h := rec.head
		h.used = max(h.used, ch.now)
		return h
	}
	h := header{id: ch.id, created: ch.now, used: ch.now}
	h.setLimits(ch.limits)
	return h
}

// pack returns the numbers and the body of the merged record in one string, and how many bytes
// of it the numbers are.
func (ch *Changes) pack(rec *Record, remember bool) (packed string, n int) {
	var scratch [512]byte // a body of usual size is built on the stack, then copied once
	dst := scratch[:0]
	if remember {
		dst = ch.appendNumbers(dst, rec)
		n = len(dst)
	}
	if rec != nil && ch.changesNothing() {
		return string(append(dst, rec.body...)), n
	}
	return string(ch.appendBody(dst, rec)), n
}

// appendNumbers adds this save to those that the record remembers.
func (ch *Changes) appendNumbers(dst []byte, rec *Record) []byte {
	if rec != nil {
		dst = append(dst, rec.numbers[max(0, len(rec.numbers)-(keepNumbers-1)*8):]...)
	}
	return binary.BigEndian.AppendUint64(dst, ch.number)
}

func packNumber(number uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, number))
}

func (ch *Changes) appendBody(dst []byte, rec *Record) []byte {
	ops := ch.ops
	if !slices.IsSortedFunc(ops, byKey) { // one operation, as most requests make, is
		ops = slices.Clone(ops)
		slices.SortFunc(ops, byKey)
	}
	dst = ch.mergePart(dst, rec.flashEntries(), ops, true)
	return ch.mergePart(append(dst, 0), rec.dataEntries(), ops, false)
}

func byKey(a, b Op) int { return strings.Compare(a.Key, b.Key) }

// growth returns how many bytes the changes add to a packed record at the most.
func (ch *Changes) growth() int {
	const aroundKey, aroundValue, sum = 1 + flashExtra, binary.MaxVarintLen32, 20
	bytes := 0
	for i := range ch.ops {
		bytes += aroundKey + len(ch.ops[i].Key) + aroundValue + max(sum, len(ch.ops[i].Value))
	}
	for i := range ch.account {
		bytes += accountHead + 1 + len(ch.account[i].key) + aroundValue + len(ch.account[i].value)
	}
	return bytes
}

// mergePart packs one part of a record: its old entries and the operations on it, both in the
// order of their keys, become the new entries in that order. What lies between two operations is
// copied at once: entry by entry, a save of one value in five takes 1.05x as long.
func (ch *Changes) mergePart(dst []byte, old cursor, ops []Op, flash bool) []byte {
	cleared := ch.clear
	if flash {
		cleared = ch.clearFlash
	}
	if cleared {
		old = cursor{}
	}
	for i := range ops {
		op := &ops[i]
		if op.onFlash() != flash {
			continue
		}
		before := old.rest
		found := old.seek(op.Key)
		dst = append(dst, before[:len(before)-len(old.rest)]...)
		var was entry
		if found {
			old.next()
			was = old.entry
		}
		if e, ok := ch.applyOp(op, was, found); ok {
			dst = appendEntry(dst, &e, flash)
		}
	}
	return append(dst, old.part()...)
}

// applyOp returns what one operation makes of an entry, and false where nothing remains of it.
func (ch *Changes) applyOp(op *Op, was entry, found bool) (entry, bool) {
	switch op.Kind {
	case OpSet:
		return entry{key: op.Key, value: op.Value}, true
	case OpAdd:
		n, err := addTo(was.value, found, op)
		if err != nil {
			return was, found
		}
		return entry{key: op.Key, value: encodeInt(n)}, true
	case OpFlash:
		return entry{key: op.Key, value: op.Value, stamp: ch.number, until: untilMilli(op.Until)}, true
	case OpExpireFlash:
		return was, found && was.stamp != op.Stamp
	case OpKeepFlash:
		if found && was.stamp == op.Stamp {
			was.stamp, was.until = ch.number, untilMilli(op.Until)
		}
		return was, found
	}
	return entry{}, false // OpDelete and OpDeleteFlash
}

func untilMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// mergeAccount returns the account part of the merged record.
func (ch *Changes) mergeAccount(rec *Record) string {
	old := rec.accountEntries()
	if len(ch.account) == 0 {
		return old.rest
	}
	var scratch [512]byte
	dst := scratch[:0]
	more := old.next()
	for i := range ch.account {
		e := &ch.account[i]
		for ; more && old.entry.key < e.key; more = old.next() {
			dst = appendEntry(dst, &old.entry, false)
		}
		if more && old.entry.key == e.key {
			more = old.next()
		}
		dst = appendEntry(dst, e, false)
	}
	for ; more; more = old.next() {
		dst = appendEntry(dst, &old.entry, false)
	}
	return string(dst)
}

// changesTo returns changes that make one record look like another, for reading. Each may be nil.
func (r *Record) changesTo(other *Record) *Changes {
	ch := &Changes{clear: true}
	for key, value := range other.data() {
		ch.set(key, value)
	}
	for c := r.flashEntries(); c.next(); {
		ch.put(Op{Kind: OpDeleteFlash, Key: c.entry.key})
	}
	for c := other.flashEntries(); c.next(); {
		if was, ok := r.flashEntries().find(c.entry.key); ok && was.stamp == c.entry.stamp {
			ch.put(Op{Kind: OpKeepFlash, Key: was.key, Stamp: was.stamp}) // it came with the request
		} else {
			ch.flash(c.entry.key, c.entry.value)
		}
	}
	for c := r.accountEntries(); c.next(); {
		ch.setAccount(c.entry.key, "")
	}
	for c := other.accountEntries(); c.next(); {
		ch.setAccount(c.entry.key, c.entry.value)
	}
	return ch
}

// setAccount makes the account part's key hold value.
func (ch *Changes) setAccount(key, value string) {
	at, found := slices.BinarySearchFunc(ch.account, key, func(e entry, key string) int {
		return strings.Compare(e.key, key)
	})
	if found {
		ch.account[at].value = value
		return
	}
	ch.account = slices.Insert(ch.account, at, entry{key: key, value: value})
}

// accountValue returns what the account part holds after the changes.
func (ch *Changes) accountValue(rec *Record, key string) (string, bool) {
	if ch != nil {
		for i := range ch.account {
			if e := &ch.account[i]; e.key == key {
				return e.value, true
			}
		}
	}
	e, ok := rec.accountEntries().find(key)
	return e.value, ok
}

// changesNothing reports whether no operation is left.
func (ch *Changes) changesNothing() bool {
	return !ch.clear && !ch.clearFlash && len(ch.ops) == 0 && len(ch.account) == 0
}

// notesActivity reports whether nothing changes but when the user was last active.
func (ch *Changes) notesActivity() bool {
	return !ch.clear && !ch.clearFlash && len(ch.ops) == 0 && len(ch.account) == 1 && ch.account[0].key == accountSeen
}

// leavesNothing reports whether a new session of these changes would be empty. Hints alone are
// no reason for one.
func (ch *Changes) leavesNothing() bool {
	_, signedIn := ch.accountValue(nil, accountUser)
	return !signedIn && !slices.ContainsFunc(ch.ops, func(op Op) bool {
		return op.Kind == OpSet || op.Kind == OpAdd || op.Kind == OpFlash
	})
}

// seal dates and numbers the changes for one save.
func (ch *Changes) seal(now time.Time) {
	ch.now = now.UnixMilli()
	ch.number, ch.again = rand.Uint64(), false // it names a save and guards nothing
	if ch.flashTTL <= 0 {
		return
	}
	for i := range ch.ops {
		if k := ch.ops[i].Kind; k == OpFlash || k == OpKeepFlash {
			ch.ops[i].Until = ch.Now().Add(ch.flashTTL)
		}
	}
}

// clone returns a copy that can be changed.
func (ch *Changes) clone() *Changes {
	c := *ch
	c.ops, c.account = slices.Clone(ch.ops), slices.Clone(ch.account)
	c.reindex()
	return &c
}

func (ch *Changes) reindex() {
	ch.index = nil
	if len(ch.ops) <= indexFrom {
		return
	}
	ch.index = make(map[opKey]int, 2*len(ch.ops))
	for i := range ch.ops {
		op := &ch.ops[i]
		ch.index[opKey{op.Key, op.onFlash()}] = i
	}
}

// find returns the operation on a key's data or flash, nil where there is none.
func (ch *Changes) find(key string, flash bool) *Op {
	if i := ch.position(key, flash); i >= 0 {
		return &ch.ops[i]
	}
	return nil
}

func (ch *Changes) position(key string, flash bool) int {
	if ch == nil {
		return -1
	}
	if ch.index != nil {
		if i, ok := ch.index[opKey{key, flash}]; ok {
			return i
		}
		return -1
	}
	for i := range ch.ops {
		if op := &ch.ops[i]; op.Key == key && op.onFlash() == flash {
			return i
		}
	}
	return -1
}

// put makes op the one operation on its key.
func (ch *Changes) put(op Op) {
	if at := ch.find(op.Key, op.onFlash()); at != nil {
		*at = op
		return
	}
	if ch.ops == nil {
		ch.ops = ch.first[:0]
	}
	ch.ops = append(ch.ops, op)
	if ch.index != nil {
		ch.index[opKey{op.Key, op.onFlash()}] = len(ch.ops) - 1
		return
	}
	ch.reindex()
}

func (ch *Changes) set(key, encoded string) { ch.put(Op{Kind: OpSet, Key: key, Value: encoded}) }

func (ch *Changes) flash(key, encoded string) { ch.put(Op{Kind: OpFlash, Key: key, Value: encoded}) }

// remove deletes data and flash of a key. What was cleared, and not set since, needs none.
func (ch *Changes) remove(key string) {
	if !ch.clear || ch.find(key, false) != nil {
		ch.put(Op{Kind: OpDelete, Key: key})
	}
	if !ch.clearFlash || ch.find(key, true) != nil {
		ch.put(Op{Kind: OpDeleteFlash, Key: key})
	}
}

// add makes the integer under a key grow. What this request knows for certain becomes a set,
// so that an increment meets only what other requests may have changed too.
func (ch *Changes) add(key string, by int64) error {
	op := ch.find(key, false)
	switch {
	case op == nil && !ch.clear:
		ch.put(Op{Kind: OpAdd, Key: key, By: by})
	case op == nil, op.Kind == OpDelete:
		ch.set(key, encodeInt(by))
	case op.Kind == OpSet:
		n, ok := encodedInt(op.Value)
		if !ok {
			return notAnInteger(key, op.Value)
		}
		sum, err := addInts(key, n, by)
		if err != nil {
			return err
		}
		op.Value = encodeInt(sum)
	default: // OpAdd
		sum, err := addInts(key, op.By, by)
		if err != nil {
			return err
		}
		op.By = sum
	}
	return nil
}

// keep makes a flash value that came with this request live one more, unless this request has
// replaced or deleted it.
func (ch *Changes) keep(key string, stamp uint64) {
	if !ch.clearFlash && ch.find(key, true) == nil {
		ch.put(Op{Kind: OpKeepFlash, Key: key, Stamp: stamp})
	}
}

// expire ends a flash value that came with this request, unless this request has spoken of it.
func (ch *Changes) expire(key string, stamp uint64) {
	if !ch.clearFlash && ch.find(key, true) == nil {
		ch.put(Op{Kind: OpExpireFlash, Key: key, Stamp: stamp})
	}
}

func (ch *Changes) clearData() { ch.clearPart(false) }

func (ch *Changes) clearFlashes() { ch.clearPart(true) }

func (ch *Changes) clearPart(flash bool) {
	ch.ops = slices.DeleteFunc(ch.ops, func(op Op) bool { return op.onFlash() == flash })
	ch.reindex()
	if flash {
		ch.clearFlash = true
	} else {
		ch.clear = true
	}
}

// A ChangesBuilder makes Changes for the tests of a Driver. The zero value is ready; each
// operation replaces an earlier one on the same key.
type ChangesBuilder struct {
	Now      time.Time
	Number   uint64
	NewToken Token    // of a new session, or of one that rotates
	NewID    [16]byte // likewise
	Limits   Limits   // likewise
	Rotates  bool
	Ops      []Op
}

// Build returns the changes. An operation of no known kind or with a key of an impossible
// length is an error.
func (b *ChangesBuilder) Build() (*Changes, error) {
	ch := &Changes{now: b.Now.UnixMilli(), number: b.Number, token: b.NewToken, id: b.NewID,
		limits: b.Limits, rotates: b.Rotates}
	for _, op := range b.Ops {
		switch {
		case op.Kind == OpClear:
			ch.clearData()
		case op.Kind == OpClearFlash:
			ch.clearFlashes()
		case op.Kind > OpAccount || op.Kind == 0:
			return nil, fmt.Errorf("session: build changes: operation kind %d is not known", op.Kind)
		case len(op.Key) == 0 || len(op.Key) > maxKey:
			return nil, &valueError{op: "build changes", key: op.Key, reason: keyReason}
		case op.Kind == OpAccount:
			ch.setAccount(op.Key, op.Value)
		default:
			ch.put(op)
		}
	}
	return ch, nil
}

const keyReason = "a key has 1 to 255 bytes"
