//go:build unix && !aix && !solaris

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"example.com/session/driver"
)

// A fileStore keeps each key in a file of its own, which only its owner can read. Several processes
// of one machine may use one directory. A file's time of modification is when it expires. Nothing is
// synced: a power failure may lose the last changes.
type fileStore struct{ root *os.Root } // no name leads out of it

func newFileStore(dir string) (*fileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.Join(fmt.Errorf("only its owner may enter the directory %s: chmod 700", dir), err)
	}
	root, err := os.OpenRoot(dir)
	return &fileStore{root}, err
}

// fileName tells apart keys that differ in case only, on every file system.
func fileName(key string) string { return hex.EncodeToString([]byte(key)) }

func (s *fileStore) Get(ctx context.Context, key string) ([]byte, error) {
	file, err := s.root.Open(fileName(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !time.Now().Before(info.ModTime()) {
		return nil, err
	}
	return io.ReadAll(file)
}

func (s *fileStore) Update(ctx context.Context, key string, change func(old []byte) (driver.Entry, error)) error {
	name := fileName(key)
	return s.locked(ctx, name, func() error {
		old, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		entry, err := change(old)
		if err != nil || entry.Data == nil {
			return err
		}
		fresh := name + ".new" // a reader sees the old file or the new one, and never a part
		if err := s.root.WriteFile(fresh, entry.Data, 0o600); err != nil {
			return err
		}
		expires := time.Now().Add(entry.TTL)
		if err := s.root.Chtimes(fresh, expires, expires); err != nil {
			return err
		}
		return s.root.Rename(fresh, name)
	})
}

// locked calls run while it holds the lock of this file, which no other goroutine or process can
// hold then. If a process dies, the system releases its locks.
func (s *fileStore) locked(ctx context.Context, name string, run func() error) error {
	lock, err := s.root.OpenFile("lock-"+name[:2], os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		switch err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return run()
		case err != syscall.EWOULDBLOCK || ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		}
		time.Sleep(time.Millisecond)
	}
}
