package session

import (
	"slices"

	"example.com/session/driver"
)

// pendingChanges are the unsaved changes of a session. For each key there is one operation on its
// data and one on its flash, because the last one of a request wins; only the operations of lists
// (Append, Expire, Keep) may be several.
type pendingChanges struct {
	ops        []driver.Op
	index      map[opKey]int         // where the operation on a key stands; nil while there are few
	clearData  bool                  // in front of all operations
	clearFlash bool                  // likewise
	updates    map[string]updateFunc // of the Swap operations
}

// An updateFunc computes the encoded value that Update stores from the one that is there, "" for
// none.
type updateFunc func(old string) (encoded string, err error)

type opKey struct {
	key  string
	part driver.Part
}

// indexFrom is the number of operations from which a map finds one sooner than a walk does.
const indexFrom = 16

// isEmpty reports whether nothing would change.
func (p *pendingChanges) isEmpty() bool { return len(p.ops) == 0 && !p.clearData && !p.clearFlash }

// startsSession reports whether the changes leave something in a new session. A description alone
// does not.
func (p *pendingChanges) startsSession() bool {
	return slices.ContainsFunc(p.ops, func(op driver.Op) bool {
		return op.Writes() && (op.Part != driver.Account || op.Key == driver.UserKey)
	})
}

// find returns the first operation on a key of a part, nil if there is none. p may be nil.
func (p *pendingChanges) find(part driver.Part, key string) *driver.Op {
	if p.index != nil {
		if i, ok := p.index[opKey{key, part}]; ok {
			return &p.ops[i]
		}
		return nil
	}
	for i := range p.ops {
		if op := &p.ops[i]; op.Key == key && op.Part == part {
			return op
		}
	}
	return nil
}

// put makes op the only operation on its key.
func (p *pendingChanges) put(op *driver.Op) {
	if op.Part == driver.Data {
		delete(p.updates, op.Key)
	}
	old := p.find(op.Part, op.Key)
	if old == nil {
		p.add(op)
		return
	}
	*old = *op
	if op.Part == driver.Flash { // a list may have several operations: this one stays
		seen := false
		p.discard(func(other driver.Op) bool {
			same := other.Part == op.Part && other.Key == op.Key
			again := same && seen
			seen = seen || same
			return again
		})
	}
}

// discard removes the operations that match. match is called once for each, in their order.
func (p *pendingChanges) discard(match func(driver.Op) bool) {
	count := len(p.ops)
	if p.ops = slices.DeleteFunc(p.ops, match); len(p.ops) < count {
		p.reindex()
	}
}

// add appends an operation.
func (p *pendingChanges) add(op *driver.Op) {
	p.ops = append(p.ops, *op)
	if p.index == nil {
		p.reindex()
	} else if k := (opKey{op.Key, op.Part}); !p.has(k) {
		p.index[k] = len(p.ops) - 1
	}
}

func (p *pendingChanges) has(k opKey) bool {
	_, ok := p.index[k]
	return ok
}

func (p *pendingChanges) reindex() {
	p.index = nil
	if len(p.ops) <= indexFrom {
		return
	}
	p.index = make(map[opKey]int, 2*len(p.ops))
	for i := range p.ops {
		if k := (opKey{p.ops[i].Key, p.ops[i].Part}); !p.has(k) {
			p.index[k] = i
		}
	}
}

func (p *pendingChanges) set(part driver.Part, key, encoded string) {
	p.put(&driver.Op{Kind: driver.Set, Part: part, Key: key, Encoded: encoded})
}

// remove deletes data and flash of a key. What was cleared, and not set since, needs no operation.
func (p *pendingChanges) remove(key string) {
	if !p.clearData || p.find(driver.Data, key) != nil {
		p.put(&driver.Op{Kind: driver.Delete, Part: driver.Data, Key: key})
	}
	if !p.clearFlash || p.find(driver.Flash, key) != nil {
		p.put(&driver.Op{Kind: driver.Delete, Part: driver.Flash, Key: key})
	}
}

