package compat_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/driver"
	"example.com/session/internal/casstore"
	"example.com/session/internal/sealed"
	"example.com/session/internal/suites/kit"
)

const storedFile = "testdata/v1/stored.json"

// A stored holds one session as version 1 keeps it in each place. All values are in hex.
type stored struct {
	Config json.RawMessage   `json:"config"` // each key of the configuration file
	Cookie string            `json:"cookie"` // the Cookie header of the session of the cookie driver
	Store  string            `json:"store"`  // that of a Store
	Ended  string            `json:"ended"`  // that of a session of the Store which was ended
	Redis  string            `json:"redis"`
	Kept   map[string]string `json:"kept"`    // what the Store has under each key
	Values map[string]string `json:"strings"` // what redis has
	Lists  map[string]string `json:"lists"`   // the member of each sorted set in redis, and not in hex
	Ends   int64             `json:"ends"`    // its score
}

// What the session holds. Its limits are those of Session.Remember, and so long that no clock matters.
const (
	user   = "ann"
	reason = "the stored formats of version 1 may not change before version 2"
)

func TestStoredSessionsOfVersion1Open(t *testing.T) {
	v := readStored(t)
	store := new(casstore.Store)
	for key, value := range v.Kept {
		require.NoError(t, store.Update(context.Background(), key, func([]byte) (driver.Entry, error) {
			return driver.Entry{Data: unhex(t, value), Expires: time.Now().Add(time.Hour), TTL: time.Hour}, nil
		}))
	}
	onStore := kit.NewManager(t, session.Config{Default: "store", Logger: kit.Quiet,
		Drivers: map[string]session.Driver{"store": session.StoreDriver(store)}})

	site := kit.NewSite(t, "redis")
	conn := site.Redis()
	prefix := site.Config.Redis.Namespace + ":"
	for key, value := range v.Values {
		_, err := conn.Do("SET", prefix+key, unhex(t, value), "EX", 3600)
		require.NoError(t, err)
	}
	for key, member := range v.Lists {
		_, err := conn.Do("ZADD", prefix+key, v.Ends, member)
		require.NoError(t, err)
		_, err = conn.Do("EXPIRE", prefix+key, 3600)
		require.NoError(t, err)
	}

	t.Run("cookie", func(t *testing.T) {
		requireSession(t, kit.NewManager(t, session.Config{Secret: kit.Secret, Logger: kit.Quiet}), v.Cookie)
	})
	t.Run("store", func(t *testing.T) {
		requireListed(t, onStore, requireSession(t, onStore, v.Store))
	})
	t.Run("redis", func(t *testing.T) {
		requireListed(t, site.Manager, requireSession(t, site.Manager, v.Redis))
	})
	t.Run("tombstone", func(t *testing.T) {
		page := kit.NewVisitor(t, onStore).Visit(func(s *session.Session) {
			assert.NoError(t, s.Open(), reason) // not damaged
			assert.True(t, s.IsNew())
		}, "Cookie", v.Ended)
		assert.Equal(t, http.StatusOK, page.StatusCode)
	})
}

// requireSession opens the session, changes it, and returns its handle.
func requireSession(t *testing.T, m *session.Manager, cookies string) (handle string) {
	t.Helper()
	visitor := kit.NewVisitor(t, m)
	page := visitor.Visit(func(s *session.Session) {
		handle = s.Handle()
		who, _ := s.User()
		assert.Equal(t, user, who, reason)
		assert.Equal(t, map[string]any{
			"text": "Grüße", "int": -3, "float": 1.5, "bool": true, "nil": nil, "cart": map[string]any{"tea": 2},
			"success": "Saved!",
		}, s.All(), reason)
		assert.Equal(t, 2, s.Increment("visits", 2))
	}, "Cookie", cookies)
	assert.Equal(t, http.StatusOK, page.StatusCode)
	return handle
}

func requireListed(t *testing.T, m *session.Manager, handle string) {
	t.Helper()
	infos, err := m.Sessions(context.Background(), user)
	require.NoError(t, err)
	require.Len(t, infos, 1, reason)
	assert.Equal(t, handle, infos[0].Handle)
	assert.Equal(t, map[string]string{"device": "laptop"}, infos[0].Hints)
}

func TestConfigurationFilesOfVersion1AreRead(t *testing.T) {
	t.Setenv("COMPAT_SECRET", kit.Secret)
	cfg, err := session.ParseConfig(readStored(t).Config)
	require.NoError(t, err, "a key of the configuration file may not go before version 2")
	assert.Equal(t, kit.Secret, cfg.Secret)
	assert.Equal(t, 90*time.Minute, cfg.Redis.IdleTimeout)
}

func readStored(t *testing.T) (v stored) {
	t.Helper()
	data, err := os.ReadFile(storedFile)
	if errors.Is(err, fs.ErrNotExist) && *record {
		data = writeStored(t)
	} else {
		require.NoError(t, err)
	}
	require.NoError(t, json.Unmarshal(data, &v))
	return v
}

