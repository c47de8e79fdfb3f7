package driver

import (
	"encoding/binary"
	"fmt"
)

// errOutcomeUnknown is an ErrUnavailable: a repeated save that came too late.
var errOutcomeUnknown = fmt.Errorf("%w: save again after an attempt without an answer: too many other "+
	"saves came in between to tell whether it was applied", ErrUnavailable)

var errFull = &ValueError{"save", UserKey, "the description and the user's name take more than 4096 bytes"}

// Apply applies the changes to rec and returns the new record. It does not modify rec. It is the
// only definition of a merge. rec is nil if nothing is stored under ch.ID. If rec already has this
// save, Apply returns rec itself.
//
// Errors: ErrNoSession if ch does not begin a session, and there is no record or it has expired;
// *ConflictError; *ValueError if an increment meets a value that is not an integer or overflows
// int64, or if the Account part has more than 4096 bytes; ErrUnavailable if the record no longer
// shows whether an earlier attempt was applied.
func (ch *Changes) Apply(rec *Record) (*Record, error) {
	switch {
	case rec == nil && !ch.New:
		return nil, ErrNoSession
	case rec == nil:
		return ch.merge(nil)
	case rec.Applied(ch.Number):
		return rec, nil
	case !ch.Now.Before(rec.ExpiresWithin(ch.Limits)):
		return ch.Apply(nil) // an expired record stands for none
	case ch.New:
		return nil, &ConflictError{Current: rec}
	case ch.Retried && int(rec.packed[atSaves]) == maxSaves-1 && !rec.Applied(ch.Since):
		return nil, errOutcomeUnknown
	case !rec.Accepts(ch.Expect):
		return nil, &ConflictError{Current: rec}
	}
	return ch.merge(rec)
}

// merge writes the next record.
func (ch *Changes) merge(rec *Record) (*Record, error) {
	var scratch [512]byte // a record of usual size is built on the stack and copied once
	dst := ch.appendHead(scratch[:0], rec)
	next := &Record{credentials: uint16(len(dst) + 1)}
	dst = ch.appendCredentials(dst, rec)
	next.account = uint16(len(dst))
	dst, err := ch.appendPart(append(dst, 0, 0), rec, Account)
	if err != nil {
		return nil, err
	}
	next.body = uint16(len(dst))
	size := len(dst) - int(next.account) - 2
	if size > maxAccount {
		return nil, errFull
	}
	binary.BigEndian.PutUint16(dst[next.account:], uint16(size))
	if dst, err = ch.appendPart(dst, rec, Flash); err != nil {
		return nil, err
	}
	if dst, err = ch.appendPart(append(dst, 0), rec, Data); err != nil {
		return nil, err
	}
	next.packed = string(dst)
	return next, nil
}

// appendHead writes everything in front of the credentials.
func (ch *Changes) appendHead(dst []byte, rec *Record) []byte {
	now := MilliOf(ch.Now)
	id, created, used, limits, last, earlier := ch.ID, now, now, ch.Limits, "", ""
	if rec == nil && !ch.Created.IsZero() {
		created = MilliOf(ch.Created)
	}
	if rec != nil {
		id, used = rec.ID(), rec.milli(atUsed)
		if ch.Use {
			used = max(used, now) // another process may have noted a later one
		}
		if !ch.Restart {
			created = rec.milli(atCreated)
			if own := rec.Limits(); own.Remembered || limits.Remembered {
				limits = own
			}
		}
		last, earlier = rec.packed[atLastSave:atFlags], rec.earlierSaves()
		earlier = earlier[:min(len(earlier), 8*(maxSaves-2))]
	}
	var flags byte
	if limits.Remembered {
		flags = flagRemembered
	}
	dst = append(dst, recordVersion)
	dst = binary.BigEndian.AppendUint64(dst, ch.Number)
	dst = append(dst, flags)
	dst = append(dst, id[:]...)
	for _, ms := range [...]Milli{created, used, Milli(limits.Lifetime.Milliseconds()), Milli(limits.Idle.Milliseconds())} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(ms))
	}
	dst = append(dst, byte((len(last)+len(earlier))/8))
	return append(append(dst, last...), earlier...)
}

// appendCredentials writes the count of credentials and the credentials: those that are remembered
// as replaced, then those that are accepted, each in the order of their times.
func (ch *Changes) appendCredentials(dst []byte, rec *Record) []byte {
	if rec != nil && !ch.Replace && ch.Install == (Digest{}) && rec.account-rec.credentials == credentialSize {
		return append(dst, rec.packed[rec.credentials-1:rec.account]...) // one, which stays
	}
	var all [2 * (maxAccepted + maxReplaced)]Credential
	accepted, replaced := all[:0:maxAccepted+maxReplaced], all[maxAccepted+maxReplaced:maxAccepted+maxReplaced]
	now := MilliOf(ch.Now)
	installs := ch.Install != Digest{}
	if rec == nil && ch.Expect != (Digest{}) {
		replaced = append(replaced, Credential{Digest: ch.Expect, Replaced: true, At: now})
	}
	if rec != nil {
		for c := range rec.allCredentials() {
			switch {
			case installs && c.Digest == ch.Install: // it is written again below
			case c.Replaced && c.At > now-rememberReplaced:
				replaced = append(replaced, c)
			case !c.Replaced && ch.Replace:
				c.Replaced, c.At = true, now
				replaced = append(replaced, c)
			case !c.Replaced:
				accepted = append(accepted, c)
			}
		}
	}
	if installs {
		accepted = append(accepted, Credential{Digest: ch.Install, At: now})
	}
	if len(accepted) > maxAccepted { // the oldest one that joined goes: the first did not join
		oldest := accepted[1]
		oldest.Replaced, oldest.At = true, now
		accepted = append(accepted[:1], accepted[2:]...)
		replaced = append(replaced, oldest)
	}
	replaced = latest(replaced, maxReplaced)
	dst = append(dst, byte(len(accepted)+len(replaced)))
	for _, list := range [...][]Credential{replaced, accepted} {
		for i := range list {
			dst = list[i].append(dst)
		}
	}
	return dst
}

// latest returns the last n credentials; older ones that were replaced at the same time go first.
func latest(list []Credential, n int) []Credential { return list[max(0, len(list)-n):] }

func (c *Credential) append(dst []byte) []byte {
	at := uint64(c.At)
	if c.Replaced {
		at |= replacedBit
	}
	return binary.BigEndian.AppendUint64(append(dst, c.Digest[:]...), at)
}
