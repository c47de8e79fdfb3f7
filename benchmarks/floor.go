package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/gomodule/redigo/redis"
)

// A floor does what no library that keeps sessions there can do without, and nothing else. Its
// pages prove nothing, since it keeps no session.

// A handled work is a floor that is a handler: the middleware that knows nothing.
var (
	bareHandler = http.HandlerFunc(untouched)
	parsing     = http.HandlerFunc(parseAndPass)
)

type passedKey struct{}

// parseAndPass finds the session's cookie, and hands the handler a copy of the request with a
// context that leads to it: what any middleware for sessions does.
func parseAndPass(w http.ResponseWriter, r *http.Request) {
	found, err := r.Cookie("s_memory")
	if err != nil {
		found = nil
	}
	untouched(w, r.WithContext(context.WithValue(r.Context(), passedKey{}, found)))
}

// A sealedBox is XAES-256-GCM (c2sp.org/XAES-256-GCM) by the packages of the standard library,
// and base64: what opening and sealing a cookie takes.
type sealedBox struct {
	block cipher.Block
	k1    [16]byte
}

func newSealedBox() *sealedBox {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	fail(err)
	b := &sealedBox{block: block}
	block.Encrypt(b.k1[:], b.k1[:])
	carry := byte(0)
	for i := len(b.k1) - 1; i >= 0; i-- {
		carry, b.k1[i] = b.k1[i]>>7, b.k1[i]<<1|carry
	}
	b.k1[15] ^= carry * 0x87
	return b
}

// derived returns the cipher of a nonce's first half.
func (b *sealedBox) derived(nonce []byte) cipher.AEAD {
	var key [32]byte
	for i, part := range [2]byte{1, 2} {
		m := key[16*i:][:16]
		copy(m, []byte{0, part, 'X', 0})
		copy(m[4:], nonce[:12])
		for j := range m {
			m[j] ^= b.k1[j]
		}
		b.block.Encrypt(m, m)
	}
	block, err := aes.NewCipher(key[:])
	fail(err)
	aead, err := cipher.NewGCM(block)
	fail(err)
	return aead
}

func (b *sealedBox) seal(plain []byte) string {
	buf := make([]byte, 24, 24+len(plain)+16)
	rand.Read(buf)
	return base64.RawURLEncoding.EncodeToString(b.derived(buf).Seal(buf, buf[12:24], plain, nil))
}

func (b *sealedBox) open(value string) []byte {
	wire, err := base64.RawURLEncoding.DecodeString(value)
	fail(err)
	plain, err := b.derived(wire).Open(wire[24:24], wire[12:24], wire[24:], nil)
	fail(err)
	return plain
}

// A crypted is one client of the floor of the cookie driver: what it opens is as long as this
// library's record.
type crypted struct {
	box   *sealedBox
	value string
}

// newCrypted takes the length from a cookie of this library.
func newCrypted(c *client) *crypted {
	_, value, _ := strings.Cut(c.line[0], "s_cookie=")
	value, _, _ = strings.Cut(value, ";")
	const around = 1 + 4 + 24 + 16 // version, key id, nonce and tag
	box := newSealedBox()
	return &crypted{box: box, value: box.seal(make([]byte, base64.RawURLEncoding.DecodedLen(len(value))-around))}
}

// do opens and seals as often as the work does.
func (c *crypted) do(w *work) {
	switch w {
	case readOne:
		c.box.open(c.value)
	case writeOne:
		c.box.seal(c.box.open(c.value))
	case flash:
		c.box.seal(c.box.open(c.box.seal(c.box.open(c.value))))
	case first:
		c.box.seal(make([]byte, base64.RawURLEncoding.DecodedLen(len(c.value))-40))
	}
}

// A bareRedis is one client of the floor of the redis driver: what any library needs that keeps a session
// as one string, by redigo and nothing else, with as many bytes as this library's.
type bareRedis struct {
	pool  *redis.Pool
	key   string
	value []byte
	fresh atomic.Uint64 // names new sessions
}

const keptFor = 3_600_000 // milliseconds

// newBareRedis takes the length from a session of this library.
func newBareRedis(s setup) (*bareRedis, error) {
	pool := newPool(s.address)
	p, err := startOurs(s)
	if err != nil {
		return nil, err
	}
	defer p.close()
	c := newClient(0)
	p.begin(c)
	conn := pool.Get()
	defer conn.Close()
	keys, err := redis.Strings(conn.Do("KEYS", "session:*"))
	if err != nil || len(keys) == 0 {
		return nil, fmt.Errorf("floor: no session in redis: %v", err)
	}
	value, err := redis.Bytes(conn.Do("GET", keys[0]))
	if err != nil {
		return nil, err
	}
	b := &bareRedis{pool: pool, key: "floor:" + keys[0], value: value}
	_, err = conn.Do("SET", b.key, b.value, "PX", keptFor)
	return b, err
}

// do reads and writes as often as the work does.
func (b *bareRedis) do(w *work) {
	switch w {
	case readOne:
		b.get()
	case writeOne:
		b.get()
		b.set()
	case flash:
		for range 2 {
			b.get()
			b.set()
		}
	case first:
		b.send("SET", fmt.Sprintf("%s-%d", b.key, b.fresh.Add(1)), b.value, "NX", "PX", keptFor)
	}
}

func (b *bareRedis) get() { b.send("GET", b.key) }
func (b *bareRedis) set() { b.send("SET", b.key, b.value, "PX", keptFor) }

func (b *bareRedis) send(command string, args ...any) {
	conn := b.pool.Get()
	defer conn.Close()
	reply, err := conn.Do(command, args...)
	fail(err)
	if reply == nil {
		fail(fmt.Errorf("floor: redis answers nothing to %s", command))
	}
}

func (b *bareRedis) close() { b.pool.Close() }

// floorOf returns the lap of the floor for a work, and what closes it.
func floorOf(s setup, w *work, clients int) (lap, func(), error) {
	if w == unopened {
		return floorHandler(parsing, clients), func() {}, nil
	}
	switch s.driver {
	case cookie:
		box, err := cookieFloor(s)
		if err != nil {
			return lap{}, nil, err
		}
		return lap{run: func(n int) { together(clients, n, func(int) { box.do(w) }) }}, func() {}, nil
	case server:
		r, err := newBareRedis(s)
		if err != nil {
			return lap{}, nil, err
		}
		l := lap{run: func(n int) { together(clients, n, func(int) { r.do(w) }) }}
		if w.fresh {
			l.reset, l.most = flusher(s.address), mostFresh
		}
		return l, r.close, nil
	}
	return floorHandler(parsing, clients), func() {}, nil
}

// cookieFloor learns how long the cookie is from this library.
func cookieFloor(s setup) (*crypted, error) {
	p, err := startOurs(s)
	if err != nil {
		return nil, err
	}
	defer p.close()
	c := newClient(0)
	p.begin(c)
	return newCrypted(c), nil
}

func floorHandler(h http.Handler, clients int) lap {
	browsers := make([]*client, clients)
	for i := range browsers {
		c := newClient(i)
		c.put("s_memory="+strings.Repeat("A", tokenLength), false)
		c.writeLine()
		browsers[i] = c
	}
	return lap{run: func(n int) { together(clients, n, func(i int) { browsers[i].get(h) }) }}
}

// flusher returns what empties the server, so that new sessions do not pile up.
func flusher(address string) func() {
	return func() {
		conn, err := redis.Dial("tcp", address)
		fail(err)
		defer conn.Close()
		_, err = conn.Do("FLUSHALL")
		fail(err)
	}
}
