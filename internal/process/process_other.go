//go:build !linux

package process

import "os/exec"

// dieWithParent does nothing: here a server outlives a test binary that is killed.
func dieWithParent(*exec.Cmd) {}

// DropRoot does nothing on this system.
func DropRoot(*exec.Cmd) {}

// Hand does nothing on this system.
func Hand(string) error { return nil }
