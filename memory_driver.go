package session

import (
	"context"

	"example.com/session/driver"
	"example.com/session/internal/memory"
)

// NewMemoryDriver returns a driver that keeps sessions in this process, for Config.Drivers. They
// end with the process, and other processes do not see them: if a client's requests can reach
// several processes, use the redis or the cookie driver. NewManager makes one from Config.Memory by
// itself. ByClientIP works in Config.Memory only.
//
// The driver starts no goroutine. The time of an operation does not grow with the number of
// sessions.
func NewMemoryDriver(cfg MemoryConfig) Driver { return newMemoryDriver(cfg, nil) }

type memoryDriver struct {
	*memory.Driver
	ownLimits
}

func newMemoryDriver(cfg MemoryConfig, onEvict func(context.Context, *driver.Record)) *memoryDriver {
	d := memory.New(memory.Options{MaxSessions: cfg.MaxSessions, OnEvict: onEvict})
	return &memoryDriver{d, ownLimits{idle: cfg.IdleTimeout, flashTTL: cfg.FlashTTL}}
}
