package redis_test

import (
	"os"
	"strings"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
	"example.com/session/internal/redistest"
)

// The user that docs/redis.md describes has the rights that sessions need, and no more.
func TestUserOfTheDocumentationMayDoWhatSessionsNeed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := server.Conn(t) // it stays signed in
	doOn(t, admin, documentedRights(t))
	doOn(t, admin, "ACL SETUSER default off")
	assert.NoError(t, useEverything(t, server, admin))
}

func TestEachRightOfTheDocumentationIsNeeded(t *testing.T) {
	t.Parallel()
	rights := documentedRights(t)
	for _, word := range strings.Fields(rights) {
		if !strings.HasPrefix(word, "+") || word == "+@connection" {
			continue
		}
		server := redistest.Start(t)
		do(t, server, strings.Replace(rights+" ", " "+word+" ", " ", 1))
		assert.ErrorIs(t, useEverything(t, server, server.Conn(t)), driver.ErrMisconfigured, "%s is not needed", word)
	}
}

// documentedRights returns the ACL command of docs/redis.md.
func documentedRights(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/redis.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(data), "\n    ACL ")
	require.True(t, found)
	command, _, _ := strings.Cut(rest, "\n\n")
	return "ACL " + strings.Join(strings.Fields(command), " ")
}

// useEverything does as the documented user what an application may do, in each state of the
// server, and returns the first error.
func useEverything(t *testing.T, server *redistest.Server, admin redigo.Conn) error {
	t.Helper()
	c := config(server.Addr(), "password")
	c.Username, c.Namespace, c.ClientName = "shop", "shop", "shop-web"
	d := newDriver(t, c)
	rec, err := d.Save(t.Context(), nil, newSession(set("a", "1")))
	ping := d.Ping(t.Context())
	if err != nil || ping != nil {
		return first(err, ping)
	}
	_, loadErr := d.Load(t.Context(), rec.ID(), now())
	rec2, saveErr := d.Save(t.Context(), rec, changes(rec, set("b", "2")))
	_, conflictErr := d.Save(t.Context(), rec, changes(rec, set("c", "3")))
	e := entry(0, time.Hour)
	enterErr := d.Enter(t.Context(), user, e, 3, now())
	_, listErr := d.List(t.Context(), user, now())
	noteErr := d.EndBefore(t.Context(), user, now())
	removeErr := d.Remove(t.Context(), user, e.ID)
	doOn(t, admin, "CONFIG SET min-replicas-to-write 1")
	_, readErr := d.Load(t.Context(), rec.ID(), now())
	doOn(t, admin, "CONFIG SET min-replicas-to-write 0")
	_, endErr := d.End(t.Context(), rec2, ending(rec))
	return first(loadErr, saveErr, conflictErr, enterErr, listErr, noteErr, removeErr, readErr, endErr)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
