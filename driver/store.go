package driver

import (
	"context"
	"time"
)

// A Store keeps bytes under keys; session.StoreDriver makes a Driver and an Index of it. A key has
// 22 to 48 characters of A-Z, a-z, 0-9, '-', '_' and ':'.
//
// A Store is safe for concurrent use, keeps bytes of any value unchanged, compares keys byte for
// byte, does not keep ctx, and returns when ctx ends. It must not return data after it was
// replaced: a read replica that lags behind is no Store. Its errors mean that it is unavailable,
// unless they wrap ErrMisconfigured.
type Store interface {
	// Get returns the bytes under key. It returns nil, nil if there are none or if they have
	// expired. The caller may keep the bytes and does not change them.
	Get(ctx context.Context, key string) ([]byte, error)

	// Update stores what change makes of the bytes under key, which are nil if there are none or
	// if they have expired. No other Update of that key may run in between, from any goroutine or
	// process. Update may call change again, as a compare and swap does. If change returns an
	// error, Update returns that error and stores nothing. If change returns an Entry without
	// Data, Update stores nothing and returns nil. Otherwise a nil error means that the data is
	// stored. Returning an error for an update that succeeded is harmless.
	Update(ctx context.Context, key string, change func(old []byte) (Entry, error)) error
}

// A Swapper is a Store that can compare and swap in one round trip. StoreDriver then calls Swap in
// place of Update, which spares the read.
type Swapper interface {
	// Swap stores entry under key if the bytes there are old; a nil old means that there must be
	// none. If they differ, it stores nothing and returns the bytes as they are, nil if there are
	// none. A Swapper may compare only the first 9 bytes: no two different states of a key share
	// them.
	Swap(ctx context.Context, key string, old []byte, entry Entry) (current []byte, swapped bool, err error)
}

// An Entry is what an Update stores. Store its Data. Do not encode an Entry with encoding/json: it
// prints as redacted, and the data would be lost.
type Entry struct {
	redacted

	Data []byte

	// Expires is when the store may forget the data, by the clock of the caller. TTL is the time
	// from now until then, always positive, for stores that count down or use their own clock.
	Expires time.Time
	TTL     time.Duration
}
