// Package goredis lets session's redis driver talk through a client of github.com/redis/go-redis:
// to a cluster, to a Sentinel set, or through the client that an application already has.
//
//	manager, err := session.NewManager(session.Config{
//		Default: "redis",
//		Redis:   session.RedisConfig{Options: session.RedisOptions{Client: goredis.New(client)}},
//	})
//
// client is any [redis.UniversalClient]: the result of [redis.NewClient], [redis.NewClusterClient],
// [redis.NewFailoverClient] or [redis.NewUniversalClient]. Its own options say how it connects, how
// often it retries and how long it waits. Config.StoreTimeout bounds all of that for each
// operation. The caller keeps the client and closes it.
//
// Set ContextTimeoutEnabled: without it each command needs a goroutine of its own, and takes about
// twice as long if redis is near.
//
// Each command and script works on one key, so slots do not matter. In a cluster leave ReadOnly,
// RouteByLatency and RouteRandomly off: a replica refuses to load sessions. The clocks of the
// masters must agree within a second.
//
// A client that retries, or that follows a slot to another server, stores nothing twice: each save
// has a number that the record remembers.
package goredis
