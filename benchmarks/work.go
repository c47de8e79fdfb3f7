package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The pages that every contender serves, all written as its documentation shows it.
type pages struct {
	untouched http.Handler // answers "ok" and leaves the session alone
	fill      http.Handler // stores the five small values, and notes where the payload is large
	read      http.Handler // answers with one of them, the name
	write     http.Handler // reads the number of visits, stores it plus one and answers with it
	flash     http.Handler // leaves a message and redirects
	show      http.Handler // answers with the message, which is gone afterwards
	close     func()
}

// A work is what is measured; each client does it again and again.
type work struct {
	name  string
	fresh bool // it leaves sessions behind: the store is emptied before each round
	do    func(p *pages, c *client)
}

var (
	unopened = &work{name: "not opened", do: func(p *pages, c *client) { c.get(p.untouched) }}
	readOne  = &work{name: "read one of five", do: func(p *pages, c *client) { c.get(p.read) }}
	writeOne = &work{name: "read and write one", do: func(p *pages, c *client) { c.get(p.write); c.keep() }} // as browsers do
	flash    = &work{name: "flash round", do: flashRound}
	first    = &work{name: "first write", fresh: true, do: func(p *pages, c *client) { c.get(p.fill) }}

	works = []*work{unopened, readOne, writeOne, flash, first}
)

// flashRound is two requests: the one that leaves a message and the one that shows it. The next
// round starts with the cookies that this one started with.
func flashRound(p *pages, c *client) {
	var room [4]string
	before, line := append(room[:0], c.cookies...), c.line[0]
	c.get(p.flash)
	c.keep()
	c.get(p.show)
	c.cookies, c.line[0] = append(c.cookies[:0], before...), line
}

// What the pages store and show.
const (
	email   = "ann@shop.example"
	theme   = "dark"
	message = "Saved!"
	ok      = "ok"
)

// notes is the large payload: with the rest it is about what a sealed cookie can hold.
var notes = strings.Repeat("All work and no play. ", 128)[:2300]

// begin fills the client's session.
func (p *pages) begin(c *client) {
	c.get(p.fill)
	c.keep()
}

// prove asks for every page and looks at what it does, as a browser sees it: a table of what
// did nothing would be a fine table.
func (p *pages) prove() error {
	one, two := newClient(1), newClient(2)
	p.begin(one)
	p.begin(two)
	return errors.Join(
		p.proveRead(one, clientName(1)), p.proveRead(two, clientName(2)), p.proveRead(newClient(3), ""),
		p.proveWrite(one), p.proveUntouched(one), p.proveFlash(two), p.proveRead(two, clientName(2)),
	)
}

func (p *pages) proveRead(c *client, want string) error {
	if got := string(c.get(p.read).body); got != want {
		return fmt.Errorf("a session of %q reads %q", want, got)
	}
	return nil
}

func (p *pages) proveWrite(c *client) error {
	for visits := 1; visits <= 3; visits++ {
		if got := string(c.get(p.write).body); got != strconv.Itoa(visits) {
			return fmt.Errorf("visit %d reads %q", visits, got)
		}
		c.keep()
	}
	return nil
}

func (p *pages) proveUntouched(c *client) error {
	if got := string(c.get(p.untouched).body); got != ok {
		return fmt.Errorf("a page that leaves the session alone answers %q", got)
	}
	return nil
}

func (p *pages) proveFlash(c *client) error {
	if a := c.get(p.flash); a.status != http.StatusSeeOther {
		return fmt.Errorf("the page that leaves a message answers %d", a.status)
	}
	c.keep()
	if got := string(c.get(p.show).body); got != message {
		return fmt.Errorf("the message is %q", got)
	}
	c.keep()
	if got := string(c.get(p.show).body); got != "" {
		return fmt.Errorf("a message that was shown is still %q", got)
	}
	return nil
}
