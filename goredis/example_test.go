package goredis_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/session"
	"example.com/session/goredis"
	"example.com/session/internal/redistest"
)

// inExample is what an example passes for a test.
type inExample struct{ testing.TB }

func (inExample) Helper()           {}
func (inExample) Fatal(args ...any) { log.Fatal(args...) }

func ExampleNew() {
	address := redistest.Shared(inExample{}).Addr() // "127.0.0.1:6379", say
	client := redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true})
	defer client.Close()

	manager, err := session.NewManager(session.Config{
		Default: "redis",
		Redis:   session.RedisConfig{Options: session.RedisOptions{Client: goredis.New(client)}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close() // the client stays open
	handler := manager.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "visit number ", session.FromRequest(r).Increment("visits", 1))
	}))

	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Body)
		for _, cookie := range w.Result().Cookies() {
			r.AddCookie(cookie)
		}
	}
	// Output:
	// visit number 1
	// visit number 2
}

// A cluster is told by one or more of its nodes.
func ExampleNew_cluster() {
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"},
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	cfg := session.Config{Default: "redis"}
	cfg.Redis.Options.Client = goredis.New(client)
}

// Sentinel says which server is the master.
func ExampleNew_sentinel() {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:            "sessions",
		SentinelAddrs:         []string{"10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"},
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	cfg := session.Config{Default: "redis"}
	cfg.Redis.Options.Client = goredis.New(client)
}
