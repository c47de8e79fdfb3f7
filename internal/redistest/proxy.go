package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Fault is what a Proxy does to one command. The zero value does nothing to it.
type Fault struct {
	Reply string        // sent in place of the server's, which is not asked: "-LOADING Redis is loading"
	Lose  bool          // the server executes the command; its reply is lost and the connection ends
	Hang  bool          // the server is not asked, and nothing is ever answered
	Delay time.Duration // before the server is asked
}

// A Proxy passes commands on to a server and their replies back, one at a time, and does to each
// command what its fault asks. Its methods are safe for use by several goroutines.
type Proxy struct {
	listener net.Listener
	done     chan struct{} // closed when the proxy ends
	serving  sync.WaitGroup

	mu     sync.Mutex
	target string
	fault  func(command []string) Fault
	conns  map[net.Conn]struct{}
	dialed int
}

// NewProxy starts a proxy in front of addr; it ends with tb.
func NewProxy(tb testing.TB, addr string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		tb.Fatalf("redistest: proxy: %v", err)
	}
	p := &Proxy{listener: l, done: make(chan struct{}), target: addr, conns: make(map[net.Conn]struct{})}
	p.serving.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is host and port, as net.Dial takes them.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Host is the address without its port.
func (p *Proxy) Host() string { return host }

// Port is the TCP port.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Lead makes connections from now on go to another server. Those that are open stay, as they do
// when a name or a virtual address is moved.
func (p *Proxy) Lead(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Set makes fault decide on each command from now on; nil lets all of them pass. It is called for
// several connections at once.
func (p *Proxy) Set(fault func(command []string) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// Dialed is how many connections were made to the proxy.
func (p *Proxy) Dialed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialed
}

// Cut closes all open connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) close() {
	close(p.done)
	p.listener.Close()
	p.Cut()
	p.serving.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.serving.Go(func() { p.serve(c) })
	}
}

// keep notes an open connection, unless the proxy has ended.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return false
	default:
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	p.mu.Lock()
	target := p.target
	p.dialed++
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return // the client sees its connection end, as with a proxy that has no server
	}
	defer p.drop(server)
	if p.keep(client) && p.keep(server) {
		p.pass(client, server)
	}
}

// pass handles commands until a connection ends. An error is the end of a connection, which the
// client sees too.
func (p *Proxy) pass(client, server net.Conn) {
	commands, replies := bufio.NewReader(client), bufio.NewReader(server)
	for {
		raw, command, err := readCommand(commands)
		if err != nil {
			return
		}
		fault := p.faultOf(command)
		switch {
		case fault.Hang:
			<-p.done
			return
		case fault.Reply != "":
			_, err = fmt.Fprintf(client, "%s\r\n", fault.Reply)
		default:
			err = p.ask(client, server, replies, raw, fault)
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) faultOf(command []string) Fault {
	p.mu.Lock()
	fault := p.fault
	p.mu.Unlock()
	if fault == nil {
		return Fault{}
	}
	return fault(command)
}

var errLost = errors.New("the reply is lost")

// ask lets the server execute a command and passes its reply on.
func (p *Proxy) ask(client, server net.Conn, replies *bufio.Reader, raw []byte, fault Fault) error {
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-p.done:
		}
	}
	if _, err := server.Write(raw); err != nil {
		return err
	}
	reply, err := readValue(replies, nil)
	if err != nil {
		return err
	}
	if fault.Lose {
		return errLost
	}
	_, err = client.Write(reply)
	return err
}

// readCommand reads one command, an array of bulk strings.
func readCommand(r *bufio.Reader) (raw []byte, command []string, err error) {
	if raw, err = readValue(r, nil); err != nil {
		return nil, nil, err
	}
	// A bulk string is its length in a line, then as many bytes. Only the first few words are of
	// interest, and none of them has a line break.
	lines := strings.Split(string(raw), "\r\n")
	for i := 2; i < len(lines); i += 2 {
		command = append(command, lines[i])
	}
	return raw, command, nil
}

// readValue reads one value of the protocol, whatever its type, and appends its bytes to raw.
func readValue(r *bufio.Reader, raw []byte) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	raw = append(raw, line...)
	kind := line[0]
	n, _ := strconv.Atoi(strings.TrimSpace(string(line[1:]))) // counts where kind has a count
	switch kind {
	case '$', '=', '!':
		if n < 0 {
			return raw, nil // null
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, err
		}
		return append(raw, body...), nil
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return raw, nil
	}
	for range max(n, 0) {
		if raw, err = readValue(r, raw); err != nil {
			return nil, err
		}
	}
	return raw, nil
}
