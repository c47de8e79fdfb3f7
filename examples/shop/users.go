package main

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync"
)

const (
	passwordRounds = 600_000 // of PBKDF2 with SHA-256, as OWASP recommends
	passwordLength = 12
)

var errNameTaken = errors.New("the name is taken")

// users are the accounts of the shop.
type users struct {
	rounds int

	mu     sync.Mutex
	byName map[string]account
}

type account struct {
	id         string // names the account for good; the name may change
	salt, hash []byte
}

func newUsers(rounds int) *users {
	return &users{rounds: rounds, byName: map[string]account{}}
}

// add makes an account, and returns its id.
func (u *users) add(name, password string) (id string, err error) {
	made := account{id: rand.Text(), salt: []byte(rand.Text())}
	if made.hash, err = u.hash(password, made.salt); err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, taken := u.byName[name]; taken {
		return "", errNameTaken
	}
	u.byName[name] = made
	return made.id, nil
}

// check returns the id of the account that a name and a password belong to. It takes the same time
// if there is no such account.
func (u *users) check(name, password string) (id string, ok bool) {
	u.mu.Lock()
	found := u.byName[name]
	u.mu.Unlock()
	hash, err := u.hash(password, found.salt)
	if err != nil || subtle.ConstantTimeCompare(hash, found.hash) == 0 {
		return "", false
	}
	return found.id, true
}

func (u *users) hash(password string, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, password, salt, u.rounds, sha256.Size)
}
