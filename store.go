package session

import (
	"context"
	"encoding/binary"
	"errors"
	"time"
)

// A Store keeps bytes under ids; StoreDriver makes a Driver of it. An id has 43 characters of
// A-Z, a-z, 0-9, - and _, and differs from every token.
//
// A Store is safe for concurrent use, keeps data of any bytes as they are, never keeps ctx,
// and returns when ctx ends. What it returns as an error means that the store is unavailable.
type Store interface {
	// Get returns the bytes under id; nil, nil where there are none or they have expired.
	Get(ctx context.Context, id string) ([]byte, error)

	// Update stores what change makes of the bytes under id (nil: there are none), with no
	// other Update of id in between. It may call change again, as a compare and swap does.
	// An error of change is returned as it is and stores nothing; nil Data leaves things as
	// they are. A nil error means that the data is stored.
	Update(ctx context.Context, id string, change func(old []byte) (Entry, error)) error
}

// An Entry is what an Update stores. After Expires the store may forget it at any time.
type Entry struct {
	Data    []byte
	Expires time.Time
}

// StoreDriver returns a Driver that keeps packed records in s. Opening a session notes its use
// once a hundredth of the idle timeout has passed since the last note, so that most requests
// that only read do not write.
func StoreDriver(s Store) Driver { return &storeDriver{store: s} }

type storeDriver struct{ store Store }

var (
	_ Driver           = (*storeDriver)(nil)
	_ clockedDestroyer = (*storeDriver)(nil)
)

const (
	tombstoneVersion = 0 // no packed record begins with it
	tombstoneSize    = 1 + 8 + 8
	noteUse          = 100 // a use is noted after this fraction of the idle timeout
	rotateTries      = 16
)

func (d *storeDriver) Load(ctx context.Context, tok Token, now time.Time) (*Record, error) {
	if !tok.wellFormed() {
		return nil, errNotOurs
	}
	id := tok.ID()
	data, err := d.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	rec, err := liveRecord(tok, data, now)
	if err != nil {
		return nil, err
	}
	first := rec.head.used == rec.head.created
	if now.UnixMilli() < rec.head.used+max(1, rec.head.idle/noteUse) {
		rec = rec.touchedForward(now)
		rec.first = first
		return rec, nil
	}
	err = d.store.Update(ctx, id, func(old []byte) (Entry, error) {
		if rec, err = liveRecord(tok, old, now); err != nil {
			return Entry{}, err
		}
		rec = rec.touchedForward(now)
		return rec.entry(), nil
	})
	if err != nil {
		return nil, err
	}
	rec.first = first
	return rec, nil
}

// Ping asks the store, where it can tell.
func (d *storeDriver) Ping(ctx context.Context) error {
	if p, ok := d.store.(pinger); ok {
		return p.Ping(ctx)
	}
	_, err := d.store.Get(ctx, NewToken("").ID())
	return err
}

func (d *storeDriver) Save(ctx context.Context, rec *Record, ch *Changes) (Token, error) {
	switch {
	case rec == nil:
		return ch.NewToken(), d.create(ctx, ch.Apply(nil), ch.Number())
	case ch.Rotates():
		return d.rotate(ctx, rec.Token(), ch)
	}
	err := d.store.Update(ctx, rec.Token().ID(), func(old []byte) (Entry, error) {
		now, err := liveRecord(rec.Token(), old, ch.Now())
		if err != nil {
			return Entry{}, err
		}
		if done, err := ch.repeats(rec, now); done || err != nil {
			return Entry{}, err
		}
		if err := ch.Check(now); err != nil {
			return Entry{}, err
		}
		return ch.Apply(now).entry(), nil
	})
	return rec.Token(), err
}

var errTokenTaken = errors.New("session: save under a new token: the token is taken")

// create stores a record under its token, which must be free but for a repeat of this save.
func (d *storeDriver) create(ctx context.Context, rec *Record, number uint64) error {
	return d.store.Update(ctx, rec.Token().ID(), func(old []byte) (Entry, error) {
		if len(old) == 0 {
			return rec.entry(), nil
		}
		stored, err := liveRecord(rec.Token(), old, rec.UsedAt())
		if err != nil || !stored.applied(number) {
			return Entry{}, errTokenTaken
		}
		return Entry{}, nil
	})
}

