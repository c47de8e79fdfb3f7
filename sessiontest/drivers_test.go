package sessiontest_test

import (
	"os"
	"testing"
	"time"

	"example.com/session"
	"example.com/session/internal/casstore"
	"example.com/session/internal/redistest"
	"example.com/session/sessiontest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func TestMemoryDriver(t *testing.T) {
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		return session.NewMemoryDriver(session.MemoryConfig{})
	})
}

func TestCookieDriver(t *testing.T) {
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		d, err := session.NewCookieDriver(session.CookieConfig{}, session.NewSecret())
		require.NoError(t, err)
		return d
	})
}

func TestRedisDriver(t *testing.T) {
	server := redistest.Start(t)
	sessiontest.Drivers(t, func(t *testing.T) session.Driver {
		patient := session.RedisOptions{ReadTimeout: 30 * time.Second, PoolWait: 30 * time.Second} // the machine may be busy
		d, err := session.NewRedisDriver(session.RedisConfig{Host: server.Host(), Port: server.Port(), Options: patient})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return d
	})
	ttls := server.TTLs(t)
	assert.NotEmpty(t, ttls)
	for key, ttl := range ttls {
		assert.Positive(t, ttl, "the key %s never expires", key)
	}
}

func TestStoreDriver(t *testing.T) {
	store := new(casstore.Store)
	sessiontest.Drivers(t, func(t *testing.T) session.Driver { return session.StoreDriver(store) })
	for id, entry := range store.Entries() {
		assert.False(t, entry.Expires.IsZero(), "the entry %s never expires", id)
	}
}
