package redis

import (
	"context"
	"errors"
	"strings"
	"sync"

	"example.com/session/driver"
)

// A Count is how many keys a server has under the namespace.
type Count struct {
	Sessions int // that are live
	Ended    int // tombstones
	Users    int // that have a list of sessions
}

// Count counts the keys of the server, of a cluster those of one node. It walks through all keys of
// the database, as SCAN does, so one that comes or goes meanwhile may be missed, or count twice.
func (d *Driver) Count(ctx context.Context) (n Count, err error) {
	pattern := escapeGlob.Replace(d.prefix) + "*"
	for cursor := "0"; ; {
		reply, err := d.send(ctx, "SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
		page, _ := reply.([]any)
		if err == nil && len(page) != 2 {
			err = classify(errUnexpected, false)
		}
		if err != nil {
			return n, err
		}
		keys, _ := page[1].([]any)
		if err := d.countKeys(ctx, keys, &n); err != nil {
			return n, err
		}
		if cursor = text(page[0]); cursor == "0" {
			return n, nil
		}
	}
}

var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// countKeys counts some keys. It asks for all of them at once, which then share few packets.
func (d *Driver) countKeys(ctx context.Context, keys []any, n *Count) error {
	kinds, faults := make([]string, len(keys)), make([]error, len(keys))
	var wait sync.WaitGroup
	for i, key := range keys {
		name := strings.TrimPrefix(text(key), d.prefix)
		if strings.HasPrefix(name, "user:") {
			n.Users++
		} else if _, ok := driver.ParseID(name); ok {
			wait.Go(func() {
				reply, err := d.send(ctx, "GETRANGE", d.prefix+name, "0", "0")
				kinds[i], faults[i] = text(reply), err
			})
		}
	}
	wait.Wait()
	for _, kind := range kinds {
		switch kind {
		case "": // not of a session, or gone meanwhile
		case string(rune(tombstoneKind)):
			n.Ended++
		default:
			n.Sessions++
		}
	}
	return errors.Join(faults...)
}
