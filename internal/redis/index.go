package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"example.com/session/driver"
)

// The index of a user is a sorted set; enter.lua describes its members. In a cluster it has another
// slot than the sessions that it names.

const idSize = 22 // characters of an id in a member

// Enter implements driver.Index. The end of an entry never moves back.
func (d *Driver) Enter(ctx context.Context, user string, e driver.IndexEntry, limit int, now time.Time) error {
	reply, err := d.eval(ctx, enterScript, d.indexKey(user), e.ID.String(), micros(e.Entered), e.Ends.UnixMilli(),
		int64(limit), now.UnixMilli(), micros(now.Add(driver.EndBeforeAhead)))
	if err != nil {
		return err
	}
	switch text(reply) {
	case "ok":
		return nil
	case "ended":
		return driver.ErrEnded
	case "full":
		return driver.ErrIndexFull
	}
	return classify(errUnexpected, false)
}

// Remove implements driver.Index.
func (d *Driver) Remove(ctx context.Context, user string, id driver.ID) error {
	_, err := d.eval(ctx, removeScript, d.indexKey(user), id.String())
	return err
}

// List implements driver.Index.
func (d *Driver) List(ctx context.Context, user string, now time.Time) ([]driver.IndexEntry, error) {
	reply, err := d.eval(ctx, listScript, d.indexKey(user), now.UnixMilli())
	if err != nil {
		return nil, err
	}
	members, ok := reply.([]any)
	if !ok {
		return nil, classify(errUnexpected, false)
	}
	var entries []driver.IndexEntry
	for i := 0; i+1 < len(members); i += 2 {
		if e, ok := parseMember(text(members[i]), text(members[i+1])); ok {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// EndBefore implements driver.Index. It also works while the server's memory is full.
func (d *Driver) EndBefore(ctx context.Context, user string, now time.Time) error {
	reply, err := d.eval(ctx, endBeforeScript, d.indexKey(user), micros(now),
		now.Add(driver.IndexTombstone).UnixMilli(), now.UnixMilli())
	if err == nil && text(reply) != "ok" {
		err = classify(errUnexpected, false)
	}
	return err
}

func (d *Driver) indexKey(user string) string { return d.prefix + "user:" + user }

// micros returns a time in microseconds as text that sorts in the order of time.
func micros(t time.Time) string { return fmt.Sprintf("%016d", max(0, t.UnixMicro())) }

// parseMember reads a member and its score. It skips a member that is not an entry, such as the
// time of EndBefore.
func parseMember(name, score string) (e driver.IndexEntry, ok bool) {
	if len(name) <= idSize {
		return e, false
	}
	id, ok := driver.ParseID(name[:idSize])
	entered, err := strconv.ParseInt(name[idSize:], 10, 64)
	ends, err2 := strconv.ParseFloat(score, 64)
	if !ok || err != nil || err2 != nil {
		return e, false
	}
	return driver.IndexEntry{ID: id, Entered: time.UnixMicro(entered), Ends: time.UnixMilli(int64(ends))}, true
}
