//go:build !linux

package sqltest

import (
	"os"
	"syscall"
)

var terminate = os.Interrupt

func attributes() *syscall.SysProcAttr { return nil }

func chown(string) error { return nil }
