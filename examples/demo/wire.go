package main

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"example.com/session"
)

// helpers are the functions of the templates besides "session".
var helpers = template.FuncMap{
	"drawn": draw,
}

func (a *app) showWire(w http.ResponseWriter, r *http.Request) {
	book := a.journal.latest(session.FromRequest(r).Handle())
	chain := story(book)
	a.render(w, r, http.StatusOK, "wire.html", "On the wire", struct {
		Story  []exchange
		Reason []string
		Book   []exchange
	}{chain, explain(chain), book[max(0, len(book)-12):]})
}

// explain describes in sentences what the headers of a story do.
func explain(chain []exchange) (sentences []string) {
	for _, x := range chain {
		sentences = append(sentences, x.explainRequest()+" "+x.explainAnswer())
	}
	return sentences
}

func (x exchange) explainRequest() string {
	text := fmt.Sprintf("%s %s came", x.Method, x.Path)
	for _, c := range x.Sent {
		if !c.IsHint() && !c.IsData() {
			return text + " with the cookie " + c.Name + "=" + c.Mark + "."
		}
	}
	return text + " without a session cookie."
}

func (x exchange) explainAnswer() string {
	var text strings.Builder
	for _, c := range x.Set {
		text.WriteString(x.explainCookie(c) + " ")
	}
	if len(x.Set) == 0 {
		text.WriteString("The response sets no cookie: a cookie that the browser already has is not sent again. ")
	}
	switch {
	case x.Location != "":
		fmt.Fprintf(&text, "Status %d sends the browser to %s. It is not 200, so flash messages stay.", x.Status, x.Location)
	case x.Status == http.StatusOK:
		text.WriteString("Status 200: flash messages that came with this request are removed after it.")
	default:
		fmt.Fprintf(&text, "Status %d is not 200, so flash messages stay.", x.Status)
	}
	return text.String()
}

func (x exchange) explainCookie(c wireCookie) string {
	switch {
	case c.IsHint() && c.Deleted:
		return "Deleting " + c.Name + " says that no flash message is waiting any more."
	case c.IsHint() && len(c.Mark) > 1:
		return "The cookie " + c.Name + " says when the session was last used. Its first character says whether " +
			"a flash message is waiting."
	case c.IsHint():
		return "The cookie " + c.Name + " says that a flash message is waiting."
	case c.IsData() && c.Deleted:
		return "The data of the old token, in " + c.Name + ", are deleted."
	case c.IsData():
		return "The session's data are in the cookie " + c.Name + "=" + c.Mark + "."
	case c.Deleted:
		return "The cookie " + c.Name + " is deleted."
	case x.sentOf(c.Name) == "":
		return "A session began. Its cookie is " + c.Name + "=" + c.Mark + "."
	}
	return "The new token " + c.Mark + " replaces the old one."
}

// sentOf returns the mark of a cookie of the request, "" if there is none.
func (x exchange) sentOf(name string) string {
	for _, c := range x.Sent {
		if c.Name == name {
			return c.Mark
		}
	}
	return ""
}

// A drawing is a sequence diagram: two lifelines, and between them arrows with words above. Its
// width is that of a phone, so that the words are readable there.
type drawing struct {
	Width, Height int
	Left, Right   int // of the lifelines
	Words         []words
	Arrows        []arrow
}

type words struct {
	X, Y int
	Text string
	Head bool
}

type arrow struct {
	Y       int
	ToRight bool
}

const (
	drawWidth = 360
	lifeline  = 10 // from the edge
	lineStep  = 17
	lineChars = 41
)

// draw returns the diagram of a story.
func draw(chain []exchange) drawing {
	d := drawing{Width: drawWidth, Left: lifeline, Right: drawWidth - lifeline}
	y := 44
	for _, x := range chain {
		y = d.message(y, x.Method+" "+x.Path, x.requestLines(), true)
		y = d.message(y, x.StatusText(), x.answerLines(), false)
	}
	d.Height = y - 20
	return d
}

// message adds words and the arrow below them, and returns where the next message begins.
func (d *drawing) message(y int, head string, lines []string, toRight bool) int {
	d.Words = append(d.Words, words{d.Left + 12, y, head, true})
	for _, line := range lines {
		for _, part := range wrap(line, lineChars) {
			y += lineStep
			d.Words = append(d.Words, words{d.Left + 12, y, part, false})
		}
	}
	y += 12
	d.Arrows = append(d.Arrows, arrow{y, toRight})
	return y + 30
}

func (x exchange) requestLines() []string {
	if len(x.Sent) == 0 {
		return []string{"no session cookie"}
	}
	var pairs []string
	for _, c := range x.Sent {
		pairs = append(pairs, c.Name+"="+c.Mark)
	}
	return []string{"Cookie: " + strings.Join(pairs, "; ")}
}

func (x exchange) answerLines() (lines []string) {
	if x.Location != "" {
		lines = append(lines, "Location: "+x.Location)
	}
	for _, c := range x.Set {
		lines = append(lines, "Set-Cookie: "+c.Name+"="+c.Mark+"; "+c.Attributes)
	}
	if len(x.Set) == 0 {
		lines = append(lines, "no Set-Cookie")
	}
	return lines
}

// wrap breaks a line between words. A word that is too long for a line is cut.
func wrap(line string, width int) (parts []string) {
	var part []rune
	for _, word := range strings.Fields(line) {
		next := []rune(word)
		if len(part) > 0 && len(part)+1+len(next) > width {
			parts, part = append(parts, string(part)), nil
		}
		if len(part) > 0 {
			part = append(part, ' ')
		}
		part = append(part, next...)
		for len(part) > width {
			parts, part = append(parts, string(part[:width])), part[width:]
		}
	}
	if len(part) > 0 {
		parts = append(parts, string(part))
	}
	return parts
}
