package driver

import (
	"context"
	"time"
)

// A Store keeps bytes under keys; session.StoreDriver makes a Driver and an Index of it. A key has
// 22 to 48 characters of A-Z, a-z, 0-9, '-', '_' and ':'.
//
// A Store must be safe for concurrent use, keep any bytes unchanged, and compare keys byte for
// byte. Its methods must not keep ctx, and must return when ctx ends. A Store must not return data
// that has been replaced, so a read replica that lags behind cannot be a Store. Its errors mean
// that it is unavailable, unless they wrap ErrMisconfigured.
type Store interface {
	// Get returns the bytes under key. It returns nil, nil if there are none or if they have
	// expired. The caller may keep the bytes, and does not change them.
	Get(ctx context.Context, key string) ([]byte, error)

	// Update calls change with the bytes under key, nil if there are none or if they have expired,
	// and stores the Entry that change returns. No other Update of that key may take effect in
	// between, from any goroutine or process. Update may call change again, as a compare-and-swap
	// loop does. If change returns an error, Update returns that error and stores nothing. If
	// change returns an Entry without Data, Update stores nothing and returns nil. Otherwise a nil
	// error means that the data is stored. Returning an error for an update that succeeded is
	// harmless.
	Update(ctx context.Context, key string, change func(old []byte) (Entry, error)) error
}

// A Swapper is a Store that can compare and swap in one round trip. StoreDriver then calls Swap in
// place of Update, which saves a read.
type Swapper interface {
	// Swap stores entry under key if the bytes there equal old; a nil old means that there must be
	// none. If they differ, it stores nothing and returns the current bytes, nil if there are none.
	// A Swapper may compare the first 9 bytes only: they differ between any two states of a key.
	Swap(ctx context.Context, key string, old []byte, entry Entry) (current []byte, swapped bool, err error)
}

// An Entry is what an Update stores. Store its Data only: encoding/json encodes an Entry as
// redacted text, so its data would be lost.
type Entry struct {
	redacted

	Data []byte

	// Expires is when the store may forget the data, by the clock of the caller. TTL is the time
	// from now until then, always positive, for stores that count down or use their own clock.
	Expires time.Time
	TTL     time.Duration
}
