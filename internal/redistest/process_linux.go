package redistest

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// awaitPaused waits until the kernel says that the process stands still: the signal that stops it
// is sent before, not when, it takes effect.
func awaitPaused(pid int) error {
	for end := time.Now().Add(stopLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		// proc(5): "pid (name) state ..."; T is a stopped process.
		if bytes.Contains(stat, []byte(") T ")) {
			return nil
		}
	}
	return fmt.Errorf("it still runs after %v", stopLimit)
}
