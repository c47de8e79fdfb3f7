//go:build !linux

package redistest

import (
	"syscall"
	"time"
)

// dieWithParent sets nothing: here a server outlives a test binary that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

// awaitPaused leaves the signal a moment to take effect.
func awaitPaused(int) error {
	time.Sleep(20 * time.Millisecond)
	return nil
}
