//go:build !linux

package redistest

import "time"

// awaitPaused leaves the signal a moment to take effect.
func awaitPaused(int) error {
	time.Sleep(20 * time.Millisecond)
	return nil
}
