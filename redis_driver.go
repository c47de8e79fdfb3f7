package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A RedisDriver keeps sessions in redis, so that any number of processes share them and they
// outlive each of them. Opening a session and noting its use is one round trip, every save is
// one, and a Regenerate is two. It uses one key a session, `<namespace>:session:<hash>`, and
// no KEYS, SCAN or RENAME; no key is ever without an expiry.
//
// The pool is made at first use. A load or save whose connection breaks before the reply came
// is tried once more on a fresh connection; the number of a save keeps it from being applied
// twice.
type RedisDriver struct {
	cfg    *RedisConfig // a pointer, which fmt does not follow to the password
	client RedisClient
	prefix string
}

var (
	_ Driver           = (*RedisDriver)(nil)
	_ clockedDestroyer = (*RedisDriver)(nil)
)

// NewRedisDriver returns a redis driver; it does not connect. NewManager makes one of
// Config.Redis; a second one goes into Config.Drivers and is closed by whoever made it.
func NewRedisDriver(cfg RedisConfig) (*RedisDriver, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withURL()
	if err != nil {
		return nil, err
	}
	d := &RedisDriver{cfg: &cfg, client: cfg.Options.Client, prefix: cfg.namespace() + ":session:"}
	if d.client == nil {
		d.client = &redigoClient{cfg: cfg}
	}
	return d, nil
}

// Close closes the pool, unless RedisOptions.Pool or Client brought it. It is idempotent.
func (d *RedisDriver) Close() error {
	if own, ok := d.client.(*redigoClient); ok {
		return own.Close()
	}
	return nil
}

// Ping asks the server for an answer.
func (d *RedisDriver) Ping(ctx context.Context) error { return redisError(d.client.Ping(ctx)) }

// retries returns how often an operation was tried once more.
func (d *RedisDriver) retries() uint64 {
	if own, ok := d.client.(*redigoClient); ok {
		return own.retries.Load()
	}
	return 0
}

// Load opens tok. See Driver.
func (d *RedisDriver) Load(ctx context.Context, tok Token, now time.Time) (*Record, error) {
	if !tok.wellFormed() {
		return nil, errNotOurs
	}
	reply, err := d.eval(ctx, loadScript, tok, milli(now))
	if err != nil {
		return nil, err
	}
	rec, err := readRecord(tok, reply, now)
	if err != nil {
		return nil, err
	}
	rec.first = rec.head.used == rec.head.created
	rec.head.used = max(rec.head.used, now.UnixMilli()) // the reply is from before the use
	return rec, nil
}

// Save stores changes. See Driver.
func (d *RedisDriver) Save(ctx context.Context, rec *Record, ch *Changes) (Token, error) {
	switch {
	case rec == nil:
		_, err := d.create(ctx, ch.Apply(nil), ch, "")
		return ch.NewToken(), err
	case ch.Rotates():
		return ch.NewToken(), d.rotate(ctx, rec, ch)
	}
	return rec.Token(), d.apply(ctx, rec, ch)
}

// Destroy ends tok. See Driver.
func (d *RedisDriver) Destroy(ctx context.Context, tok Token) error {
	return d.destroyAt(ctx, tok, time.Now())
}

func (d *RedisDriver) destroyAt(ctx context.Context, tok Token, now time.Time) error {
	if !tok.wellFormed() {
		return nil
	}
	_, err := d.eval(ctx, destroyScript, tok, milli(now), Tombstone.Milliseconds())
	return err
}

// create stores a record under its token, which must be free but for what this save has stored:
// it is replaced where replaces are its saves. It returns the saves of what is stored.
func (d *RedisDriver) create(ctx context.Context, rec *Record, ch *Changes, replaces string) (saves string, err error) {
	ttl := max(1, rec.head.expires()-ch.now)
	args := append([]any{ttl, packNumber(ch.number), replaces}, recordFields(rec)...)
	reply, err := d.eval(ctx, createScript, rec.Token(), args...)
	switch {
	case err != nil:
		return "", err
	case reply.word() == "taken":
		return "", errTokenTaken
	case reply.word() == "repeated":
		return reply.text(1), nil
	}
	return rec.numbers, nil
}

func (d *RedisDriver) apply(ctx context.Context, rec *Record, ch *Changes) error {
	args := []any{ch.now, packNumber(ch.number), bit(ch.again), packNumber(rec.lastNumber()), bit(ch.clear), bit(ch.clearFlash)}
	for i := range ch.ops {
		args = appendOp(args, ch, &ch.ops[i])
	}
	for i := range ch.account {
		args = append(args, "a", ch.account[i].key, ch.account[i].value, "")
	}
	reply, err := d.eval(ctx, applyScript, rec.Token(), args...)
	if err != nil {
		return err
	}
	switch reply.word() {
	case "ok":
		return nil
	case "late":
		return errTooLate
	case "not", "range":
		return refusal(ch, reply)
	}
	_, err = readRecord(rec.Token(), reply, ch.Now())
	return err
}

var errRotatesTooOften = errors.New("session: replace a token: the session changed too often meanwhile")

