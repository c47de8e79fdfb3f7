//go:build unix && !aix && !solaris

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"example.com/session"
)

// A fileStore keeps each session in a file of its own, which only its owner can read. Several
// processes may use one directory of this machine. When a session ends is its file's time of
// modification. A power failure may take the last changes with it: nothing is synced.
type fileStore struct{ root *os.Root } // ids cannot lead out of it

func newFileStore(dir string) (*fileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.Join(fmt.Errorf("the directory %s must be its owner's alone: chmod 700", dir), err)
	}
	root, err := os.OpenRoot(dir)
	return &fileStore{root}, err
}

func (s *fileStore) Get(ctx context.Context, id string) ([]byte, error) {
	data, err := s.root.ReadFile(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ctx.Err()
	}
	return data, err
}

func (s *fileStore) Update(ctx context.Context, id string, change func(old []byte) (session.Entry, error)) error {
	return s.locked(ctx, id, func() error {
		old, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		entry, err := change(old)
		if err != nil || entry.Data == nil {
			return err
		}
		fresh := id + ".new" // whoever reads meanwhile sees the old file or the new one, whole
		if err := s.root.WriteFile(fresh, entry.Data, 0o600); err != nil {
			return err
		}
		if err := s.root.Chtimes(fresh, entry.Expires, entry.Expires); err != nil {
			return err
		}
		return s.root.Rename(fresh, id)
	})
}

// locked runs a function while no other goroutine or process does so for this id. The system
// lets go of the lock of a process that dies.
func (s *fileStore) locked(ctx context.Context, id string, run func() error) error {
	lock, err := s.root.OpenFile("lock-"+id[:1], os.O_RDWR|os.O_CREATE, 0o600)
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
