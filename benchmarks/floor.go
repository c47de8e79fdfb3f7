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
	"time"

	"example.com/session"
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

// A call is one command that the redis driver sends.
type call struct {
	script session.RedisScript
	key    string
	args   []any
}

// A scribe is a session.RedisClient that writes down what it is asked for.
type scribe struct {
	pool  *redis.Pool
	calls []call
}

func (s *scribe) Eval(_ context.Context, script session.RedisScript, key string, args []any) ([]string, error) {
	s.calls = append(s.calls, call{script, key, append([]any(nil), args...)})
	conn := s.pool.Get()
	defer conn.Close()
	reply, err := redis.Strings(conn.Do("EVALSHA", append([]any{script.SHA, 1, key}, args...)...))
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		return redis.Strings(conn.Do("EVAL", append([]any{script.Source, 1, key}, args...)...))
	}
	return reply, err
}

func (s *scribe) Ping(context.Context) error { return nil }

// A replay is one client of the floor of the redis driver: the commands that this library sends
// for a work, sent again by redigo and nothing else, each with a number or key of its own so
// that the server does all of its work each time.
type replay struct {
	pool   *redis.Pool
	calls  []call
	fresh  bool // what is stored is a new session
	number atomic.Uint64
}

// newReplay learns the commands from this library.
func newReplay(s setup, w *work) (*replay, error) {
	pool := newPool(s.address)
	scribe := &scribe{pool: pool}
	cfg := config(s)
	cfg.Redis.Options.Client = scribe
	m, err := session.NewManager(cfg)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	p, c := ourPages(m, s.large), newClient(0)
	if !w.fresh {
		p.begin(c)
	}
	scribe.calls = nil
	w.do(p, c)
	if len(scribe.calls) == 0 {
		return nil, fmt.Errorf("floor: %s sends nothing to redis", w.name)
	}
	return &replay{pool: pool, calls: scribe.calls, fresh: w.fresh}, nil
}

// do sends the commands once.
func (r *replay) do() {
	for i := range r.calls {
		r.send(&r.calls[i])
	}
}

func (r *replay) send(c *call) {
	args := append(make([]any, 0, 16), c.script.SHA, 1, c.key)
	args = append(args, c.args...)
	n := fmt.Sprintf("%08d", r.number.Add(1))
	switch {
	case r.fresh:
		args[2] = c.key[:len(c.key)-8] + n
	case len(c.args) == 1: // a load: the time
		args[3] = time.Now().UnixMilli()
	default: // a save: the time and the save's number
		args[3], args[4] = time.Now().UnixMilli(), n
	}
	conn := r.pool.Get()
	defer conn.Close()
	reply, err := redis.Strings(conn.Do("EVALSHA", args...))
	fail(err)
	if len(reply) == 0 || reply[0] == "gone" || reply[0] == "taken" {
		fail(fmt.Errorf("floor: redis answers %q", reply))
	}
}

func (r *replay) close() { r.pool.Close() }

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
		r, err := newReplay(s, w)
		if err != nil {
			return lap{}, nil, err
		}
		l := lap{run: func(n int) { together(clients, n, func(int) { r.do() }) }}
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
		c.put("s_memory="+session.NewToken("").Value(), false)
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
