package session

import (
	"context"
	"time"

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
	idle, flashTTL time.Duration
}

func newMemoryDriver(cfg MemoryConfig, onEvict func(context.Context, *driver.Record)) *memoryDriver {
	d := memory.New(memory.Options{MaxSessions: cfg.MaxSessions, OnEvict: onEvict})
	return &memoryDriver{Driver: d, idle: cfg.IdleTimeout, flashTTL: cfg.FlashTTL}
}

func (d *memoryDriver) ownLimits() (idle, flashTTL time.Duration) { return d.idle, d.flashTTL }
