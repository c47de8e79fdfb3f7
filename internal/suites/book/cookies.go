package book

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// A Session is what the cookies of a session of the cookie driver hold.
type Session struct {
	Record *Record `json:"record"`
	Flash  bool    `json:"flash,omitempty"` // pending, as the flash cookie says
	Used   uint64  `json:"used,omitempty"`  // the last use that the flash cookie knows of
	Seen   uint64  `json:"seen,omitempty"`  // and the last activity of the user
}

// ReadSession returns the session in cookies by their names, nil if they hold none. name is that of the
// identity cookie, now the time in milliseconds.
func ReadSession(secrets []string, name string, cookies map[string]string, now uint64) *Session {
	identity, _ := Open(secrets, name, cookies[name])
	if len(identity) != 42 {
		return nil
	}
	digest := sha256.Sum256(append([]byte(name+"\x00"), identity[16:]...))
	dataName := name + "_" + base64.RawURLEncoding.EncodeToString(digest[:6])
	data, _ := Open(secrets, dataName, cookies[dataName])
	rec := Read(data)
	if rec == nil || rec.ID != hex.EncodeToString(identity[:16]) || !rec.accepts(digest) {
		return nil
	}
	const skew = 5 * 60 * 1000
	if rec.Created > now+skew || rec.Used > now+skew {
		return nil
	}
	s := &Session{Record: rec}
	s.readFlashCookie(secrets, name+"_f", cookies[name+"_f"], digest, now+skew)
	if now >= min(rec.Created+rec.Lifetime, max(rec.Used, s.Used)+rec.Idle) {
		return nil
	}
	return s
}

func (r *Record) accepts(digest [32]byte) bool {
	for _, c := range r.Credentials {
		if c.Digest == hex.EncodeToString(digest[:]) {
			return !c.Replaced
		}
	}
	return false
}

func (s *Session) readFlashCookie(secrets []string, name, value string, digest [32]byte, latest uint64) {
	if value == "" || value[0] != '0' && value[0] != '1' {
		return
	}
	s.Flash = value[0] == '1'
	use, _ := Open(secrets, name, value[1:])
	if len(use) != 48 || string(use[:32]) != string(digest[:]) {
		return
	}
	used, seen := binary.BigEndian.Uint64(use[32:]), binary.BigEndian.Uint64(use[40:])
	if used <= latest && seen <= latest {
		s.Used, s.Seen = used, seen
	}
}
