package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"example.com/session"
)

const (
	uploadLimit = 64 << 20
	uploadStep  = 64 << 10 // the progress is stored each time that so many bytes have come
	watchEvery  = 100 * time.Millisecond
)

// A Progress says how much of an upload has come.
type Progress struct {
	Bytes int64 `json:"bytes"`
	Done  bool  `json:"done"`
}

const progress session.Key[Progress] = "upload"

// uploadPage shows the form, and forgets the progress of an earlier upload.
func (s *shop) uploadPage(w http.ResponseWriter, r *http.Request) {
	progress.Delete(session.FromRequest(r))
	s.render(w, r, http.StatusOK, "upload", nil)
}

// upload counts the bytes of the body, and stores how far it is while it goes on.
func (s *shop) upload(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	body := http.MaxBytesReader(w, r.Body, uploadLimit)
	var p Progress
	for !p.Done {
		n, err := io.CopyN(io.Discard, body, uploadStep)
		p.Bytes += n
		p.Done = err == io.EOF
		if err != nil && !p.Done {
			http.Error(w, "The upload broke off.", http.StatusBadRequest)
			return
		}
		progress.Set(current, p)
		if err := current.Save(); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	current.FlashAdd("messages", fmt.Sprintf("%d bytes have arrived.", p.Bytes))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// uploadProgress streams the progress that another request of the same session stores.
func (s *shop) uploadProgress(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		p, _ := progress.Get(current)
		text, err := json.Marshal(p)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "data: %s\n\n", text)
		if http.NewResponseController(w).Flush() != nil || p.Done {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
		if current.Reload() != nil {
			return // signed out meanwhile, or the store is down
		}
	}
}
