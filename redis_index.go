package session

import (
	"context"
	"strconv"
	"time"
)

// The index of a user is one sorted set, `<namespace>:user:<hash>`. In a cluster it is in
// another slot than the sessions that it names.

var _ accountIndex = (*RedisDriver)(nil)

func (d *RedisDriver) enroll(ctx context.Context, user string, e enrollment) error {
	reply, err := d.evalIndex(ctx, enrollScript, user, milli(e.now), e.name(), e.ends, e.replaces,
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
	_, err := d.evalIndex(ctx, withdrawScript, user, m.name())
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
		if m, ok := parseMember(reply[i], int64(ends)); ok {
			members = append(members, m)
		}
	}
	return members, nil
}

func (d *RedisDriver) noteEnding(ctx context.Context, user, kept string, now time.Time) (int64, error) {
	reply, err := d.evalIndex(ctx, endingScript, user, milli(now), rememberEnding.Milliseconds(), kept)
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
