package session_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/session/internal/redistest"
)

// nowhere is a master that no replica reaches, so that it keeps its data and refuses to write.
var nowhere = []any{"127.0.0.1", 1}

func TestReplicaIsUnavailableAndNeverSignsOut(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("REPLICAOF", nowhere...)
	o.assertDown()
	o.command("REPLICAOF", "NO", "ONE")
	o.assertServes()
	o.assertOneOutage()
}

// A replica lags behind: what it lacks its master may have.
func TestReplicaThatLacksASessionDoesNotSayThatThereIsNone(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("FLUSHALL")
	o.command("REPLICAOF", nowhere...)
	o.assertDown()
	o.assertRefused(o.browser.do(http.MethodPost, "/logout"))
	o.command("REPLICAOF", "NO", "ONE")
	assert.Empty(t, o.browser.get("/user").body)
}

// Memory that is full is no reason to sign people out, nor to keep them from signing out.
func TestFullMemoryRefusesWritesAndStillReads(t *testing.T) {
	t.Parallel()
	o := newOutageTest(t, redistest.Start(t), nil)
	o.command("CONFIG", "SET", "maxmemory", 1)
	o.assertWritesDown()
	assert.Equal(t, "ann", o.browser.get("/user").body)
	assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/delete?key=k").StatusCode)

	o.command("CONFIG", "SET", "maxmemory", 0)
	o.assertServes()
	o.command("CONFIG", "SET", "maxmemory", 1)
	assert.Equal(t, http.StatusOK, o.browser.do(http.MethodPost, "/logout").StatusCode)
	assert.Empty(t, o.browser.get("/user").body)
}
