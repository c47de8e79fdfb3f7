//go:build !linux

package e2e_test

import "syscall"

// dieWithParent does nothing: on this system the demo outlives a test binary that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