// rotate stores the record with the changes under the new token, then retires the old key if
// it is still the state that was copied. If it is not, a save was acknowledged meanwhile: what
// it left is merged, and the retiring tried again. Where the old one has died, the copy goes.
func (d *RedisDriver) rotate(ctx context.Context, copied *Record, ch *Changes) error {
	if copied.assumed {
		done, now, err := d.retire(ctx, copied, ch, neverSaved)
		if done || err != nil {
			return err
		}
		copied = now
	}
	stored := ""
	for try := range rotateTries {
		if err := ch.Check(copied); err != nil {
			return errors.Join(err, d.takeBack(ctx, ch, try))
		}
		var err error
		if stored, err = d.copy(ctx, ch.Apply(copied), ch, stored); err != nil {
			return err
		}
		done, now, err := d.retireCopied(ctx, copied, ch)
		switch {
		case done:
			return nil
		case isGone(err):
			return errors.Join(err, d.takeBack(ctx, ch, try+1))
		case err != nil:
			return err
		}
		copied = now
	}
	return errRotatesTooOften
}

// copy stores a copy under the new token, in place of the one whose saves are replaces, and
// returns the saves of what is there then. A copy of another state is there where the rotation is
// sent again, and one that was saved to where it is repeated after it was done: that one stays.
func (d *RedisDriver) copy(ctx context.Context, rec *Record, ch *Changes, replaces string) (saves string, err error) {
	for range rotateTries {
		saves, err = d.create(ctx, rec, ch, replaces)
		if err != nil || saves == rec.numbers || !strings.HasSuffix(saves, packNumber(ch.number)) {
			return saves, err
		}
		replaces = saves
	}
	return "", errRotatesTooOften
}

// neverSaved are the numbers of no record, so that retire only tells what the session is now.
const neverSaved = "-"

// retire ends the old token if the saves of its record are those of the copy, and reports
// whether it is done. If not, it returns what the record has become.
func (d *RedisDriver) retire(ctx context.Context, old *Record, ch *Changes, saves string) (bool, *Record, error) {
	reply, err := d.eval(ctx, retireScript, old.Token(), ch.now, packNumber(ch.number), saves, Tombstone.Milliseconds())
	if err != nil || reply.word() == "ok" {
		return err == nil, nil, err
	}
	now, err := readRecord(old.Token(), reply, ch.Now())
	return false, now, err
}

// How long a rotation waits before it asks again: at first, and at most.
const (
	firstPause = 5 * time.Millisecond
	longPause  = 200 * time.Millisecond
)

// retireCopied is retire once the copy is stored. Where the server gives no answer, the old token
// may have ended, and who is not told of the new one would be signed out. So it asks again until
// ctx's deadline; the number makes that safe.
func (d *RedisDriver) retireCopied(ctx context.Context, copied *Record, ch *Changes) (bool, *Record, error) {
	_, patient := ctx.Deadline()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		done, now, err := d.retire(ctx, copied, ch, copied.numbers)
		var refused *configError
		if err == nil || isGone(err) || errors.Is(err, errMalformed) || errors.As(err, &refused) {
			return done, now, err
		}
		if !patient {
			return false, nil, &unsureError{err}
		}
		select {
		case <-ctx.Done():
			return false, nil, &unsureError{err}
		case <-time.After(pause):
		}
	}
}

// takeBack removes the copy that a rotation has stored, where it has stored one.
func (d *RedisDriver) takeBack(ctx context.Context, ch *Changes, stored int) error {
	if stored == 0 {
		return nil
	}
	_, err := d.eval(ctx, removeScript, ch.NewToken())
	return err
}

func (d *RedisDriver) eval(ctx context.Context, s RedisScript, tok Token, args ...any) (redisReply, error) {
	return d.evalID(ctx, s, tok.ID(), args...)
}

func (d *RedisDriver) evalID(ctx context.Context, s RedisScript, id string, args ...any) (redisReply, error) {
	reply, err := d.client.Eval(ctx, s, d.prefix+id, args)
	return reply, redisError(err)
}

// redisError tells a configuration that waiting does not cure from a server that cannot be
// reached or cannot serve now.
func redisError(err error) error {
	var reply RedisError
	if errors.As(err, &reply) && reply.refusesConfig() {
		return refusedConfig(err)
	}
	return err
}

// A redisReply is what a script returns.
type redisReply []string

// text returns one element, "" where there is none.
func (r redisReply) text(i int) string {
	if i >= len(r) {
		return ""
	}
	return r[i]
}

func (r redisReply) word() string { return r.text(0) }

// refusal is Changes.Check's error for an increment that the script refused.
func refusal(ch *Changes, reply redisReply) error {
	i, err := strconv.Atoi(reply.text(1))
	if err != nil || i < 0 || i >= len(ch.ops) {
		return errUnexpected
	}
	if _, err = addTo(reply.text(2), true, &ch.ops[i]); err == nil {
		return errUnexpected // the script stored nothing: that must not pass for success
	}
	return err
}

var errUnexpected = errors.New("session: save in redis: unexpected reply")