// rotate stores the old record with the changes under the new token, then retires the old one
// if it is still the state that was copied. If it is not, another save was acknowledged
// meanwhile: its state is copied in turn. Where the old one has died, the copy goes again.
func (d *storeDriver) rotate(ctx context.Context, old Token, ch *Changes) (Token, error) {
	fresh := ch.NewToken()
	for range rotateTries {
		data, err := d.store.Get(ctx, old.ID())
		if err != nil {
			return Token{}, err
		}
		copied, err := liveRecord(old, data, ch.Now())
		if err != nil {
			if retiredBy(data, ch.Number()) {
				return fresh, nil
			}
			return Token{}, errors.Join(err, d.bury(ctx, fresh, ch.Now(), ch.Number()))
		}
		if err := ch.Check(copied); err != nil {
			return Token{}, errors.Join(err, d.bury(ctx, fresh, ch.Now(), ch.Number()))
		}
		if err := d.put(ctx, ch.Apply(copied), ch.Number()); err != nil {
			return Token{}, err
		}
		if retired, err := d.retire(ctx, copied, ch); err != nil {
			return fresh, &unsureError{err}
		} else if retired {
			return fresh, nil
		}
	}
	return Token{}, errors.New("session: replace a token: the session changed too often meanwhile")
}

// put stores a copy that nobody has the token of yet, in place of an earlier copy at most.
func (d *storeDriver) put(ctx context.Context, rec *Record, number uint64) error {
	return d.store.Update(ctx, rec.Token().ID(), func(old []byte) (Entry, error) {
		if len(old) > 0 {
			stored, err := liveRecord(rec.Token(), old, rec.UsedAt())
			if err != nil || !stored.applied(number) {
				return Entry{}, errTokenTaken
			}
		}
		return rec.entry(), nil
	})
}

// retire buries the old record if it is still what was copied, and reports whether it did.
func (d *storeDriver) retire(ctx context.Context, copied *Record, ch *Changes) (bool, error) {
	retired := false
	err := d.store.Update(ctx, copied.Token().ID(), func(old []byte) (Entry, error) {
		rec, err := liveRecord(copied.Token(), old, ch.Now())
		if retired = retiredBy(old, ch.Number()); retired {
			return Entry{}, nil
		}
		if err != nil || !rec.sameContent(copied) {
			return Entry{}, nil // the next round sees what it has become
		}
		retired = true
		return tombstone(ch.Now(), ch.Number()), nil
	})
	return retired, err
}

// Destroy ends tok.
func (d *storeDriver) Destroy(ctx context.Context, tok Token) error {
	return d.destroyAt(ctx, tok, time.Now())
}

func (d *storeDriver) destroyAt(ctx context.Context, tok Token, now time.Time) error {
	if !tok.wellFormed() {
		return nil
	}
	return d.bury(ctx, tok, now, 0)
}

// bury replaces a live record by a tombstone; of an unknown token it stores nothing.
func (d *storeDriver) bury(ctx context.Context, tok Token, now time.Time, number uint64) error {
	return d.buryID(ctx, tok.ID(), now, number)
}

func (d *storeDriver) buryID(ctx context.Context, id string, now time.Time, number uint64) error {
	return d.store.Update(ctx, id, func(old []byte) (Entry, error) {
		if len(old) == 0 || old[0] == tombstoneVersion {
			return Entry{}, nil
		}
		return tombstone(now, number), nil
	})
}

// liveRecord reads what a store holds under a token. What is malformed was not written by this
// package, or was damaged: it opens nothing.
func liveRecord(tok Token, data []byte, now time.Time) (*Record, error) {
	if len(data) == 0 {
		return nil, ErrNoSession
	}
	if data[0] == tombstoneVersion {
		return nil, endedSince(data, now)
	}
	rec, err := ParseRecord(tok, data)
	if err != nil {
		return nil, ErrNoSession
	}
	if rec.expired(now) {
		return nil, expiredAt(rec, now)
	}
	return rec, nil
}

// touchedForward notes a use; the clock of another process may be ahead.
func (r *Record) touchedForward(now time.Time) *Record {
	if now.UnixMilli() <= r.head.used {
		return r
	}
	return r.Touched(now)
}

func (r *Record) entry() Entry {
	data, _ := r.AppendBinary(nil)
	return Entry{Data: data, Expires: r.ExpiresAt()}
}

// tombstone says when a session ended, and by which save where its token was replaced.
func tombstone(now time.Time, number uint64) Entry {
	data := make([]byte, 1, tombstoneSize)
	data[0] = tombstoneVersion
	data = binary.BigEndian.AppendUint64(data, uint64(now.UnixMilli()))
	data = binary.BigEndian.AppendUint64(data, number)
	return Entry{Data: data, Expires: now.Add(Tombstone)}
}

func endedSince(data []byte, now time.Time) error {
	if len(data) != tombstoneSize {
		return ErrNoSession
	}
	return endedError(int64(binary.BigEndian.Uint64(data[1:])), now)
}

// endedError tells a token that ended within Tombstone from one that is unknown by now.
func endedError(at int64, now time.Time) error {
	if now.UnixMilli()-at >= Tombstone.Milliseconds() {
		return ErrNoSession
	}
	return &EndedError{At: time.UnixMilli(at)}
}

func retiredBy(data []byte, number uint64) bool {
	return len(data) == tombstoneSize && data[0] == tombstoneVersion &&
		binary.BigEndian.Uint64(data[9:]) == number
}
