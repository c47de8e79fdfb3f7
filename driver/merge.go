package driver

import (
	"math"
	"slices"
	"strings"
)

// appendPart writes one part of the next record: the old entries and the operations on them, both
// in the order of their keys, become the new entries in that order. Entries between two operations
// are copied at once.
func (ch *Changes) appendPart(dst []byte, rec *Record, p Part) ([]byte, error) {
	var few [4]*Op
	ops, clears := ch.opsOf(few[:0], p)
	old := cursor{flash: p == Flash}
	if rec != nil && !clears {
		old.rest = rec.part(p)
	}
	if len(ops) == 0 {
		return append(dst, old.rest...), nil
	}
	var group [2]cursor
	for len(ops) > 0 {
		key := ops[0].Key
		before := old.rest
		old.seek(key)
		dst = append(dst, before[:len(before)-len(old.rest)]...)
		values := group[:0]
		for old.at(key) {
			old.next()
			values = append(values, old)
		}
		for len(ops) > 0 && ops[0].Key == key {
			var err error
			if values, err = ch.applyOp(ops[0], rec, values); err != nil {
				return nil, err
			}
			ops = ops[1:]
		}
		for i := range values {
			dst = values[i].appendEntry(dst)
		}
	}
	return append(dst, old.rest...), nil
}

// opsOf appends the operations on keys of a part to dst, in the order of the keys, and reports whether the
// part is cleared first.
func (ch *Changes) opsOf(dst []*Op, p Part) (ops []*Op, clears bool) {
	for i := range ch.Ops {
		switch op := &ch.Ops[i]; {
		case op.Part != p:
		case op.Kind == Clear:
			clears = true
		default:
			dst = append(dst, op)
		}
	}
	if len(dst) > 1 {
		slices.SortStableFunc(dst, func(a, b *Op) int { return strings.Compare(a.Key, b.Key) })
	}
	return dst, clears
}

// applyOp returns what an operation makes of the values under its key. Only flash has several.
func (ch *Changes) applyOp(op *Op, rec *Record, values []cursor) ([]cursor, error) {
	switch op.Kind {
	case Set:
		return append(values[:0], ch.entry(op, op.Encoded)), nil
	case Delete:
		return values[:0], nil
	case Add:
		sum, err := op.add(values)
		return append(values[:0], ch.entry(op, FormatInt(sum))), err
	case Swap:
		if len(values) == 0 && op.Old != "" || len(values) > 0 && values[0].value != op.Old {
			return nil, &ConflictError{Current: rec, Key: op.Key}
		}
		return append(values[:0], ch.entry(op, op.Encoded)), nil
	case Append:
		for i := range values {
			values[i].until |= listedBit
		}
		e := ch.entry(op, op.Encoded)
		e.until |= listedBit
		return append(values, e), nil
	case Expire:
		return slices.DeleteFunc(values, func(v cursor) bool { return v.stamp == op.Stamp }), nil
	case Keep:
		for i := range values {
			if v := &values[i]; v.stamp == op.Stamp {
				v.stamp, v.until = ch.Number, v.until&listedBit|uint64(MilliOf(op.Until))
			}
		}
	}
	return values, nil
}

// entry returns a new entry for an operation's key.
func (ch *Changes) entry(op *Op, encoded string) cursor {
	until := uint64(MilliOf(op.Until))
	return cursor{flash: op.Part == Flash, key: op.Key, value: encoded, stamp: ch.Number, until: until}
}

func (op *Op) add(values []cursor) (int64, error) {
	if len(values) == 0 {
		return op.By, nil
	}
	n, ok := ParseInt(values[0].value)
	if !ok {
		return 0, &ValueError{"increment", op.Key, "the stored value is not an int64: set it to a number first"}
	}
	return AddInts(op.Key, n, op.By)
}

// AddInts returns a + b, or a *ValueError that names key if the sum overflows int64.
func AddInts(key string, a, b int64) (int64, error) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, &ValueError{"increment", key, "the sum is past the range of int64"}
	}
	return a + b, nil
}
