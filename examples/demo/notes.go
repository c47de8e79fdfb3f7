package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/session"
)

const longestNote = 200 // characters

// A note has its own key, so that two tabs that each add one write different keys: on memory and
// redis both are kept.
type note struct {
	Text string `json:"text"`
	Done bool   `json:"done,omitempty"`
}

type noteKey = session.Key[note]

const notePrefix = "note."

// newNoteKey returns a new key. Keys sort by the time when they were made.
func newNoteKey() noteKey {
	stamp := strconv.FormatInt(time.Now().UnixMilli(), 36)
	return noteKey(notePrefix + stamp + fmt.Sprintf("%03x", rand.Uint32N(1<<12)))
}

// A savedNote is a note with the part of its key that forms use as its id.
type savedNote struct {
	ID string
	note
}

// notesIn returns the notes of a session, oldest first.
func notesIn(s *session.Session) (notes []savedNote) {
	for key := range s.All() {
		id, isNote := strings.CutPrefix(key, notePrefix)
		if !isNote {
			continue
		}
		if n, ok := noteKey(key).Get(s); ok {
			notes = append(notes, savedNote{id, n})
		}
	}
	slices.SortFunc(notes, func(a, b savedNote) int { return strings.Compare(a.ID, b.ID) })
	return notes
}

// A draft is a form that was refused: the text, and what is wrong with it.
type draft struct {
	Text  string `json:"text"`
	Error string `json:"error"`
}

// refused carries a draft over the redirect, so that nobody has to type it again.
const refused session.Key[draft] = "draft"

func (a *app) showNotes(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	d, _ := refused.Get(s)
	a.render(w, r, http.StatusOK, "notes.html", "Notes", struct {
		Notes []savedNote
		Draft draft
	}{notesIn(s), d})
}

func (a *app) addNote(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	text := strings.TrimSpace(r.FormValue("text"))
	if fault := faultOf(text); fault != "" {
		refused.Flash(s, draft{Text: beginning(text), Error: fault})
		s.Flash("danger", "The note was not added.")
		redirect(w, r, "/")
		return
	}
	newNoteKey().Set(s, note{Text: text})
	s.Increment("added", 1)
	s.Flash("success", "Note added.")
	redirect(w, r, "/")
}

// beginning returns the beginning of a text, short enough for a session in a cookie.
func beginning(text string) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), 2*longestNote)])
}

// faultOf says what is wrong with a note, "" if nothing is.
func faultOf(text string) string {
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text):
		return "This is not text."
	case n == 0:
		return "Write something first."
	case n > longestNote:
		return fmt.Sprintf("%d characters are too many: a note has at most %d.", n, longestNote)
	}
	return ""
}

func (a *app) toggleNote(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	key := noteKey(notePrefix + r.PathValue("id"))
	if !key.Has(s) {
		s.Flash("warning", "That note is gone already.")
	} else if err := key.Update(s, func(n note) note { n.Done = !n.Done; return n }); err != nil {
		a.showFailure(w, r, err)
		return
	}
	redirect(w, r, "/")
}

func (a *app) deleteNote(w http.ResponseWriter, r *http.Request) {
	s := session.FromRequest(r)
	if noteKey(notePrefix + r.PathValue("id")).Delete(s) {
		s.Flash("success", "Note deleted.")
	} else {
		s.Flash("warning", "That note is gone already.")
	}
	redirect(w, r, "/")
}