// readRecord reads the hash that a script returned, or why there is none.
func readRecord(tok Token, reply redisReply, now time.Time) (*Record, error) {
	switch reply.word() {
	case "", "gone":
		return nil, ErrNoSession
	case "ended":
		at, err := strconv.ParseInt(reply.text(1), 10, 64)
		if err != nil {
			return nil, ErrNoSession
		}
		return nil, endedError(at, now)
	}
	var b RecordBuilder
	for i := 0; i+1 < len(reply); i += 2 {
		if err := readField(&b, reply.text(i), reply.text(i+1)); err != nil {
			return nil, fmt.Errorf("session: load from redis: a field of the hash is damaged: %w", err)
		}
	}
	return b.Build(tok)
}

func readField(b *RecordBuilder, field, value string) (err error) {
	if key, ok := strings.CutPrefix(field, "v:"); ok {
		b.Value(key, value)
		return nil
	}
	if key, ok := strings.CutPrefix(field, "f:"); ok {
		v, err := parseFlash(value)
		b.Flash(key, v)
		return err
	}
	if key, ok := strings.CutPrefix(field, "a:"); ok {
		b.Account(key, value)
		return nil
	}
	switch field {
	case "@created":
		b.CreatedAt, err = parseTime(value)
	case "@used":
		b.UsedAt, err = parseTime(value)
	case "@lifetime":
		b.Limits.Lifetime, err = parseMillis(value)
	case "@idle":
		b.Limits.Idle, err = parseMillis(value)
	case "@remembered":
		b.Limits.Remembered = value == "1"
	case "@id":
		b.ID, err = parseID(value)
	case "@saves":
		b.Numbers, err = parseNumbers(value)
	}
	return err
}

// The errors below quote nothing: what a damaged field holds may be anybody's value.

func parseID(value string) (id [idBytes]byte, err error) {
	raw, err := strictBase64.DecodeString(value)
	if err != nil || len(raw) != idBytes {
		return id, errMalformed
	}
	return [idBytes]byte(raw), nil
}

func parseTime(value string) (time.Time, error) {
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.Time{}, errMalformed
	}
	return time.UnixMilli(ms), nil
}

func parseMillis(value string) (time.Duration, error) {
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, errMalformed
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func parseNumbers(value string) (numbers []uint64, err error) {
	if len(value)%8 != 0 {
		return nil, errMalformed
	}
	for ; value != ""; value = value[8:] {
		numbers = append(numbers, uint64At(value))
	}
	return numbers, nil
}

// parseFlash reads a stamp, an end and the encoded value.
func parseFlash(field string) (v FlashValue, err error) {
	stamp, rest, ok := strings.Cut(field, " ")
	until, value, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 {
		return v, errMalformed
	}
	v.Value = value
	if v.Stamp, err = strconv.ParseUint(stamp, 16, 64); err != nil || len(stamp) != 16 {
		return v, errMalformed
	}
	if until != "0" {
		v.Until, err = parseTime(until)
	}
	return v, err
}

func flashHead(stamp uint64, until time.Time) string {
	return fmt.Sprintf("%016x %d ", stamp, untilMilli(until))
}

// recordFields returns the fields and values of the hash that holds a record.
func recordFields(rec *Record) []any {
	h := &rec.head
	fields := []any{
		"@created", h.created, "@used", h.used, "@lifetime", h.lifetime, "@idle", h.idle,
		"@remembered", bit(h.remembered), "@id", base64.RawURLEncoding.EncodeToString(h.id[:]),
		"@saves", rec.numbers,
	}
	for key, value := range rec.Values() {
		fields = append(fields, "v:"+key, value)
	}
	for key, value := range rec.Account() {
		fields = append(fields, "a:"+key, value)
	}
	for key, v := range rec.Flash() {
		fields = append(fields, "f:"+key, flashHead(v.Stamp, v.Until)+v.Value)
	}
	return fields
}

// appendOp appends the four arguments of one operation. An increment carries the range that
// the old value has to be in for the sum to fit an int64.
func appendOp(args []any, ch *Changes, op *Op) []any {
	switch op.Kind {
	case OpSet:
		return append(args, "=", op.Key, op.Value, "")
	case OpAdd:
		low, high := int64(math.MinInt64), int64(math.MaxInt64)
		if op.By > 0 {
			high -= op.By
		} else {
			low -= op.By
		}
		return append(args, "+", op.Key, op.By, fmt.Sprintf("%d %d", low, high))
	case OpFlash:
		return append(args, "f", op.Key, flashHead(ch.number, op.Until)+op.Value, "")
	case OpDeleteFlash:
		return append(args, "d", op.Key, "", "")
	case OpExpireFlash:
		return append(args, "x", op.Key, fmt.Sprintf("%016x", op.Stamp), "")
	case OpKeepFlash:
		return append(args, "k", op.Key, fmt.Sprintf("%016x", op.Stamp), flashHead(ch.number, op.Until))
	}
	return append(args, "-", op.Key, "", "")
}

func milli(t time.Time) int64 { return t.UnixMilli() }

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