// increment makes the integer under a key grow. If this request knows the value for certain, the
// result is a Set: only what other requests may have changed too needs an Add.
func (p *pendingChanges) increment(key string, by int64) error {
	op := p.find(driver.Data, key)
	switch {
	case op == nil && !p.clearData:
		p.add(&driver.Op{Kind: driver.Add, Part: driver.Data, Key: key, By: by})
	case op == nil, op.Kind == driver.Delete:
		p.set(driver.Data, key, driver.FormatInt(by))
	case op.Kind == driver.Add:
		sum, err := driver.AddInts(key, op.By, by)
		if err != nil {
			return err
		}
		op.By = sum
	default: // Set or Swap
		sum, err := addTo(op.Encoded, true, key, by)
		if err != nil {
			return err
		}
		if update := p.updates[key]; update != nil {
			p.updates[key] = func(old string) (string, error) {
				encoded, err := update(old)
				if err != nil {
					return "", err
				}
				sum, err := addTo(encoded, true, key, by)
				return driver.FormatInt(sum), err
			}
		}
		op.Encoded = driver.FormatInt(sum)
	}
	return nil
}

// addTo returns what an increment makes of an encoded value.
func addTo(encoded string, found bool, key string, by int64) (int64, error) {
	if !found {
		return by, nil
	}
	n, ok := driver.ParseInt(encoded)
	if !ok {
		return 0, &driver.ValueError{Op: "increment", Key: key,
			Reason: "it holds no int64 (" + kindOf(encoded) + "): set it to a number first"}
	}
	return driver.AddInts(key, n, by)
}

// update stores encoded, the result of fn, which is to run again if the key no longer holds stored.
func (p *pendingChanges) update(key, stored, encoded string, fn updateFunc) {
	if op := p.find(driver.Data, key); op != nil {
		before, isUpdate := p.updates[key]
		switch {
		case isUpdate: // composed
			op.Encoded = encoded
			p.updates[key] = func(old string) (string, error) {
				between, err := before(old)
				if err != nil {
					return "", err
				}
				return fn(between)
			}
			return
		case op.Kind != driver.Add: // this request knows the value
			p.set(driver.Data, key, encoded)
			return
		}
		add := *op // the increment becomes the first step of the update
		first := fn
		fn = func(old string) (string, error) {
			sum, err := addTo(old, old != "", key, add.By)
			if err != nil {
				return "", err
			}
			return first(driver.FormatInt(sum))
		}
	} else if p.clearData {
		p.set(driver.Data, key, encoded)
		return
	}
	p.put(&driver.Op{Kind: driver.Swap, Part: driver.Data, Key: key, Old: stored, Encoded: encoded})
	if p.updates == nil {
		p.updates = make(map[string]updateFunc)
	}
	p.updates[key] = fn
}

// clear empties a part. Operations on it from before are discarded.
func (p *pendingChanges) clear(part driver.Part) {
	p.discard(func(op driver.Op) bool { return op.Part == part })
	if part == driver.Flash {
		p.clearFlash = true
		return
	}
	p.clearData, p.updates = true, nil
}

// take returns the operations and updates for a save, and leaves p empty.
func (p *pendingChanges) take() ([]driver.Op, map[string]updateFunc) {
	ops, updates := p.ops, p.updates
	if p.clearData {
		ops = append([]driver.Op{{Kind: driver.Clear, Part: driver.Data}}, ops...)
	}
	if p.clearFlash {
		ops = append([]driver.Op{{Kind: driver.Clear, Part: driver.Flash}}, ops...)
	}
	*p = pendingChanges{}
	return ops, updates
}

// follow makes the changes of later follow those of p. It rejects an increment that is impossible by
// now.
func (p *pendingChanges) follow(later *pendingChanges, reject func(key string, err error)) {
	if later.clearData {
		p.clear(driver.Data)
	}
	if later.clearFlash {
		p.clear(driver.Flash)
	}
	for i := range later.ops {
		switch op := &later.ops[i]; op.Kind {
		case driver.Add:
			if err := p.increment(op.Key, op.By); err != nil {
				reject(op.Key, err)
			}
		case driver.Append, driver.Keep, driver.Expire:
			p.add(op)
		case driver.Swap:
			p.update(op.Key, op.Old, op.Encoded, later.updates[op.Key])
		default:
			p.put(op)
		}
	}
}
