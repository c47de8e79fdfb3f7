// Package goredis lets session's redis driver talk through a client of github.com/redis/go-redis,
// so that a cluster, a Sentinel set, or the client that an application has already serves its
// sessions too, by one line of config:
//
//	manager, err := session.NewManager(session.Config{
//		Default: "redis",
//		Redis:   session.RedisConfig{Options: session.RedisOptions{Client: goredis.New(client)}},
//	})
//
// client is any [redis.UniversalClient]: [redis.NewClient], [redis.NewFailoverClient] with
// Sentinel, [redis.NewClusterClient], or what [redis.NewUniversalClient] makes of its options. Its
// own options say how it connects, how often it tries and how long it waits. Session.Config's
// StoreTimeout bounds all of that for each operation, whether or not the client respects
// deadlines. The caller keeps the client and closes it.
//
// Every script of the driver works on one key, so a cluster serves it. A client that tries again
// by itself, or follows a slot to another server, applies nothing twice: the tries that follow the
// first one say so, and the number of each save tells the server what it has.
package goredis
