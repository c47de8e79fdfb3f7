// Package goredis lets session's redis driver use a client of github.com/redis/go-redis: to connect
// to a cluster or through Sentinel, or to share the client that an application already has.
//
//	manager, err := session.NewManager(session.Config{
//		Default: "redis",
//		Redis:   session.RedisConfig{Options: session.RedisOptions{Client: goredis.New(client)}},
//	})
//
// client is any [redis.UniversalClient]: the result of [redis.NewClient], [redis.NewClusterClient],
// [redis.NewFailoverClient] or [redis.NewUniversalClient]. Its options say how it connects, how
// often it retries and how long it waits. Config.StoreTimeout limits each operation as a whole. The
// caller closes the client.
//
// Set ContextTimeoutEnabled in the client's options. Without it each command needs a goroutine of
// its own, and takes about twice as long if redis replies quickly.
//
// Each command and script works on one key, so the slots of a cluster do not matter. In a cluster
// leave ReadOnly, RouteByLatency and RouteRandomly off: loading a session from a replica fails. The
// clocks of the masters must agree within a second.
//
// A save is not applied twice if the client retries it or follows a slot to another server: each
// save has a number that the record remembers.
package goredis
