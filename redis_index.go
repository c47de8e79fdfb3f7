package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"
)

// The index of a user is one sorted set, `<namespace>:user:<hash>`. In a cluster it is in
// another slot than the sessions that it names.

var _ accountIndex = (*RedisDriver)(nil)

func (d *RedisDriver) enroll(ctx context.Context, user string, e enrollment) error {
	reply, err := d.evalIndex(ctx, enrollScript, user, milli(e.now), packName(e.name()), e.ends, packName(e.replaces),
		e.signedIn, e.most, rememberEnding.Milliseconds())
	if err != nil {
		return err
	}
	switch reply.word() {
	case "ok":
		return nil
	case "full":
		return errIndexFull
	case "ended":
		return &EndedError{At: e.now}
	}
	return errUnexpected
}

func (d *RedisDriver) withdraw(ctx context.Context, user string, m member) error {
	_, err := d.evalIndex(ctx, withdrawScript, user, packName(m.name()), m.ends)
	return err
}

func (d *RedisDriver) members(ctx context.Context, user string, now time.Time) ([]member, error) {
	reply, err := d.evalIndex(ctx, membersScript, user, milli(now))
	if err != nil {
		return nil, err
	}
	var members []member
	for i := 0; i+1 < len(reply); i += 2 {
		ends, err := strconv.ParseFloat(reply[i+1], 64)
		if err != nil {
			return nil, errUnexpected
		}
		if m, ok := parseMember(unpackName(reply[i]), int64(ends)); ok {
			members = append(members, m)
		}
	}
	return members, nil
}

func (d *RedisDriver) noteEnding(ctx context.Context, user, kept string, now time.Time) (int64, error) {
	reply, err := d.evalIndex(ctx, endingScript, user, milli(now), rememberEnding.Milliseconds(), packName(kept))
	if err != nil {
		return 0, err
	}
	ended, err := strconv.ParseInt(reply.word(), 10, 64)
	if err != nil {
		return 0, errUnexpected
	}
	return ended, nil
}

func (d *RedisDriver) peek(ctx context.Context, id string, now time.Time) (*Record, error) {
	reply, err := d.evalID(ctx, peekScript, id, milli(now))
	if err != nil {
		return nil, err
	}
	return readRecord(Token{}, reply, now)
}

func (d *RedisDriver) endID(ctx context.Context, id string, now time.Time) error {
	_, err := d.evalID(ctx, destroyScript, id, milli(now), Tombstone.Milliseconds())
	return err
}

func (d *RedisDriver) evalIndex(ctx context.Context, s RedisScript, user string, args ...any) (redisReply, error) {
	reply, err := d.client.Eval(ctx, s, d.cfg.namespace()+":user:"+user, args)
	return reply, redisError(err)
}

// packName encodes the two parts of a session's name together. That makes 64 bytes of 65, and of
// members one byte longer redis makes a sorted set that takes three times the memory. Other names
// stay as they are.
func packName(name string) string {
	if !isSession(name) {
		return name
	}
	id, err := base64.RawURLEncoding.DecodeString(name[:idLength])
	handle, err2 := base64.RawURLEncoding.DecodeString(name[idLength:])
	if err != nil || err2 != nil {
		return name
	}
	return base64.RawURLEncoding.EncodeToString(append(id, handle...))
}

func unpackName(packed string) string {
	raw, err := base64.RawURLEncoding.DecodeString(packed)
	if err != nil || len(raw) != sha256.Size+idBytes {
		return packed
	}
	return base64.RawURLEncoding.EncodeToString(raw[:sha256.Size]) + base64.RawURLEncoding.EncodeToString(raw[sha256.Size:])
}
