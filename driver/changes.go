package driver

import "time"

// Changes are one save of one request. A driver must not modify them. Several goroutines may read
// them at a time.
type Changes struct {
	redacted

	ID     ID
	Number uint64 // names this save: a record remembers the last eight
	Now    time.Time
	New    bool // begins a session: nothing may be stored under ID, except what has expired
	Use    bool // counts as use

	// Retried is set if an earlier attempt of this save got no answer. Since is the number of the
	// last save that the request knew before the first attempt. With both, Apply detects that an
	// earlier attempt may have been applied and is no longer among the remembered saves.
	Retried bool
	Since   uint64

	// Expect is the digest of a secret that the record must accept. If New is set, the new record
	// remembers it as replaced instead.
	Expect Digest

	// Install is the digest of a secret that the record will accept, in addition to the present
	// ones, or in place of them if Replace is set. The zero Digest installs none.
	Install Digest
	Replace bool

	// Restart begins the lifetime anew. Limits replace the limits of the record. Without Restart
	// they are ignored if the record's or these were set by Session.Remember.
	Restart bool
	Limits  Limits

	// Created is when the lifetime of a new session began, zero for Now. It is earlier for a session
	// that was imported.
	Created time.Time

	Ops []Op // the Clear operations first; for each key in the order in which they apply
}

// An Op is one operation of Changes.
type Op struct {
	redacted

	Kind    OpKind
	Part    Part
	Key     string    // 1 to 255 bytes; not of Clear
	Encoded string    // Set, Swap, Append: the value
	Old     string    // Swap: the encoded value that must be there, "" for none
	By      int64     // Add
	Stamp   uint64    // Expire, Keep: the stamp that the value must still have
	Until   time.Time // of Flash: Set, Append, Keep: the end of its FlashTTL, zero for none
}

// An OpKind says what an Op does.
type OpKind uint8

// The kinds of Op. An operation on one part never touches another.
const (
	Clear  OpKind = iota + 1 // the part becomes empty
	Set                      // Key holds Encoded
	Delete                   // Key holds nothing
	Add                      // of Data: the integer under Key, 0 if there is none, grows by By
	Swap                     // of Data: Set, if Key still holds Old; else a *ConflictError
	Append                   // of Flash: Encoded joins the list under Key; a value that is there becomes its first element
	Expire                   // of Flash: values with this Stamp are removed
	Keep                     // of Flash: values with this Stamp get the number of this save and Until
)

// Writes reports whether an operation leaves something in a new session.
func (op *Op) Writes() bool {
	switch op.Kind {
	case Set, Add, Swap, Append:
		return true
	}
	return false
}
