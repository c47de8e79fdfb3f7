//go:build !unix

package redistest

import "syscall"

// There is no redis-server on these systems; the package compiles, so that the tests which need
// none can run.
const (
	sigTerminate = syscall.Signal(0)
	sigPause     = syscall.Signal(0)
	sigResume    = syscall.Signal(0)
)