// writeStored records what docs/format.md describes.
func writeStored(t *testing.T) []byte {
	text := base64.RawURLEncoding.EncodeToString
	began := time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)
	ends := began.Add(100 * 365 * 24 * time.Hour).UnixMilli()
	begin := func(cookie string) (rec *driver.Record, token []byte, digest driver.Digest) {
		id, secret := driver.NewID(), driver.NewID()
		token = append(append(id[:], secret[:]...), "ten bytes."...)
		digest = sha256.Sum256(append([]byte(cookie+"\x00"), token[len(id):]...))
		ch := &driver.Changes{ID: id, Number: 7, Now: began, New: true, Install: digest, Limits: driver.Limits{
			Lifetime: 100 * 365 * 24 * time.Hour, Idle: 100 * 365 * 24 * time.Hour, Remembered: true,
		}}
		set := func(part driver.Part, key, encoded string) {
			ch.Ops = append(ch.Ops, driver.Op{Kind: driver.Set, Part: part, Key: key, Encoded: encoded})
		}
		set(driver.Account, driver.UserKey, user)
		set(driver.Account, "authenticated", "1795780800000")
		set(driver.Account, "hints", `{"device":"laptop"}`)
		set(driver.Flash, "success", "'Saved!")
		for key, encoded := range map[string]string{
			"text": "'Grüße", "int": "-3", "float": "~1.5", "bool": "t", "nil": "n", "cart": `={"tea":2}`,
		} {
			set(driver.Data, key, encoded)
		}
		rec, err := ch.Apply(nil)
		require.NoError(t, err)
		return rec, token, digest
	}
	packed := func(rec *driver.Record) string {
		data, _ := rec.AppendBinary(nil)
		return hex.EncodeToString(data)
	}
	hash := func(cookie string) string {
		sum := sha256.Sum256([]byte(cookie + "\x00user\x00" + user))
		return text(sum[:])
	}
	v := stored{Config: json.RawMessage(everyKey), Ends: ends}

	rec, token, digest := begin("s_cookie")
	keys, err := sealed.NewKeyring(kit.Secret, nil)
	require.NoError(t, err)
	data, _ := rec.AppendBinary(nil)
	dataName := "s_cookie_" + text(digest[:6])
	v.Cookie = "s_cookie=" + string(keys.Seal(nil, "s_cookie", token)) + "; " +
		dataName + "=" + string(keys.Seal(nil, dataName, data)) + "; s_cookie_f=1"

	rec, token, _ = begin("s_store")
	v.Store = "s_store=" + text(token)
	index := append([]byte{3}, "12345678"...)
	index = binary.BigEndian.AppendUint64(index, uint64(began.UnixMilli()))
	index = binary.BigEndian.AppendUint64(index, 0)
	index = append(index, token[:16]...)
	index = binary.BigEndian.AppendUint64(index, uint64(began.UnixMicro()))
	index = binary.BigEndian.AppendUint64(index, uint64(ends))
	gone, ended, _ := begin("s_store")
	v.Ended = "s_store=" + text(ended)
	tombstone := append([]byte{0}, "87654321"...)
	tombstone = binary.BigEndian.AppendUint64(tombstone, uint64(began.UnixMilli()))
	tombstone = binary.BigEndian.AppendUint64(tombstone, uint64(ends))
	v.Kept = map[string]string{
		rec.ID().String(): packed(rec), "user:" + hash("s_store"): hex.EncodeToString(index),
		gone.ID().String(): hex.EncodeToString(tombstone),
	}

	rec, token, _ = begin("s_redis")
	v.Redis = "s_redis=" + text(token)
	v.Values = map[string]string{"session:" + rec.ID().String(): packed(rec)}
	v.Lists = map[string]string{"session:user:" + hash("s_redis"): rec.ID().String() + "1795780800000000"}

	written, err := json.MarshalIndent(v, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(storedFile, append(written, '\n'), 0o644))
	return written
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	require.NoError(t, err)
	return data
}

const everyKey = `{
	"default": "redis", "secret": "$COMPAT_SECRET", "previous_secrets": [], "lifetime": "24h", "idle_timeout": 3600,
	"store_timeout": "3s", "assurance": "", "lock_after": "10m", "max_per_user": 5, "at_max_per_user": "refuse_new",
	"cookie_attributes": {"prefix": "s_", "path": "/", "domain": "example.com", "same_site": "lax", "secure": "always",
		"partitioned": false, "session_only": true},
	"cookie": {"timeout": "1h", "flash_ttl": "5m", "revocation": "redis", "revocation_window": "10s"},
	"memory": {"timeout": "1h", "flash_ttl": 0, "max_sessions": 1000, "by_client_ip": false},
	"redis": {"url": "", "host": "127.0.0.1", "port": 6379, "password": "", "timeout": "90m", "flash_ttl": 0,
		"namespace": "shop", "options": {"db": 1, "username": "", "network": "tcp", "socket": "", "tls": false,
		"tls_ca": "", "connections": 4, "idle_conn_timeout": "4m", "dial_timeout": "1s", "read_timeout": "1s",
		"write_timeout": "1s", "client_name": "shop"}}
}`
