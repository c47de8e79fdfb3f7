//go:build !linux

package e2e_test

import "syscall"

// dieWithParent sets nothing: here the demo outlives a test binary that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
