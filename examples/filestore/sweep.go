//go:build unix && !aix && !solaris

package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// sweep removes expired files, and temporary files that a killed process has left. It locks one
// file at a time, so that requests do not wait for it.
func (s *fileStore) sweep(ctx context.Context) error {
	files, err := fs.ReadDir(s.root.FS(), ".")
	for _, file := range files {
		if name := file.Name(); !strings.HasPrefix(name, "lock-") {
			err = errors.Join(err, s.locked(ctx, name, func() error { return s.removeExpired(name) }))
		}
	}
	return err
}

func (s *fileStore) removeExpired(name string) error {
	info, err := s.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || time.Now().Before(info.ModTime()) {
		return err
	}
	return s.root.Remove(name)
}
